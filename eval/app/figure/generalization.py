"""Test error and NC1 against n (Theorem 5.3), from the runs of the study."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from eval.accuracy import Interval
from eval.app.figure.recipe import Measured, Recipe, Rows
from eval.app.study.config import StudyConfig
from eval.app.study.drawing import draw
from eval.app.study.jobs import Job, check_config, jobs_of, run_job
from eval.app.study.summary import fit_power_law
from eval.theory.rate import fit_rate

__all__ = ["FIGURE"]


def _run(config: StudyConfig, job: Job) -> Rows:
    return [run_job(job, config)]


def _jobs(config: StudyConfig) -> dict[str, Callable[[], Rows]]:
    check_config(config)
    return {job.file.removesuffix(".json"): partial(_run, config, job) for job in jobs_of(config)}


def _measure(config: StudyConfig, frame: pd.DataFrame) -> list[Measured]:
    """Rates in n, and the slope against log n / n that the theorem bounds by 1/2 from below."""
    found = []
    for margin, group in frame.groupby("margin"):
        errors = group.pivot_table(index="n", columns="seed", values="test_error")
        where = f"tau/M = {margin:g}"
        for name, title in (("test_error", "test error"), ("nc1_test", "NC1 of fresh samples")):
            means = group.groupby("n")[name].mean()
            floor = 1 / config.n_test if name == "test_error" else 0.0
            fit = fit_power_law(means.index.tolist(), means, floor=floor)
            if fit.rate is not None:
                found.append(Measured(f"r of {title} ~ n^-r, {where}", fit.rate, ">= 1/2"))
        if (errors.mean(axis=1) > 0).sum() >= 3:
            rate = fit_rate(errors.index.to_numpy(), errors.to_numpy())
            slope = Interval(rate.slope, rate.low, rate.high)
            found.append(Measured(f"s of test error ~ (log n/n)^s, {where}", slope, ">= 1/2"))
    return found


FIGURE = Recipe(
    "generalization",
    "test error and NC1 against the number of samples",
    StudyConfig(),
    _jobs,
    _measure,
    draw,
    "margins=0.1,0.3 sizes=8,16,32 seeds=2 n_test=200 neurons=20 steps=100",
)
