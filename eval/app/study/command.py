"""The command `gibbsnet study`: many small runs in parallel, resumable after a kill."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from eval.app.shared.options import Output, config_options, job_options
from eval.app.study.config import STUDY, StudyConfig

__all__ = ["study"]


@click.group()
def study() -> None:
    """Studies of many runs in parallel, which can be killed and resumed."""


@study.command(STUDY)
@config_options(StudyConfig)
@job_options("study")
def generalization(output: Output, **options: Any) -> str:
    """Test error and NC1 against n, on separable data of several margins.

    Every finished run is kept at once: a study that was killed continues with --resume and
    the same options. Writes results.csv (one line a run), study.csv (means with intervals),
    rates.csv (fits n^-r), study.md, and a figure as PNG and SVG.

    \b
    gibbsnet study generalization --out runs/rates
    gibbsnet study generalization --out runs/rates --resume    # after a kill
    """  # noqa: D301
    from eval.app.study.jobs import check_config, execute
    from eval.app.study.summary import fit_rates, summarize
    from eval.app.study.tables import content, rate_table, table, write

    config = StudyConfig(**options)
    check_config(config)
    space = output.workspace(f"study-{STUDY}")
    with space.jobs("study", STUDY, dataclasses.asdict(config)):
        results = execute(config, space)
        rows = summarize(config, results)
        rates = fit_rates(config, rows)
        write(config, results, rows, rates, space.out)
    return output.text(
        content(config, rows, rates) | {"folder": str(space.out)},
        f"mismatch error and NC1, mean of {config.seeds} seeds, {config.n_test} fresh test points"
        f"\n\n{table(rows).to_string(index=False)}\n\n{rate_table(rates).to_string(index=False)}"
        f"\n\n{output.seconds:.1f} s in all; written to {space.out}",
    )
