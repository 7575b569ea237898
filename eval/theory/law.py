r"""The moments of a law of neurons that the statements are about, and eps_S.

For a Gibbs-form measure everything is a sum over its points, with a integrated given u in closed
form. With P = (gamma/n)(Z - Y) W^T the pull of the loss, and the law a | u by its pulls
c = W_0 C^T s(u), u by the tilt G, the gradient of the first variation of the free energy is

.. math::

    \nabla_a &= \Delta^T s(u), \qquad \Delta = P - \gamma C W_0^T \\
    \nabla_u &= \sum_i [a \cdot \Delta_i + \tfrac1\beta (\psi'(c_G) \cdot W_0 G_i
        - \psi'(c_C) \cdot W_0 C_i)]\, \sigma'(u \cdot x_i)\, x_i.

At W = W_0 and C = G that is gamma grad sum_i (a . W D_i) sigma(u.x_i), D = (Z - Y)/n - G.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from eval.clouds import check_widths
from gibbs import (
    GibbsMeasure,
    Particles,
    Problem,
    data_loss,
    features,
    kernel,
    outputs,
    potential_gradient,
    truncate,
    truncate_slope,
)
from gibbs.conditional import Conditional
from gibbs.dual import TILE, Tilted, refit, solve_ridge, tiles
from gibbs.energy import pull

__all__ = ["Law", "Stationarity", "law_of"]


@dataclass(frozen=True)
class Stationarity:
    """eps_S of Definition 4.1: the L2(rho) norm of grad (dE/drho), its parts, how it was found.

    Attributes
    ----------
    value, in_a, in_u : float
    exact : bool
        Of the law given; False for an estimate or an upper bound.
    how : str
    """

    value: float
    in_a: float
    in_u: float
    exact: bool
    how: str

    @classmethod
    def of_squares(cls, in_a: float, in_u: float, exact: bool, how: str) -> Stationarity:
        """From the mean squares of both parts."""
        return cls(math.sqrt(in_a + in_u), math.sqrt(in_a), math.sqrt(in_u), exact, how)


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
    kl : float or None
        KL(rho | rho_0); None for a cloud, which has no entropy.
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
    kl: float | None
    stationarity: Stationarity
    mismatch: Tensor | None

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
        ridge = self.problem.decay * self.mean_square
        ridge += self.lambda_w * float(self.w.square().sum())
        return self.loss + ridge / 2

    @property
    def gradient_w(self) -> Tensor:
        """Gradient in W: (gamma/n) H^T (Z - Y) + lambda_w W."""
        pulled = self.features.T @ self.residual
        return self.problem.gamma / self.problem.n_samples * pulled + self.lambda_w * self.w

    @property
    def correlations(self) -> Tensor:
        r"""S = E[s(u) grad_a^T] = lambda H + K P (n, p), by parts: E[s grad_a log rho] = 0."""
        p = pull(self.residual, self.w, self.problem.gamma)
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
    exact = problem.to(torch.float64)
    layer = exact.w if w is None else torch.as_tensor(w, dtype=torch.float64)
    if layer.shape != exact.w.shape:
        raise ValueError(f"w must have shape {tuple(exact.w.shape)}, got {tuple(layer.shape)}")
    if lambda_w is None:
        lambda_w = problem.decay if math.isinf(problem.beta) else problem.temperature
    if not 0 < lambda_w < math.inf:
        raise ValueError(f"lambda_w must be > 0 and finite, got {lambda_w}")
    now = replace(exact, w=layer)
    if isinstance(law, GibbsMeasure):
        _check_same(problem, law.problem)
        return _of_measure(now, law, lambda_w)
    if not isinstance(law, Particles):
        raise TypeError(f"law must be Particles or a GibbsMeasure, got {type(law).__name__}")
    check_widths(law, problem, "law")
    return _of_cloud(now, law.to(torch.float64), lambda_w)


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


def _of_measure(problem: Problem, measure: GibbsMeasure, lambda_w: float) -> Law:
    own, conditional = measure.problem.w.double(), Conditional.of(problem)
    x = problem.x @ measure.basis
    n, p = problem.n_samples, len(own)
    h, k, moment = (own.new_zeros(size) for size in ((n, p), (n, n), (p, p)))
    for tile in tiles(len(measure.points), TILE):
        s, weights = problem.sigma(measure.points[tile] @ x.T), measure.weights[tile, None]
        means = conditional.mean(s @ measure.dual @ own.T)
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
        kl=measure.kl_to_prior(),
        stationarity=Stationarity(0.0, 0.0, 0.0, True, ""),
        mismatch=None,
    )
    delta = pull(found.residual, problem.w, problem.gamma) - problem.gamma * measure.dual @ own.T
    in_a, in_u = _gradient_squares(problem, measure, x, delta)
    how = f"sum over the {len(measure.points)} points of the measure, a integrated given u"
    if not free:
        how += "; upper bound: tau' <= 1"
    if measure.phases is not None:
        how += "; inside of the phases, between which the density jumps"
    exact = free and measure.phases is None
    stationarity = Stationarity.of_squares(in_a, in_u, exact, how)
    return replace(found, stationarity=stationarity, mismatch=delta if free else None)


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
        pulls, tilts = (s @ dual @ own.T for dual in (measure.dual, measure.tilt))
        along = conditional.mean(pulls) @ delta.T
        if measure.dual is not measure.tilt:
            (first,), (second,) = (conditional.derivatives(c, 1) for c in (tilts, pulls))
            along += (first @ own @ measure.tilt.T - second @ own @ measure.dual.T) / problem.beta
        squares = ((slopes * along) @ x).square().sum(1)
        variances = conditional.variance(pulls)
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
        kl=None,
        stationarity=Stationarity(0.0, 0.0, 0.0, True, ""),
        mismatch=None,
    )
    return replace(found, stationarity=_cloud_stationarity(found, cloud))


def _cloud_stationarity(law: Law, cloud: Particles) -> Stationarity:
    """eps_S of a cloud: exact at beta = inf, else with the score of the Gibbs form of its u's."""
    problem = law.problem
    if math.isinf(problem.beta):
        gradient = potential_gradient(problem, cloud)
        in_a, in_u = (float(part.square().sum()) / len(cloud) for part in (gradient.a, gradient.u))
        return Stationarity.of_squares(in_a, in_u, True, "mean over the neurons; no entropy")
    if problem.truncation is None:
        dual = -solve_ridge(problem, law.kernel, problem.y)
    else:
        dual = refit(Tilted.uniform(problem, problem.sigma(cloud.u @ problem.x.T)))
    delta = pull(law.residual, problem.w, problem.gamma) - problem.gamma * dual @ problem.w.T
    in_a, in_u = 0.0, 0.0
    for tile in tiles(len(cloud), TILE):
        a, u = cloud.a[tile], cloud.u[tile]
        s = problem.sigma(u @ problem.x.T)
        along, force = truncate(a, problem.truncation) @ delta.T, s @ delta
        if problem.truncation is not None:
            force = force * truncate_slope(a, problem.truncation)
        in_a += float(force.square().sum()) / len(cloud)
        in_u += float(((problem.sigma.slope(s) * along) @ problem.x).square().sum()) / len(cloud)
    how = "estimated: mean over the neurons, their score that of the Gibbs form of their u's"
    if problem.truncation is None:
        seen, noise = _seen_in_a(law, cloud)
        if seen > in_a:
            in_a, how = seen, how + "; its a part from S = E[s grad_a^T]"
        how += f"; N exact neurons would show about {math.sqrt(noise):.2g}"
    return Stationarity.of_squares(in_a, in_u, False, how)


def _seen_in_a(law: Law, cloud: Particles) -> tuple[float, float]:
    r"""Projection of grad_a on the span of s(u), tr(S^T K^+ S), and what exact neurons have of it.

    No density is needed: E|grad_a|^2 >= tr(S^T K^+ S). In the eigenbases of K and W W^T, with
    eigenvalues k_i and b_j, S depends on H by the factors lambda + gamma^2 k_i b_j / n, and
    N H_ij is a sum over the neurons of (s a^T)_ij, whose variance is measured.
    """
    problem, count = law.problem, len(cloud)
    values, vectors = torch.linalg.eigh(law.kernel)
    kept = values > 1e-10 * values.max()
    values, vectors = values[kept], vectors[:, kept]
    sizes, axes = torch.linalg.eigh(law.w @ law.w.T)
    square = torch.zeros(len(values), len(sizes), dtype=torch.float64)
    for tile in tiles(count, TILE):
        s = problem.sigma(cloud.u[tile] @ problem.x.T) @ vectors
        square += s.square().T @ (cloud.a[tile] @ axes).square()
    variance = square / count - (vectors.T @ law.features @ axes).square()
    factors = problem.decay + problem.gamma**2 / problem.n_samples * torch.outer(values, sizes)
    noise = float((factors.square() * variance / values[:, None]).sum()) / count
    parts = (vectors.T @ law.correlations).square().sum(1) / values
    return float(parts.sum()), noise
