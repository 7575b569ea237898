"""How a command ends: bad input in one sentence, signals as exceptions so that it lets go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import click

__all__ = ["InputError", "Stopped", "explained", "signals_held"]

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that would end the process at once: of batch systems, and of a terminal that closes."""


class Stopped(KeyboardInterrupt):
    """A signal other than that of Ctrl-C asks the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class InputError(click.ClickException):
    """Something the user gave is not usable: one sentence, exit status 2."""

    exit_code = 2


@contextmanager
def explained() -> Iterator[None]:
    """Turn bad input into an error of the command line; after a signal, say what is kept.

    A function that keeps results of a stopped command says so in a note on the
    KeyboardInterrupt. The exit status is then 128 and the number of the signal, as shells have it.
    """
    came: list[int] = []
    try:
        with _catchable(came):
            yield
    except KeyboardInterrupt as stop:
        _end(stop.number if isinstance(stop, Stopped) else signal.SIGINT, stop)
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError) as error:
        if came:  # libraries turn an interrupt during their import into an error of their own
            _end(came[0], error)
        if isinstance(error, ArithmeticError) and type(error) is not ArithmeticError:
            raise  # a division by zero is no bad input
        if isinstance(error, ImportError) and not isinstance(error, ModuleNotFoundError):
            raise
        raise InputError(_sentence(error)) from error


def _end(number: int, stop: BaseException) -> NoReturn:
    """Say what stopped the command, and what is kept."""
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    kept = "; ".join(getattr(stop, "__notes__", ["nothing is kept"]))
    click.echo(f"stopped by {name}: {kept}", err=True)
    raise SystemExit(128 + number) from None


def _sentence(error: Exception) -> str:
    """The message of an error, without the error number of the system."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


@contextmanager
def _catchable(came: list[int]) -> Iterator[None]:
    """Raise :class:`Stopped` for signals that would end the process and leave its scratch folders.

    It and Ctrl-C are also noted in `came`. A signal that is ignored or has a handler, as under
    nohup, is left as it is.
    """

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        came.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)

    usual: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        **dict.fromkeys(ENDING, signal.SIG_DFL),
    }
    free = [number for number, handler in usual.items() if signal.getsignal(number) is handler]
    free = free if _may_handle() else []
    for number in free:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, usual[number])


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
