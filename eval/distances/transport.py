"""Wasserstein distances between clouds, each next to its value for two clouds of one law."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import ot
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from eval.distances.clouds import Cloud, Points, Reference, null_pairs, read_cloud
from eval.reading import Array, Values
from gibbs.model.checks import check_integer

__all__ = ["Distance", "sliced_wasserstein", "wasserstein"]

MAX_PAIRS = 16_000_000
"""Largest n_x * n_y of the exact distance: 4,000 points each take seconds, more take minutes."""

MAX_ITERATIONS = 10_000_000
"""Of POT's network simplex; its own default of 100,000 stops short from about 2,000 points."""


@dataclass(frozen=True)
class Distance:
    """A distance between two clouds, next to its value for two clouds of one law.

    Attributes
    ----------
    value : float
        In the units of the points.
    stderr : float
        Standard error over the random projections; 0 for an exact distance.
    same_law, same_law_sd : float
        Mean and standard deviation of the distance under the null.
    p_value : float
        (1 + k)/(1 + B), k of the B distances under the null being >= `value`.
    method : str
        "assignment", "quantiles", "linear program" or "sliced".
    null : str
        "permutation" or "fresh samples".
    n_x, n_y : int
        Points of weight > 0.
    """

    value: float
    stderr: float
    same_law: float
    same_law_sd: float
    p_value: float
    method: str
    null: str
    n_x: int
    n_y: int

    @property
    def ratio(self) -> float:
        """`value` over `same_law`: near 1 where the clouds do not differ; NaN for 0/0."""
        if self.same_law == 0:
            return math.inf if self.value > 0 else math.nan
        return self.value / self.same_law

    def __float__(self) -> float:
        return self.value


def wasserstein(
    x: Points,
    y: Points,
    *,
    weights_x: Values | None = None,
    weights_y: Values | None = None,
    reference: Reference | None = None,
    n_null: int = 19,
    random_state: int | np.random.Generator | None = 0,
) -> Distance:
    r"""Exact Wasserstein distance of order 2 between two weighted clouds.

    .. math:: W_2^2 = \min_\pi \sum_{ij} \pi_{ij} \|x_i - y_j\|^2, \qquad
        \pi \ge 0,\ \pi 1 = w^x,\ \pi^T 1 = w^y.

    It is solved as an assignment where both clouds have the same size and equal weights, by
    sorted quantiles in one dimension, as a linear program (POT) otherwise.

    The number alone says nothing: in d dimensions two clouds of N points of *one* law are
    about N^(-1/d) apart. It therefore comes with its values for clouds of one law:

    - Without `reference`: the pooled points are reassigned at random, `n_null` times, to clouds of
      the sizes of x and y. If all points are independent draws of one law the p-value is
      exact. Where the clouds differ much, `same_law` is that of their mixture. Unequal
      weights travel with their points; the p-value is then approximate, unless points and
      weights were drawn in the same way for x and y (importance sampling from one proposal).
    - With `reference`, a law: fresh samples of it take the place of x, against the same y.
      If x is a sample of that law the p-value is exact, whatever y is. For unequal
      `weights_x` a fresh sample has as many points as their effective sample size,
      1 / sum_i w_i^2, and the p-value is approximate.

    The smallest p-value is 1 / (1 + n_null). Neurons of one Langevin run interact, hence are
    not quite independent.

    Parameters
    ----------
    x : array-like or Tensor (n_x, d), or Particles
        Rows are points; neurons count as points (a, u).
    y : array-like or Tensor (n_y, d), or Particles
    weights_x, weights_y : array-like or Tensor, (n_x,) and (n_y,), optional
        >= 0; they are divided by their sum. None means equal weights.
    reference : GibbsMeasure, callable or list of clouds, optional
        The law that x is meant to follow: a measure; ``sample(n, random_state)``, called with
        two integers, that returns n points; or two or more fresh samples of it, of n_x
        points each.
    n_null : int, default 19
        B >= 2, distances under the null, each as expensive as the distance itself. A list of
        clouds brings its own B.
    random_state : int, numpy.random.Generator or None, default 0

    Returns
    -------
    Distance

    Raises
    ------
    ValueError
        If the clouds or their weights do not fit, or if n_x * n_y > 16,000,000 in two
        dimensions or more.
    RuntimeError
        If the linear program did not converge.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x, y = rng.normal(size=(2, 300, 10))
    >>> distance = wasserstein(x, y)
    >>> round(distance.value, 1), round(distance.same_law, 1), distance.p_value > 0.05
    (2.4, 2.4, True)
    >>> wasserstein(x, y + 0.5).p_value
    0.05
    """
    first, second = _read_pair(x, y, weights_x, weights_y)
    if first.width > 1 and len(first) * len(second) > MAX_PAIRS:
        raise ValueError(
            f"x and y must have n_x * n_y <= {MAX_PAIRS:,} for the exact distance, "
            f"got {len(first)} * {len(second)}: use sliced_wasserstein"
        )
    value = math.sqrt(_squared_distance(first, second))
    pairs = null_pairs(first, second, reference, n_null, np.random.default_rng(random_state))
    null = [math.sqrt(_squared_distance(*pair)) for pair in pairs]
    kind = "permutation" if reference is None else "fresh samples"
    sizes = (len(first), len(second))
    return Distance(value, 0.0, *_compare(value, null), _method(first, second), kind, *sizes)


def sliced_wasserstein(
    x: Points,
    y: Points,
    *,
    n_projections: int = 100,
    weights_x: Values | None = None,
    weights_y: Values | None = None,
    reference: Reference | None = None,
    n_null: int = 99,
    random_state: int | np.random.Generator | None = 0,
) -> Distance:
    r"""Sliced Wasserstein distance of order 2: over random directions, the 1-D distance.

    .. math:: SW_2^2 = E_\theta\, W_2^2(\theta^T x, \theta^T y), \qquad
        \theta \text{ uniform on the sphere}

    (Rabin, Peyré, Delon, Bernot 2011), estimated by the mean over L directions. The 1-D
    distances are exact, by quantiles, for any sizes and weights; `stderr` is the error of the
    mean over directions, carried over to its square root. A shift by v has SW_2 = |v|/sqrt(d)
    and W_2 = |v|: the two are on different scales. SW_2 of two samples of one law falls as
    N^(-1/2), in any dimension.

    The same L directions serve the distances under the null, so the p-value does not suffer
    from their choice. All parameters and nulls are those of :func:`wasserstein`, without the
    limit on the sizes.

    Parameters
    ----------
    x, y : array-like or Tensor (n_x, d) and (n_y, d), or Particles
    n_projections : int, default 100
        L >= 2.
    weights_x, weights_y : array-like or Tensor, optional
    reference : GibbsMeasure, callable or list of clouds, optional
    n_null : int, default 99
    random_state : int, numpy.random.Generator or None, default 0

    Returns
    -------
    Distance
        Memory: (n_x + n_y) * n_projections numbers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 300, 10))
    >>> distance = sliced_wasserstein(x, y)
    >>> distance.method, 0.5 < distance.ratio < 2, distance.p_value > 0.05
    ('sliced', True, True)
    >>> sliced_wasserstein(x, y + 0.5).p_value
    0.01
    """
    first, second = _read_pair(x, y, weights_x, weights_y)
    check_integer("n_projections", n_projections, 2)
    rng = np.random.default_rng(random_state)
    directions = rng.standard_normal((first.width, n_projections))
    directions /= np.linalg.norm(directions, axis=0)

    def squares(a: Cloud, b: Cloud) -> Array:
        return _quantile_squares(
            a.points @ directions, b.points @ directions, _unequal(a), _unequal(b)
        )

    observed = squares(first, second)
    value = math.sqrt(observed.mean())
    stderr = float(observed.std(ddof=1)) / math.sqrt(n_projections) / (2 * value) if value else 0.0
    pairs = null_pairs(first, second, reference, n_null, rng)
    null = [math.sqrt(squares(*pair).mean()) for pair in pairs]
    kind = "permutation" if reference is None else "fresh samples"
    return Distance(value, stderr, *_compare(value, null), "sliced", kind, len(first), len(second))


def _read_pair(
    x: Points,
    y: Points,
    weights_x: Values | None,
    weights_y: Values | None,
) -> tuple[Cloud, Cloud]:
    first, second = read_cloud(x, weights_x, "x"), read_cloud(y, weights_y, "y")
    if first.width != second.width:
        raise ValueError(
            f"x and y must have the same number of columns, got {first.width} and {second.width}"
        )
    return first, second


def _compare(value: float, null: list[float]) -> tuple[float, float, float]:
    """Mean and standard deviation of the null, and the p-value; a tie counts as >=."""
    draws = np.array(null)
    exceed = int((draws >= value * (1 - 1e-12)).sum())
    return float(draws.mean()), float(draws.std(ddof=1)), (1 + exceed) / (1 + len(draws))


def _method(x: Cloud, y: Cloud) -> str:
    if x.width == 1:
        return "quantiles"
    if len(x) == len(y) and x.equal_weights and y.equal_weights:
        return "assignment"
    return "linear program"


def _squared_distance(x: Cloud, y: Cloud) -> float:
    """W_2 squared."""
    method = _method(x, y)
    if method == "quantiles":
        return float(_quantile_squares(x.points, y.points, _unequal(x), _unequal(y))[0])
    costs = cdist(x.points, y.points, "sqeuclidean")
    if method == "assignment":
        return float(costs[linear_sum_assignment(costs)].mean())
    return _linear_program(x.weights, y.weights, costs)


def _linear_program(weights_x: Array, weights_y: Array, costs: Array) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It becomes an error below.
        value, log = ot.emd2(weights_x, weights_y, costs, numItermax=MAX_ITERATIONS, log=True)
    if log["warning"]:
        raise RuntimeError(
            f"the linear program between {len(weights_x)} and {len(weights_y)} points must reach "
            f"its optimum, got {log['warning']!r}: use sliced_wasserstein"
        )
    return max(0.0, float(value))


def _unequal(cloud: Cloud) -> Array | None:
    """The weights, or None where all are the same."""
    return None if cloud.equal_weights else cloud.weights


def _quantile_squares(
    x: Array, y: Array, weights_x: Array | None, weights_y: Array | None
) -> Array:
    r"""Squared 1-D distance of every column: int_0^1 (F_x^{-1}(t) - F_y^{-1}(t))^2 dt."""
    if weights_x is not None or weights_y is not None:
        squares: Array = ot.wasserstein_1d(x, y, weights_x, weights_y, p=2)
        return squares
    # The steps of the two quantile functions, i/n and j/m, in units of 1/(nm).
    n, m = len(x), len(y)
    levels = np.union1d(m * np.arange(1, n + 1), n * np.arange(1, m + 1))
    gaps = np.sort(x, axis=0)[(levels - 1) // m] - np.sort(y, axis=0)[(levels - 1) // n]
    result: Array = np.diff(levels, prepend=0) @ np.square(gaps) / (n * m)
    return result
