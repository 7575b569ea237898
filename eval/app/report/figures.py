"""The figures of a run, drawn from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.app.report.figure_kind import FigureKind
from eval.app.report.measure_figures import MEASURE_FIGURES
from eval.app.shared.plots import COLOURS, MARKERS, class_mean_axes, save_figure
from eval.app.shared.run_folder import StoredRun
from eval.app.shared.scores import test_error
from eval.comparison.folds import OURS

__all__ = ["FIGURES", "draw_figures", "figures_of"]


def figures_of(run: StoredRun) -> list[FigureKind]:
    """The figures that can be drawn from the files of this run."""
    return [kind for kind in FIGURES if kind.possible(run)]


def draw_figures(run: StoredRun, folder: Path) -> None:
    """Draw every possible figure as PNG and SVG into the folder; remove the others."""
    for kind in FIGURES:
        if not kind.possible(run):
            for suffix in ("png", "svg"):
                (folder / f"{kind.name}.{suffix}").unlink(missing_ok=True)
            continue
        save_figure(kind.draw(run), folder / f"{kind.name}.png")


def _curves(run: StoredRun) -> Figure:
    figure = Figure(figsize=(10, 3), layout="constrained")
    one = run.history[run.history["stage"] == "one"]
    two = run.history[run.history["stage"] == "two"]
    for axes, (column, title) in zip(
        figure.subplots(1, 3),
        (("loss", "loss"), ("nc1", "NC1, training set"), ("gradient_norm", "gradient norm")),
        strict=True,
    ):
        axes.semilogy(one["step"], one[column], color=COLOURS[0], label="stage one")
        if column != "gradient_norm":
            # The ridge solve is one step: it stands at the right end.
            axes.plot(one["step"].iloc[-1], two[column].iloc[-1], "D", color=COLOURS[5], ms=7)
            axes.plot([], [], "D", color=COLOURS[5], label="after stage two")
        axes.set(title=title, xlabel="step of stage one")
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False, fontsize="small")
    return figure


def _curves_alt(run: StoredRun) -> str:
    one = run.history[run.history["stage"] == "one"]
    first, last = one.iloc[0], one.iloc[-1]
    return (
        f"Three curves against {last['step']:.0f} steps of stage one: the loss goes from "
        f"{first['loss']:.3g} to {last['loss']:.3g}, NC1 from {first['nc1']:.3g} to "
        f"{last['nc1']:.3g}, the gradient norm from {first['gradient_norm']:.3g} to "
        f"{last['gradient_norm']:.3g}."
    )


def _features(run: StoredRun) -> Figure:
    ends = _ends(run)
    figure = Figure(figsize=(5 * len(ends) + 0.6 * (len(ends) == 1), 4.4), layout="constrained")
    members = run.arrays["members"]
    for axes, (key, title) in zip(
        figure.subplots(1, len(ends), squeeze=False)[0], ends.items(), strict=True
    ):
        _scatter(axes, run.arrays[key].astype(np.float64), members, run.metrics["classes"])
        axes.set(title=f"features {title}", xlabel="class-mean plane, axis 1", ylabel="axis 2")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _ends(run: StoredRun) -> dict[str, str]:
    """Keys of the stored features, with words: before stage one, if that is there, and after."""
    both = {"before": "before stage one", "after": "after stage one"}
    return {key: words for key, words in both.items() if key in run.arrays}


def _scatter(
    axes: Axes, features: NDArray[np.float64], members: NDArray[Any], classes: list[Any]
) -> None:
    points = (features - features.mean(axis=0)) @ class_mean_axes(features, members)
    for k, name in enumerate(classes):
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        mine = points[members == k]
        axes.scatter(mine[:, 0], mine[:, 1], s=8, color=colour, marker=marker, alpha=0.45, lw=0)
        x, y = mine.mean(axis=0)
        mean = axes.scatter(x, y, s=90, color=colour, marker=marker, label=str(name), zorder=3)
        mean.set_edgecolor("black")
    axes.set_aspect("equal", "datalim")
    axes.locator_params(nbins=6)
    axes.grid(alpha=0.3)


def _features_alt(run: StoredRun) -> str:
    if "before" not in run.arrays or "nc1" not in run.history:
        return (
            "Scatter plot of the training features after stage one on the plane of the class "
            "means, one colour and marker a class, large for the class means."
        )
    one = run.history[run.history["stage"] == "one"]["nc1"]
    return (
        "Two scatter plots of the training features on the plane of the class means, one colour "
        "and marker a class, large for the class means. Within the classes lie "
        f"{_share(one.iloc[0])} of the variance of the features before stage one (NC1 "
        f"{one.iloc[0]:.3g}), {_share(one.iloc[-1])} after it (NC1 {one.iloc[-1]:.3g})."
    )


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _spectrum(run: StoredRun) -> Figure:
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    looks = {"before": (COLOURS[8], "o"), "after": (COLOURS[0], "s")}
    for key in _ends(run):
        (colour, marker), values = looks[key], _singular_values(run, key)
        axes.semilogy(np.arange(1, len(values) + 1), values, marker, color=colour, label=key, ms=4)
    axes.axvline(len(run.metrics["classes"]) - 0.5, color="black", lw=0.8, ls=":")
    axes.set(xlabel="number", ylabel="singular value", title="singular values of centred features")
    axes.legend(frameon=False, fontsize="small")
    axes.grid(alpha=0.3, which="both")
    return figure


def _singular_values(run: StoredRun, key: str) -> NDArray[np.float64]:
    h = run.arrays[key].astype(np.float64)
    values: NDArray[np.float64] = np.linalg.svd(h - h.mean(axis=0), compute_uv=False)
    return values


def _spectrum_alt(run: StoredRun) -> str:
    k = len(run.metrics["classes"]) - 1
    values = _singular_values(run, "after")
    drop = f", and the next one is {values[k]:.3g}" if k < len(values) else ""
    return (
        f"Singular values of the centred training features {' and '.join(_ends(run))} stage one, "
        f"in falling order; after it number {k} (classes less one) is {values[k - 1]:.3g}{drop}."
    )


def _confusion(run: StoredRun) -> Figure:
    counts, classes = run.arrays["confusion"], run.metrics["classes"]
    size = min(9.0, 2.2 + 0.45 * len(classes))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    names = [str(name)[:14] for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title="test samples")
    return figure


def _confusion_alt(run: StoredRun) -> str:
    counts = run.arrays["confusion"]
    wrong = counts.sum() - np.trace(counts)
    return f"Confusion matrix of {counts.sum()} test samples: {wrong} are off the diagonal."


def _comparison(run: StoredRun) -> Figure:
    scores = {name: test_error(rows, run.metrics["overlap"]) for name, rows in run.scores.items()}
    known = {name: interval for name, interval in scores.items() if interval is not None}
    figure = Figure(figsize=(7, 1.2 + 0.42 * len(known)), layout="constrained")
    axes = figure.subplots()
    for row, (name, (estimate, low, high)) in enumerate(known.items()):
        colour = COLOURS[0] if name == OURS else COLOURS[8]
        axes.plot([100 * low, 100 * high], [row, row], color=colour, lw=2)
        axes.plot(100 * estimate, row, "o", color=colour)
    axes.set_yticks(range(len(known)), list(known))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set(xlabel="test error, % (95 % interval)", title="the same data, other methods")
    axes.grid(alpha=0.3, axis="x")
    return figure


def _comparison_alt(run: StoredRun) -> str:
    parts = [
        f"{name} {100 * interval.estimate:.2f} %"
        for name, rows in run.scores.items()
        if (interval := test_error(rows, run.metrics["overlap"])) is not None
    ]
    return "Test errors with intervals: " + ", ".join(parts) + "."


def _has_curves(run: StoredRun) -> bool:
    """Whether stage one was recorded: loss, NC1 and gradient norm by step."""
    one = run.history[run.history["stage"] == "one"]
    columns = ["loss", "nc1", "gradient_norm"]
    return set(columns) <= set(one.columns) and bool(one[columns].notna().any().all())


FIGURES = (
    FigureKind("curves", "Training", _curves, _curves_alt, _has_curves),
    *MEASURE_FIGURES,
    FigureKind("features", "Features of the training samples", _features, _features_alt),
    FigureKind("spectrum", "Singular values of the features", _spectrum, _spectrum_alt),
    FigureKind("confusion", "Confusion matrix", _confusion, _confusion_alt),
    FigureKind("comparison", "Against other methods", _comparison, _comparison_alt),
)
