"""Checks of arguments, in one sentence each."""

from __future__ import annotations

from numbers import Integral

__all__ = ["check_integer"]


def check_integer(name: str, value: object, low: int, what: str = "") -> None:
    """Refuse what is no integer, or below `low`, which is `what`.

    Examples
    --------
    >>> check_integer("n_steps", 10, 0)
    >>> check_integer("n_steps", 10.0, 0)
    Traceback (most recent call last):
    ...
    ValueError: n_steps must be an integer >= 0, got 10.0
    """
    if not isinstance(value, Integral) or int(value) < low:
        raise ValueError(f"{name} must be an integer >= {low}{what}, got {value!r}")
