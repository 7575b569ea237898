"""Kernel Stein discrepancy: how far a cloud is from a law of which the score is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

from eval.distances.clouds import Points, check_widths, draw_neurons, read_points
from eval.reading import Array, Values, read_numbers
from gibbs import GibbsMeasure, Particles
from gibbs.model.checks import check_integer

__all__ = ["SteinDiscrepancy", "gibbs_stein_discrepancy", "stein_discrepancy"]

BLOCK_BYTES = 2**23
"""Size of one block of the kernel matrix; about eight of them are alive at a time."""

MEDIAN_POINTS = 1000


@dataclass(frozen=True)
class SteinDiscrepancy:
    """A squared kernel Stein discrepancy with its noise; `float()` gives its value.

    Attributes
    ----------
    value : float
        U-statistic, without bias: of mean 0, and so negative at times, if the law is right.
    null_sd : float
        Standard deviation of that statistic under the null, by bootstrap.
    p_value : float
        (1 + k)/(1 + B), k of the B bootstrap values being >= `value`.
    same_law : float or None
        The value for as many exact draws; None where none were made.
    length : float
        l of the kernel, in units of `scale`.
    n_points : int
    """

    value: float
    null_sd: float
    p_value: float
    same_law: float | None
    length: float
    n_points: int

    def __float__(self) -> float:
        return self.value


def stein_discrepancy(
    points: Points,
    scores: Points,
    *,
    scale: Values | None = None,
    length: float | None = None,
    n_bootstrap: int = 500,
    random_state: int | np.random.Generator | None = 0,
) -> SteinDiscrepancy:
    r"""Squared kernel Stein discrepancy of points to a law p, of which only the score is needed.

    With s = grad log p, r = x - y and the kernel k = (1 + |r|^2/l^2)^(-1/2),

    .. math::

        u_p(x, y) = s(x) \cdot s(y)\, k + (s(x) - s(y)) \cdot r\, \frac{k^3}{l^2}
            + \frac{d\, k^3}{l^2} - \frac{3 |r|^2 k^5}{l^4}, \qquad
        \widehat{S} = \frac{1}{n (n-1)} \sum_{i \neq j} u_p(x_i, x_j)

    (Liu, Lee, Jordan 2016, Theorem 3.6 and Eq. 14; Gorham & Mackey 2017 for the inverse
    multiquadric kernel, which, unlike a Gaussian one, does not miss a loss of mass to
    infinity). E u_p(x, y) over independent x, y of law q is 0 if q = p, and > 0 otherwise.

    The null distribution comes from a wild bootstrap: the same sum with u_p(x_i, x_j)
    multiplied by independent signs e_i e_j (Chwialkowski, Strathmann, Gretton 2016). It
    takes the points to be independent.

    The kernel sees distances alone. In many dimensions they concentrate, and it sees coarse
    differences only, such as of mean and spread; and two separate modes with the wrong masses
    have the right score nearly everywhere: it hardly sees that in any dimension. A p-value
    that is not small is not a proof of convergence.

    Parameters
    ----------
    points : array-like or Tensor (n, d), or Particles
        n >= 2.
    scores : array-like or Tensor (n, d), or Particles
        Gradient of log p at each point; the constant of p is not needed.
    scale : float or array-like (d,), optional
        Unit of each coordinate, > 0; None means 1. Coordinates of unlike sizes need it.
    length : float, optional
        l, in units of `scale`; None means the median distance between up to 1,000 of the
        points. A factor c in (c^2 + |r|^2/l^2)^(-1/2) would only rescale l and the value.
    n_bootstrap : int, default 500
        B >= 2.
    random_state : int, numpy.random.Generator or None, default 0

    Returns
    -------
    SteinDiscrepancy
        Time n^2 (d + B); memory n rows in blocks.

    Raises
    ------
    ValueError
        If an argument is out of range or the shapes do not fit.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(300, 2))
    >>> stein_discrepancy(points, -points).p_value > 0.05
    True
    >>> stein_discrepancy(points + 0.5, -points - 0.5).p_value < 0.01
    True
    """
    rng = np.random.default_rng(random_state)
    sample = _read_sample(points, scores, scale, "points")
    chosen = _median_distance(sample.points, rng) if length is None else length
    return _judge(sample, chosen, n_bootstrap, rng, None)


def gibbs_stein_discrepancy(
    particles: Particles,
    measure: GibbsMeasure,
    *,
    scale: Values | None = None,
    n_bootstrap: int = 500,
    random_state: int | np.random.Generator | None = 0,
) -> SteinDiscrepancy:
    r"""Squared kernel Stein discrepancy of neurons (a, u) to a Gibbs-form measure.

    As :func:`stein_discrepancy`, with the score of the measure, next to the value for an
    exact sample of the same size. That sample also sets the kernel, so that the cloud that
    is tested does not: l is its median distance, and the unit of each coordinate its
    standard deviation.

    Parameters
    ----------
    particles : Particles
        N >= 2 neurons of the widths of the measure.
    measure : GibbsMeasure
    scale : float or array-like (p + d,), optional
        Unit of each coordinate of (a, u), in place of the standard deviations.
    n_bootstrap : int, default 500
    random_state : int, numpy.random.Generator or None, default 0

    Returns
    -------
    SteinDiscrepancy

    Raises
    ------
    ValueError
        If the widths do not fit, or an argument is out of range.
    """
    check_widths(particles, measure.problem, "particles")
    rng = np.random.default_rng(random_state)
    drawn = draw_neurons(measure, max(2, len(particles)), int(rng.integers(2**31)))
    unit = read_points(drawn, "neurons").std(axis=0, ddof=1) if scale is None else scale
    sample = _read_sample(particles, measure.score(particles), unit, "particles")
    exact = _read_sample(drawn, measure.score(drawn), unit, "neurons")
    length = _median_distance(exact.points, rng)
    same_law, _ = _statistics(exact, length, np.zeros((0, len(exact.points))))
    return _judge(sample, length, n_bootstrap, rng, same_law)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Points and scores (n, d) in units of `scale`, the points about their mean."""

    points: Array
    scores: Array


def _read_sample(points: Points, scores: Points, scale: Values | None, name: str) -> _Sample:
    x, s = read_points(points, name), read_points(scores, "scores")
    if len(x) < 2:
        raise ValueError(f"{name} must have 2 rows or more, got {len(x)}")
    if s.shape != x.shape:
        raise ValueError(f"scores must have the shape of {name}, {x.shape}, got {s.shape}")
    unit = read_numbers(1.0 if scale is None else scale, "scale")
    if unit.shape not in {(), (x.shape[1],)}:
        raise ValueError(
            f"scale must be a number or have shape ({x.shape[1]},), got shape {unit.shape}"
        )
    if not ((unit > 0) & np.isfinite(unit)).all():
        raise ValueError(f"scale must be > 0 and finite, got {unit.min():g} to {unit.max():g}")
    return _Sample((x - x.mean(axis=0)) / unit, s * unit)


def _median_distance(points: Array, rng: np.random.Generator) -> float:
    chosen = points
    if len(points) > MEDIAN_POINTS:
        chosen = points[rng.choice(len(points), MEDIAN_POINTS, replace=False)]
    median = float(np.median(pdist(chosen)))
    if median == 0:
        raise ValueError(
            "points must be distinct for a length by their median distance, got a median of 0"
        )
    return median


def _judge(
    sample: _Sample,
    length: float,
    n_bootstrap: int,
    rng: np.random.Generator,
    same_law: float | None,
) -> SteinDiscrepancy:
    if not 0 < length < math.inf:
        raise ValueError(f"length must be > 0 and finite, got {length}")
    check_integer("n_bootstrap", n_bootstrap, 2)
    n = len(sample.points)
    signs = rng.choice(np.array([-1.0, 1.0]), size=(n_bootstrap, n))
    value, null = _statistics(sample, length, signs)
    p_value = (1 + int((null >= value).sum())) / (1 + n_bootstrap)
    return SteinDiscrepancy(value, float(null.std(ddof=1)), p_value, same_law, length, n)


def _statistics(sample: _Sample, length: float, signs: Array) -> tuple[float, Array]:
    """The U-statistic, and the same sum with each row of signs (B, n)."""
    n = len(sample.points)
    total, signed = 0.0, np.zeros(len(signs))
    for rows, block in _kernel_blocks(sample, length):
        total += float(block.sum())
        signed += np.einsum("bj,bj->b", signs[:, rows] @ block, signs)
    return total / (n * (n - 1)), signed / (n * (n - 1))


def _kernel_blocks(sample: _Sample, length: float) -> Iterator[tuple[slice, Array]]:
    """Rows of the matrix u_p(x_i, x_j), with 0 on its diagonal."""
    n = len(sample.points)
    height = max(1, BLOCK_BYTES // (8 * n))
    for start in range(0, n, height):
        rows = slice(start, min(start + height, n))
        block = _stein_kernel(
            sample.points[rows], sample.scores[rows], sample.points, sample.scores, length
        )
        within = np.arange(len(block))
        block[within, start + within] = 0
        yield rows, block


def _stein_kernel(x: Array, score_x: Array, y: Array, score_y: Array, length: float) -> Array:
    """u_p of every row of x with every row of y."""
    norms_x, norms_y = (np.einsum("id,id->i", z, z) for z in (x, y))
    squares = np.maximum(norms_x[:, None] + norms_y - 2 * x @ y.T, 0) / length**2
    drift_x = np.einsum("id,id->i", score_x, x)
    drift_y = np.einsum("id,id->i", score_y, y)
    drifts = drift_x[:, None] + drift_y - score_x @ y.T - x @ score_y.T
    k = 1 / np.sqrt(1 + squares)
    curvature = (drifts + x.shape[1] - 3 * squares * k**2) * k**3 / length**2
    result: Array = score_x @ score_y.T * k + curvature
    return result
