"""Tables, files and figure of a tuned comparison."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.app.compare.results import Result, summary_rows
from eval.app.shared.formats import as_text, dump, flat, markdown
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
from stages.files import whole_file

__all__ = ["content", "report", "tables", "write"]

HEAD = "mismatch errors, balanced by class; intervals are 95 %"


def tables(comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors in percent, the best first; then what was chosen and what it cost, as texts."""
    summary = {row.method: row for row in comparison.summary()}
    rankings = rank_methods(comparison)
    errors = pd.DataFrame(
        {
            "rank": str(row.rank),
            "method": row.method,
            "test error % [95 %]": as_text(summary[row.method].test_error, "{:.2f}", 100),
            "minus first % [95 %]": _unless_first(row, as_text(row.difference, "{:.2f}", 100)),
            "standard error %": _unless_first(row, f"{100 * row.stderr:.2f}"),
            "p": _unless_first(row, _probability(row.p_value)),
            "p, Holm": _unless_first(row, _probability(row.p_holm)),
            "train error %": f"{100 * summary[row.method].train_error.estimate:.2f}",
            "NC1 train": as_text(summary[row.method].nc1_train, "{:.4f}"),
            "NC1 test": as_text(summary[row.method].nc1_test, "{:.4f}"),
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
    records = _records(comparison, method)
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


def _records(comparison: Comparison, method: str) -> list[TunedRecord]:
    return [record for record in comparison.of(method) if isinstance(record, TunedRecord)]


def _title(result: Result) -> str:
    large = result.comparison.records[0].n_train >= LARGE
    inner = "one inner split" if large else f"{INNER_FOLDS} inner folds"
    return f"{result.title}; {N_CANDIDATES} candidates a method, {inner}"


def report(result: Result) -> str:
    """The printed tables of one data set."""
    errors, costs = tables(result.comparison)
    return "\n\n".join(
        [
            f"{_title(result)} ({HEAD})",
            errors.to_string(index=False),
            costs.to_string(index=False),
            describe_ranking(rank_methods(result.comparison)),
        ]
    )


def content(config: dict[str, Any], results: list[Result]) -> dict[str, Any]:
    """The content that `--json` prints."""
    return {
        "config": config,
        "data": {
            result.data.name: {
                "verdict": describe_ranking(rank_methods(result.comparison)),
                "summary": _summary(result),
                "records": [dataclasses.asdict(record) for record in result.comparison.records],
            }
            for result in results
        },
    }


def write(results: list[Result], candidates: dict[str, Any], folder: Path) -> None:
    """Write tables and figure into the folder of the comparison, no file incompletely."""
    from eval.app.compare.comparison_figures import draw_tuned

    records: list[dict[str, Any]] = [
        {"data": result.data.name, "repeat": record.fold // result.comparison.folds}
        | dataclasses.asdict(record)
        for result in results
        for record in result.comparison.records
    ]
    for row in records:
        row["inner_errors"] = " ".join(map(repr, row["inner_errors"]))
    frames = {
        "compare.csv": pd.DataFrame(records),
        "summary.csv": pd.DataFrame([row for each in results for row in _summary(each)]),
        "predictions.csv": pd.concat([_predictions(result) for result in results]),
    }
    for name, frame in frames.items():
        with whole_file(folder / name) as scratch:
            frame.to_csv(scratch, index=False)
    with whole_file(folder / "spaces.json") as scratch:
        dump(scratch, candidates)
    with whole_file(folder / "compare.md") as scratch:
        text = "\n".join([f"{HEAD.capitalize()}.\n", *(_section(result) for result in results)])
        scratch.write_text(text, encoding="utf-8")
    draw_tuned({_title(r): r.comparison for r in results}, folder / "compare.png")


def _section(result: Result) -> str:
    errors, costs = tables(result.comparison)
    sentence = describe_ranking(rank_methods(result.comparison))
    return f"### {_title(result)}\n\n{markdown(errors)}\n\n{markdown(costs)}\n\n{sentence}\n"


def _summary(result: Result) -> list[dict[str, Any]]:
    """Means with intervals, and the place among all methods."""
    places = {row.method: row for row in rank_methods(result.comparison)}
    return [row | _place(places[row["method"]]) for row in summary_rows(result)]


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
