"""Test error of a classifier, balanced by class, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import beta
from scipy.stats import t as student

from eval.reading import Values, read_labels

__all__ = [
    "Interval",
    "error_interval",
    "interval_of_counts",
    "mean_interval",
    "mismatch_error",
    "mismatch_interval",
    "repeated_error",
]


class Interval(NamedTuple):
    """An estimate between the two ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def mismatch_error(y_true: Values, y_pred: Values) -> float:
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


def mismatch_interval(y_true: Values, y_pred: Values, *, confidence: float = 0.95) -> Interval:
    r"""Mismatch error with a confidence interval for its value in the population.

    The interval is that of :func:`interval_of_counts`. It is about this one classifier on fresh
    samples, and does not include the choice of the training set.

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
    (0.5, 0.47, 0.53)
    """
    errors, counts = _class_errors(y_true, y_pred)
    ends = interval_of_counts(errors * counts, counts, confidence=confidence)
    return Interval(float(errors.mean()), *(float(end) for end in ends))


def interval_of_counts(
    wrong: ArrayLike, counts: ArrayLike, *, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Confidence limits of a mean of K binomial proportions, the mismatch error of K classes.

    Of x_k wrong among n_k samples of class k, the upper limit is a quantile of the beta law that
    a binomial experiment of :math:`\nu` samples would have (Clopper and Pearson; Korn and
    Graubard 1998 choose :math:`\nu` by the variance), all of it after one more error:

    .. math:: u = \mathrm{Beta}^{-1}_{(1 + \text{confidence})/2}
        \bigl(\nu \tilde e, \nu (1 - \tilde e)\bigr), \qquad
        \nu = \frac{(1 + 1/m)\, \tilde e (1 - \tilde e)}{\tilde v}, \qquad
        \tilde v = \frac{1}{K^2} \sum_k \frac{1}{n_k} \Bigl( \tilde e_k (1 - \tilde e_k)
        + \frac{K - 1}{K} \frac{\tilde e (1 - \tilde e)}{n_k} \Bigr).

    Here e_k = x_k / n_k, but in the class where that raises the mean the most the error is
    (x + 1) / (n + 1); :math:`\tilde e` is the mean of these, or (m e + 1) / (m + 1) with
    e the mean of x_k / n_k and m = K^2 / sum_k 1/n_k, whichever is larger: several small classes
    without an error in the sample may all have some in the population. The second term of the
    variance corrects for e_k (1 - e_k) being too small in small classes; it is right where all
    classes have the same error, and too large otherwise. The lower limit is 1 - u of the hits.

    With K = 1 these are Clopper's and Pearson's limits, whose coverage is at least the
    confidence. For more classes there is no such theorem; ``benchmarks/intervals.py`` measures it.

    Parameters
    ----------
    wrong : array-like (..., K)
        x_k, 0 to n_k.
    counts : array-like (K,) or (..., K)
        n_k >= 1.
    confidence : float, default 0.95

    Returns
    -------
    low, high : ndarray (...)
        Between 0 and 1; 0 and 1 themselves only where there is no error, or no hit.

    Examples
    --------
    >>> low, high = interval_of_counts([0, 0, 0, 0], [5000] * 4)
    >>> float(low), round(float(high), 6)
    (0.0, 0.000184)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    x, n = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (wrong, counts)))
    level = (1 + confidence) / 2
    return 1 - _upper_limit(n - x, n, level), _upper_limit(x, n, level)


def _upper_limit(
    x: NDArray[np.float64], n: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    """The upper limit of :func:`interval_of_counts`."""
    classes = x.shape[-1]
    most = ((n - x) / (n * (n + 1))).argmax(axis=-1)
    more = np.arange(classes) == most[..., None]
    each = (x + more) / (n + more)
    m = classes**2 / (1 / n).sum(axis=-1)
    error = np.maximum(each.mean(axis=-1), (m * (x / n).mean(axis=-1) + 1) / (m + 1))
    spread = error * (1 - error)
    lacking = (1 - 1 / classes) * spread[..., None] / n
    variance = ((each * (1 - each) + lacking) / n).sum(axis=-1) / classes**2
    some_hit = (x < n).any(axis=-1)
    size = np.divide((1 + 1 / m) * spread, variance, out=np.ones_like(m), where=some_hit)
    a, b = size * error, np.where(some_hit, size * (1 - error), 1.0)
    return np.where(some_hit, beta.ppf(level, a, b), 1.0)


def mean_interval(
    values: ArrayLike,
    *,
    confidence: float = 0.95,
    overlap: float = 0.0,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    r"""Mean of R repetitions with Student's t interval, inside the range of the values.

    .. math:: \bar v \pm h, \qquad h = t_{R-1} \sqrt{(1/R + \text{overlap})\, s^2}

    with s^2 the variance of the values: exact for independent normal ones. Repetitions with fresh
    data are independent, and `overlap` is 0. Splits of one data set share samples: there
    `overlap` is n_test / n_train (Nadeau & Bengio, Inference for the generalization error, 2003).

    Where the values have a range (a, b), the same interval is taken of g(mean), with a standard
    error by the delta method, and transformed back. It stays in the range without being cut off,
    and covers skewed values better:

    .. math:: g^{-1}\bigl(g(\bar v) \pm g'(\bar v)\, h\bigr), \qquad
        g(v) = \log \frac{v - a}{b - v}, \quad \text{or } \log (v - a) \text{ for } b = \infty.

    For values that are all equal, or one value alone, no variance can be estimated: the ends are
    NaN.

    Parameters
    ----------
    values : array-like (R,)
    confidence : float, default 0.95
    overlap : float, default 0
    within : tuple of float, default (-inf, inf)
        The range: (0, 1) for errors and NC1, (-1, 1) for differences of them, (0, inf) for
        losses and norms. Values may lie at its ends.

    Raises
    ------
    ValueError
        If a value lies outside `within`.

    Examples
    --------
    >>> [round(v, 3) for v in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    >>> [round(v, 3) for v in mean_interval([1.0, 2.0, 3.0], within=(0, math.inf))]
    [2.0, 0.578, 6.926]
    """
    v = np.asarray(values, dtype=np.float64)
    least, largest = within
    if len(v) and (v.min() < least or v.max() > largest):
        raise ValueError(
            f"values must lie between {least:g} and {largest:g}, got {v.min():g} to {v.max():g}"
        )
    mean = float(v.mean())
    if len(v) < 2 or v.min() == v.max():
        return Interval(mean, math.nan, math.nan)
    error = float(v.std(ddof=1)) * math.sqrt(1 / len(v) + overlap)
    half = float(student.ppf((1 + confidence) / 2, len(v) - 1)) * error
    if math.isinf(least):
        return Interval(mean, mean - half, mean + half)
    # The half-width in log odds; with no upper end the odds are those against infinity.
    width = half * (1 / (mean - least) + 1 / (largest - mean))
    if math.isinf(largest):
        with np.errstate(over="ignore"):
            low, high = least + (mean - least) * np.exp([-width, width])
    else:
        place = (mean - least) / (largest - least)
        low, high = least + (largest - least) * expit(logit(place) + np.array([-width, width]))
    return Interval(mean, float(low), float(high))


def error_interval(errors: ArrayLike, pooled: Interval, overlap: float = 0.0) -> Interval:
    r"""Mean of R errors with Student's interval, no narrower than the test samples allow.

    .. math:: \min(l_t, l), \qquad \max(u_t, u),

    (l_t, u_t) of :func:`eval.mean_interval` within (0, 1) over the repetitions, and
    (l, u) the interval of all their test samples together, see :func:`eval.mismatch_interval`:
    five folds without an error do not prove that the error is 0. With R = 1 only the latter is
    used. `overlap` is that of :func:`eval.mean_interval`.

    Examples
    --------
    >>> error_interval([0.0, 0.0], Interval(0.0, 0.0, 0.02))
    Interval(estimate=0.0, low=0.0, high=0.02)
    """
    mean, low, high = mean_interval(errors, overlap=overlap, within=(0, 1))
    # Student's ends may be NaN.
    least, largest = np.nanmin([mean, low, pooled.low]), np.nanmax([mean, high, pooled.high])
    return Interval(mean, float(least), float(largest))


def repeated_error(runs: Sequence[Interval], overlap: float = 0.0) -> Interval:
    r"""Mean of R test errors, each with the interval (e, l, u) of its test samples.

    As :func:`error_interval`, with the mean of these intervals in place of a pooled
    one: R fresh test sets (`overlap` 0) make it sqrt(R) times narrower, splits of one
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
    y_true: Values, y_pred: Values
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of wrong predictions in each class of y_true, and the size of the class."""
    truth, predicted = read_labels(y_true, "y_true"), read_labels(y_pred, "y_pred")
    if truth.ndim != 1 or truth.shape != predicted.shape or not len(truth):
        raise ValueError(
            "y_true and y_pred must be 1-D, of one length >= 1, "
            f"got shapes {truth.shape} and {predicted.shape}"
        )
    _, labels = np.unique(truth, return_inverse=True)
    counts = np.bincount(labels).astype(np.float64)
    return np.bincount(labels, weights=truth != predicted) / counts, counts
