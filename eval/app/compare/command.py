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
import pandas as pd
from tqdm import tqdm

from eval.app.compare.inputs import USES, load_used
from eval.app.compare.results import Result, summary_rows
from eval.app.shared.folders import explained, free_folder, staged_folder
from eval.app.shared.formats import as_text, dump, markdown, versions
from eval.app.shared.options import (
    only_where_used,
    recorded,
)
from eval.comparison.baselines import comparison_models
from eval.comparison.folds import Comparison, FoldRecord
from eval.comparison.folds import compare_baselines as measure
from eval.data.dataset import Dataset

__all__ = [
    "CompareConfig",
    "compare",
    "execute",
    "table",
    "write",
]


@dataclass(frozen=True)
class CompareConfig:
    """Everything that a comparison depends on; `test_size` replaces the folds."""

    data: tuple[str, ...]
    target: str | None = None
    n_samples: int = 400
    folds: int = 5
    test_size: float | None = None
    seed: int = 0
    controls: bool = False


@only_where_used(USES)
@click.command()
@click.option(
    "--data",
    default="wine,breast_cancer,digits",
    show_default=True,
    metavar="NAME|FILE,...",
    help="separable, its variants -student, -planar, -imbalanced and -noisy, built-in data "
    "sets, files, openml:NUMBER, or MODULE:OBJECT for your own Python loader or distribution, "
    "with commas between.",
)
@click.option("--target", metavar="COLUMN", help="Label column of the files [default: last].")
@click.option("--n-samples", type=click.IntRange(2), default=400, show_default=True, help="n.")
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
@click.option(
    "--tuned",
    is_flag=True,
    help="Tune every method alike by inner folds, and test it on the outer ones.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    help="How often to draw the folds [default: 3 below 1,000 samples, else 1].",
)
@click.option(
    "--methods",
    metavar="NAME,...",
    help="Methods beside the network [default: all eight].",
)
@click.option("--neurons", type=click.IntRange(1), help="N [default: 1000].")
@click.option(
    "--steps",
    type=click.IntRange(0),
    help="Steps of stage one [default: 1500; 4000 of 256 beyond 2000 a fit].",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes, of one thread each [default: one a core].",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--resume", is_flag=True, help="Continue the comparison in --out, if there is one.")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier run.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of tables.")
@click.pass_context
def compare(
    context: click.Context,
    /,
    data: str,
    tuned: bool,
    out: Path | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the two-stage network with eight classifiers.

    Settings are fixed; with --tuned they are chosen, from as many candidates for every method,
    by cross-validation inside the training part of each fold. Prints one table a data set
    and writes compare.csv (one line a method and fold), summary.csv, compare.md, config.json,
    and a figure as PNG and SVG; with --tuned also predictions.csv and spaces.json. Every
    finished job of --tuned is kept at once: after a kill, --resume continues.

    \b
    gibbsnet compare                                  # wine, breast_cancer, digits
    gibbsnet compare --data my.csv,separable --controls
    gibbsnet compare --tuned --out runs/tuned
    gibbsnet compare --tuned --out runs/tuned --resume   # after a kill
    """  # noqa: D301
    names = tuple(name.strip() for name in data.split(","))
    if tuned:
        from eval.app.compare.tuned import run

        run(context, names)
        return
    start = time.perf_counter()
    with explained():
        loaded, facts = load_used(context, names)
        fields = CompareConfig.__dataclass_fields__
        config = CompareConfig(names, **{k: v for k, v in options.items() if k in fields})
        folder = out or free_folder("compare")
        with staged_folder(folder, force=force) as scratch:
            results = execute(config, loaded, progress=not quiet and sys.stderr.isatty())
            used = recorded(config, USES, facts)
            write(used, results, scratch)
    if as_json:
        click.echo(json.dumps(_content(used, results) | {"folder": str(folder)}, indent=2))
    else:
        click.echo("\n\n".join(_report(result) for result in results))
        click.echo(f"\n{time.perf_counter() - start:.1f} s in all; written to {folder}")


def execute(
    config: CompareConfig, loaded: list[Dataset], *, progress: bool = False
) -> list[Result]:
    """Compare on each data set.

    Raises
    ------
    ValueError
        If one is not usable; the message names it.
    """
    splits = config.folds if config.test_size is None else 1
    methods = 1 + config.controls + len(comparison_models())
    with tqdm(total=len(loaded) * splits * methods, unit="fit", disable=not progress) as bar:
        return [Result(data, _compare(config, data, _mover(bar, data.name))) for data in loaded]


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


def write(config: dict[str, Any], results: list[Result], folder: Path) -> None:
    """Write the tables, the configuration and the figure into an existing folder."""
    from eval.app.compare.comparison_figures import draw_comparison

    dump(folder / "config.json", config | {"versions": versions()})
    records = [
        {"data": result.data.name, **dataclasses.asdict(record)}
        for result in results
        for record in result.comparison.records
    ]
    pd.DataFrame(records).to_csv(folder / "compare.csv", index=False)
    summary = [row for result in results for row in summary_rows(result)]
    pd.DataFrame(summary).to_csv(folder / "summary.csv", index=False)
    sections = [
        f"### {result.title}\n\n{markdown(table(result.comparison))}\n\n"
        f"{_inputs(result.comparison)}\n"
        for result in results
    ]
    text = "Mismatch errors, balanced by class; intervals are 95 %.\n\n" + "\n".join(sections)
    (folder / "compare.md").write_text(text, encoding="utf-8")
    draw_comparison({r.title: r.comparison for r in results}, folder / "compare.png")


def _content(config: dict[str, Any], results: list[Result]) -> dict[str, Any]:
    """The content that `--json` prints."""
    return {
        "config": config,
        "data": {
            result.data.name: {
                "summary": summary_rows(result),
                "records": [dataclasses.asdict(record) for record in result.comparison.records],
            }
            for result in results
        },
    }
