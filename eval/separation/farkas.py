"""Proofs that no hyperplane separates a class, checked in exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from eval.reading import Array, Values, read_labelled
from eval.separation.minimum_norm import Indices, MinimumNorm, nonnegative_solution

__all__ = ["FarkasCertificate", "exact_certificate", "exact_norm", "prove", "verify_farkas"]

EXACT_LIMIT = 80
"""Most samples in a system that is solved in fractions: the time grows as the fourth power."""

MORE_SAMPLES = 2000
"""Samples, drawn at random, that may have weight where those of the nearest point do not do."""

TRIES = 3
"""Linear programs with the target 0, and then with targets near it."""

NEAR = 1e-6
"""How far a target near 0 is moved, for samples of norm 1."""


@dataclass(frozen=True, eq=False)
class FarkasCertificate:
    r"""Weights that prove a class not separable from the others.

    .. math:: \sum_i \alpha_i s_i x_i = 0, \qquad \alpha_i \ge 0, \qquad \sum_i \alpha_i = 1,

    s_i = 1 in the class and -1 outside, and with an intercept sum_i alpha_i s_i = 0 too:
    then sum_i alpha_i s_i (u.x_i + b) = 0 for every u and b, so these are not all > 0.

    Attributes
    ----------
    indices : ndarray (m,)
        Samples of positive weight.
    weights : ndarray (m,)
        The alpha_i rounded to float64.
    residual : float
        Largest \|sum_i alpha_i s_i x_ij\| of the rounded weights over the features j, each
        relative to a power of two near the largest \|x_ij\|; from exact arithmetic.
    proof : str
        Why exact weights exist. "exact": they were found, in fractions. "perturbation": with
        M the square matrix of the system, M alpha* = (0, 1) has the solution
        alpha* = alpha - M^-1 rho, rho the exact residual, and min alpha > \|rho\| / sigma_min(M).
    """

    indices: Indices
    weights: Array
    residual: float
    proof: str


def prove(x: Array, signs: Array, support: Indices, *, intercept: bool) -> FarkasCertificate | None:
    """Look for a certificate; None if there is no proof of one.

    First on the given samples. Where these just miss 0, by round-off, then on more, as a basic
    solution of a linear program (HiGHS) with random costs. Where 0 lies on a face of the simplices
    that it finds, as with samples on common planes, round-off decides on which side of the face:
    a simplex around a target near 0 holds 0 too, or not, in exact arithmetic.

    Parameters
    ----------
    x : ndarray (n, d)
        Largest norm about 1.
    signs : ndarray (n,)
    support : ndarray (m,)
        Of the nearest point.
    intercept : bool
    """
    system = _system(x, signs, support, intercept)
    weights = nonnegative_solution(system, np.eye(len(system))[-1])
    first = None if weights is None else _certified(system, support, weights)
    if first is not None:
        return first
    rng = np.random.default_rng(0)
    others = rng.choice(len(x), size=min(len(x), MORE_SAMPLES), replace=False)
    more = np.union1d(support, others)
    system = _system(x, signs, more, intercept)
    target = np.eye(len(system))[-1]
    for _ in range(TRIES):
        basis = _basis(system, rng.uniform(1, 2, size=len(more)), target)
        if len(basis):
            weights = np.zeros(len(more))
            weights[basis] = np.linalg.lstsq(system[:, basis], target, rcond=None)[0]
            found = _certified(system, more, weights)
            if found is not None:
                return found
    for _ in range(5 * TRIES):
        near = target.copy()
        near[:-1] += NEAR * rng.standard_normal(len(target) - 1)
        basis = _basis(system, rng.uniform(1, 2, size=len(more)), near)
        if len(basis):
            found = _certified(system[:, basis], more[basis], np.ones(len(basis)))
            if found is not None:
                return found
    return None


def _basis(system: Array, costs: Array, target: Array) -> Indices:
    """Columns of a basic solution w >= 0 of system w = target of least cost; empty if none."""
    found = linprog(costs, A_eq=system, b_eq=target, method="highs-ds")
    if found.x is None or not found.success:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(found.x > 0)


def _certified(system: Array, support: Indices, weights: Array) -> FarkasCertificate | None:
    """A certificate on the samples of positive weight, if there is a proof of one."""
    kept = weights > 0
    if not kept.any():
        return None
    indices, weights, system = support[kept], weights[kept], system[:, kept]
    system = _with_sum(system[:-1])
    weights = weights / weights.sum()
    proof = "perturbation"
    if not _close_to_a_solution(system, weights):
        exact = solve_exactly(system) if len(indices) <= EXACT_LIMIT else None
        if exact is None or min(exact) < 0:
            return None
        positive = np.array([weight > 0 for weight in exact])
        weights = np.array([float(weight) for weight in exact])[positive]
        indices, system, proof = indices[positive], system[:, positive], "exact"
    largest = max((abs(r) for r in _residual(system[:-1], weights)), default=Fraction(0))
    return FarkasCertificate(indices, weights, float(largest), proof)


def verify_farkas(
    X: Values,
    y: Values,
    k: Any,
    alpha: Mapping[int, Any] | ArrayLike,
    *,
    intercept: bool = False,
    tol: float = 0.0,
) -> bool:
    r"""Whether weights prove that class k is not linearly separable from the others.

    Checks alpha >= 0, not all 0, and

    .. math:: \Bigl\| \sum_i \alpha_i s_i x_i \Bigr\| \le
        \mathrm{tol} \cdot \max_i \|x_i\| \sum_i \alpha_i

    in exact arithmetic on the given floats; with an intercept \|sum_i alpha_i s_i\| <= tol
    sum_i alpha_i too. With tol = 0 it is a proof. With tol > 0 it proves that inputs moved by
    tol of the largest norm would not be separable.

    Parameters
    ----------
    X : array-like or Tensor (n, d)
    y : array-like or Tensor (n,)
    k : label
        One of `y`.
    alpha : mapping or array-like (n,)
        Weight of each sample, or of those that have one: sample -> weight; integers, floats
        or fractions.
    intercept : bool, default False
    tol : float, default 0

    Raises
    ------
    ValueError
        If an argument is not usable.

    Examples
    --------
    >>> verify_farkas([[1.0], [2.0]], [0, 1], 0, {0: 2, 1: 1})
    True
    >>> verify_farkas([[1.0], [-2.0]], [0, 1], 0, {0: 2, 1: 1})
    False
    """
    if not 0 <= tol < math.inf:
        raise ValueError(f"tol must be >= 0 and finite, got {tol}")
    x, signs = _read_class(X, y, k)
    held = _weights_by_sample(alpha, len(x))
    if min(held.values(), default=Fraction(0)) < 0 or not any(held.values()):
        return False
    support = np.array(list(held), dtype=np.int64)
    columns = x[support].T * signs[support]
    weights = list(held.values())
    limit = Fraction(tol) * sum(weights, Fraction(0))
    largest = float(np.abs(x).max()) or 1.0
    radius = Fraction(float(np.linalg.norm(x / largest, axis=1).max())) * Fraction(largest)
    if _squares(_residual(columns, weights)) > (limit * radius) ** 2:
        return False
    sides = signs[support].astype(int).tolist()
    balance = sum((w * s for w, s in zip(weights, sides, strict=True)), Fraction(0))
    return not intercept or abs(balance) <= limit


def exact_certificate(
    X: Values,
    y: Values,
    k: Any,
    alpha: Mapping[int, Any] | ArrayLike,
    *,
    intercept: bool = False,
) -> dict[int, Fraction]:
    """Exact weights on the samples that have weight in alpha, for :func:`verify_farkas`.

    Solves sum_i alpha_i s_i x_i = 0, sum_i alpha_i = 1 (and sum_i alpha_i s_i = 0) in
    fractions of the given floats, on those samples alone; columns that depend on earlier ones
    get weight 0.

    Returns
    -------
    dict
        Sample -> weight > 0, of sum 1.

    Raises
    ------
    ValueError
        If the system has no solution, or its solution is not >= 0.

    Examples
    --------
    >>> exact_certificate([[0.1], [0.3]], [0, 1], 0, [0.75, 0.25])[1]
    Fraction(3602879701896397, 14411518807585587)
    """
    x, signs = _read_class(X, y, k)
    held = _weights_by_sample(alpha, len(x))
    support = np.array([row for row, weight in held.items() if weight > 0], dtype=np.int64)
    exact = solve_exactly(_system(x, signs, support, intercept)) if len(support) else None
    if exact is None:
        raise ValueError("alpha: no exact weights on these samples give a sum of 0")
    if min(exact) < 0:
        raise ValueError("alpha: the exact weights on these samples are not all >= 0")
    return {int(row): weight for row, weight in zip(support, exact, strict=True) if weight > 0}


def solve_exactly(system: Array) -> list[Fraction] | None:
    """Solve system w = (0, ..., 0, 1) in fractions; None if there is no solution.

    Unknowns of dependent columns are 0. Fraction-free elimination (Bareiss 1968) of integers:
    floats are dyadic, so each row is an integer row over a power of two.
    """
    rows = [
        _integers([*row, target])
        for row, target in zip(system.tolist(), np.eye(len(system))[-1].tolist(), strict=True)
    ]
    unknowns = system.shape[1]
    pivots = _eliminate(rows, unknowns)
    if any(row[unknowns] for row in rows[len(pivots) :]):
        return None
    solution = [Fraction(0)] * unknowns
    for place in reversed(range(len(pivots))):
        row, column = rows[place], pivots[place]
        known = sum(row[j] * solution[j] for j in pivots[place + 1 :])
        solution[column] = (row[unknowns] - known) / Fraction(row[column])
    return solution


def _eliminate(rows: list[list[int]], unknowns: int) -> list[int]:
    """Bring rows to echelon form in place; return the pivot columns."""
    pivots: list[int] = []
    previous = 1
    for column in range(unknowns):
        top = len(pivots)
        found = next((i for i in range(top, len(rows)) if rows[i][column]), None)
        if found is None:
            continue
        rows[top], rows[found] = rows[found], rows[top]
        pivot_row, pivot = rows[top], rows[top][column]
        for i in range(top + 1, len(rows)):
            factor = rows[i][column]
            rows[i] = [
                (pivot * a - factor * b) // previous
                for a, b in zip(rows[i], pivot_row, strict=True)
            ]
        previous = pivot
        pivots.append(column)
    return pivots


def _integers(values: list[float]) -> list[int]:
    fractions = [Fraction(value) for value in values]
    scale = max(fraction.denominator for fraction in fractions)
    return [int(fraction * scale) for fraction in fractions]


def _system(x: Array, signs: Array, support: Indices, intercept: bool) -> Array:
    """Columns (s_i x_i, s_i, 1).

    Rows other than the last are over powers of two near their largest entries, and there is
    none that is zero or stands there already: the solutions are exactly the same.
    """
    columns = x[support].T * signs[support]
    if intercept:
        columns = np.vstack([columns, signs[support]])
    _, exponents = np.frexp(np.abs(columns).max(axis=1, keepdims=True))
    return _with_sum(np.ldexp(columns, -exponents))


def _with_sum(rows: Array) -> Array:
    """The distinct rows that are not zero, and last a row of ones."""
    return np.vstack([np.unique(rows[rows.any(axis=1)], axis=0), np.ones(rows.shape[1])])


def _close_to_a_solution(system: Array, weights: Array) -> bool:
    """Whether an exact solution > 0 of a square system is near the weights."""
    if system.shape[0] != system.shape[1]:
        return False
    singular = np.linalg.svd(system, compute_uv=False)
    least = singular[-1] - 10 * len(system) * np.finfo(np.float64).eps * singular[0]
    rho = _residual(system, weights)
    rho[-1] -= 1
    return bool(least > 0 and weights.min() * least > _norm(rho) * (1 + 1e-12))


def _residual(columns: Array, weights: Sequence[Any] | Array) -> list[Fraction]:
    """The exact sum_i weights_i columns[:, i]."""
    exact = [Fraction(weight) for weight in weights]
    return [
        sum(
            (Fraction(value) * w for value, w in zip(row, exact, strict=True) if value), Fraction(0)
        )
        for row in columns.tolist()
    ]


def exact_norm(x: Array, signs: Array, found: MinimumNorm, *, intercept: bool) -> float:
    """Norm of sum_i w_i s_i x_i / sum_i w_i in exact arithmetic, rounded up.

    With an intercept the weights of each side are first made to add up to 1/2.
    """
    rows = found.support
    weights = [Fraction(weight) for weight in found.weights.tolist()]
    inside = (signs[rows] > 0).tolist()
    total = sum(weights, Fraction(0))
    if intercept:
        within = sum((w for w, mine in zip(weights, inside, strict=True) if mine), Fraction(0))
        sides = {True: 2 * within, False: 2 * (total - within)}
        weights = [w / sides[mine] for w, mine in zip(weights, inside, strict=True)]
        total = Fraction(1)
    squares = _squares(_residual(x[rows].T * signs[rows], weights)) / total**2
    return math.sqrt(squares) * (1 + 1e-15)


def _read_class(X: Values, y: Values, k: Any) -> tuple[Array, Array]:
    """Samples (n, d), and the signs s_i = 1 in the class of label k, -1 outside."""
    x, classes, members = read_labelled(X, y)
    found = np.flatnonzero(classes == k)
    if len(found) != 1:
        raise ValueError(f"k must be one of the labels {classes.tolist()}, got {k!r}")
    return x, np.where(members == found[0], 1.0, -1.0)


def _squares(values: list[Fraction]) -> Fraction:
    return sum((value * value for value in values), Fraction(0))


def _norm(values: list[Fraction]) -> float:
    return math.sqrt(math.fsum(float(value) ** 2 for value in values))


def _weights_by_sample(alpha: Any, n: int) -> dict[int, Fraction]:
    """Nonzero weights, as fractions."""
    if not isinstance(alpha, Mapping):
        values = list(alpha)
        if len(values) != n:
            raise ValueError(f"alpha must have shape ({n},), got ({len(values)},)")
        alpha = dict(enumerate(values))
    try:
        held = {int(row): _fraction(weight) for row, weight in alpha.items()}
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"alpha must hold finite numbers: {error}") from error
    for row in held:
        if not 0 <= row < n:
            raise ValueError(f"alpha names sample {row}, and there are {n}")
    return {row: weight for row, weight in held.items() if weight}


def _fraction(weight: Any) -> Fraction:
    return Fraction(weight.item() if isinstance(weight, np.generic) else weight)
