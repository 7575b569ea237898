"""What the solver reports while it runs: a closed set of records, and their text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

__all__ = [
    "BridgeLevel",
    "DescentRound",
    "NewtonStep",
    "Progress",
    "Replay",
    "SolverReport",
    "StepLog",
    "describe_report",
]


@dataclass(frozen=True)
class NewtonStep:
    """A Newton step on the dual, of the quadrature or of the Monte Carlo ascent.

    Attributes
    ----------
    number : int
        From 1.
    dual, gap : float
        Estimates from the sample that chose the step: no bounds.
    fraction : float
        The fraction of the Newton step that was taken.
    effective_size : float
    """

    number: int
    dual: float
    gap: float
    fraction: float
    effective_size: float


@dataclass(frozen=True)
class DescentRound:
    """A round of the marginal descent; `mean_log_tilt` is the mean of e(u) over its points."""

    number: int
    total: int
    mean_log_tilt: float


@dataclass(frozen=True)
class BridgeLevel:
    """A level of the bridge to the mu_G that is certified; at t = 1 it ends."""

    number: int
    t: float


@dataclass(frozen=True)
class Replay:
    """An independent sample of the mu_G that is certified."""

    number: int
    total: int


SolverReport = NewtonStep | DescentRound | BridgeLevel | Replay
"""What `progress` is called with: a record of one of the four parts of the solver."""

Progress = Callable[[SolverReport], None]


def describe_report(report: SolverReport) -> str:
    """Put a report into words.

    Examples
    --------
    >>> describe_report(NewtonStep(3, 0.02871, 4e-5, 1.0, 812.0))
    'Newton step 3: dual 0.02871, gap 4e-05'
    >>> describe_report(DescentRound(20, 150, 6.25))
    'descent in the law of u, round 20 of 150: mean of e(u) 6.25'
    """
    match report:
        case NewtonStep():
            # 0.0 is added because -0.0 would be shown with its sign.
            return (
                f"Newton step {report.number}: dual {report.dual + 0.0:.4g}, "
                f"gap {report.gap + 0.0:.2g}"
            )
        case DescentRound():
            return (
                f"descent in the law of u, round {report.number} of {report.total}: "
                f"mean of e(u) {report.mean_log_tilt:.3g}"
            )
        case BridgeLevel():
            return f"bridge to mu_G, level {report.number}: t = {report.t:.3g}"
        case Replay():
            return f"replay {report.number} of {report.total}"
    assert_never(report)


class StepLog:
    """The Newton steps of a solver; `progress` is called with every report.

    Parameters
    ----------
    progress : callable, optional
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress
        self.steps: list[NewtonStep] = []

    def record(self, dual: float, gap: float, fraction: float, effective_size: float) -> None:
        """Append a Newton step, and report it."""
        self.steps.append(NewtonStep(len(self.steps) + 1, dual, gap, fraction, effective_size))
        self.report(self.steps[-1])

    def report(self, report: SolverReport) -> None:
        """Call `progress` with a report."""
        if self.progress is not None:
            self.progress(report)

    def tensors(self) -> dict[str, Tensor]:
        """The history, see :class:`gibbs.GibbsResult`: empty where no Newton step was taken."""
        columns = {"dual": "dual", "gap": "gap", "step": "fraction"}
        columns["effective_size"] = "effective_size"
        return {
            name: torch.tensor([getattr(step, field) for step in self.steps], dtype=torch.float64)
            for name, field in columns.items()
        }
