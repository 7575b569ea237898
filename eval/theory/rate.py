"""The rate of Theorem 5.3: test error against sqrt(log n / n)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

__all__ = ["RateFit", "fit_rate"]


@dataclass(frozen=True)
class RateFit:
    r"""log error = log c + slope log(log n / n), fitted; the theorem's bound has slope 1/2.

    Attributes
    ----------
    slope, low, high : float
        Least squares over the sizes, with Student's interval.
    constant : float
        c; at slope 1/2 it would be the C_10 of the theorem.
    sizes : tuple of int
        Those in the fit.
    left_out : tuple of int
        Those whose mean error is 0: it has no logarithm, and any bound covers it.
    not_rejected : bool
        high >= 1/2: a slope of 1/2 or more is not rejected, one-sided at level (1 - confidence)/2.
        Few or noisy errors reject nothing: that is no evidence for the theorem. Nor does a
        rejection refute it, which bounds the error by a constant that is not known, for a beta that
        grows with n.
    """

    slope: float
    low: float
    high: float
    constant: float
    sizes: tuple[int, ...]
    left_out: tuple[int, ...]
    not_rejected: bool


def fit_rate(sizes: ArrayLike, errors: ArrayLike, *, confidence: float = 0.95) -> RateFit:
    """Fit the rate at which test errors fall with the number of samples.

    The theorem is an upper bound, C_10 sqrt(log(C_11 n) / n) for beta growing with n: it allows
    a steeper fall. Its C_11 is taken as 1.

    Parameters
    ----------
    sizes : array-like (k,)
        n, >= 3: log n / n falls from there on.
    errors : array-like (k,) or (k, repeats)
        Test errors; repeats are averaged.
    confidence : float, default 0.95

    Returns
    -------
    RateFit

    Raises
    ------
    ValueError
        If fewer than 3 sizes have an error > 0, or shapes or values do not fit.

    Examples
    --------
    >>> n = np.array([100, 200, 400, 800])
    >>> fit = fit_rate(n, 0.5 * np.sqrt(np.log(n) / n))
    >>> round(fit.slope, 6), round(fit.constant, 6), fit.not_rejected
    (0.5, 0.5, True)
    """
    n, e = np.asarray(sizes), np.asarray(errors, dtype=np.float64)
    if n.ndim != 1 or e.shape[:1] != n.shape or e.ndim > 2 or (n < 3).any():
        raise ValueError(
            "sizes must be (k,) and >= 3, errors (k,) or (k, repeats), got shapes "
            f"{n.shape} and {e.shape}"
        )
    if not (np.isfinite(e).all() and (e >= 0).all()):
        raise ValueError("errors must be >= 0 and finite")
    means = e if e.ndim == 1 else e.mean(axis=1)
    kept = means > 0
    if kept.sum() < 3:
        raise ValueError(f"at least 3 sizes with an error > 0 are needed, got {kept.sum()}")
    along, heights = np.log(np.log(n[kept]) / n[kept]), np.log(means[kept])
    centred = along - along.mean()
    slope = float(centred @ heights / (centred @ centred))
    offset = float(heights.mean() - slope * along.mean())
    rest = heights - offset - slope * along
    dof = len(along) - 2
    half = float(student.ppf((1 + confidence) / 2, dof))
    half *= math.sqrt(float(rest @ rest) / dof / float(centred @ centred))
    return RateFit(
        slope=slope,
        low=slope - half,
        high=slope + half,
        constant=math.exp(offset),
        sizes=tuple(n[kept].tolist()),
        left_out=tuple(n[~kept].tolist()),
        not_rejected=slope + half >= 0.5 - 1e-9,
    )
