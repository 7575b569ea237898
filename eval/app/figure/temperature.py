"""Loss and NC1 of the solved Gibbs minimizer against beta (Theorem 4.8, Corollary 4.9)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.accuracy import mean_interval
from eval.app.figure.problems import problem_of_draw
from eval.app.figure.recipe import SHARE, Measured, Recipe, Rows, single
from eval.app.shared.plots import BAND, COLOURS, finish, means_along, panel_row
from eval.app.study.summary import PowerLaw, fit_power_law
from eval.collapse.metrics import nc1
from eval.data.synthetic import make_linearly_separable
from eval.theory.law import law_of
from gibbs import Problem, solve_gibbs

__all__ = ["FIGURE", "TemperatureSettings", "power_laws"]

QUANTITIES = {
    "loss": ("loss", ">= 1"),
    "regularized_loss": ("regularised loss", ">= 1"),
    "nc1": ("NC1", "> 0"),
}
"""Column: title, and what the paper says of its exponent r (Theorem 4.8, Corollary 4.9)."""


@dataclass(frozen=True)
class TemperatureSettings:
    """Separable data, three temperatures a decade; the fits use beta >= `fit_from`."""

    betas: tuple[float, ...] = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4)
    seeds: int = 3
    seed: int = 0
    n_samples: int = 400
    n_features: int = 20
    n_classes: int = 4
    margin: float = 0.2
    hidden_features: int = 16
    gamma: float = 1.0
    activation: str = "sigmoid"
    n_particles: int = 20_000
    tol: float = 1e-2
    fit_from: float = 500.0


def _problem(settings: TemperatureSettings, beta: float, seed: int) -> tuple[Problem, torch.Tensor]:
    x, y = make_linearly_separable(
        settings.n_samples,
        settings.n_features,
        settings.n_classes,
        margin=settings.margin,
        random_state=seed,
    )
    generator = torch.Generator().manual_seed(seed)
    problem = problem_of_draw(settings, x, y, beta=beta, generator=generator, dtype=torch.float64)
    return problem, torch.from_numpy(y)


def _run(settings: TemperatureSettings, beta: float, seed: int) -> Rows:
    problem, labels = _problem(settings, beta, seed)
    result = solve_gibbs(
        problem,
        n_particles=settings.n_particles,
        tol=settings.tol,
        generator=torch.Generator().manual_seed(seed),
    )
    law, certificate = law_of(problem, result.measure), result.certificate
    return [
        {
            "beta": beta,
            "run": seed,
            "loss": law.loss,
            "regularized_loss": law.regularized_loss,
            "nc1": nc1(law.features, labels),
            "certified": certificate.certified,
            "relative_gap": certificate.relative_gap,
            "reason": certificate.reason,
        }
    ]


def _jobs(settings: TemperatureSettings) -> dict[str, Callable[[], Rows]]:
    if min(settings.betas) <= 0 or settings.seeds < 1:
        raise ValueError("betas must be > 0 and seeds >= 1")
    _problem(settings, settings.betas[0], settings.seed)
    # The cold ones take longest: they come first, so that the workers end together.
    return {
        f"beta-{beta:g}-run-{seed}": partial(_run, settings, beta, seed)
        for beta in sorted(settings.betas, reverse=True)
        for seed in range(settings.seed, settings.seed + settings.seeds)
    }


def power_laws(settings: TemperatureSettings, frame: pd.DataFrame) -> dict[str, PowerLaw]:
    """Fits C beta^-r of the means over the seeds, all certified, at beta >= fit_from."""
    complete = frame.groupby("beta").filter(lambda group: bool(group["certified"].all()))
    means = complete[complete["beta"] >= settings.fit_from].groupby("beta").mean(numeric_only=True)
    betas = [round(beta) for beta in means.index]
    return {name: fit_power_law(betas, means[name]) for name in QUANTITIES}


def _measure(settings: TemperatureSettings, frame: pd.DataFrame) -> list[Measured]:
    found = [
        Measured(f"r of {title} ~ beta^-r, beta >= {settings.fit_from:g}", fit.rate, paper)
        for fit, (title, paper) in zip(
            power_laws(settings, frame).values(), QUANTITIES.values(), strict=True
        )
        if fit.rate is not None
    ]
    means = frame.groupby("beta")["nc1"].mean()
    decades = np.log10(means.iloc[0] / means.iloc[-1])
    shares = frame.groupby("beta")["certified"].mean()
    return [
        *found,
        single("decades that NC1 falls", decades),
        *(single(f"share certified at beta = {beta:g}", share) for beta, share in shares.items()),
    ]


def _draw(settings: TemperatureSettings, frame: pd.DataFrame) -> Figure:
    figure, panels = panel_row(2, width=5.0)
    fits = power_laws(settings, frame)
    shown = ((("loss", "loss L_n"), ("regularized_loss", "regularised loss")), (("nc1", "NC1"),))
    for axes, columns, unit in zip(
        panels, shown, ("units of squared error", "within-class / total variance"), strict=True
    ):
        for shift, (column, title) in enumerate(columns):
            colour = COLOURS[2 * shift if len(columns) > 1 else 1]
            within = SHARE if column == "nc1" else (0.0, math.inf)
            _points(axes, frame, column, colour, title, within)
            _law(axes, fits[column])
        axes.plot([], [], "o", color="grey", label="certified")
        if not frame["certified"].all():
            axes.plot([], [], "x", color="grey", label="refused")
        axes.set(xscale="log", yscale="log")
        finish(axes, columns[0][1] if len(columns) == 1 else "loss", "beta", unit)
    return figure


def _points(
    axes: Axes,
    frame: pd.DataFrame,
    column: str,
    colour: str,
    title: str,
    within: tuple[float, float],
) -> None:
    """Mean with its interval over the seeds, and every run by what its certificate says."""
    for marker, mine in (("o", frame[frame["certified"]]), ("x", frame[~frame["certified"]])):
        axes.plot(mine["beta"], mine[column], marker, color=colour, ms=4, alpha=0.6, mew=1.2)
    betas, means, low, high = means_along(
        frame, "beta", lambda runs: mean_interval(runs[column], within=within)
    )
    axes.plot(betas, means, color=colour, label=f"{title}, mean and 95 %")
    axes.fill_between(betas, low, high, color=colour, alpha=BAND, linewidth=0)


def _law(axes: Axes, fit: PowerLaw) -> None:
    """The fitted power law, over the range of its fit and beyond."""
    if fit.rate is None or fit.constant is None:
        return
    ends = np.array([fit.sizes[0] / 2, fit.sizes[-1] * 1.5])
    rate, half = fit.rate.estimate, fit.rate.high - fit.rate.estimate
    axes.plot(
        ends,
        fit.constant * ends**-rate,
        ":",
        color="black",
        linewidth=1.2,
        label=f"slope -{rate:.2f} +- {half:.2f}",
    )


FIGURE = Recipe(
    "beta",
    "loss and NC1 of the solved Gibbs minimizer against the inverse temperature",
    TemperatureSettings(),
    _jobs,
    _measure,
    _draw,
    "betas=10,30,100 seeds=1 n_samples=30 n_features=4 n_classes=2 hidden_features=4 "
    "n_particles=1000 fit_from=10",
)
