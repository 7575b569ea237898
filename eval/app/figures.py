"""The figures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.collapse import class_means

__all__ = ["class_mean_plane", "draw_run"]

COLOURS = [
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#f0e442",
    "#000000",
    "#7f7f7f",
    "#8c564b",
]
MARKERS = "os^vDPX*<>"


def class_mean_plane(
    features: NDArray[np.float64], labels: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Project features on the plane that holds most of the spread of the class means.

    Returns the projected samples (n, 2), the projected class means (K, 2), and the class of
    each sample (n,).
    """
    centred = features - features.mean(axis=0)
    means, members = class_means(centred, labels)
    _, _, axes = np.linalg.svd(means - means.mean(axis=0), full_matrices=True)
    plane = np.zeros((features.shape[1], 2))
    plane[:, : min(2, len(axes))] = axes[:2].T
    return centred @ plane, means @ plane, members


def draw_run(
    history: pd.DataFrame,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: NDArray[Any],
    path: Path,
) -> None:
    """Draw loss, NC1 and gradient norm of stage one, and the features before and after it."""
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=(1, 1.35)))
    curves = top.subplots(1, 3)
    one = history[history["stage"] == "one"]
    for axes, column, title in zip(
        curves,
        ("loss", "nc1", "gradient_norm"),
        ("loss", "NC1 (training set)", "gradient norm (rms over neurons)"),
        strict=True,
    ):
        axes.semilogy(one["step"], one[column], color=COLOURS[0])
        axes.set(title=title, xlabel="step of stage one")
        axes.grid(alpha=0.3, which="both")
    for axes, features, title in zip(
        bottom.subplots(1, 2),
        (before, after),
        ("features before stage one", "features after stage one"),
        strict=True,
    ):
        _draw_features(axes, features, labels, title)
    figure.savefig(path, dpi=110)


def _draw_features(
    axes: Axes, features: NDArray[np.float64], labels: NDArray[Any], title: str
) -> None:
    points, means, members = class_mean_plane(features, labels)
    for k, mean in enumerate(means):
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        mine = points[members == k]
        axes.scatter(
            mine[:, 0], mine[:, 1], s=8, color=colour, marker=marker, alpha=0.45, linewidths=0
        )
        axes.scatter(
            mean[0], mean[1], s=110, color=colour, marker=marker, edgecolors="black", zorder=3
        )
    axes.set(title=title, xlabel="class-mean plane, axis 1", ylabel="axis 2")
    axes.set_aspect("equal", "datalim")
    axes.grid(alpha=0.3)
