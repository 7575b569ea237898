r"""The moments of a law of neurons that the statements are about, and eps_S.

Features (Eq. 2), outputs (Eq. 3), loss (Eq. 4), kernel (Eq. 8), and eps_S of Definition 4.1.

For a Gibbs-form measure everything is a sum over its points, with a integrated given u in closed
form. With P = (gamma/n)(Z - Y) W^T the gradient of the loss in the features, the law of a given u
by its local fields c = W_0 C^T s(u), and that of u by the dual variable G, the gradient of the
first variation of the free energy is

.. math::

    \nabla_a &= \Delta^T s(u), \qquad \Delta = P - \gamma C W_0^T \\
    \nabla_u &= \sum_i [a \cdot \Delta_i + \tfrac1\beta (\psi'(c_G) \cdot W_0 G_i
        - \psi'(c_C) \cdot W_0 C_i)]\, \sigma'(u \cdot x_i)\, x_i.

At W = W_0 and C = G that is gamma grad sum_i (a . W D_i) sigma(u.x_i), D = (Z - Y)/n - G.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from torch import Tensor

from eval.distances.clouds import check_widths
from eval.theory.projection import LEAST_NEURONS, projected_squares
from gibbs import (
    GibbsMeasure,
    Particles,
    Problem,
    data_loss,
    features,
    first_variation_gradient,
    kernel,
    outputs,
)
from gibbs.model.energy import add_ridge, feature_gradient
from gibbs.model.tiles import tiles
from gibbs.solver.conditional import Conditional
from gibbs.solver.dual import TILE, dual_value_at
from gibbs.solver.replays import jackknife

__all__ = ["Known", "Law", "Stationarity", "each_left_out", "law_of", "of_measure"]

SURE = 10.0
"""Errors of a squared eps_S: chance passes them less than once in 10,000 times."""


class Known(StrEnum):
    """What a value of eps_S says of that of the law."""

    EXACT = "exact"
    UPPER = "upper bound"
    LOWER = "lower bound"
    NEITHER = "no bound"


@dataclass(frozen=True)
class Stationarity:
    """eps_S of Definition 4.1: the L2(rho) norm of grad (dE/drho), its parts, how it was found.

    Attributes
    ----------
    value, in_a, in_u : float
        NaN where not known.
    known : Known
    how : str
    square_stderr : float
        Standard error of value^2; 0 where it is no estimate.
    """

    value: float
    in_a: float
    in_u: float
    known: Known
    how: str
    square_stderr: float = 0.0

    @classmethod
    def of_squares(
        cls, in_a: float, in_u: float, known: Known, how: str, square_stderr: float = 0.0
    ) -> Stationarity:
        """From the mean squares of both parts; an estimate below 0 counts as 0."""
        a, u = (square if math.isnan(square) else max(0.0, square) for square in (in_a, in_u))
        return cls(math.sqrt(a + u), math.sqrt(a), math.sqrt(u), known, how, square_stderr)

    @property
    def exact(self) -> bool:
        """Whether it is that of the law given."""
        return self.known is Known.EXACT

    def within(self, tol: float) -> bool | None:
        """Whether eps_S <= tol; None where a bound does not decide it.

        A lower bound that is an estimate counts where it is above tol by SURE of its errors.
        """
        if self.value <= tol:
            return True if self.known in {Known.EXACT, Known.UPPER} else None
        surely = self.value**2 - SURE * self.square_stderr > tol**2
        return False if surely and self.known in {Known.EXACT, Known.LOWER} else None


_NOWHERE = Stationarity(math.nan, math.nan, math.nan, Known.LOWER, "not looked at")


@dataclass(frozen=True, eq=False)
class Law:
    """Moments of a law rho and a linear layer W, all in float64.

    Attributes
    ----------
    problem : Problem
        Its `w` is W, not W_0.
    lambda_w : float
    features : Tensor (n, p)
        H.
    kernel : Tensor (n, n)
        K, Eq. 8.
    moment : Tensor (p, p) or None
        E[a a^T]; None where a is truncated under a measure.
    mean_square : float
        E|theta|^2.
    kl_estimate : float or None
        KL(rho | rho_0); None for a cloud, which has no entropy, NaN for a marginal descent. For a
        Monte Carlo law noise may make it negative.
    kl_stderr : float
        Its standard error over the independent replays; 0 for quadrature.
    lower_bound : float
        D(G) <= min E at this W; -inf where not known.
    stationarity : Stationarity
    mismatch : Tensor (n, p) or None
        Delta with grad_a = Delta^T s(u); None for a cloud, and where a is truncated.
    """

    problem: Problem
    lambda_w: float
    features: Tensor
    kernel: Tensor
    moment: Tensor | None
    mean_square: float
    kl_estimate: float | None
    kl_stderr: float
    lower_bound: float
    stationarity: Stationarity
    mismatch: Tensor | None

    @property
    def kl(self) -> float | None:
        """KL(rho | rho_0) >= 0: the estimate, or 0 where noise has made it negative."""
        kl = self.kl_estimate
        return kl if kl is None or math.isnan(kl) else max(0.0, kl)

    @property
    def free_energy(self) -> float:
        """E relative to the prior, L_n + KL/beta, by the estimate of KL; NaN without one."""
        kl = math.nan if self.kl_estimate is None else self.kl_estimate
        return self.loss + kl * self.problem.temperature

    @property
    def excess(self) -> float:
        """Most by which the free energy is above the least one: E(rho) - D(G)."""
        return self.free_energy - self.lower_bound

    @property
    def w(self) -> Tensor:
        """W."""
        return self.problem.w

    @property
    def residual(self) -> Tensor:
        """Z - Y (n, q)."""
        z = outputs(self.features, self.w, self.problem.gamma)
        return z - self.problem.y

    @property
    def loss(self) -> float:
        """L_n."""
        return float(data_loss(self.residual, torch.zeros_like(self.problem.y)))

    @property
    def regularized_loss(self) -> float:
        """L_{lambda,n}, Eq. 4."""
        layer = (self.lambda_w, float(self.w.square().sum()))
        return add_ridge(self.loss, (self.problem.decay, self.mean_square), layer)

    @property
    def gradient_w(self) -> Tensor:
        """Gradient in W: (gamma/n) H^T (Z - Y) + lambda_w W."""
        product = self.features.T @ self.residual
        return self.problem.gamma / self.problem.n_samples * product + self.lambda_w * self.w

    @property
    def correlations(self) -> Tensor:
        r"""S = E[s(u) grad_a^T] = lambda H + K P (n, p), by parts: E[s grad_a log rho] = 0."""
        p = feature_gradient(self.residual, self.w, self.problem.gamma)
        return self.problem.decay * self.features + self.kernel @ p


def law_of(
    problem: Problem,
    law: GibbsMeasure | Particles,
    *,
    w: Tensor | None = None,
    lambda_w: float | None = None,
) -> Law:
    """Moments of a measure (by its points) or of a cloud (means over its neurons).

    Parameters
    ----------
    problem : Problem
        Its `w` is W_0, the layer of stage one.
    law : GibbsMeasure or Particles
        A measure must be one of this problem.
    w : Tensor (p, q), optional
        W; None means W_0.
    lambda_w : float, optional
        None means 1/beta, or lambda_rho at beta = inf.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not belong together.

    Examples
    --------
    >>> problem = Problem(torch.eye(2), torch.eye(2), torch.eye(2), beta=100.0)
    >>> law = law_of(problem, Particles(torch.zeros(1, 2), torch.zeros(1, 2)))
    >>> law.loss, law.kl
    (0.5, None)
    """
    if problem.sample_weight is not None:
        raise ValueError("problem must have no sample_weight: the statements are for equal weights")
    now, lambda_w = _with_layer(problem, w, lambda_w)
    if isinstance(law, GibbsMeasure):
        _check_same(problem, law.problem)
        return of_measure(now, law, lambda_w)
    if not isinstance(law, Particles):
        raise TypeError(f"law must be Particles or a GibbsMeasure, got {type(law).__name__}")
    check_widths(law, problem, "law")
    return _of_cloud(now, law.to(torch.float64), lambda_w)


def each_left_out(measure: GibbsMeasure) -> Iterator[GibbsMeasure]:
    """The measure without each of its independent draws in turn, for the jackknife."""
    assert measure.replays is not None
    return (measure.without(draw) for draw in range(int(measure.replays.max()) + 1))


def _with_layer(
    problem: Problem, w: Tensor | None, lambda_w: float | None
) -> tuple[Problem, float]:
    """The problem in float64 with the current layer, and its L2 weight."""
    if not problem.decay > 0:
        raise ValueError("lambda_rho must be > 0 for these statements, got 0")
    exact = problem.to(torch.float64)
    layer = exact.w if w is None else torch.as_tensor(w, dtype=torch.float64)
    if layer.shape != exact.w.shape:
        raise ValueError(f"w must have shape {tuple(exact.w.shape)}, got {tuple(layer.shape)}")
    if lambda_w is None:
        lambda_w = problem.decay if math.isinf(problem.beta) else problem.temperature
    if not 0 < lambda_w < math.inf:
        raise ValueError(f"lambda_w must be > 0 and finite, got {lambda_w}")
    return replace(exact, w=layer), lambda_w


def _check_same(problem: Problem, other: Problem) -> None:
    """Only y and W of a measure's problem may differ: they do not enter its law."""
    names = ("beta", "gamma", "lambda_rho", "truncation", "activation")
    differ = [name for name in names if getattr(problem, name) != getattr(other, name)]
    if problem.y.shape != other.y.shape:
        differ.append("y")
    if problem.x.shape != other.x.shape or not bool((problem.x == other.x).all()):
        differ.append("x")
    if differ:
        raise ValueError(f"the measure must be one of this problem: {', '.join(differ)} differ")


def of_measure(problem: Problem, measure: GibbsMeasure, lambda_w: float) -> Law:
    """Moments of a measure of that problem, in float64, with the W of the problem."""
    own, conditional = measure.problem.w.double(), Conditional.of(problem)
    x = problem.x @ measure.basis
    n, p = problem.n_samples, len(own)
    h, k, moment = (own.new_zeros(size) for size in ((n, p), (n, n), (p, p)))
    for tile in tiles(len(measure.points), TILE):
        s, weights = problem.sigma(measure.points[tile] @ x.T), measure.weights[tile, None]
        means = conditional.mean(s @ measure.coefficients @ own.T)
        h += (weights * s).T @ means
        k += (weights * s).T @ s
        moment += (weights * means).T @ means
    free = problem.truncation is None
    moment.diagonal().add_(1 / conditional.precision)
    found = Law(
        problem=problem,
        lambda_w=lambda_w,
        features=h,
        kernel=k,
        moment=moment if free else None,
        mean_square=sum(measure.mean_square()),
        kl_estimate=measure.kl_to_prior(),
        kl_stderr=_kl_stderr(measure),
        lower_bound=_lower_bound(problem, measure),
        stationarity=_NOWHERE,
        mismatch=None,
    )
    delta = feature_gradient(found.residual, problem.w, problem.gamma)
    delta = delta - problem.gamma * measure.coefficients @ own.T
    in_a, in_u = _gradient_squares(problem, measure, x, delta)
    how = f"sum over the {len(measure.points)} points of the measure, a integrated given u"
    above = measure.replays is not None or math.isnan(measure.log_z)
    if above:
        how += "; their noise adds to it"
    if not free:
        above, how = True, how + "; upper bound: tau' <= 1"
    known = Known.UPPER if above else Known.EXACT
    if measure.phases is not None:
        known = Known.NEITHER if above else Known.LOWER
        how += "; inside of the phases, between which the density jumps"
    stationarity = Stationarity.of_squares(in_a, in_u, known, how)
    return replace(found, stationarity=stationarity, mismatch=delta if free else None)


def _kl_stderr(measure: GibbsMeasure) -> float:
    if measure.replays is None:
        return math.nan if math.isnan(measure.log_z) else 0.0
    return jackknife([part.kl_to_prior() for part in each_left_out(measure)])


def _lower_bound(problem: Problem, measure: GibbsMeasure) -> float:
    """D(G) of the measure, where it is one of this problem with this W."""
    own = measure.problem.to(torch.float64)
    same = torch.equal(own.w, problem.w) and torch.equal(own.y, problem.y)
    if not same or math.isnan(measure.log_z):
        return -math.inf
    return dual_value_at(own, measure.dual, measure.log_z)


def _gradient_squares(
    problem: Problem, measure: GibbsMeasure, x: Tensor, delta: Tensor
) -> tuple[float, float]:
    """Mean squares of grad_a (with tau' = 1) and grad_u under a measure."""
    own, conditional = measure.problem.w.double(), Conditional.of(problem)
    columns = delta
    if problem.truncation is None:
        left, sizes, _ = torch.linalg.svd(delta, full_matrices=False)
        columns = (left * sizes)[:, : 2 * problem.n_outputs]
    in_a, in_u = 0.0, 0.0
    for tile in tiles(len(measure.points), TILE):
        weights = measure.weights[tile]
        s = problem.sigma(measure.points[tile] @ x.T)
        slopes = problem.sigma.slope(s)
        c, c_dual = (s @ rows @ own.T for rows in (measure.coefficients, measure.dual))
        along = conditional.mean(c) @ delta.T
        if measure.coefficients is not measure.dual:
            (first,), (second,) = (conditional.derivatives(each, 1) for each in (c_dual, c))
            difference = first @ own @ measure.dual.T - second @ own @ measure.coefficients.T
            along += difference / problem.beta
        squares = ((slopes * along) @ x).square().sum(1)
        variances = conditional.variance(c)
        for number, column in enumerate(columns.T):
            variance = variances[:, number]
            squares += variance * ((slopes * column) @ x).square().sum(1)
        in_a += float(weights @ (s @ delta).square().sum(1))
        in_u += float(weights @ squares)
    return in_a, in_u


def _of_cloud(problem: Problem, cloud: Particles, lambda_w: float) -> Law:
    h = features(problem.x, cloud, problem.sigma, problem.truncation)
    k = kernel(problem.x, cloud.u, problem.sigma)
    found = Law(
        problem=problem,
        lambda_w=lambda_w,
        features=h,
        kernel=k,
        moment=cloud.a.T @ cloud.a / len(cloud),
        mean_square=float((cloud.a.square().sum() + cloud.u.square().sum()) / len(cloud)),
        kl_estimate=None,
        kl_stderr=0.0,
        lower_bound=-math.inf,
        stationarity=_NOWHERE,
        mismatch=None,
    )
    return replace(found, stationarity=_cloud_stationarity(found, cloud))


def _cloud_stationarity(law: Law, cloud: Particles) -> Stationarity:
    """eps_S of a cloud: exact at beta = inf, else from below (:mod:`eval.theory.projection`)."""
    problem = law.problem
    if math.isinf(problem.beta):
        gradient = first_variation_gradient(problem, cloud)
        in_a, in_u = (float(part.square().sum()) / len(cloud) for part in (gradient.a, gradient.u))
        return Stationarity.of_squares(in_a, in_u, Known.EXACT, "mean over the neurons; no entropy")
    if len(cloud) < LEAST_NEURONS:
        how = f"not known: a cloud of {len(cloud)} neurons, and {LEAST_NEURONS} are needed"
        return Stationarity.of_squares(math.nan, math.nan, Known.LOWER, how)
    p = feature_gradient(law.residual, problem.w, problem.gamma)
    a, u = projected_squares(problem, cloud, law.kernel, p)
    error = math.hypot(a.stderr, u.stderr)
    how = (
        "lower bound, estimated without a density: "
        f"eps_S^2 >= {a.square + u.square:.3g} +- {error:.2g} (in a {a.square:.3g}, "
        f"in u {u.square:.3g})"
    )
    return Stationarity.of_squares(a.square, u.square, Known.LOWER, how, error)
