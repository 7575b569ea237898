"""What a figure of a run is, and the colours that all figures share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from eval.app.run_folder import StoredRun

__all__ = ["COLOURS", "FigureKind"]

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9") + (
    "#d55e00",
    "#f0e442",
    "#000000",
    "#7f7f7f",
    "#8c564b",
)


def _always(_: StoredRun) -> bool:
    return True


@dataclass(frozen=True)
class FigureKind:
    """One figure: file name, title, how to draw it, and what a blind reader is told.

    `possible` says whether a run holds what the figure shows.
    """

    name: str
    title: str
    draw: Callable[[StoredRun], Figure]
    alt: Callable[[StoredRun], str]
    possible: Callable[[StoredRun], bool] = _always
