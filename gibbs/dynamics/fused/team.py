"""Threads that share out a pass over the panels."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from gibbs.dynamics.fused.meeting import DONE, NEXT, OTHERS, PASS

__all__ = ["Team", "alone", "compiles"]

NAP = 5e-5
"""Seconds between two looks of the leading thread at others that are held up."""


class Team:
    """The calling thread and `n_threads - 1` others, which wait for work between the passes.

    A pass takes its panels from a counter, so a thread that is held up by another process does
    fewer of them, and the others more.

    Parameters
    ----------
    n_threads : int
    work : function of no arguments that returns an array
        The array that a thread computes in.
    """

    def __init__(self, n_threads: int, work: Callable[[], NDArray[Any]]) -> None:
        self._own = work()
        self._shared = _Shared(n_threads - 1)
        for number in range(n_threads - 1):
            arguments = (self._shared, number, work())
            threading.Thread(target=_serve, args=arguments, daemon=True).start()
        weakref.finalize(self, self._shared.dismiss)

    def run(self, body: Callable[..., None], *arguments: Any) -> None:
        """Call body(numbers, work, leads, *arguments) in every thread, and wait for all of them."""
        shared = self._shared
        numbers = shared.numbers
        numbers[NEXT] = numbers[DONE] = 0
        shared.job = (body, arguments)
        shared.wake()
        body(numbers, self._own, True, *arguments)
        while numbers[DONE] < numbers[OTHERS]:
            if shared.error is not None:
                raise shared.error
            shared.wake()  # one that fell asleep in the meantime
            time.sleep(NAP)
        shared.job = None


class _Shared:
    """What the threads of a team know of each other; not the team, so that it can end."""

    def __init__(self, n_others: int) -> None:
        self.numbers = np.zeros(8, dtype=np.int64)
        self.numbers[OTHERS] = n_others
        self.job: tuple[Callable[..., None], tuple[Any, ...]] | None = None
        self.error: BaseException | None = None
        self.asleep = [False] * n_others
        self.calls: list[SimpleQueue[bool]] = [SimpleQueue() for _ in range(n_others)]

    def wake(self) -> None:
        """Call the threads that sleep."""
        for number, asleep in enumerate(self.asleep):
            if asleep:
                self.asleep[number] = False
                self.calls[number].put(True)

    def dismiss(self) -> None:
        """End the threads."""
        for calls in self.calls:
            calls.put(False)


def _serve(shared: _Shared, number: int, work: NDArray[Any]) -> None:
    """Take part in every pass, once."""
    numbers, seen = shared.numbers, 0
    while True:
        if numbers[PASS] == seen:
            shared.asleep[number] = True
            if numbers[PASS] == seen and not shared.calls[number].get():
                return
            continue
        seen = int(numbers[PASS])
        job = shared.job
        if job is not None:
            body, arguments = job
            try:
                body(numbers, work, False, *arguments)
            except BaseException as error:  # the leading thread raises it
                shared.error = error
                return
            del body, arguments
        del job


def compiles() -> bool:
    """Whether numba compiles, and does not run functions as they are, for debugging."""
    return not numba.config.DISABLE_JIT


_LOCK = threading.Lock()
_BEFORE: list[int] = []
"""The threads that torch had before each run that wants it to have one."""


@contextmanager
def alone() -> Iterator[None]:
    """Let torch have one thread within the context.

    After each of its operations its own threads keep their cores busy for some milliseconds, in
    which a team would not get them. The number of threads belongs to the calling thread, and a new
    one has what was set last: where runs overlap, that is the 1 of another run, which is not kept.
    """
    with _LOCK:
        before = max(torch.get_num_threads(), *_BEFORE, 1)
        _BEFORE.append(before)
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _LOCK:
            _BEFORE.remove(before)
            torch.set_num_threads(before)
