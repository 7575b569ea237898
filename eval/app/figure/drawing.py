"""How the figures of the gallery are drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from eval.accuracy import Interval, mean_interval
from eval.app.figure.balance import BalanceSettings
from eval.app.figure.collapse import CollapseSettings
from eval.app.figure.descent import PAPER_NB, DescentSettings
from eval.app.figure.recipe import SHARE, Recipe, error_of
from eval.app.figure.temperature import TemperatureSettings, power_laws
from eval.app.figure.two_stage import STAGES, TwoStageSettings
from eval.app.shared.plots import COLOURS
from eval.app.study import PowerLaw, StudyConfig, fit_power_law
from stages.files import whole_file

__all__ = ["draw"]

BAND = 0.18
"""Opacity of a band."""

FRAME_MILLISECONDS, LAST_MILLISECONDS = 120, 2500


def draw(recipe: Recipe, settings: Any, frame: pd.DataFrame, folder: Path) -> None:
    """Draw as PNG and SVG, and an animation also as GIF."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": recipe.name}):
        figure = DRAWINGS[recipe.drawing](settings, frame)
        with whole_file(folder / f"{recipe.name}.png") as scratch:
            figure.savefig(scratch, dpi=110, metadata={"Software": None})
        with whole_file(folder / f"{recipe.name}.svg") as scratch:
            figure.savefig(scratch, metadata={"Date": None})
        if recipe.drawing == "draw_collapse":
            with whole_file(folder / f"{recipe.name}.gif") as scratch:
                _animate(settings, frame, scratch)


def _figure(columns: int, width: float = 4.0, height: float = 3.5) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _finish(axes: Axes, title: str, xlabel: str, ylabel: str, *, legend: bool = True) -> None:
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.title.set_fontsize("medium")
    axes.grid(alpha=0.3)
    if legend:
        axes.legend(frameon=False, fontsize="small")


def _curve(axes: Axes, table: pd.DataFrame, colour: str, label: str, *, style: str = "-") -> None:
    """Mean over the runs, the columns, and one standard deviation, no lower than the least run."""
    x, mean = table.index.to_numpy(), table.mean(axis=1)
    axes.plot(x, mean, style, color=colour, label=label)
    if table.shape[1] > 1:
        spread = table.std(axis=1)
        low = np.maximum(mean - spread, table.min(axis=1))
        axes.fill_between(x, low, mean + spread, color=colour, alpha=BAND, linewidth=0)


def _by_run(frame: pd.DataFrame, along: str, column: str) -> pd.DataFrame:
    return frame.pivot_table(index=along, columns="run", values=column)


def _draw_descent(settings: DescentSettings, frame: pd.DataFrame) -> Figure:
    figure, panels = _figure(3)
    runs = frame["run"].nunique()
    for axes, colour, (column, title, unit) in zip(
        panels,
        COLOURS,
        (
            ("loss", "loss", "L_n, units of squared error"),
            ("nc1", "NC1", "within-class / total variance"),
            ("gradient_norm", "gradient norm", "root mean square of |grad V|"),
        ),
        strict=False,
    ):
        _curve(axes, _by_run(frame, "epoch", column), colour, f"mean of {runs} runs, +- 1 sd")
        axes.set_yscale("log")
        _mark_change(axes, settings)
        _finish(axes, title, "epoch", unit)
    return figure


def _mark_change(axes: Axes, settings: DescentSettings) -> None:
    axes.axvline(settings.epochs / 2, color="grey", linewidth=0.8, linestyle="--")
    for place, side, size in ((0.49, "right", 0), (0.51, "left", 1)):
        text = f"step {settings.step_sizes[size]:g}"
        axes.text(place, 0.02, text, transform=axes.transAxes, ha=side, color="grey", size=8)


def _draw_balancedness(settings: DescentSettings, frame: pd.DataFrame) -> Figure:
    figure, (axes,) = _figure(1, width=6.0)
    table = _by_run(frame, "epoch", "nb")
    for colour, (run, values) in zip(COLOURS, table.items(), strict=False):
        axes.plot(table.index, values, color=colour, label=f"run {run}: {values.iloc[-1]:.2f}")
    for value in PAPER_NB[settings.setting]:
        axes.plot(
            [1.0, 1.02],
            [value] * 2,
            color="black",
            transform=axes.get_yaxis_transform(),
            clip_on=False,
        )
    axes.plot([], [], color="black", label="the paper's four runs, at the end")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, settings.epochs)
    _mark_change(axes, settings)
    _finish(axes, "normalised balancedness", "epoch", "NB (0: balanced)")
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.04, 0.5))
    return figure


def _draw_temperature(settings: TemperatureSettings, frame: pd.DataFrame) -> Figure:
    figure, panels = _figure(2, width=5.0)
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
        _finish(axes, columns[0][1] if len(columns) == 1 else "loss", "beta", unit)
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
    betas, means, low, high = _means(
        frame, "beta", lambda runs: mean_interval(runs[column], within=within)
    )
    axes.plot(betas, means, color=colour, label=f"{title}, mean and 95 %")
    axes.fill_between(betas, low, high, color=colour, alpha=BAND, linewidth=0)


def _means(
    frame: pd.DataFrame, along: str, measure: Callable[[pd.DataFrame], Interval]
) -> NDArray[np.float64]:
    """Values of a column, and of the runs at each of them estimate, low and high (4, k)."""
    rows = [(float(str(at)), *measure(runs)) for at, runs in frame.groupby(along)]
    return np.array(rows, dtype=np.float64).T


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


def _draw_generalization(config: StudyConfig, frame: pd.DataFrame) -> Figure:
    figure, panels = _figure(2, width=5.2, height=4.2)
    sizes = np.array(sorted(frame["n"].unique()), dtype=np.float64)
    floor = 1 / config.n_test
    for axes, column, title in zip(
        panels,
        ("test_error", "nc1_test"),
        ("test error, balanced by class", "NC1 of fresh samples"),
        strict=True,
    ):
        low = floor if column == "test_error" else 0.0
        for colour, (margin, group) in zip(COLOURS, frame.groupby("margin"), strict=False):
            means = group.groupby("n")[column].mean()
            fit = fit_power_law(means.index.tolist(), means, floor=low)
            label = f"tau/M = {margin:g}" + _slope(fit)
            curve = _means(
                group,
                "n",
                error_of
                if column == "test_error"
                else lambda runs: mean_interval(runs["nc1_test"], within=SHARE),
            )
            _interval_curve(axes, curve, colour, label, floor=low)
        if column == "test_error":
            axes.axhline(floor, color="grey", linewidth=0.8)
            axes.text(
                0.01, floor, "1/n_test", transform=axes.get_yaxis_transform(), va="bottom", size=8
            )
        top = float(frame[column].max())
        axes.plot(sizes, top * np.sqrt(sizes[0] / sizes), ":", color="black", label="n^(-1/2)")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
        unit = "share of samples" if low else "within-class / total variance"
        _finish(axes, title, "n, training samples", unit, legend=False)
        axes.legend(
            frameon=False,
            fontsize="small",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            ncols=2,
        )
    return figure


def _slope(fit: PowerLaw) -> str:
    if fit.rate is None:
        return ""
    return f": n^(-{fit.rate.estimate:.2f} +- {fit.rate.high - fit.rate.estimate:.2f})"


def _interval_curve(
    axes: Axes, curve: NDArray[np.float64], colour: str, label: str, *, floor: float
) -> None:
    """Mean and 95 % interval over the seeds; what is below the floor is drawn at it, hollow."""
    n, seen = curve[0], curve[1] > floor
    means, low, high = np.maximum(curve[1:], floor)
    axes.plot(n, means, color=colour, label=label)
    axes.plot(n[seen], means[seen], "o", color=colour, ms=4)
    axes.plot(n[~seen], means[~seen], "v", color=colour, markerfacecolor="white")
    axes.fill_between(n, low, high, color=colour, alpha=BAND, linewidth=0)


def _draw_two_stage(settings: TwoStageSettings, frame: pd.DataFrame) -> Figure:
    figure, panels = _figure(3, width=4.2)
    styles = {"one": "-", "flow": "-", "fixed": "--"}
    floor = 1 / settings.n_test
    for axes, (column, title, unit) in zip(
        panels,
        (
            ("loss", "training loss", "L_n, units of squared error"),
            ("nc1", "NC1, training samples", "within-class / total variance"),
            ("test_error", "test error, balanced by class", "share of samples"),
        ),
        strict=True,
    ):
        for colour, (stage, style) in zip((0, 5, 8), styles.items(), strict=True):
            table = _by_run(frame[frame["stage"] == stage], "step", column)
            if column == "test_error":
                table = table.clip(lower=floor)
            _curve(axes, table, COLOURS[colour], STAGES[stage], style=style)
        ridge = frame[frame["stage"] == "ridge"][column]
        if column == "test_error":
            ridge = ridge.clip(lower=floor)
        spread = float(np.nan_to_num(ridge.std()))
        axes.errorbar(
            [settings.steps],
            [ridge.mean()],
            yerr=[[min(spread, ridge.mean() - ridge.min())], [spread]],
            fmt="D",
            color=COLOURS[2],
            capsize=3,
            label=STAGES["ridge"],
            zorder=3,
        )
        if column == "test_error":
            axes.axhline(floor, color="grey", linewidth=0.8)
            axes.text(
                0.01, floor, "1/n_test", transform=axes.get_yaxis_transform(), va="bottom", size=8
            )
        axes.axvline(settings.steps, color="grey", linewidth=0.8, linestyle=":")
        axes.set_yscale("log")
        _finish(axes, title, "step", unit, legend=axes is panels[0])
    return figure


def _draw_balance(_: BalanceSettings, frame: pd.DataFrame) -> Figure:
    figure, (distance, eigenvalues, nb) = _figure(3, width=4.2)
    _curve(distance, _by_run(frame, "time", "distance"), COLOURS[0], "at one step")
    _curve(
        distance, _by_run(frame, "time", "averaged_distance"), COLOURS[5], "averaged from here on"
    )
    distance.axhline(0.05, color="grey", linestyle=":", linewidth=1, label="5 %")
    distance.set_yscale("log")
    _finish(
        distance, "distance from Lemma 4.5", "time / beta", "|L - I/beta|_op / (|E aa^T|_op/beta)"
    )
    for column, colour, label in (
        ("largest_eigenvalue", COLOURS[0], "largest of beta L"),
        ("smallest_eigenvalue", COLOURS[2], "smallest of beta L"),
    ):
        _curve(eigenvalues, _by_run(frame, "time", column), colour, label)
    eigenvalues.axhline(1, color="black", linestyle=":", linewidth=1.2, label="I (Lemma 4.5)")
    _finish(eigenvalues, "L = lambda_rho E aa^T - lambda_w W W^T", "time / beta", "eigenvalue")
    for column, colour, label in (
        ("nb", COLOURS[3], "NB"),
        ("loss", COLOURS[1], "loss"),
        ("nc1", COLOURS[4], "NC1"),
    ):
        _curve(nb, _by_run(frame, "time", column), colour, label)
    nb.set_yscale("log")
    _finish(nb, "collapse without balance", "time / beta", "NB, NC1: ratios; loss: L_n")
    return figure


def _draw_collapse(_: CollapseSettings, frame: pd.DataFrame) -> Figure:
    steps = frame["step"].unique()
    figure, panels = _figure(3, width=3.6)
    half = _half_width(frame)
    for axes, step in zip(panels, steps[[0, len(steps) // 2, -1]], strict=True):
        _scatter(axes, frame[frame["step"] == step], half)
    panels[0].legend(frameon=False, fontsize="small", loc="upper left")
    return figure


def _half_width(frame: pd.DataFrame) -> float:
    return 1.05 * float(frame[["x", "y"]].abs().to_numpy().max())


def _scatter(axes: Axes, now: pd.DataFrame, half: float) -> None:
    for k, points in now.groupby("class"):
        colour, marker = COLOURS[int(str(k)) % len(COLOURS)], "os^vDPX*<>"[int(str(k)) % 10]
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
    _finish(axes, title, "plane of the class means, axis 1", "axis 2", legend=False)


def _animate(_: CollapseSettings, frame: pd.DataFrame, path: Path) -> None:
    """Every record as a frame of a GIF, the last one longer."""
    half, images = _half_width(frame), []
    for _step, now in frame.groupby("step"):
        figure, (axes,) = _figure(1, width=4.0, height=4.3)
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


DRAWINGS: dict[str, Callable[[Any, pd.DataFrame], Figure]] = {
    "draw_descent": _draw_descent,
    "draw_balancedness": _draw_balancedness,
    "draw_temperature": _draw_temperature,
    "draw_generalization": _draw_generalization,
    "draw_two_stage": _draw_two_stage,
    "draw_balance": _draw_balance,
    "draw_collapse": _draw_collapse,
}
