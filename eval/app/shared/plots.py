"""What all figures share: colours, the plane of the class means, and how they are saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.accuracy import Interval
from stages.files import whole_file

__all__ = [
    "BAND",
    "COLOURS",
    "MARKERS",
    "class_mean_axes",
    "curve",
    "draw_resolution",
    "finish",
    "interval_curve",
    "means_along",
    "panel_row",
    "save_figure",
]

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9") + (
    *("#d55e00", "#f0e442", "#000000", "#7f7f7f", "#8c564b"),
)
"""Colours that can be distinguished with any colour vision."""

MARKERS = "os^vDPX*<>"

BAND = 0.18
"""Opacity of a band."""


def save_figure(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Save as PNG at `path` and as SVG beside it, each file whole."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        with whole_file(path) as scratch:
            figure.savefig(scratch, dpi=dpi, metadata={"Software": None})
        with whole_file(path.with_suffix(".svg")) as scratch:
            figure.savefig(scratch, metadata={"Date": None})


def class_mean_axes(
    features: NDArray[np.float64], members: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Two orthonormal directions (p, 2) that hold most of the spread of the class means.

    Parameters
    ----------
    features : ndarray (n, p)
    members : ndarray (n,)
        The class of each row.
    """
    centred = features - features.mean(axis=0)
    means = np.stack([centred[members == k].mean(axis=0) for k in np.unique(members)])
    _, _, axes = np.linalg.svd(means - means.mean(axis=0), full_matrices=True)
    plane = np.zeros((features.shape[1], 2))
    plane[:, : min(2, len(axes))] = axes[:2].T
    return plane


def panel_row(columns: int, width: float = 4.0, height: float = 3.5) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side; inches of one panel."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def finish(axes: Axes, title: str, xlabel: str, ylabel: str, *, legend: bool = True) -> None:
    """Title, names of the axes, grid and legend."""
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.title.set_fontsize("medium")
    axes.grid(alpha=0.3)
    if legend:
        axes.legend(frameon=False, fontsize="small")


def curve(axes: Axes, table: pd.DataFrame, colour: str, label: str, *, style: str = "-") -> None:
    """Mean over the runs, the columns, and one standard deviation, no lower than the least run."""
    x, mean = table.index.to_numpy(), table.mean(axis=1)
    axes.plot(x, mean, style, color=colour, label=label)
    if table.shape[1] > 1:
        spread = table.std(axis=1)
        low = np.maximum(mean - spread, table.min(axis=1))
        axes.fill_between(x, low, mean + spread, color=colour, alpha=BAND, linewidth=0)


def means_along(
    frame: pd.DataFrame, along: str, measure: Callable[[pd.DataFrame], Interval]
) -> NDArray[np.float64]:
    """Values of a column, and of the runs at each of them estimate, low and high (4, k)."""
    rows = [(float(str(at)), *measure(runs)) for at, runs in frame.groupby(along)]
    return np.array(rows, dtype=np.float64).T


def interval_curve(
    axes: Axes,
    points: NDArray[np.float64],
    colour: str,
    label: str,
    *,
    floor: float = 0.0,
    style: str = "-",
) -> None:
    """Mean and 95 % interval over the seeds, see :func:`means_along`.

    What is below the floor is drawn at it, hollow.
    """
    n, seen = points[0], points[1] > floor
    means, low, high = np.maximum(points[1:], floor)
    axes.plot(n, means, style, color=colour, label=label)
    axes.plot(n[seen], means[seen], "o", color=colour, ms=4)
    axes.plot(n[~seen], means[~seen], "v", color=colour, markerfacecolor="white")
    axes.fill_between(n, low, high, color=colour, alpha=BAND, linewidth=0)


def draw_resolution(axes: Axes, floor: float) -> None:
    """Mark the smallest error that a test set can show."""
    axes.axhline(floor, color="grey", linewidth=0.8)
    place = axes.get_yaxis_transform()
    axes.text(0.01, floor, "1/n_test", transform=place, va="bottom", size=8)
