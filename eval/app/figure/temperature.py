"""Loss and NC1 of the solved Gibbs minimizer against beta (Theorem 4.8, Corollary 4.9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from eval.accuracy import Interval
from eval.app.figure.recipe import Measured, Recipe, Rows
from eval.app.figure.separable import problem_of_draw
from eval.app.study import PowerLaw, fit_power_law
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
        Measured("decades that NC1 falls", Interval(float(decades), np.nan, np.nan)),
        *(
            Measured(f"share certified at beta = {beta:g}", Interval(float(share), np.nan, np.nan))
            for beta, share in shares.items()
        ),
    ]


FIGURE = Recipe(
    "beta",
    "loss and NC1 of the solved Gibbs minimizer against the inverse temperature",
    TemperatureSettings(),
    _jobs,
    _measure,
    "draw_temperature",
    {
        "betas": (10.0, 30.0, 100.0),
        "seeds": 1,
        "n_samples": 30,
        "n_features": 4,
        "n_classes": 2,
        "hidden_features": 4,
        "n_particles": 1000,
        "fit_from": 10.0,
    },
)
