"""The summary of the jobs of a study: means with intervals, and power laws in n."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import linregress
from scipy.stats import t as student

from eval.accuracy import Interval, mean_interval, repeated_error
from eval.app.study.config import StudyConfig

__all__ = ["PowerLaw", "error_of", "fit_power_law", "fit_rates", "summarize"]

QUANTITIES = ("train_error", "test_error", "nc1_train", "nc1_test")


@dataclass(frozen=True)
class PowerLaw:
    """A fit values ~ constant n^-rate; `rate` is None, and `note` says why, without one."""

    rate: Interval | None
    constant: float | None
    sizes: tuple[int, ...]
    note: str


def fit_power_law(sizes: Sequence[int], values: ArrayLike, *, floor: float = 0.0) -> PowerLaw:
    r"""Fit values ~ C n^-r by least squares of log values on log n.

    Only sizes whose value is above `floor` are used, so that no zero is. The interval is
    Student's, with m - 2 degrees of freedom for m sizes:

    .. math:: \log v_i = \log C - r \log n_i + e_i, \qquad
        \hat r \pm t_{m-2} \sqrt{\tfrac{\sum_i \hat e_i^2}{(m-2) \sum_i (x_i - \bar x)^2}},

    with x_i = log n_i. It is wide where the values do not follow a power law: it measures
    the misfit as well as the noise.

    Parameters
    ----------
    sizes : sequence of int (k,)
    values : array-like (k,)
        Means over the seeds.
    floor : float, default 0
        Resolution of the values, for an error 1/n_test.

    Examples
    --------
    >>> fit = fit_power_law([10, 100, 1000, 10000], [0.2, 0.02, 0.002, 0.0], floor=1e-4)
    >>> round(fit.rate.estimate, 6), fit.sizes
    (1.0, (10, 100, 1000))
    """
    v = np.asarray(values, dtype=np.float64)
    kept = [i for i in np.argsort(sizes) if v[i] > floor]
    used = tuple(int(sizes[i]) for i in kept)
    if len(used) < 3:
        note = f"no fit: {len(used)} sizes with a mean above {floor:.3g}, at least 3 are needed"
        return PowerLaw(None, None, used, note)
    line = linregress(np.log(used), np.log(v[kept]))
    half = float(student.ppf(0.975, len(used) - 2) * line.stderr)
    rate = Interval(-float(line.slope), -float(line.slope) - half, -float(line.slope) + half)
    return PowerLaw(rate, math.exp(line.intercept), used, "")


def error_of(runs: pd.DataFrame) -> Interval:
    """Mean of the columns `test_error`, by :func:`eval.repeated_error` with their ends."""
    columns = ["test_error", "test_error_low", "test_error_high"]
    return repeated_error([Interval(*row) for row in runs[columns].to_numpy().tolist()])


def summarize(config: StudyConfig, results: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean and interval over the seeds of every quantity, one row a margin and size."""
    rows = []
    for margin in config.margins:
        for n in sorted(config.sizes):
            runs = results[(results["margin"] == margin) & (results["n"] == n)]
            row: dict[str, Any] = {"margin": margin, "n": n, "seeds": len(runs)}
            row |= {name: mean_interval(runs[name], within=(0, 1)) for name in QUANTITIES}
            rows.append(row | {"test_error": error_of(runs)})
    return rows


def fit_rates(config: StudyConfig, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Power laws of test error and test NC1, one row a margin and quantity.

    An error is used where its mean is above the resolution 1/n_test, see
    :func:`fit_power_law`.
    """
    return [
        {"margin": margin, "quantity": name}
        | dataclasses.asdict(
            fit_power_law(
                [row["n"] for row in rows if row["margin"] == margin],
                [row[name].estimate for row in rows if row["margin"] == margin],
                floor=floor,
            )
        )
        for name, floor in (("test_error", 1 / config.n_test), ("nc1_test", 0.0))
        for margin in config.margins
    ]
