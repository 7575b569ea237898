"""The recipe of a figure of the gallery: its settings, its runs, and the numbers from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from eval.accuracy import Interval, mean_interval

__all__ = [
    "SHARE",
    "Measured",
    "Recipe",
    "Rows",
    "by_run",
    "by_seed",
    "changed",
    "fixed",
    "mean_of",
    "single",
]

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


def single(quantity: str, value: Any) -> Measured:
    """A number without an interval."""
    return Measured(quantity, Interval(float(value), math.nan, math.nan))


def by_seed(run: Callable[[Any, int], Rows], settings: Any) -> dict[str, Callable[[], Rows]]:
    """One run for each seed of the settings."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    return {f"run-{seed}": partial(run, settings, seed) for seed in seeds}


def by_run(frame: pd.DataFrame, along: str, column: str) -> pd.DataFrame:
    """A column of all runs: one row a value of `along`, one column a run."""
    return frame.pivot_table(index=along, columns="run", values=column)


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
    draw : callable
        Of settings and the table, the picture.
    quick, full : str
        Settings of a small version, of seconds, and of the paper's own size, if there is one:
        NAME=VALUE with spaces between.
    animate : callable, optional
        Of the table and a path, what draws every record there as a GIF.
    """

    name: str
    about: str
    settings: Any
    jobs: Callable[[Any], dict[str, Callable[[], Rows]]]
    measure: Callable[[Any, pd.DataFrame], list[Measured]]
    draw: Callable[[Any, pd.DataFrame], Figure]
    quick: str
    full: str = ""
    animate: Callable[[pd.DataFrame, Path], None] | None = None

    def sized(self, words: str) -> Any:
        """The settings with those of :attr:`quick` or :attr:`full`."""
        return changed(self.settings, dict(word.split("=") for word in words.split()))


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
