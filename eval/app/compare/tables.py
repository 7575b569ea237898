"""Tables, files and figure of a comparison."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.app.compare.drawing import draw_comparison
from eval.app.shared.formats import as_text, flat, markdown, write_files
from eval.app.shared.scores import method_table
from eval.comparison import (
    INNER_FOLDS,
    LARGE,
    N_CANDIDATES,
    Ranking,
    TunedRecord,
    describe_ranking,
    rank_methods,
)
from eval.comparison.folds import Comparison
from eval.data.dataset import Dataset

__all__ = ["Result", "content", "report", "write"]

HEAD = "mismatch errors, balanced by class; intervals are 95 %"


@dataclass(frozen=True, eq=False)
class Result:
    """One data set and what was measured on it."""

    data: Dataset
    comparison: Comparison

    @property
    def tuned(self) -> bool:
        """Whether every method was tuned."""
        return isinstance(self.comparison.records[0], TunedRecord)

    @property
    def title(self) -> str:
        """Name, size and split in words."""
        n, d = self.data.x.shape
        record = self.comparison.records[0]
        repeats, folds = self.comparison.repeats, self.comparison.folds
        cut = f"{repeats} x {folds}" if repeats > 1 else f"{folds}"
        split = (
            f"mean of {cut} stratified folds"
            if folds > 1
            else f"one split, {record.n_test} held out"
        )
        title = f"{self.data.name}, n={n}, d={d}, q={len(np.unique(self.data.y))}; {split}"
        if not self.tuned:
            return title
        inner = "one inner split" if record.n_train >= LARGE else f"{INNER_FOLDS} inner folds"
        return f"{title}; {N_CANDIDATES} candidates a method, {inner}"

    def parts(self) -> list[pd.DataFrame | str]:
        """Its tables of texts, and a sentence."""
        if self.tuned:
            return [*tuned_tables(self.comparison), describe_ranking(rank_methods(self.comparison))]
        inputs = as_text(self.comparison.summary()[0].nc1_inputs, "{:.4f}")
        return [method_table(self.comparison.summary()), f"NC1 of the test inputs: {inputs}"]

    def summary(self) -> list[dict[str, Any]]:
        """Means with intervals, one row a method; of tuned ones also the place among all."""
        rows = [
            {"data": self.data.name, **flat(dataclasses.asdict(row))}
            for row in self.comparison.summary()
        ]
        if not self.tuned:
            return rows
        places = {row.method: row for row in rank_methods(self.comparison)}
        return [row | _place(places[row["method"]]) for row in rows]


def report(result: Result) -> str:
    """The printed tables of one data set."""
    parts = [
        part if isinstance(part, str) else part.to_string(index=False) for part in result.parts()
    ]
    head = HEAD if result.tuned else "mismatch error, balanced by class"
    return "\n\n".join([f"{result.title} ({head})", *parts])


def content(results: list[Result]) -> dict[str, Any]:
    """What `--json` prints, by data set."""
    return {
        result.data.name: {
            **({"verdict": result.parts()[-1]} if result.tuned else {}),
            "summary": result.summary(),
            "records": [record.row() for record in result.comparison.records],
        }
        for result in results
    }


def write(results: list[Result], folder: Path, files: Mapping[str, dict[str, Any]]) -> None:
    """Write tables, figure and these files into the folder, each of them whole."""
    sections = [
        "\n\n".join(
            [
                f"### {result.title}",
                *(part if isinstance(part, str) else markdown(part) for part in result.parts()),
            ]
        )
        + "\n"
        for result in results
    ]
    tables: dict[str, Any] = {
        "compare.csv": pd.DataFrame(row for result in results for row in _records(result)),
        "summary.csv": pd.DataFrame(row for result in results for row in result.summary()),
        "compare.md": "\n".join([f"{HEAD.capitalize()}.\n", *sections]),
    }
    tuned = any(result.tuned for result in results)
    if tuned:
        tables["predictions.csv"] = pd.concat([_predictions(result) for result in results])
    write_files(folder, {**files, **tables})
    comparisons = {result.title: result.comparison for result in results}
    draw_comparison(comparisons, folder / "compare.png", ranked=tuned)


def _records(result: Result) -> list[dict[str, Any]]:
    rows = []
    for record in result.comparison.records:
        row = record.row()
        if result.tuned:
            row = {"repeat": record.fold // result.comparison.folds, **row}
            row["inner_errors"] = " ".join(map(repr, row["inner_errors"]))
        rows.append({"data": result.data.name, **row})
    return rows


def tuned_tables(comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors in percent, the best first; then what was chosen and what it cost, as texts."""
    texts = method_table(comparison.summary()).set_index("method")
    rankings = rank_methods(comparison)
    errors = pd.DataFrame(
        {
            "rank": str(row.rank),
            "method": row.method,
            "test error % [95 %]": texts.loc[row.method, "test error % [95 %]"],
            "minus first % [95 %]": _unless_first(row, as_text(row.difference, "{:.2f}", 100)),
            "standard error %": _unless_first(row, f"{100 * row.stderr:.2f}"),
            "p": _unless_first(row, _probability(row.p_value)),
            "p, Holm": _unless_first(row, _probability(row.p_holm)),
            "train error %": texts.loc[row.method, "train error %"],
            "NC1 train": texts.loc[row.method, "NC1 train"],
            "NC1 test": texts.loc[row.method, "NC1 test"],
        }
        for row in rankings
    )
    costs = pd.DataFrame(_costs(comparison, row.method) for row in rankings)
    return errors, costs


def _unless_first(row: Ranking, text: str) -> str:
    return "-" if math.isnan(row.p_value) else text


def _probability(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _costs(comparison: Comparison, method: str) -> dict[str, str]:
    records = [each for each in comparison.of(method) if isinstance(each, TunedRecord)]
    settings, times = Counter(record.settings for record in records).most_common(1)[0]
    return {
        "method": method,
        "candidates": str(records[0].n_candidates),
        "chosen most often": f"{settings} ({times} of {len(records)})",
        "search s": f"{np.mean([record.search_seconds for record in records]):.2f}",
        "fit s": f"{np.mean([record.fit_seconds for record in records]):.2f}",
        "predict s": f"{np.mean([record.predict_seconds for record in records]):.4f}",
        "peak MiB (added)": _memory(records),
        "not converged": str(sum(not record.converged for record in records)),
    }


def _memory(records: list[TunedRecord]) -> str:
    """Largest peak, and the largest rise above what was there before the job."""
    pairs = [
        (record.peak_mib, record.start_mib)
        for record in records
        if record.peak_mib is not None and record.start_mib is not None
    ]
    if not pairs:
        return "-"
    return (
        f"{max(peak for peak, _ in pairs):.0f} ({max(peak - start for peak, start in pairs):.0f})"
    )


def _place(row: Ranking) -> dict[str, Any]:
    first = math.isnan(row.p_value)
    place = {
        "rank": row.rank,
        "minus_first": row.difference,
        "minus_first_stderr": row.stderr,
        "p_value": None if first else row.p_value,
        "p_holm": None if first else row.p_holm,
    }
    return flat(place)


def _predictions(result: Result) -> pd.DataFrame:
    """Labels and predictions of all test samples, fold by fold."""
    comparison = result.comparison
    first = comparison.of(comparison.methods[0])
    folds = np.repeat([row.fold for row in first], [row.n_test for row in first])
    return pd.DataFrame(
        {
            "data": result.data.name,
            "repeat": folds // comparison.folds,
            "fold": folds,
            "sample": comparison.samples,
            "label": comparison.labels,
        }
        | comparison.predictions
    )
