"""Signals that end a command, as exceptions, so that it removes its locks and scratch folders."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

__all__ = ["Stopped", "catchable", "exit_status", "name_of", "signals_held"]

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that would end the process at once: of batch systems, and of a terminal that closes."""


class Stopped(KeyboardInterrupt):
    """A signal other than that of Ctrl-C asks the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def name_of(stop: KeyboardInterrupt) -> str:
    """Name of the signal, as users know it."""
    return signal.Signals(stop.number).name if isinstance(stop, Stopped) else "Ctrl-C"


def exit_status(stop: KeyboardInterrupt) -> int:
    """128 plus the number of the signal, as in shells."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def catchable() -> Iterator[None]:
    """Raise :class:`Stopped` for signals that would end the process and leave its scratch folders.

    A signal that is ignored or has a handler, as under nohup, is left as it is.
    """

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise Stopped(number)

    free = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    free = free if _may_handle() else []
    for number in free:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def signals_held() -> Iterator[None]:
    """Delay signals that end a command until the end of the context.

    Processes that start in the context get no Ctrl-C.
    """
    if not _may_handle():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}
    handlers = {n: h for n, h in handlers.items() if h not in (signal.SIG_IGN, None)}
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        with _inherited_mask():
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def _inherited_mask() -> Iterator[None]:
    """Block SIGINT in this thread and its child processes; another thread may still handle it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _may_handle() -> bool:
    """Whether handlers can be set: in the main thread only."""
    return threading.current_thread() is threading.main_thread()
