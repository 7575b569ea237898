"""Progress on standard error: of the dynamics as an observer, of the solver by its reports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from gibbs import SolverReport, describe_report
from gibbs.dynamics.langevin import LangevinState, Observer
from gibbs.solver.progress import Progress

__all__ = ["progress", "solver_progress"]


@contextmanager
def progress(n_steps: int, label: str, *, disable: bool = False) -> Iterator[Observer]:
    """Show a bar on standard error while in the context.

    Yields an observer that moves the bar and returns the seconds since the context began, so
    that the history holds the time of every record.
    """
    start = time.perf_counter()
    with tqdm(total=n_steps, desc=label, unit="step", disable=disable, leave=False) as bar:

        def observe(state: LangevinState) -> float:
            bar.update(max(0, state.step - bar.n))
            return time.perf_counter() - start

        yield observe


@contextmanager
def solver_progress(label: str, *, disable: bool = False) -> Iterator[Progress]:
    """Show the last report of the solver and the time on standard error while in the context.

    It is a line and not a bar, because the number of steps is not known.
    """
    look = "{desc} [{elapsed}]"
    with tqdm(desc=label, bar_format=look, disable=disable, leave=False) as line:

        def show(report: SolverReport) -> None:
            line.set_description_str(f"{label}: {describe_report(report)}")

        yield show
