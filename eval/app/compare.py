"""The command `gibbsnet compare`: the network beside other classifiers on several data sets."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from tqdm import tqdm

from eval.app.folders import explained, free_folder, staged_folder
from eval.app.formats import as_text, dump, flat, markdown, versions
from eval.baselines import comparison_models
from eval.comparison import Comparison, FoldRecord
from eval.comparison import compare_baselines as measure
from eval.data import Dataset, load_dataset, registered_datasets
from eval.synthetic import make_linearly_separable

__all__ = ["CompareConfig", "Result", "compare", "execute", "table", "write"]

SEPARABLE = "separable"


@dataclass(frozen=True)
class CompareConfig:
    """All that is needed to repeat a comparison; `test_size` stands in place of folds."""

    data: tuple[str, ...]
    target: str | None = None
    folds: int = 5
    test_size: float | None = None
    seed: int = 0
    controls: bool = False


@dataclass(frozen=True, eq=False)
class Result:
    """One data set and what was measured on it."""

    data: Dataset
    comparison: Comparison

    @property
    def title(self) -> str:
        """Name, size and split in words."""
        n, d = self.data.x.shape
        records = self.comparison.records
        folds = records[-1].fold + 1
        split = (
            f"mean of {folds} stratified folds"
            if folds > 1
            else f"one split, {records[0].n_test} held out"
        )
        return f"{self.data.name}, n={n}, d={d}, q={len(np.unique(self.data.y))}; {split}"


@click.command()
@click.option(
    "--data",
    default="wine,breast_cancer,digits",
    show_default=True,
    metavar="NAME|FILE,...",
    help="separable, built-in data sets or files, with commas between.",
)
@click.option("--target", metavar="COLUMN", help="Label column of the files [default: last].")
@click.option(
    "--folds", type=click.IntRange(2), default=5, show_default=True, help="Stratified folds."
)
@click.option(
    "--test-size",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Hold out this share in one split, in place of folds.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--controls", is_flag=True, help="Add the network with untrained neurons.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier run.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of tables.")
def compare(
    data: str, out: Path | None, force: bool, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Compare the two-stage network with eight classifiers at fixed settings.

    Prints one table a data set and writes compare.csv (one line a method and fold),
    summary.csv, compare.md, config.json, and a figure as PNG and SVG.

    \b
    gibbsnet compare                                  # wine, breast_cancer, digits
    gibbsnet compare --data my.csv,separable --controls
    """  # noqa: D301
    config = CompareConfig(data=tuple(name.strip() for name in data.split(",")), **options)
    start = time.perf_counter()
    with explained():
        folder = out or free_folder("compare")
        with staged_folder(folder, force=force) as scratch:
            results = execute(config, progress=not quiet and sys.stderr.isatty())
            write(config, results, scratch)
    if as_json:
        click.echo(json.dumps(_content(config, results) | {"folder": str(folder)}, indent=2))
    else:
        click.echo("\n\n".join(_report(result) for result in results))
        click.echo(f"\n{time.perf_counter() - start:.1f} s in all; written to {folder}")


def execute(config: CompareConfig, *, progress: bool = False) -> list[Result]:
    """Load all data sets, then compare on each.

    Raises
    ------
    ValueError, FileNotFoundError
        If a data set is not usable; the message names it.
    """
    loaded = _load(config)
    splits = config.folds if config.test_size is None else 1
    methods = 1 + config.controls + len(comparison_models())
    with tqdm(total=len(loaded) * splits * methods, unit="fit", disable=not progress) as bar:
        return [Result(data, _compare(config, data, _mover(bar, data.name))) for data in loaded]


def _load(config: CompareConfig) -> list[Dataset]:
    if not all(config.data):
        raise ValueError(f"--data must be names with commas between, got {','.join(config.data)!r}")
    named = (SEPARABLE, *registered_datasets())
    if config.target is not None and set(config.data) <= set(named):
        raise ValueError(f"--target is for files, got --data {','.join(config.data)}")
    loaded = [
        _dataset(source, None if source in named else config.target, config.seed)
        for source in config.data
    ]
    names = [data.name for data in loaded]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--data must name every data set once, got {name} more than once")
    return loaded


def _dataset(source: str, target: str | None, seed: int) -> Dataset:
    if source == SEPARABLE:
        x, y = make_linearly_separable(400, random_state=seed)
        return Dataset(SEPARABLE, x, y, standardize=False)
    return load_dataset(source, target)


def _compare(
    config: CompareConfig, data: Dataset, on_record: Callable[[FoldRecord], None]
) -> Comparison:
    try:
        return measure(
            data.x,
            data.y,
            folds=config.folds,
            test_size=config.test_size,
            standardize=data.standardize,
            random_state=config.seed,
            controls=config.controls,
            on_record=on_record,
        )
    except ValueError as error:
        raise ValueError(f"--data {data.name}: {error}") from error


def _mover(bar: Any, name: str) -> Callable[[FoldRecord], None]:
    bar.set_description(name)

    def move(record: FoldRecord) -> None:
        bar.set_postfix_str(f"{record.method}, fold {record.fold + 1}", refresh=False)
        bar.update()

    return move


def table(comparison: Comparison) -> pd.DataFrame:
    """One row a method: errors in percent with 95 % intervals, NC1, seconds."""
    return pd.DataFrame(
        {
            "method": row.method,
            "train error %": f"{100 * row.train_error.estimate:.2f}",
            "test error % [95 %]": as_text(row.test_error, "{:.2f}", 100),
            "error minus ours % [95 %]": as_text(row.difference, "{:.2f}", 100),
            "NC1 train": as_text(row.nc1_train, "{:.4f}"),
            "NC1 test": as_text(row.nc1_test, "{:.4f}"),
            "fit s": f"{row.fit_seconds:.2f}",
            "predict s": f"{row.predict_seconds:.4f}",
        }
        for row in comparison.summary()
    )


def _report(result: Result) -> str:
    return f"{result.title} (mismatch error, balanced by class)\n\n" + "\n".join(
        [table(result.comparison).to_string(index=False), "", _inputs(result.comparison)]
    )


def _inputs(comparison: Comparison) -> str:
    return f"NC1 of the test inputs: {as_text(comparison.summary()[0].nc1_inputs, '{:.4f}')}"


def write(config: CompareConfig, results: list[Result], folder: Path) -> None:
    """Write the tables, the configuration and the figure into an existing folder."""
    from eval.app.comparison_figures import draw_comparison

    dump(folder / "config.json", dataclasses.asdict(config) | {"versions": versions()})
    records = [
        {"data": result.data.name, **dataclasses.asdict(record)}
        for result in results
        for record in result.comparison.records
    ]
    pd.DataFrame(records).to_csv(folder / "compare.csv", index=False)
    summary = [row for result in results for row in _summary(result)]
    pd.DataFrame(summary).to_csv(folder / "summary.csv", index=False)
    sections = [
        f"### {result.title}\n\n{markdown(table(result.comparison))}\n\n"
        f"{_inputs(result.comparison)}\n"
        for result in results
    ]
    text = "Mismatch errors, balanced by class; intervals are 95 %.\n\n" + "\n".join(sections)
    (folder / "compare.md").write_text(text, encoding="utf-8")
    draw_comparison({r.title: r.comparison for r in results}, folder / "compare.png")


def _content(config: CompareConfig, results: list[Result]) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "config": dataclasses.asdict(config),
        "data": {
            result.data.name: {
                "summary": _summary(result),
                "records": [dataclasses.asdict(record) for record in result.comparison.records],
            }
            for result in results
        },
    }


def _summary(result: Result) -> list[dict[str, Any]]:
    return [
        {"data": result.data.name, **flat(dataclasses.asdict(row))}
        for row in result.comparison.summary()
    ]
