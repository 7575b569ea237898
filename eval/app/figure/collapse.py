"""An animation: the features of the training samples from the start to the end of a run."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from eval.app.figure.descent import FIGURES, QUICK, DescentSettings, descend, draw_samples
from eval.app.figure.recipe import Measured, Recipe, Rows, fixed, single
from eval.app.shared.plots import COLOURS, MARKERS, class_mean_axes, finish, panel_row
from eval.collapse.observers import collapse_observers
from gibbs.dynamics.langevin import LangevinState, Observer

__all__ = ["FIGURE", "CollapseSettings"]

FRAME_MILLISECONDS, LAST_MILLISECONDS = 120, 2500


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
    return [single(f"NC1 at step {step:.0f}", nc1[step]) for step in (nc1.index[0], nc1.index[-1])]


def _draw(_: CollapseSettings, frame: pd.DataFrame) -> Figure:
    steps = frame["step"].unique()
    figure, panels = panel_row(3, width=3.6)
    half = _half_width(frame)
    for axes, step in zip(panels, steps[[0, len(steps) // 2, -1]], strict=True):
        _scatter(axes, frame[frame["step"] == step], half)
    panels[0].legend(frameon=False, fontsize="small", loc="upper left")
    return figure


def _half_width(frame: pd.DataFrame) -> float:
    return 1.05 * float(frame[["x", "y"]].abs().to_numpy().max())


def _scatter(axes: Axes, now: pd.DataFrame, half: float) -> None:
    for k, points in now.groupby("class"):
        colour, marker = COLOURS[int(str(k)) % len(COLOURS)], MARKERS[int(str(k)) % 10]
        axes.scatter(
            points["x"],
            points["y"],
            s=9,
            marker=marker,
            color=colour,
            alpha=0.6,
            lw=0,
            label=f"digits = {k} mod 3",
        )
    axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
    title = f"step {now['step'].iloc[0]:.0f}, NC1 = {now['nc1'].iloc[0]:.3f}"
    finish(axes, title, "plane of the class means, axis 1", "axis 2", legend=False)


def _animate(frame: pd.DataFrame, path: Path) -> None:
    """Every record as a frame of a GIF, the last one longer."""
    half, images = _half_width(frame), []
    for _step, now in frame.groupby("step"):
        figure, (axes,) = panel_row(1, width=4.0, height=4.3)
        _scatter(axes, now, half)
        axes.legend(
            frameon=False,
            fontsize="x-small",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            ncols=3,
            handletextpad=0.1,
            columnspacing=0.8,
        )
        FigureCanvasAgg(figure)
        with io.BytesIO() as buffer:
            figure.savefig(buffer, dpi=85)
            images.append(
                Image.open(buffer).convert("P", palette=Image.Palette.ADAPTIVE, colors=48)
            )
    durations = [FRAME_MILLISECONDS] * (len(images) - 1) + [LAST_MILLISECONDS]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True
    )


FIGURE = Recipe(
    "collapse",
    "animation of the features of MNIST modulo 3 while they collapse",
    CollapseSettings(),
    _jobs,
    _measure,
    _draw,
    f"{QUICK} shown=20 records=1",
    FIGURES[0].full,
    _animate,
)
