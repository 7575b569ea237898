"""The point of least norm in the convex hull of signed samples, from a small working set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from eval.reading import Array

__all__ = ["Indices", "MinimumNorm", "minimum_norm", "nonnegative_solution"]

Indices = NDArray[np.int64]

TINY = 1e-13
"""A norm below this share of the largest sample cannot be distinguished from 0 in float64."""

PATIENCE = 10
"""Rounds without a better bound before the search gives up."""


@dataclass(frozen=True, eq=False)
class MinimumNorm:
    """Two bounds on the least norm, each with the point or direction that shows it.

    Attributes
    ----------
    direction : ndarray (d,)
        Unit u; zeros where no direction was found.
    offset : float
        b; 0 without intercept.
    lower : float
        min_i s_i (u.x_i + b); -inf without a direction.
    upper : float
        Norm of sum_i w_i s_i x_i.
    support : ndarray (m,)
        Samples of positive weight, in rising order.
    weights : ndarray (m,)
        w > 0, of sum 1.
    """

    direction: Array
    offset: float
    lower: float
    upper: float
    support: Indices
    weights: Array


class _Hull:
    """Hull of the points s_i x_i; a member is one sample."""

    def __init__(self, x: Array, signs: Array) -> None:
        self.x, self.signs = x, signs

    def start(self) -> Indices:
        return np.array([[0]])

    def points(self, members: Indices) -> Array:
        rows = members[:, 0]
        return np.asarray(self.x[rows] * self.signs[rows, None])

    def bound(self, projections: Array) -> tuple[float, float]:
        """Least s_i (u.x_i + b) over the samples, and b."""
        return float((self.signs * projections).min()), 0.0

    def lowest(self, projections: Array, count: int) -> tuple[Indices, Array]:
        """About `count` members of least projection, and these."""
        scores = self.signs * projections
        rows = _smallest(scores, count)
        return rows[:, None], scores[rows]

    def weights(self, members: Indices, weights: Array) -> tuple[Indices, Array]:
        return _gathered(members[:, 0], weights)


class _HalfDifferences(_Hull):
    """Hull of the points (x_i - x_j)/2, s_i = 1, s_j = -1; a member is a pair of samples."""

    def __init__(self, x: Array, signs: Array) -> None:
        super().__init__(x, signs)
        self.inside, self.outside = np.flatnonzero(signs > 0), np.flatnonzero(signs < 0)

    def start(self) -> Indices:
        return np.array([[self.inside[0], self.outside[0]]])

    def points(self, members: Indices) -> Array:
        return np.asarray((self.x[members[:, 0]] - self.x[members[:, 1]]) / 2)

    def bound(self, projections: Array) -> tuple[float, float]:
        low, high = projections[self.inside].min(), projections[self.outside].max()
        return float(low - high) / 2, -float(low + high) / 2

    def lowest(self, projections: Array, count: int) -> tuple[Indices, Array]:
        side = math.isqrt(count) + 1
        near = self.inside[_smallest(projections[self.inside], side)]
        far = self.outside[_smallest(-projections[self.outside], side)]
        pairs = np.stack(np.meshgrid(near, far, indexing="ij"), axis=-1).reshape(-1, 2)
        return pairs, (projections[pairs[:, 0]] - projections[pairs[:, 1]]) / 2

    def weights(self, members: Indices, weights: Array) -> tuple[Indices, Array]:
        return _gathered(members.ravel(), np.repeat(weights / 2, 2))


def minimum_norm(
    x: Array, signs: Array, *, intercept: bool, tol: float, max_rounds: int
) -> MinimumNorm:
    r"""Largest margin of one class against the others, as a distance from the origin.

    By duality of the hard-margin support vector machine,

    .. math:: \max_{\|u\| \le 1} \min_i s_i u \cdot x_i
        = \min_{w \ge 0, \sum_i w_i = 1} \Bigl\| \sum_i w_i s_i x_i \Bigr\|,

    and with an intercept b the same under sum_i w_i s_i = 0: half the distance of the two
    hulls, whose points are the averages of (x_i - x_j)/2. Every u bounds the common value from
    below and every w from above.

    Nearest point on a working set (non-negative least squares, Lawson and Hanson 1974, chapter
    23), then the samples of least s_i u.x_i join it and those of weight 0 leave: the norm falls
    in every round, so the search ends (Wolfe 1976). A round costs one product of x (n, d) with
    a vector and a problem in O(d) unknowns.

    Parameters
    ----------
    x : ndarray (n, d)
        Largest norm about 1.
    signs : ndarray (n,)
        s_i = 1 in the class, -1 outside; both occur.
    intercept : bool
    tol : float
        Stop when upper - lower <= tol upper.
    max_rounds : int
    """
    search = _Search(x, _HalfDifferences(x, signs) if intercept else _Hull(x, signs), tol)
    for _ in range(max_rounds):
        if search.round_ends():
            break
    return search.result()


class _Search:
    """The best bounds so far, and the working set."""

    def __init__(self, x: Array, hull: _Hull, tol: float) -> None:
        self.x, self.hull, self.tol = x, hull, tol
        self.count = max(20, 2 * x.shape[1])
        self.members = hull.start()
        self.direction, self.offset, self.lower = np.zeros(x.shape[1]), 0.0, -math.inf
        self.held, self.weights, self.upper = self.members, np.ones(1), math.inf
        self.idle = 0

    def round_ends(self) -> bool:
        """Do one round; whether it was the last."""
        points = self.hull.points(self.members)
        weights = _nearest(points)
        if weights is None:
            return True
        kept = weights > 0
        self.members, points, weights = self.members[kept], points[kept], weights[kept]
        unit = _direction(points, weights)
        norm = float(np.linalg.norm(weights @ points))
        before = self.upper, self.lower
        if norm < self.upper:
            self.upper, self.held, self.weights = norm, self.members, weights
        if self.upper <= TINY:
            return True
        projections = self.x @ unit
        lower, offset = self.hull.bound(projections)
        if lower > self.lower:
            self.direction, self.offset, self.lower = unit, offset, lower
        return self._closed(before) or not self._grow(projections, norm)

    def _closed(self, before: tuple[float, float]) -> bool:
        """Whether the bounds meet, or have not moved for a while."""
        upper, lower = before
        moved = self.upper < upper * (1 - 1e-12) or self.lower > lower + 1e-12 * abs(lower)
        self.idle = 0 if moved else self.idle + 1
        return self.upper - self.lower <= self.tol * self.upper or self.idle > PATIENCE

    def _grow(self, projections: Array, norm: float) -> bool:
        """Let the lowest samples join; whether there are any below the nearest point."""
        fresh, scores = self.hull.lowest(projections, self.count)
        fresh = fresh[scores < norm * (1 - self.tol / 2)]
        self.members = np.unique(np.vstack([self.members, fresh]), axis=0)
        return len(fresh) > 0

    def result(self) -> MinimumNorm:
        support, weights = self.hull.weights(self.held, self.weights)
        return MinimumNorm(self.direction, self.offset, self.lower, self.upper, support, weights)


def nonnegative_solution(columns: Array, target: Array) -> Array | None:
    """The w >= 0 nearest to columns w = target, on independent columns; None if not found."""
    try:
        return np.asarray(nnls(columns, target, maxiter=30 * columns.shape[1] + 100)[0])
    except RuntimeError:
        return None


def _nearest(points: Array) -> Array | None:
    r"""Weights of the point of least norm in the hull of the rows (m, d).

    The w >= 0 that minimises \|sum_i w_i p_i\|^2 + (1 - sum_i w_i)^2 is proportional to them:
    for any sum of w the first term alone decides the shares.
    """
    columns = np.vstack([points.T, np.ones(len(points))])
    target = np.zeros(len(columns))
    target[-1] = 1
    weights = nonnegative_solution(columns, target)
    return None if weights is None or not weights.sum() > 0 else weights / weights.sum()


def _direction(points: Array, weights: Array) -> Array:
    """Unit vector of the nearest point, or of the shortest u with u.p = 1 on all points.

    In exact arithmetic they are the same. Round-off of the first grows as 1/norm.
    """
    nearest = weights @ points
    shortest = np.linalg.lstsq(points, np.ones(len(points)), rcond=None)[0]
    units = [v / np.linalg.norm(v) for v in (nearest, shortest) if np.linalg.norm(v) > 0]
    if not units:
        return np.zeros(points.shape[1])
    return np.asarray(max(units, key=lambda unit: (points @ unit).min()))


def _smallest(values: Array, count: int) -> Indices:
    if count >= len(values):
        return np.arange(len(values))
    return np.asarray(np.argpartition(values, count)[:count])


def _gathered(rows: Indices, weights: Array) -> tuple[Indices, Array]:
    support, places = np.unique(rows, return_inverse=True)
    return support, np.bincount(places, weights).astype(np.float64)
