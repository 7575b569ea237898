"""Linear separability of labelled samples (Definition 5.2): margins, and proofs where none is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.reading import Array, Values, read_labelled
from eval.separation.farkas import FarkasCertificate, exact_norm, prove
from eval.separation.minimum_norm import Indices, MinimumNorm, minimum_norm
from gibbs.model.checks import check_integer

__all__ = [
    "ClassSeparability",
    "Separability",
    "SeparabilityStatus",
    "largest_margin",
    "separability",
]

EPS = float(np.finfo(np.float64).eps)

UNDERFLOW = 1e-300
"""Above what products that underflow can add up to."""


class SeparabilityStatus(StrEnum):
    """What is proved about a class; UNDECIDED where float64 and fractions prove nothing."""

    SEPARABLE = "separable"
    NOT_SEPARABLE = "not separable"
    UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False)
class ClassSeparability:
    """One class against all others.

    Attributes
    ----------
    label : object
    n_samples : int
    status : SeparabilityStatus
    margin : float
        tau/M of `direction`, min_i s_i (u.x_i + b), in the units of X; 0 unless separable.
    upper : float
        No direction has a larger margin; 0 where not separable.
    direction : ndarray (d,)
        Unit u; zeros unless separable, where u = 0 is the best in the unit ball.
    offset : float
        b; 0 without intercept.
    support : ndarray (m,)
        Samples of positive multiplier; those of the certificate where not separable.
    multipliers : ndarray (m,)
        alpha > 0 of sum 1 with sum_i alpha_i s_i x_i = margin u, up to round-off and
        `upper` - `margin`.
    certificate : FarkasCertificate or None
        The proof where the status is "not separable".
    """

    label: Any
    n_samples: int
    status: SeparabilityStatus
    margin: float
    upper: float
    direction: Array
    offset: float
    support: Indices
    multipliers: Array
    certificate: FarkasCertificate | None


@dataclass(frozen=True, eq=False)
class Separability:
    """Every class against the others, see :func:`separability`.

    Attributes
    ----------
    by_class : tuple of ClassSeparability
        In the order of the sorted labels.
    intercept : bool
    radius : float
        Largest norm of a sample. Definition 5.2 asks for 1: `margin` / `radius` is the tau/M of
        X / `radius`.
    """

    by_class: tuple[ClassSeparability, ...]
    intercept: bool
    radius: float

    @property
    def status(self) -> SeparabilityStatus:
        """Not separable if one class is not, separable if all are, else undecided."""
        found = {each.status for each in self.by_class}
        for status in (SeparabilityStatus.NOT_SEPARABLE, SeparabilityStatus.UNDECIDED):
            if status in found:
                return status
        return SeparabilityStatus.SEPARABLE

    @property
    def separable(self) -> bool:
        """Whether every class is proved separable; see `status` for what False means."""
        return self.status is SeparabilityStatus.SEPARABLE

    @property
    def margin(self) -> float:
        """tau/M: the least of the margins of the classes; 0 unless separable."""
        return float(self.margins.min())

    @property
    def upper(self) -> float:
        """No directions have a larger tau/M."""
        return min(each.upper for each in self.by_class)

    @property
    def classes(self) -> NDArray[Any]:
        """Sorted labels (q,)."""
        return np.array([each.label for each in self.by_class])

    @property
    def margins(self) -> Array:
        """Margin of each class (q,)."""
        return np.array([each.margin for each in self.by_class])

    @property
    def directions(self) -> Array:
        """Unit direction of each class (q, d); zeros unless separable."""
        return np.array([each.direction for each in self.by_class])

    @property
    def offsets(self) -> Array:
        """Offset of each class (q,); zeros without intercept."""
        return np.array([each.offset for each in self.by_class])

    @property
    def support(self) -> tuple[Indices, ...]:
        """Support points of each class."""
        return tuple(each.support for each in self.by_class)

    @property
    def multipliers(self) -> tuple[Array, ...]:
        """Multipliers of the support points of each class."""
        return tuple(each.multipliers for each in self.by_class)


def separability(
    X: Values,
    y: Values,
    *,
    intercept: bool = False,
    tol: float = 1e-9,
    max_rounds: int = 5000,
) -> Separability:
    r"""Whether samples are (tau, M)-linearly separable, and with which largest tau/M.

    Definition 5.2 asks, for each class k, for a u_k with \|u_k\| <= M, u_k.x >= tau on the class
    and u_k.x < -tau on the others. With s_i = 1 in the class and -1 outside, the largest tau at
    M = 1 (its supremum: the strict sign costs nothing) is

    .. math:: \tau_k = \max_{\|u\| \le 1} \min_i s_i\, u \cdot x_i
        = \min_{\alpha \ge 0, \sum_i \alpha_i = 1} \Bigl\| \sum_i \alpha_i s_i x_i \Bigr\|,

    the hard-margin support vector machine through the origin and its dual, and tau/M is the
    least tau_k. With `intercept`, u.x + b takes the place of u.x with b free, and
    sum_i alpha_i s_i = 0 joins the dual: tau_k is half the distance between two hulls. That
    is more than the paper allows.

    Every statement rests on a check that does not trust the search:

    - *separable*: s_i (u.x_i + b) exceeds the error bound of its evaluation in float64,
      (d + 3) 2^-52 (sum_j \|x_ij u_j\| + \|b\|), for every i;
    - *not separable*: alpha >= 0 with sum_i alpha_i s_i x_i = 0 exists, shown by perturbation
      of a well-conditioned system or found in fractions, see :class:`FarkasCertificate`;
    - *undecided*: neither. `upper` then bounds the margin, and moving every sample by `upper`
      makes the class not separable; in practice upper < 1e-12 radius.

    Parameters
    ----------
    X : array-like or Tensor (n, d)
        Of any norm, see :attr:`Separability.radius`.
    y : array-like or Tensor (n,)
        Labels of any type that sorts, two classes or more.
    intercept : bool, default False
    tol : float, default 1e-9
        The search ends where margin >= (1 - tol) upper. Round-off keeps it from a relative
        accuracy better than about 1e-15 radius / margin.
    max_rounds : int, default 5000
        Of the search, per class, see :func:`~eval.separation.minimum_norm.minimum_norm`; one that
        ends early leaves a wider bracket of margin and upper, never a wrong status.

    Returns
    -------
    Separability

    Raises
    ------
    ValueError
        If an argument is not usable; the message names it.

    Examples
    --------
    >>> found = separability([[3.0, 4.0], [3.0, -4.0], [-3.0, 0.0]], ["a", "a", "b"])
    >>> found.separable, round(found.margin, 12), found.directions[0, 0].round(12).item()
    (True, 3.0, 1.0)
    >>> print(separability([[0.0], [1.0], [2.0]], [0, 1, 0], intercept=True).status)
    not separable
    """
    if not 0 < tol < 1:
        raise ValueError(f"tol must be > 0 and < 1, got {tol}")
    check_integer("max_rounds", max_rounds, 1)
    x, classes, members = read_labelled(X, y)
    unit = _unit(x)
    samples = _Samples(x / unit, unit, intercept, tol, max_rounds)
    labels = classes.tolist()
    by_class = tuple(
        samples.decide(labels[k], np.where(members == k, 1.0, -1.0)) for k in range(len(classes))
    )
    return Separability(by_class, intercept, float(samples.norms.max()) * unit)


class _Samples:
    """Samples over a power of two near their largest norm, and the decision about each class."""

    def __init__(self, x: Array, unit: float, intercept: bool, tol: float, max_rounds: int) -> None:
        self.x, self.unit, self.intercept = x, unit, intercept
        self.tol, self.max_rounds = tol, max_rounds
        self.norms = np.linalg.norm(x, axis=1)
        self._round_off = (x.shape[1] + 3) * EPS

    def decide(self, label: Any, signs: Array) -> ClassSeparability:
        """Bounds first; then a proof; then both again in coordinates of like scale."""
        found = minimum_norm(
            self.x, signs, intercept=self.intercept, tol=self.tol, max_rounds=self.max_rounds
        )
        status, certificate = self._proved(found, signs)
        if status is SeparabilityStatus.UNDECIDED:
            other = self._second_look(signs)
            status, certificate = self._proved(other, signs)
            if status is SeparabilityStatus.SEPARABLE:
                found = replace(
                    found, direction=other.direction, offset=other.offset, lower=other.lower
                )
        return self._result(label, signs, found, status, certificate)

    def _proved(
        self, found: MinimumNorm, signs: Array
    ) -> tuple[SeparabilityStatus, FarkasCertificate | None]:
        if found.lower > 0 and self._right_side(found, signs):
            return SeparabilityStatus.SEPARABLE, None
        certificate = prove(self.x, signs, found.support, intercept=self.intercept)
        if certificate is not None:
            return SeparabilityStatus.NOT_SEPARABLE, certificate
        return SeparabilityStatus.UNDECIDED, None

    def _right_side(self, found: MinimumNorm, signs: Array) -> bool:
        """Whether every sample is on its side by more than round-off can explain."""
        scores = signs * (self.x @ found.direction + found.offset)
        near = scores <= self._round_off * (self.norms + abs(found.offset))
        sizes = np.abs(self.x[near]) @ np.abs(found.direction) + abs(found.offset)
        return bool((scores[near] > self._round_off * sizes + UNDERFLOW).all())

    def _second_look(self, signs: Array) -> MinimumNorm:
        """The search where columns and rows have like scales; only the signs stay the same.

        Columns over their largest entries are L S V^T, u.x = w.(V S^-1)^T x for them, and rows
        are scaled to norm 1.
        """
        inputs = np.column_stack([self.x, np.ones(len(self.x))]) if self.intercept else self.x
        columns = np.abs(inputs).max(axis=0)
        columns[columns == 0] = 1
        _, sizes, axes = np.linalg.svd(inputs / columns, full_matrices=False)
        kept = sizes > 1e-13 * sizes[0]
        back = (axes[kept] / columns).T / sizes[kept]
        rows = inputs @ back
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.where(lengths > 0, lengths, 1)
        found = minimum_norm(rows, signs, intercept=False, tol=self.tol, max_rounds=self.max_rounds)
        vector = back @ found.direction
        direction, offset = (vector[:-1], vector[-1]) if self.intercept else (vector, 0.0)
        length = float(np.linalg.norm(direction)) or 1.0
        direction, offset = direction / length, float(offset) / length
        lower = float((signs * (self.x @ direction + offset)).min())
        return MinimumNorm(direction, offset, lower, math.inf, found.support, found.weights)

    def _result(
        self,
        label: Any,
        signs: Array,
        found: MinimumNorm,
        status: SeparabilityStatus,
        certificate: FarkasCertificate | None,
    ) -> ClassSeparability:
        separable = status is SeparabilityStatus.SEPARABLE
        margin = found.lower * self.unit if separable else 0.0
        upper = 0.0
        support, multipliers = found.support, found.weights
        if certificate is None:
            norm = exact_norm(self.x, signs, found, intercept=self.intercept)
            upper = max(norm * self.unit, margin)
        else:
            support, multipliers = certificate.indices, certificate.weights
        return ClassSeparability(
            label,
            int((signs > 0).sum()),
            status,
            margin,
            upper,
            found.direction if separable else np.zeros(self.x.shape[1]),
            found.offset * self.unit if separable else 0.0,
            support,
            multipliers,
            certificate,
        )


def _unit(x: Array) -> float:
    """A power of two near the largest norm: dividing by it is exact.

    Raises
    ------
    ValueError
        If it would not be, because the smallest entry underflows.
    """
    sizes = np.abs(x)
    largest = float(sizes.max())
    if largest == 0:
        return 1.0
    if float(sizes.min(where=sizes > 0, initial=largest)) < 1e-280 * largest:
        raise ValueError("X must have entries within 280 orders of magnitude, or 0")
    exponent = math.frexp(largest)[1]
    norm = float(np.linalg.norm(x * 2.0**-exponent, axis=1).max())
    return 2.0 ** (exponent + math.frexp(norm)[1])


def largest_margin(n_classes: int, *, intercept: bool = False) -> float:
    r"""Largest tau/M that q >= 2 classes in the unit ball can have: q/(3q - 4).

    Upper bound. Take a sample x_k of each class, unit directions u_k, S = sum_j x_j and, for
    c >= 0, v_k = x_k - c sum_{j != k} x_j. Definition 5.2 gives tau (1 + c(q-1)) <= u_k.v_k
    <= \|v_k\|, while sum_k \|v_k\|^2 = (1+c)^2 sum_k \|x_k\|^2 + (q c^2 - 2c - 2c^2) \|S\|^2
    <= (1+c)^2 q if (q-2) c <= 2. At c = 2/(q-2) this reads tau <= q/(3q-4); for q = 2 let c
    grow.

    It is attained by unit directions with equal inner products (q-4)/(3q-4), which
    :class:`SeparableDistribution` uses: with Gram matrix G, the shortest x with
    u_k.x = s_k has \|x\|^2 = s^T G^-1 s = tau^2 ((3q-4)/q)^2 for s = tau (2 e_k - 1).

    With an intercept it is q/(2(q - 1)): tau is at most half the distance of x_k to
    m_k = (S - x_k)/(q-1), a point of the hull of the others, and sum_k \|x_k - m_k\|^2
    = (q^2 sum_k \|x_k\|^2 - q \|S\|^2)/(q-1)^2 <= q^3/(q-1)^2. The vertices of a regular simplex
    attain it.

    Examples
    --------
    >>> largest_margin(2), largest_margin(4)
    (1.0, 0.5)
    >>> largest_margin(3, intercept=True)
    0.75
    """
    check_integer("n_classes", n_classes, 2)
    if intercept:
        return n_classes / (2 * (n_classes - 1))
    return n_classes / (3 * n_classes - 4)
