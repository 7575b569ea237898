"""The command `gibbsnet study`: many small runs in parallel, resumable after a kill."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from eval.app.shared.folders import explained, free_folder
from eval.app.shared.job_folder import check_resume
from eval.app.shared.parallel import available_cores
from eval.app.study.execution import execute
from eval.app.study.folder import study_folder
from eval.app.study.jobs import STUDY, StudyConfig, check_config
from eval.app.study.summary import fit_rates, summarize
from eval.app.study.tables import content, rate_table, table, write

__all__ = ["study"]


def _numbers(kind: Callable[[str], Any]) -> Callable[[Any, Any, str], tuple[Any, ...]]:
    """Click's callback for different positive numbers with commas between."""

    def parse(_: click.Context, __: click.Parameter, text: str) -> tuple[Any, ...]:
        try:
            values = tuple(kind(part) for part in text.split(","))
        except ValueError:
            values = ()
        if not values or min(values) <= 0 or len(set(values)) < len(values):
            what = "integers" if kind is int else "numbers"
            raise click.BadParameter(
                f"must be different {what} > 0 with commas between, got {text!r}"
            )
        return values

    return parse


def _default(name: str) -> str:
    value = getattr(StudyConfig, name)
    return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)


@click.group()
def study() -> None:
    """Studies of many runs in parallel, which can be killed and resumed."""


@study.command(STUDY)
@click.option(
    "--margins",
    default=_default("margins"),
    show_default=True,
    callback=_numbers(float),
    help="tau/M.",
)
@click.option(
    "--sizes",
    default=_default("sizes"),
    show_default=True,
    callback=_numbers(int),
    help="n, training samples.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=StudyConfig.seeds,
    show_default=True,
    help="Repeat with seeds seed, seed+1, ...",
)
@click.option("--seed", type=click.IntRange(0), default=StudyConfig.seed, show_default=True)
@click.option(
    "--n-features", type=click.IntRange(1), default=StudyConfig.n_features, show_default=True
)
@click.option(
    "--n-classes", type=click.IntRange(2), default=StudyConfig.n_classes, show_default=True
)
@click.option(
    "--n-test",
    type=click.IntRange(1),
    default=StudyConfig.n_test,
    show_default=True,
    help="Fresh test samples of every run.",
)
@click.option(
    "--neurons",
    type=click.IntRange(1),
    default=StudyConfig.neurons,
    show_default=True,
    help="N.",
)
@click.option(
    "--steps",
    type=click.IntRange(0),
    default=StudyConfig.steps,
    show_default=True,
    help="Steps of stage one.",
)
@click.option("--beta", type=float, default=StudyConfig.beta, show_default=True)
@click.option("--gamma", type=float, default=StudyConfig.gamma, show_default=True)
@click.option("--activation", default=StudyConfig.activation, show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Processes [default: one a core].")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--resume", is_flag=True, help="Continue the study in --out, if there is one.")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier study.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of tables.")
def generalization(
    workers: int | None,
    out: Path | None,
    resume: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Test error and NC1 against n, on separable data of several margins.

    Every finished run is kept at once: a study that was killed continues with --resume and
    the same options. Writes results.csv (one line a run), study.csv (means with intervals),
    rates.csv (fits n^-r), study.md, and a figure as PNG and SVG.

    \b
    gibbsnet study generalization --out runs/rates
    gibbsnet study generalization --out runs/rates --resume    # after a kill
    """  # noqa: D301
    config = StudyConfig(**options)
    start = time.perf_counter()
    with explained():
        check_resume(out, resume=resume, force=force)
        check_config(config)
        folder = out or free_folder(f"study-{STUDY}")
        with study_folder(config, folder, resume=resume, force=force) as jobs:
            progress = not quiet and sys.stderr.isatty()
            results = execute(config, jobs, workers=workers or available_cores(), progress=progress)
            rows = summarize(config, results)
            rates = fit_rates(config, rows)
            write(config, results, rows, rates, folder)
    if as_json:
        click.echo(json.dumps(content(config, rows, rates) | {"folder": str(folder)}, indent=2))
        return
    click.echo(
        f"mismatch error and NC1, mean of {config.seeds} seeds, {config.n_test} fresh test points"
        f"\n\n{table(rows).to_string(index=False)}\n\n{rate_table(rates).to_string(index=False)}"
        f"\n\n{time.perf_counter() - start:.1f} s in all; written to {folder}"
    )
