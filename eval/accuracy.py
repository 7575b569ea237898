"""Test error of a classifier, balanced by class, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

__all__ = [
    "Interval",
    "error_interval",
    "mean_interval",
    "mismatch_error",
    "mismatch_interval",
    "repeated_error",
    "share_interval",
]


class Interval(NamedTuple):
    """An estimate between the two ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def mismatch_error(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mismatch error of section 5: the mean over the classes of P(prediction != class).

    Equals 1 - ``sklearn.metrics.balanced_accuracy_score``. Between 0 and 1; the classes are
    those of `y_true`.

    Parameters
    ----------
    y_true, y_pred : array-like (n,)
        Labels of any one type.

    Raises
    ------
    ValueError
        If the two are empty or of different shapes.

    Examples
    --------
    >>> mismatch_error([0, 0, 0, 1], [0, 0, 1, 1])
    0.16666666666666666
    """
    errors, _ = _class_errors(y_true, y_pred)
    return float(errors.mean())


def mismatch_interval(
    y_true: ArrayLike, y_pred: ArrayLike, *, confidence: float = 0.95
) -> Interval:
    r"""Mismatch error with a confidence interval for its value in the population.

    The error of class k is a binomial proportion with Wilson limits (l_k, u_k); their mean
    over K classes gets the limits (Zou and Donner's recovery of variances, as Newcombe does
    for a difference)

    .. math:: \hat e - \tfrac1K \sqrt{\sum_k (\hat e_k - l_k)^2}, \qquad
        \hat e + \tfrac1K \sqrt{\sum_k (u_k - \hat e_k)^2}.

    Unlike a normal interval it has a width when no error was seen. It speaks of this one
    classifier on fresh samples; the choice of the training set is not in it.

    Parameters
    ----------
    y_true, y_pred : array-like (n,)
    confidence : float, default 0.95

    Returns
    -------
    Interval
        estimate, low, high.

    Examples
    --------
    >>> estimate, low, high = mismatch_interval([0] * 50 + [1] * 50, [0] * 100)
    >>> estimate, round(low, 2), round(high, 2)
    (0.5, 0.46, 0.54)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    errors, counts = _class_errors(y_true, y_pred)
    z2 = float(norm.ppf((1 + confidence) / 2)) ** 2
    centre = (errors + z2 / (2 * counts)) / (1 + z2 / counts)
    half = np.sqrt(z2 * (errors * (1 - errors) / counts + z2 / (4 * counts**2))) / (1 + z2 / counts)
    estimate = float(errors.mean())
    below = math.hypot(*(errors - (centre - half))) / len(errors)
    above = math.hypot(*(centre + half - errors)) / len(errors)
    return Interval(estimate, max(0.0, estimate - below), min(1.0, estimate + above))


def mean_interval(values: ArrayLike, *, confidence: float = 0.95, overlap: float = 0.0) -> Interval:
    r"""Mean of R repetitions with Student's t interval; the ends are NaN for one value.

    .. math:: \bar v \pm t_{R-1} \sqrt{(1/R + \text{overlap})\, s^2}

    with s^2 the variance of the values. Repetitions with fresh data are independent, and
    `overlap` is 0. Splits of one data set share samples: there `overlap` is
    n_test / n_train (Nadeau & Bengio, Inference for the generalization error, 2003).

    Examples
    --------
    >>> [round(v, 3) for v in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    v = np.asarray(values, dtype=np.float64)
    mean = float(v.mean())
    if len(v) < 2:
        return Interval(mean, math.nan, math.nan)
    error = float(v.std(ddof=1)) * math.sqrt(1 / len(v) + overlap)
    half = float(student.ppf((1 + confidence) / 2, len(v) - 1)) * error
    return Interval(mean, mean - half, mean + half)


def share_interval(values: ArrayLike, *, overlap: float = 0.0) -> Interval:
    """:func:`mean_interval` of what lies between 0 and 1, errors or NC1, with its ends there too.

    Examples
    --------
    >>> [round(v, 3) for v in share_interval([0.0, 0.1, 0.2])]
    [0.1, 0.0, 0.348]
    """
    mean, *ends = mean_interval(values, overlap=overlap)
    # np.clip keeps the NaN ends of one value.
    return Interval(mean, *(float(end) for end in np.clip(ends, 0.0, 1.0)))


def error_interval(errors: ArrayLike, pooled: Interval, overlap: float = 0.0) -> Interval:
    r"""Mean of R errors with Student's interval, no narrower than the test samples allow.

    .. math:: l = \min(l_t, \bar e - (\hat e - \hat l)), \qquad
        u = \max(u_t, \bar e + (\hat u - \hat e)),

    within [0, 1]: (l_t, u_t) of :func:`eval.mean_interval` over the repetitions, and
    (e, l, u) the binomial interval of all their test samples together: five folds without an
    error do not prove that the error is 0. With R = 1 the latter is all there is. `overlap`
    is that of :func:`eval.mean_interval`.

    Examples
    --------
    >>> error_interval([0.0, 0.0], Interval(0.0, 0.0, 0.02))
    Interval(estimate=0.0, low=0.0, high=0.02)
    """
    mean, t_low, t_high = mean_interval(errors, overlap=overlap)
    # fmin and fmax take the number where Student's ends are NaN, for one repetition.
    low = float(np.fmin(t_low, mean - (pooled.estimate - pooled.low)))
    high = float(np.fmax(t_high, mean + (pooled.high - pooled.estimate)))
    return Interval(mean, max(0.0, low), min(1.0, high))


def repeated_error(runs: Sequence[Interval], overlap: float = 0.0) -> Interval:
    r"""Mean of R test errors, each with the binomial interval (e, l, u) of its test samples.

    As :func:`error_interval`, with the mean of the binomial intervals in place of a pooled
    one: R fresh test sets (`overlap` 0) bring its ends sqrt(R) times nearer, splits of one
    data set do not.

    Examples
    --------
    >>> repeated_error([Interval(0.0, 0.0, 0.02)] * 4)
    Interval(estimate=0.0, low=0.0, high=0.01)
    """
    error, low, high = (float(v) for v in np.mean(runs, axis=0))
    shrink = 1.0 if overlap else math.sqrt(len(runs))
    pooled = Interval(error, error - (error - low) / shrink, error + (high - error) / shrink)
    return error_interval([run.estimate for run in runs], pooled, overlap)


def _class_errors(
    y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of wrong predictions in each class of y_true, and the size of the class."""
    truth: NDArray[Any] = np.asarray(y_true)
    predicted: NDArray[Any] = np.asarray(y_pred)
    if truth.ndim != 1 or truth.shape != predicted.shape or not len(truth):
        raise ValueError(
            "y_true and y_pred must be 1-D, of one length >= 1, "
            f"got shapes {truth.shape} and {predicted.shape}"
        )
    _, labels = np.unique(truth, return_inverse=True)
    counts = np.bincount(labels).astype(np.float64)
    return np.bincount(labels, weights=truth != predicted) / counts, counts
