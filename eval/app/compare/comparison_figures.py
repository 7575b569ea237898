"""The figures of comparisons and studies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.accuracy import Interval
from eval.app.shared.plots import COLOURS, save_figure
from eval.comparison import rank_methods
from eval.comparison.folds import OURS, RANDOM_FEATURES, Comparison

__all__ = ["draw_comparison", "draw_study", "draw_tuned"]

FEATURES = {OURS: "our features", RANDOM_FEATURES: "random features", "MLP": "MLP hidden layer"}


def draw_comparison(comparisons: dict[str, Comparison], path: Path) -> None:
    """Draw, by title of the data set, test errors and NC1 with their intervals."""
    figure = Figure(figsize=(9.5, 3.1 * len(comparisons)), layout="constrained")
    rows = figure.subplots(len(comparisons), 2, squeeze=False, width_ratios=(1.5, 1))
    for (errors, collapse), (title, comparison) in zip(rows, comparisons.items(), strict=True):
        _draw_errors(errors, comparison)
        errors.set_title(title, fontsize=10, loc="left")
        _draw_nc1(collapse, comparison)
    save_figure(figure, path)


def draw_tuned(comparisons: dict[str, Comparison], path: Path) -> None:
    """Draw, by title of the data set, test errors, differences from the first, and NC1."""
    figure = Figure(figsize=(14, 3.3 * len(comparisons)), layout="constrained")
    rows = figure.subplots(len(comparisons), 3, squeeze=False, width_ratios=(1.3, 1.3, 1))
    for axes, (title, comparison) in zip(rows, comparisons.items(), strict=True):
        errors, differences, collapse = axes
        _draw_errors(errors, comparison)
        errors.set_title(title, fontsize=10, loc="left")
        _draw_differences(differences, comparison)
        _draw_nc1(collapse, comparison)
    save_figure(figure, path)


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


def draw_study(rows: list[dict[str, Any]], resolution: float, path: Path) -> None:
    """Draw test error and NC1 against n with their bands, one colour a margin.

    `rows` come from :func:`eval.app.study.summarize`; `resolution` is 1/n_test, where errors
    below it are drawn, hollow.
    """
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    errors, collapse = figure.subplots(1, 2)
    margins = dict.fromkeys(row["margin"] for row in rows)
    for colour, margin in zip(_colours(), margins, strict=False):
        mine = [row for row in rows if row["margin"] == margin]
        label = f"tau/M = {margin:g}"
        _draw_curve(errors, mine, "test_error", colour, label, floor=resolution)
        _draw_curve(collapse, mine, "nc1_test", colour, f"{label}, test")
        _draw_curve(collapse, mine, "nc1_train", colour, f"{label}, train", style="--")
    errors.axhline(resolution, color="grey", linewidth=0.8)
    errors.annotate("1/n_test", (0.01, resolution), xycoords=("axes fraction", "data"), va="bottom")
    for axes, title in ((errors, "test error, balanced by class"), (collapse, "NC1")):
        _finish_study(axes, sorted({row["n"] for row in rows}), title)
    save_figure(figure, path)


def _colours() -> Iterable[str]:
    while True:
        yield from COLOURS


def _draw_curve(
    axes: Axes,
    rows: list[dict[str, Any]],
    name: str,
    colour: str,
    label: str,
    *,
    style: str = "-",
    floor: float = 0.0,
) -> None:
    n = np.array([row["n"] for row in rows])
    values, low, high = np.maximum(np.array([row[name] for row in rows]).T, floor)
    axes.plot(n, values, style, color=colour, label=label)
    axes.fill_between(n, low, high, color=colour, alpha=0.15, linewidth=0)
    unseen = values <= floor
    axes.plot(n[~unseen], values[~unseen], "o", color=colour, markersize=4)
    axes.plot(n[unseen], values[unseen], "v", color=colour, markerfacecolor="white")


def _finish_study(axes: Axes, sizes: list[int], title: str) -> None:
    n = np.array(sizes, dtype=np.float64)
    axes.plot(n, np.sqrt(sizes[0] / n), ":", color="black", label="slope of n^(-1/2)")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set(title=title, xlabel="n, training samples")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
