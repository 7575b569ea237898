"""Loss, NC1 and test error through both stages of Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from eval.accuracy import mismatch_interval
from eval.app.figure.problems import problem_of_draw
from eval.app.figure.recipe import SHARE, Measured, Recipe, Rows, by_run, by_seed, mean_of
from eval.app.shared.plots import COLOURS, curve, draw_resolution, finish, panel_row
from eval.app.study.summary import error_of
from eval.collapse.metrics import nc1
from eval.data.synthetic import SeparableDistribution
from gibbs import (
    LangevinResult,
    Particles,
    Problem,
    data_loss,
    features,
    outputs,
    run_langevin,
    sample_normal,
)
from stages import fit_linear

__all__ = ["FIGURE", "STAGES", "TwoStageSettings"]

STAGES = {
    "one": "stage one, W fixed",
    "ridge": "stage two, ridge",
    "flow": "stage two, joint flow",
    "fixed": "stage one, continued",
}


@dataclass(frozen=True)
class TwoStageSettings:
    """Separable data; the flow starts where stage one ends, as the ridge solution does."""

    seeds: int = 5
    seed: int = 0
    n_samples: int = 400
    n_features: int = 20
    n_classes: int = 4
    margin: float = 0.05
    n_test: int = 5000
    neurons: int = 1000
    hidden_features: int = 16
    beta: float = 1e4
    gamma: float = 1.0
    activation: str = "sigmoid"
    steps: int = 3000
    flow_steps: int = 3000
    records: int = 60


class _Bench:
    """One run's data, and what is measured of a cloud with a linear layer."""

    def __init__(self, settings: TwoStageSettings, seed: int) -> None:
        law = SeparableDistribution(
            settings.n_features, settings.n_classes, margin=settings.margin, random_state=seed
        )
        train, test = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
        x, self.y = law.sample(settings.n_samples, train)
        x_test, self.y_test = law.sample(settings.n_test, test)
        self.x_test = torch.from_numpy(x_test).float()
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)
        self.problem = problem_of_draw(
            settings, x, self.y, beta=settings.beta, generator=self.generator
        )

    def row(self, stage: str, step: float, problem: Problem, cloud: Particles) -> dict[str, Any]:
        """Loss, NC1 and error at one step."""
        h = features(problem.x, cloud, problem.sigma)
        predicted = features(self.x_test, cloud, problem.sigma) @ problem.w
        error, low, high = mismatch_interval(self.y_test, predicted.argmax(1).numpy())
        return {
            "run": self.seed,
            "stage": stage,
            "step": step,
            "loss": float(data_loss(outputs(h, problem.w, problem.gamma), problem.y)),
            "nc1": nc1(h, self.y),
            "test_error": error,
            "test_error_low": low,
            "test_error_high": high,
        }

    def follow(
        self, stage: str, start: Particles, n_steps: int, first: int, every: int, **options: Any
    ) -> tuple[LangevinResult, Rows]:
        """Run the dynamics, measured every so many steps."""
        rows: Rows = []

        def watch(state: Any) -> float:
            rows.append(self.row(stage, first + state.step, state.problem, state.particles))
            return 0.0

        result = run_langevin(
            self.problem,
            start,
            n_steps=n_steps,
            generator=self.generator,
            observers={"watch": watch},
            every=every,
            **options,
        )
        if result.status == "diverged":
            raise ArithmeticError(f"the run of seed {self.seed} diverged: take a smaller gamma")
        return result, rows


def _run(settings: TwoStageSettings, seed: int) -> Rows:
    bench = _Bench(settings, seed)
    start = sample_normal(bench.problem, settings.neurons, generator=bench.generator)
    steps, more = settings.steps, settings.flow_steps
    one, rows = bench.follow("one", start, steps, 0, max(1, steps // settings.records))
    problem = bench.problem
    h = features(problem.x, one.particles, problem.sigma)
    ridge = fit_linear(h, problem.y, gamma=problem.gamma, lambda_w=1 / settings.beta)
    rows.append(bench.row("ridge", steps, replace(problem, w=ridge), one.particles))
    every = max(1, more // settings.records)
    for stage, options in (("flow", {"train_w": True}), ("fixed", {})):
        rows += bench.follow(stage, one.particles, more, steps, every, **options)[1]
    return rows


def _jobs(settings: TwoStageSettings) -> dict[str, Callable[[], Rows]]:
    if min(settings.steps, settings.flow_steps, settings.seeds, settings.records) < 1:
        raise ValueError("steps, flow_steps, seeds and records must be >= 1")
    _Bench(replace(settings, n_test=1), settings.seed)
    return by_seed(_run, settings)


def _measure(_: TwoStageSettings, frame: pd.DataFrame) -> list[Measured]:
    found = []
    for stage, words in STAGES.items():
        runs = frame[frame["stage"] == stage].groupby("run").last()
        found += [
            mean_of(f"loss at the end of {words}", runs["loss"]),
            mean_of(f"NC1 at the end of {words}", runs["nc1"], within=SHARE),
            Measured(f"test error at the end of {words}", error_of(runs)),
        ]
    return found


def _draw(settings: TwoStageSettings, frame: pd.DataFrame) -> Figure:
    figure, panels = panel_row(3, width=4.2)
    styles = {"one": "-", "flow": "-", "fixed": "--"}
    floor = 1 / settings.n_test
    for axes, (column, title, unit) in zip(
        panels,
        (
            ("loss", "training loss", "L_n, units of squared error"),
            ("nc1", "NC1, training samples", "within-class / total variance"),
            ("test_error", "test error, balanced by class", "share of samples"),
        ),
        strict=True,
    ):
        for colour, (stage, style) in zip((0, 5, 8), styles.items(), strict=True):
            table = by_run(frame[frame["stage"] == stage], "step", column)
            if column == "test_error":
                table = table.clip(lower=floor)
            curve(axes, table, COLOURS[colour], STAGES[stage], style=style)
        ridge = frame[frame["stage"] == "ridge"][column]
        if column == "test_error":
            ridge = ridge.clip(lower=floor)
        spread = float(np.nan_to_num(ridge.std()))
        axes.errorbar(
            [settings.steps],
            [ridge.mean()],
            yerr=[[min(spread, ridge.mean() - ridge.min())], [spread]],
            fmt="D",
            color=COLOURS[2],
            capsize=3,
            label=STAGES["ridge"],
            zorder=3,
        )
        if column == "test_error":
            draw_resolution(axes, floor)
        axes.axvline(settings.steps, color="grey", linewidth=0.8, linestyle=":")
        axes.set_yscale("log")
        finish(axes, title, "step", unit, legend=axes is panels[0])
    return figure


FIGURE = Recipe(
    "two-stage",
    "loss, NC1 and test error through both stages",
    TwoStageSettings(),
    _jobs,
    _measure,
    _draw,
    "seeds=2 n_samples=40 n_features=6 n_test=200 margin=0.2 neurons=50 steps=60 "
    "flow_steps=60 records=6",
)
