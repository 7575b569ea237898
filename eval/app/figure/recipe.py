"""The recipe of a figure of the gallery: its settings, its runs, and the numbers from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from eval.accuracy import Interval, mean_interval, repeated_error

__all__ = ["SHARE", "Measured", "Recipe", "Rows", "changed", "error_of", "fixed", "mean_of"]

SHARE = (0.0, 1.0)
"""The range of an error and of NC1."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Measured:
    """One number that the runs of a figure give, with its interval, beside the paper's."""

    quantity: str
    value: Interval
    paper: str = ""


def mean_of(
    quantity: str,
    values: Any,
    paper: str = "",
    *,
    within: tuple[float, float] = (0.0, math.inf),
) -> Measured:
    """Mean over the runs with the 95 % interval of :func:`eval.mean_interval`."""
    return Measured(quantity, mean_interval(values, within=within), paper)


def error_of(runs: pd.DataFrame) -> Interval:
    """Mean of the columns `test_error`, by :func:`eval.repeated_error` with their ends."""
    columns = ["test_error", "test_error_low", "test_error_high"]
    return repeated_error([Interval(*row) for row in runs[columns].to_numpy().tolist()])


@dataclass(frozen=True)
class Recipe:
    """How a figure is made.

    Attributes
    ----------
    name, about : str
        Its name in the command, and one line of help.
    settings : frozen dataclass
        Everything that its numbers depend on, at the values of the gallery.
    jobs : callable
        From settings to the runs by their names: each returns rows of a table. Incomplete settings
        are refused here, before any work.
    measure : callable
        From settings and the table of all runs to the numbers that the figure shows.
    drawing : str
        The function of :mod:`eval.app.figure.drawing` that draws it.
    quick, full : mapping
        Settings of a small version, of seconds, and of the paper's own size, if there is one.
    """

    name: str
    about: str
    settings: Any
    jobs: Callable[[Any], dict[str, Callable[[], Rows]]]
    measure: Callable[[Any, pd.DataFrame], list[Measured]]
    drawing: str
    quick: Mapping[str, Any]
    full: Mapping[str, Any] = field(default_factory=dict)


def fixed(value: Any) -> Any:
    """A field of settings with a value that belongs to the figure: no option sets it."""
    return field(default=value, metadata={"fixed": True})


def changed(settings: Any, assignments: Mapping[str, str]) -> Any:
    """Settings with some values replaced by those given as texts, of the type of the default.

    Raises
    ------
    ValueError
        If there is no setting of that name, or the text is not of its type.

    Examples
    --------
    >>> from eval.app.figure.temperature import TemperatureSettings
    >>> changed(TemperatureSettings(), {"betas": "10,100,1000", "seeds": "2"}).betas
    (10.0, 100.0, 1000.0)
    """
    values: dict[str, Any] = {}
    free = [each.name for each in dataclasses.fields(settings) if not each.metadata.get("fixed")]
    for name, text in assignments.items():
        if name not in free:
            raise ValueError(f"--set must name one of {', '.join(free)}, got {name!r}")
        values[name] = _parsed(name, text, getattr(settings, name))
    return dataclasses.replace(settings, **values)


def _parsed(name: str, text: str, default: Any) -> Any:
    if isinstance(default, tuple):
        return tuple(_parsed(name, part, default[0]) for part in text.split(","))
    try:
        return type(default)(text)
    except ValueError:
        raise ValueError(f"--set {name} must be like {default!r}, got {text!r}") from None
