"""The figure of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.accuracy import Interval
from eval.app.shared.plots import COLOURS, save_figure
from eval.comparison import rank_methods
from eval.comparison.folds import OURS, RANDOM_FEATURES, Comparison

__all__ = ["draw_comparison"]

FEATURES = {OURS: "our features", RANDOM_FEATURES: "random features", "MLP": "MLP hidden layer"}


def draw_comparison(
    comparisons: Mapping[str, Comparison], path: Path, *, ranked: bool = False
) -> None:
    """Draw, by title of the data set, test errors and NC1 with their intervals.

    Between them, with `ranked`, the differences from the first.
    """
    widths = (1.3, 1.3, 1) if ranked else (1.5, 1)
    size = (14, 3.3 * len(comparisons)) if ranked else (9.5, 3.1 * len(comparisons))
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(comparisons), len(widths), squeeze=False, width_ratios=widths)
    for row, (title, comparison) in zip(rows, comparisons.items(), strict=True):
        _draw_errors(row[0], comparison)
        row[0].set_title(title, fontsize=10, loc="left")
        if ranked:
            _draw_differences(row[1], comparison)
        _draw_nc1(row[-1], comparison)
    save_figure(figure, path, dpi=130)


def _draw_differences(axes: Axes, comparison: Comparison) -> None:
    """Draw 95 % intervals thin, and one standard error on either side thick."""
    places = {method: place for place, method in enumerate(comparison.methods)}
    for row in rank_methods(comparison):
        colour = COLOURS[1] if row.method == OURS else COLOURS[0]
        _draw_interval(axes, places[row.method], row.difference, colour, 100)
        middle, error = 100 * row.difference.estimate, 100 * row.stderr
        axes.plot([middle - error, middle + error], [places[row.method]] * 2, color=colour, lw=4)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(places)), [""] * len(places))
    axes.set(xlabel="error minus that of the first, %; thick: one standard error")
    _finish(axes)


def _draw_errors(axes: Axes, comparison: Comparison) -> None:
    for row, method in enumerate(comparison.methods):
        colour = COLOURS[1] if method == OURS else COLOURS[0]
        _draw_interval(axes, row, comparison.test_error(method), colour, 100)
    axes.set_yticks(range(len(comparison.methods)), comparison.methods)
    axes.set(xlabel="test error %, balanced by class, with 95 % interval")
    _finish(axes)


def _draw_nc1(axes: Axes, comparison: Comparison) -> None:
    summary = comparison.summary()
    bars: list[tuple[str, Interval | None, Interval | None]] = [
        ("test inputs", summary[0].nc1_inputs, None)
    ]
    bars += [
        (FEATURES.get(row.method, row.method), row.nc1_test, row.nc1_train)
        for row in reversed(summary)
        if row.nc1_test is not None
    ]
    for place, (_, test, train) in enumerate(bars):
        for interval, colour, shift in ((test, COLOURS[0], -0.08), (train, COLOURS[2], 0.08)):
            if interval is not None:
                _draw_interval(axes, place + shift, interval, colour)
    axes.plot([], [], "o", color=COLOURS[0], label="test")
    axes.plot([], [], "o", color=COLOURS[2], label="train")
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
    axes.set_ylim(-0.6, len(bars) - 0.4)
    axes.set(xlabel="NC1 (0: collapse), with 95 % interval", xlim=(-0.02, 1.02))
    axes.legend(fontsize=8, loc="lower right")
    _finish(axes)


def _draw_interval(
    axes: Axes, row: float, interval: Interval, colour: str, factor: float = 1
) -> None:
    estimate, low, high = factor * np.array(interval)
    ends = np.nan_to_num([[estimate - low], [high - estimate]])
    axes.errorbar([estimate], [row], xerr=np.maximum(ends, 0), fmt="o", color=colour, capsize=3)


def _finish(axes: Axes) -> None:
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
