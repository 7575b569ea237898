"""The figure of a study: test error and NC1 against the number of samples."""

from __future__ import annotations

from functools import partial
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eval.accuracy import Interval, mean_interval
from eval.app.shared.plots import (
    COLOURS,
    draw_resolution,
    finish,
    interval_curve,
    means_along,
    panel_row,
)
from eval.app.study.config import StudyConfig
from eval.app.study.summary import PowerLaw, error_of, fit_power_law

__all__ = ["draw"]


def draw(config: StudyConfig, frame: pd.DataFrame, *, train: bool = False) -> Figure:
    """Draw the table of all jobs, one colour a margin; with `train` also NC1 in training.

    Errors below 1/n_test, which `n_test` samples cannot show, are drawn there, hollow.
    """
    figure, panels = panel_row(2, width=5.2, height=4.2)
    sizes = np.array(sorted(frame["n"].unique()), dtype=np.float64)
    floor = 1 / config.n_test
    for axes, column, title in zip(
        panels,
        ("test_error", "nc1_test"),
        ("test error, balanced by class", "NC1 of fresh samples"),
        strict=True,
    ):
        low = floor if column == "test_error" else 0.0
        for colour, (margin, group) in zip(cycle(COLOURS), frame.groupby("margin"), strict=False):
            means = group.groupby("n")[column].mean()
            fit = fit_power_law(means.index.tolist(), means, floor=low)
            label = f"tau/M = {margin:g}" + _slope(fit)
            curves = [(column, label, "-")]
            if train and column == "nc1_test":
                curves.append(("nc1_train", f"tau/M = {margin:g}, training samples", "--"))
            for name, words, style in curves:
                points = means_along(group, "n", error_of if low else partial(_mean, name))
                interval_curve(axes, points, colour, words, floor=low, style=style)
        if column == "test_error":
            draw_resolution(axes, floor)
        top = float(frame[column].max())
        axes.plot(sizes, top * np.sqrt(sizes[0] / sizes), ":", color="black", label="n^(-1/2)")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
        unit = "share of samples" if low else "within-class / total variance"
        finish(axes, title, "n, training samples", unit, legend=False)
        axes.legend(
            frameon=False,
            fontsize="small",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            ncols=2,
        )
    return figure


def _mean(column: str, runs: pd.DataFrame) -> Interval:
    return mean_interval(runs[column], within=(0, 1))


def _slope(fit: PowerLaw) -> str:
    if fit.rate is None:
        return ""
    return f": n^(-{fit.rate.estimate:.2f} +- {fit.rate.high - fit.rate.estimate:.2f})"
