"""An animation: the features of the training samples from the start to the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.accuracy import Interval
from eval.app.figure.descent import FIGURES, DescentSettings, descend, draw_samples
from eval.app.figure.recipe import Measured, Recipe, Rows, fixed
from eval.app.shared.geometry import class_mean_axes
from eval.collapse.observers import collapse_observers
from gibbs.dynamics.langevin import LangevinState, Observer

__all__ = ["FIGURE", "CollapseSettings"]


@dataclass(frozen=True)
class CollapseSettings(DescentSettings):
    """One run of setting (a); `shown` samples of each class, `records` an epoch."""

    seeds: int = fixed(1)
    shown: int = 150
    records: int = 2


class _Camera:
    """An observer that keeps the features of some samples; its value is their number."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self.kept: list[NDArray[np.float64]] = []

    def __call__(self, state: LangevinState) -> float:
        self.kept.append(state.features[self.rows].double().numpy())
        return float(len(self.rows))


def _run(settings: CollapseSettings, seed: int) -> Rows:
    """Points on the plane of the last class means, the same plane in every record."""
    samples = draw_samples(settings, seed)
    members = [np.flatnonzero(samples.y == k)[: settings.shown] for k in np.unique(samples.y)]
    camera = _Camera(np.concatenate(members))
    observers: dict[str, Observer] = {**collapse_observers("nc1"), "shown": camera}
    history = descend(
        settings, samples, seed, observers, records_per_epoch=settings.records
    ).history
    y = samples.y[camera.rows]
    axes = class_mean_axes(camera.kept[-1], y)
    rows = []
    for step, nc1, features in zip(
        history["step"].tolist(), history["nc1"].tolist(), camera.kept, strict=True
    ):
        points = (features - features.mean(axis=0)) @ axes
        rows += [
            {"step": step, "nc1": nc1, "class": int(k), "x": float(px), "y": float(py)}
            for k, (px, py) in zip(y, np.round(points, 5), strict=True)
        ]
    return rows


def _jobs(settings: CollapseSettings) -> dict[str, Callable[[], Rows]]:
    FIGURES[0].jobs(settings)
    return {f"run-{settings.seed}": partial(_run, replace(settings, seeds=1), settings.seed)}


def _measure(_: CollapseSettings, frame: pd.DataFrame) -> list[Measured]:
    nc1 = frame.groupby("step")["nc1"].first()
    return [
        Measured(f"NC1 at step {step:.0f}", Interval(float(nc1[step]), np.nan, np.nan))
        for step in (nc1.index[0], nc1.index[-1])
    ]


FIGURE = Recipe(
    "collapse",
    "animation of the features of MNIST modulo 3 while they collapse",
    CollapseSettings(),
    _jobs,
    _measure,
    "draw_collapse",
    {**FIGURES[0].quick, "seeds": 1, "shown": 20, "records": 1},
    FIGURES[0].full,
)
