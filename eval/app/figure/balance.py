"""Balance of the two layers along the joint noisy flow (Lemma 4.5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from eval.app.figure.problems import problem_of_draw
from eval.app.figure.recipe import SHARE, Measured, Recipe, Rows, by_run, by_seed, mean_of
from eval.app.shared.plots import COLOURS, curve, finish, panel_row
from eval.collapse.metrics import balancedness, nc1
from eval.data.synthetic import SeparableDistribution
from gibbs import Problem, run_langevin, sample_normal
from gibbs.dynamics.langevin import LangevinState

__all__ = ["FIGURE", "BalanceSettings", "imbalance"]


@dataclass(frozen=True)
class BalanceSettings:
    """Separable data, lambda_rho = lambda_w = 1/beta; the average is over the last `late` share."""

    seeds: int = 4
    seed: int = 0
    n_samples: int = 200
    n_features: int = 10
    n_classes: int = 3
    margin: float = 0.2
    neurons: int = 2000
    hidden_features: int = 8
    beta: float = 300.0
    gamma: float = 3.0
    activation: str = "sigmoid"
    step_size: float = 0.2
    steps: int = 20_000
    every: int = 50
    late: float = 0.5


def imbalance(left: Tensor, moment: Tensor, beta: float) -> float:
    r"""Distance from the equality of Lemma 4.5, without units.

    .. math:: \frac{\|L - I/\beta\|_{op}}{\|E[aa^T]\|_{op} / \beta}, \qquad
        L = \lambda_\rho E[aa^T] - \lambda_W W W^T.

    Parameters
    ----------
    left : Tensor (p, p)
        L.
    moment : Tensor (p, p)
        E[aa^T].
    beta : float
    """
    gap = left - torch.eye(len(left), dtype=left.dtype) / beta
    return float(torch.linalg.matrix_norm(gap, 2) * beta / torch.linalg.matrix_norm(moment, 2))


class _Balance:
    """An observer of the distance from Lemma 4.5: at this step, and of the late average."""

    def __init__(self, settings: BalanceSettings) -> None:
        self.first = (1 - settings.late) * settings.steps
        self.beta = settings.beta
        self.total, self.n_late = torch.zeros(()), 0
        self.rows: Rows = []

    def __call__(self, state: LangevinState) -> float:
        a, w = state.particles.a.double(), state.problem.w.double()
        moment = a.T @ a / len(a)
        left = state.problem.decay * moment - w @ w.T / self.beta
        averaged = math.nan
        if state.step >= self.first:
            self.total = self.total + torch.stack((left, moment))
            self.n_late += 1
            mean = self.total / self.n_late
            averaged = imbalance(mean[0], mean[1], self.beta)
        distance = imbalance(left, moment, self.beta)
        values = torch.linalg.eigvalsh(left * self.beta)
        self.rows.append(
            {
                "averaged_distance": averaged,
                "smallest_eigenvalue": float(values[0]),
                "largest_eigenvalue": float(values[-1]),
                "layer_norm": float(torch.linalg.matrix_norm(w, 2)),
                "moment_norm": float(torch.linalg.matrix_norm(moment, 2)),
                "nb": balancedness(a, w),
            }
        )
        return distance


def _problem(settings: BalanceSettings, seed: int, generator: torch.Generator) -> Problem:
    law = SeparableDistribution(
        settings.n_features, settings.n_classes, margin=settings.margin, random_state=seed
    )
    x, y = law.sample(settings.n_samples, seed)
    return problem_of_draw(settings, x, y, beta=settings.beta, generator=generator)


def _run(settings: BalanceSettings, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    problem = _problem(settings, seed, generator)
    balance = _Balance(settings)

    def collapse(state: LangevinState) -> float:
        return nc1(state.features, state.problem.y.argmax(dim=1))

    result = run_langevin(
        problem,
        sample_normal(problem, settings.neurons, generator=generator),
        n_steps=settings.steps,
        step_size=settings.step_size,
        train_w=True,
        generator=generator,
        observers={"distance": balance, "nc1": collapse},
        every=settings.every,
    )
    if result.status == "diverged":
        raise ArithmeticError(f"the run of seed {seed} diverged: take a smaller step_size")
    history = result.history
    names = ("step", "loss", "nc1", "distance")
    columns = zip(*(history[name].tolist() for name in names), strict=True)
    return [
        {"run": seed, "time": values[0] * settings.step_size / settings.beta}
        | dict(zip(names, values, strict=True))
        | row
        for values, row in zip(columns, balance.rows, strict=True)
    ]


def _jobs(settings: BalanceSettings) -> dict[str, Callable[[], Rows]]:
    if not 0 < settings.late <= 1 or not settings.step_size > 0:
        raise ValueError(
            f"late must be > 0 and <= 1 and step_size > 0, got {settings.late} and "
            f"{settings.step_size}"
        )
    _problem(settings, settings.seed, torch.Generator())
    return by_seed(_run, settings)


def _measure(_: BalanceSettings, frame: pd.DataFrame) -> list[Measured]:
    last = frame.groupby("run").last()
    late = frame[np.isfinite(frame["averaged_distance"].astype(float))].groupby("run").mean()
    return [
        mean_of("distance from Lemma 4.5, late average", last["averaged_distance"], "0"),
        mean_of("distance from Lemma 4.5, single step", late["distance"]),
        mean_of("NB, late average", late["nb"], "> 0"),
        mean_of("|E aa^T|_op, late average", late["moment_norm"]),
        mean_of("|W|_op, late average", late["layer_norm"]),
        mean_of("loss, late average", late["loss"]),
        mean_of("NC1, late average", late["nc1"], within=SHARE),
    ]


def _draw(_: BalanceSettings, frame: pd.DataFrame) -> Figure:
    figure, (distance, eigenvalues, nb) = panel_row(3, width=4.2)
    curve(distance, by_run(frame, "time", "distance"), COLOURS[0], "at one step")
    curve(distance, by_run(frame, "time", "averaged_distance"), COLOURS[5], "averaged from here on")
    distance.axhline(0.05, color="grey", linestyle=":", linewidth=1, label="5 %")
    distance.set_yscale("log")
    finish(
        distance, "distance from Lemma 4.5", "time / beta", "|L - I/beta|_op / (|E aa^T|_op/beta)"
    )
    for column, colour, label in (
        ("largest_eigenvalue", COLOURS[0], "largest of beta L"),
        ("smallest_eigenvalue", COLOURS[2], "smallest of beta L"),
    ):
        curve(eigenvalues, by_run(frame, "time", column), colour, label)
    eigenvalues.axhline(1, color="black", linestyle=":", linewidth=1.2, label="I (Lemma 4.5)")
    finish(eigenvalues, "L = lambda_rho E aa^T - lambda_w W W^T", "time / beta", "eigenvalue")
    for column, colour, label in (
        ("nb", COLOURS[3], "NB"),
        ("loss", COLOURS[1], "loss"),
        ("nc1", COLOURS[4], "NC1"),
    ):
        curve(nb, by_run(frame, "time", column), colour, label)
    nb.set_yscale("log")
    finish(nb, "collapse without balance", "time / beta", "NB, NC1: ratios; loss: L_n")
    return figure


FIGURE = Recipe(
    "balance",
    "balance of neurons and linear layer along their joint flow",
    BalanceSettings(),
    _jobs,
    _measure,
    _draw,
    "seeds=2 n_samples=30 n_features=4 neurons=100 hidden_features=4 steps=200 every=20",
)
