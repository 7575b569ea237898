"""The figure of neural collapse over the epochs of a training."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.app.shared.plots import COLOURS, save_figure
from eval.collapse.formulas import COLLAPSE_DEFINITIONS

__all__ = ["draw_collapse"]

PANELS = {
    "within-class variability": ("nc1", "papyan", "trace_ratio", "cdnv"),
    "NC2, class means": (
        *("nc2_equinorm", "nc2_equiangular", "nc2_cosine_gap"),
        *("nc2_simplex", "nc2_orthogonal"),
    ),
    "NC2, linear layer": (
        *("nc2_equinorm_w", "nc2_equiangular_w", "nc2_cosine_gap_w"),
        *("nc2_simplex_w", "nc2_orthogonal_w"),
    ),
    "NC3": ("nc3",),
    "NC4": ("nc4",),
}


def draw_collapse(frame: pd.DataFrame, path: Path) -> None:
    """Draw the table of :func:`eval.track_collapse` as PNG at `path`, and as SVG beside it.

    One panel for each group of metrics; undefined values are gaps, and a panel without a value
    is left out.
    """
    table = frame.pivot_table(index="epoch", columns="metric", values="value", dropna=False)
    panels = {
        title: shown
        for title, metrics in PANELS.items()
        if (shown := [m for m in metrics if m in table and table[m].notna().any()])
    }
    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, metrics) in zip(grid, panels.items(), strict=False):
        _draw_panel(axes, table[metrics], title)
    for axes in grid[len(panels) :]:
        axes.remove()
    save_figure(figure, path)


def _draw_panel(axes: Axes, table: pd.DataFrame, title: str) -> None:
    for colour, (metric, values) in zip(COLOURS, table.items(), strict=False):
        name = COLLAPSE_DEFINITIONS[str(metric)].title
        label = name.removeprefix("NC2, ").rsplit(", the", 1)[0]
        axes.plot(table.index, values, "o-", ms=3, color=colour, label=label)
    if title != "NC4" and (table > 0).any(axis=None):
        axes.set_yscale("log")
    if table.shape[1] > 1:
        axes.legend(frameon=False, fontsize="small")
    axes.set(title=title if table.shape[1] > 1 else name, xlabel="epoch")
    axes.title.set_fontsize("medium")
    axes.grid(alpha=0.3)
