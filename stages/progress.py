"""A progress bar that is an observer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from gibbs.langevin import LangevinState, Observer

__all__ = ["progress"]


@contextmanager
def progress(n_steps: int, label: str, *, disable: bool = False) -> Iterator[Observer]:
    """Show a bar on standard error while in the context.

    Yields an observer that moves the bar and returns the seconds since the context began, so
    that a history has its own clock.
    """
    start = time.perf_counter()
    with tqdm(total=n_steps, desc=label, unit="step", disable=disable, leave=False) as bar:

        def observe(state: LangevinState) -> float:
            bar.update(max(0, state.step - bar.n))
            return time.perf_counter() - start

        yield observe
