"""Checks of arguments with one-sentence messages, and the memory layout of matrices."""

from __future__ import annotations

import operator
from numbers import Integral, Real
from types import NoneType
from typing import TypeGuard

from torch import Tensor

__all__ = ["check_integer", "check_kind", "is_number", "row_major"]


def check_integer(
    name: str,
    value: object,
    low: int,
    high: int | None = None,
    *,
    low_is: str = "",
    high_is: str = "",
) -> int:
    """Return an integer from `low` to `high` as an int; raise for anything else.

    `low_is` and `high_is` name the limits in the message.

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


def check_kind(name: str, value: object, *kinds: type) -> None:
    """Raise TypeError for a value of none of these classes; `NoneType` stands for None.

    Examples
    --------
    >>> check_kind("start", 3, str, NoneType)
    Traceback (most recent call last):
    ...
    TypeError: start must be str or None, got int
    """
    if not isinstance(value, kinds):
        names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        got = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be {names}, got {got}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number, of Python or of NumPy; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def row_major(values: Tensor) -> Tensor:
    """Return the matrix stored row by row; it is copied only if it is stored otherwise.

    Sums run in the order of the memory: a matrix stored by columns would round differently.

    Examples
    --------
    >>> import torch
    >>> row_major(torch.eye(3, 2).T).stride()
    (3, 1)
    """
    # A matrix of one row or column may keep any stride, and BLAS looks at strides.
    return values.contiguous().view(-1).view(values.shape)
