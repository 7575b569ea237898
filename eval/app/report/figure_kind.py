"""The description of a figure of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from eval.app.shared.run_folder import StoredRun

__all__ = ["FigureKind"]


def _always(_: StoredRun) -> bool:
    return True


@dataclass(frozen=True)
class FigureKind:
    """One figure: file name, title, how to draw it, and its text for blind readers.

    `possible` says whether a run holds what the figure shows.
    """

    name: str
    title: str
    draw: Callable[[StoredRun], Figure]
    alt: Callable[[StoredRun], str]
    possible: Callable[[StoredRun], bool] = _always
