"""The colours that all figures share, and how they are saved."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

__all__ = ["COLOURS", "save_figure"]

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9") + (
    "#d55e00",
    "#f0e442",
    "#000000",
    "#7f7f7f",
    "#8c564b",
)
"""Colours that can be distinguished with any colour vision."""


def save_figure(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Save as PNG at `path`, and as SVG beside it."""
    figure.savefig(path, dpi=dpi)
    figure.savefig(path.with_suffix(".svg"))
