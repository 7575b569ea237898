"""The figure of `gibbsnet check`: each class on its direction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.app.shared.plots import COLOURS, save_figure
from eval.separation.margins import ClassSeparability, Separability, SeparabilityStatus

__all__ = ["MOST_CLASSES", "draw_separability"]

MOST_CLASSES = 12
"""Classes drawn; of more, the first."""

BINS = 50


def draw_separability(
    x: NDArray[np.float64], y: NDArray[Any], results: dict[str, Separability], path: Path
) -> None:
    """Draw u_k.x + b over the largest norm for each class k, a column a result.

    Where a class is not separable there is no u_k: the least-squares direction takes its place.
    Saves as PNG at `path`, and as SVG beside it.
    """
    first = next(iter(results.values()))
    count = min(MOST_CLASSES, len(first.by_class))
    figure = Figure(figsize=(5 * len(results), 0.9 + 1.6 * count), layout="constrained")
    rows = figure.subplots(count, len(results), squeeze=False)
    for column, (title, found) in enumerate(results.items()):
        for row in range(count):
            each = found.by_class[row]
            _draw_class(rows[row, column], x, y == found.classes[row], each, found)
        rows[0, column].set_title(f"{title}\n{rows[0, column].get_title()}", fontsize=10)
        formula = "$u_k \\cdot x + b$" if found.intercept else "$u_k \\cdot x$"
        rows[-1, column].set_xlabel(f"{formula}, over the largest norm")
    if count < len(first.by_class):
        figure.suptitle(f"the first {count} of {len(first.by_class)} classes", fontsize=10)
    for axes in rows[:, 0]:
        axes.set_ylabel("share")
    handles, labels = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    save_figure(figure, path)


def _draw_class(
    axes: Axes,
    x: NDArray[np.float64],
    inside: NDArray[np.bool_],
    each: ClassSeparability,
    found: Separability,
) -> None:
    separable = each.status is SeparabilityStatus.SEPARABLE
    scores = (
        x @ each.direction + each.offset
        if separable
        else _least_squares(x, inside, intercept=found.intercept)
    ) / found.radius
    tau = each.margin / found.radius
    bins = _edges(scores, tau)
    for mine, colour, name in ((~inside, "0.6", "other classes"), (inside, COLOURS[0], "class k")):
        shares = np.full(int(mine.sum()), 1 / mine.sum())
        axes.hist(scores[mine], bins, weights=shares, color=colour, alpha=0.75, label=name)
    if separable:
        for place in (-tau, tau):
            axes.axvline(place, color="black", linestyle="--", linewidth=1)
        text = f"margin {tau:.3g}"
    else:
        axes.axvline(0, color="black", linestyle=":", linewidth=1)
        text = f"{each.status}; least squares"
    axes.plot([], [], "--", color="black", linewidth=1, label="margin")
    axes.set_title(f"k = {each.label}: {text}", fontsize=9)
    axes.tick_params(labelsize=8)


def _edges(scores: NDArray[np.float64], tau: float) -> list[float]:
    """Edges of about BINS bars, of which none lies between -tau and tau but one over all of it."""
    width = float(np.ptp(scores)) / BINS or 1.0
    gap = tau * (1 - 1e-6)
    left = np.arange(-gap, scores.min() - width, -width)[::-1]
    right = np.arange(gap, scores.max() + width, width)
    edges: list[float] = np.unique(np.concatenate([left, right])).tolist()
    return edges


def _least_squares(
    x: NDArray[np.float64], inside: NDArray[np.bool_], *, intercept: bool
) -> NDArray[np.float64]:
    """u.x + b, |u| = 1, of the linear fit to 1 in the class and -1 outside."""
    columns = np.column_stack([x, np.ones(len(x))]) if intercept else x
    solution = np.linalg.lstsq(columns, np.where(inside, 1.0, -1.0), rcond=None)[0]
    length = float(np.linalg.norm(solution[: x.shape[1]])) or 1.0
    return np.asarray(columns @ solution / length)
