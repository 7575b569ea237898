"""Checks of arguments, in one sentence each."""

from __future__ import annotations

import operator
from numbers import Integral

__all__ = ["check_integer"]


def check_integer(
    name: str,
    value: object,
    low: int,
    high: int | None = None,
    *,
    low_is: str = "",
    high_is: str = "",
) -> int:
    """Return what is an integer from `low` to `high`, as an int; refuse what is not.

    `low_is` and `high_is` say where the limits come from.

    Examples
    --------
    >>> check_integer("n_steps", 10, 0)
    10
    >>> check_integer("n_steps", 10.0, 0)
    Traceback (most recent call last):
    ...
    ValueError: n_steps must be an integer >= 0, got 10.0
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = operator.index(value)
        if low <= number and (high is None or number <= high):
            return number
    limits = f">= {low}{low_is and f' ({low_is})'}"
    if high is not None:
        limits = f"between {low} and {high_is and f'{high_is} = '}{high}"
    raise ValueError(f"{name} must be an integer {limits}, got {value!r}")
