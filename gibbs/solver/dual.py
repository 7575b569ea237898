r"""The dual of stage one: a concave problem in the (n, q) numbers of G.

Throughout, lambda is lambda_rho, s(u) = sigma(X u) in R^n, and the prior of (a, u) is
N(0, I/(beta lambda)). Given u the first variation is a sum over the coordinates of a, so a
integrates out: with psi and the law of a given c of :mod:`gibbs.solver.conditional`, the Gibbs
law rho_G of a dual point G is

.. math:: a_k \mid u \sim p(\cdot \mid c_k), \quad c = W G^T s(u),
    \qquad \mu_G(du) \propto e^{e(u)}\, prior(du), \quad e(u) = \sum_k \psi(c_k).

Without truncation psi(c) = beta gamma^2 c^2/(2 lambda), so that
a | u ~ N(-(gamma/lambda) W G^T s(u), I/(beta lambda)). The minimizer of the free energy (Eq. 27)
is rho_G at the maximizer of the dual function.

Sample weights s_i, of mean 1, divide the rows of G wherever n multiplies them: below, n G stands
for the rows n G_i / s_i. At the maximizer G_i = s_i (Z_i - Y_i)/n, and nothing else is changed. A
weight of 0 asks for G_i = 0, and every G that is computed here has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from gibbs.model.energy import data_loss
from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles
from gibbs.solver.conditional import Conditional

__all__ = [
    "ARMIJO",
    "TILE",
    "RidgeSolver",
    "Tilted",
    "dual_residual",
    "dual_value",
    "dual_value_at",
    "gap_at",
    "gap_of",
    "gram",
    "kernel_scale",
    "log_tilt",
    "newton_direction",
    "outputs_of",
    "per_weight",
    "refit",
    "solve_ridge",
    "tight_gap",
]


TILE = 1024
"""Points handled at a time: their activations stay in the cache."""

ARMIJO = 1e-4
"""A step must gain this share of what its slope promises: the usual value of Armijo's condition,
small enough to accept every full Newton step near the solution."""

REFIT_TOLERANCE = 1e-9
"""Newton steps for C end when the residual adds less than this share of B to the gap."""

MOST_REFIT_STEPS = 30
"""Newton steps for C at most: B is concave, and they converge long before."""

LEAST_REFIT_STEP = 1e-12
"""A Newton step for C is not shortened below this fraction, which no longer moves C."""

REFIT_ACCURACY, REFIT_PRODUCTS = 1e-3, 50
"""Accuracy of a Newton direction for C, and most products with the Hessian that it takes: the next
step corrects what is left."""

ROUND_OFFS = 10
"""Rounding errors of the activations below which a change of B says nothing."""


@dataclass(frozen=True, eq=False)
class Tilted:
    """Weighted points that stand for mu_G, with the normalising constant of their weights.

    Attributes
    ----------
    problem : Problem
        In float64.
    dual : Tensor (n, q)
        G.
    values : Tensor (M, n)
        sigma(u_m . x_i) at the points; float64 for quadrature, float32 is enough for samples.
    base : Tensor (M,)
        Logarithm of each point's prior mass: e(u_m) added and normalised, it gives `weights`.
    log_z : float
        log E_prior exp(e(u)).
    weights : Tensor (M,)
        Of mu_G, adding up to 1.
    """

    problem: Problem
    dual: Tensor
    values: Tensor
    base: Tensor
    log_z: float
    weights: Tensor

    @classmethod
    def uniform(cls, problem: Problem, values: Tensor) -> Tilted:
        """Points of equal weight, at G = 0."""
        weights = values.new_full((len(values),), 1 / len(values), dtype=torch.float64)
        return cls(problem, torch.zeros_like(problem.y), values, weights.log(), 0.0, weights)

    @classmethod
    def together(cls, parts: Sequence[Tilted]) -> Tilted:
        """Independent samples of one mu_G as one, each weighted by its own estimate of Z."""
        first = parts[0]
        base = torch.cat([part.base for part in parts]) - math.log(len(parts))
        values = torch.cat([part.values for part in parts])
        return replace(first, values=values, base=base).at(first.dual)

    @property
    def kernel(self) -> Tensor:
        """K (n, n) of mu_G, Eq. 8."""
        return _kernel(self.values, self.weights)

    @property
    def effective_size(self) -> float:
        """1 / sum of the squared weights."""
        return 1 / float(self.weights.square().sum())

    def at(self, dual: Tensor) -> Tilted:
        """The same points, re-weighted for another G."""
        log_weights = self.base + log_tilt(self.problem, dual, self.values)
        log_z = torch.logsumexp(log_weights, 0)
        weights = torch.exp(log_weights - log_z)
        return replace(self, dual=dual, log_z=float(log_z), weights=weights)


def log_tilt(problem: Problem, dual: Tensor, values: Tensor) -> Tensor:
    r"""The log tilt e(u) = sum_k psi(c_k), c = W G^T s(u), at each row s(u) of `values` (M, n).

    It is the logarithm of the density of mu_G relative to the prior of u, up to log Z.
    """
    return Conditional.of(problem).total(_local_fields(problem, dual, values))


def dual_value(tilted: Tilted) -> float:
    r"""Dual function, a lower bound on the least free energy counted relative to the prior.

    .. math:: D(G) = -\langle G, Y\rangle - \tfrac n2 \|G\|_F^2
        - \tfrac1\beta \log E_{prior}\, e^{e(u)}

    Concave; D(G) <= min E, with equality at its maximizer, G = (Z - Y)/n.
    """
    return dual_value_at(tilted.problem, tilted.dual, tilted.log_z)


def dual_value_at(problem: Problem, dual: Tensor, log_z: float) -> float:
    """The same, from log_z = log E_prior exp(e(u)) at that G."""
    square = (dual * per_weight(problem, dual)).sum()
    linear = (dual * problem.y).sum() + problem.n_samples / 2 * square
    return float(-linear) - log_z / problem.beta


def outputs_of(tilted: Tilted, coefficients: Tensor | None = None) -> Tensor:
    r"""Z = gamma E_mu[s m(c)^T] W (n, q) of the law of u given by `tilted` and of a given by C.

    m(c) is the mean of tau(a) given c = W C^T s; C is `coefficients`, by default the G of `tilted`.
    """
    given = tilted.dual if coefficients is None else coefficients
    c = _local_fields(tilted.problem, given, tilted.values)
    return _outputs(tilted, Conditional.of(tilted.problem).mean(c))


def dual_residual(problem: Problem, dual: Tensor, kernel: Tensor) -> Tensor:
    r"""R(G) = -grad D = Y + n G - Z_G (n, q), from a kernel: without truncation.

    It is 0 where G = (Z_G - Y)/n, at the maximizer: Z_G = -(gamma^2/lambda) K_G G W^T W.
    """
    coupled = kernel @ dual @ gram(problem)
    return (
        problem.y + problem.n_samples * per_weight(problem, dual) + kernel_scale(problem) * coupled
    )


def solve_ridge(problem: Problem, kernel: Tensor, right: Tensor) -> Tensor:
    r"""Solve A V = right, A = n I + (gamma^2/lambda) K (x) W^T W, for V (n, q).

    Exact, by the eigenvectors of the two factors. Without truncation `-solve_ridge(problem, K, Y)`
    is the C that is best for a law of u with kernel K; :func:`refit` is the general case.
    """
    return RidgeSolver(problem, kernel)(right)


def tight_gap(problem: Problem, dual: Tensor, kernel: Tensor) -> float:
    r"""Duality gap of the law of u, with a given u re-optimised, from a kernel: no truncation.

    With A of :func:`solve_ridge`, F(mu) = 1/2 <Y, A^-1 Y> + KL(mu | prior)/beta is the free
    energy of the best law with marginal mu, and F(mu_G) - D(G) = 1/2 <R, A^-1 R>: the
    normalising constant cancels. A measured kernel with noise makes it too large on average.
    """
    r = dual_residual(problem, dual, kernel)
    return 0.5 * float((r * solve_ridge(problem, kernel, r)).sum())


def gap_of(tilted: Tilted, start: Tensor | None = None) -> float:
    """Duality gap F(mu_G) - D(G) of weighted points, with a given u re-optimised.

    `start` is where :func:`refit` starts, if there is a truncation; without it the kernel
    gives the gap, :func:`tight_gap`.
    """
    if tilted.problem.truncation is None:
        return tight_gap(tilted.problem, tilted.dual, tilted.kernel)
    return gap_at(tilted, refit(tilted, start))


def gap_at(tilted: Tilted, coefficients: Tensor) -> float:
    r"""Gap from D(G) to the free energy of the law of u ~ mu_G with a given u by C, any C.

    .. math:: B(C) + \tfrac{1}{2n} |R(C)|^2, \qquad R(C) = Y + nC - \gamma E_{\mu_G}[s\,m(c_C)^T] W,

    .. math:: B(C) = -\langle C - G, Y\rangle - \tfrac n2 (|C|^2 - |G|^2)
        - \tfrac1\beta E_{\mu_G} \textstyle\sum_k [\psi(c_{C,k}) - \psi(c_{G,k})].

    -R is the gradient of B, which is concave, 0 at C = G, and at its maximum the gap of the best
    law of a given u. The normalising constant cancels. Where the weights are those of another
    law mu of u on the same points, add KL(mu | mu_G)/beta.
    """
    at = _Derivatives(tilted, coefficients)
    before = tilted.weights @ log_tilt(tilted.problem, tilted.dual, tilted.values)
    return _bracket(tilted, coefficients, at.log_mass - float(before)) + at.excess


def refit(tilted: Tilted, start: Tensor | None = None) -> Tensor:
    r"""Conditional-mean coefficients C (n, q) that are best for the law of u given by `tilted`.

    It maximises B of :func:`gap_at`, and does not depend on the G of `tilted` otherwise. Without
    truncation it is -A^-1 Y of :func:`solve_ridge`; else damped Newton steps go from `start`, by
    default G, until the residual adds less than 1e-9 of B to the gap.
    """
    problem = tilted.problem
    if problem.truncation is None:
        return -solve_ridge(problem, tilted.kernel, problem.y)
    scale = 2 * float(data_loss(torch.zeros_like(problem.y), problem.y, problem.sample_weight))
    noise = ROUND_OFFS * torch.finfo(tilted.values.dtype).eps
    here = float(tilted.weights @ log_tilt(problem, tilted.dual, tilted.values))
    at = _Derivatives(tilted, tilted.dual if start is None else start)
    value, solver = _bracket(tilted, at.coefficients, at.log_mass - here), at.solver()
    for _ in range(MOST_REFIT_STEPS):
        if at.excess <= REFIT_TOLERANCE * max(value, 0) + noise**2 * scale:
            break
        times = partial(at.times, moving=False)
        direction = _conjugate_gradients(
            times, solver, -at.residual, REFIT_ACCURACY, REFIT_PRODUCTS
        )
        slope, size = -float((at.residual * direction).sum()), 1.0
        while True:
            there = _Derivatives(tilted, at.coefficients + size * direction)
            rise = _bracket(tilted, there.coefficients, there.log_mass - here) - value
            if rise >= ARMIJO * size * slope - noise * scale or size < LEAST_REFIT_STEP:
                break
            size /= 2
        at, value = there, value + rise
    return at.coefficients


def newton_direction(
    tilted: Tilted, *, tolerance: float = 1e-10, most: int = 100
) -> tuple[Tensor, float]:
    r"""Newton direction of the dual at G, by preconditioned conjugate gradients.

    With phi(u) = s(u) psi'(c)^T W, so that Z_G = -E phi / beta, the Hessian of -D is

    .. math:: n I + \tfrac1\beta E_{\mu_G} \textstyle\sum_k \psi''(c_k)\, s s^T \otimes W_k W_k^T
        + \tfrac1\beta \mathrm{Cov}_{\mu_G}(\phi).

    The preconditioner is the first two terms with the mean of psi'' over k in place of each: A of
    :func:`solve_ridge` where there is no truncation.

    Returns
    -------
    Tensor (n, q), float
        The direction, and the slope of D along it (the squared Newton decrement).
    """
    at = _Derivatives(tilted, tilted.dual)
    gradient = -at.residual
    direction = _conjugate_gradients(
        partial(at.times, moving=True), at.solver(), gradient, tolerance, most
    )
    return direction, float((gradient * direction).sum())


class _Derivatives:
    """First and second derivatives of D at C = G, and of B at any C, for weighted points."""

    def __init__(self, tilted: Tilted, coefficients: Tensor) -> None:
        self.tilted, self.coefficients, problem = tilted, coefficients, tilted.problem
        conditional = Conditional.of(problem)
        c = _local_fields(problem, coefficients, tilted.values)
        value, slope, self.curvature = conditional.derivatives(c, 0, 1, 2)
        self.log_mass = float(tilted.weights @ value.sum(1))
        outputs = _outputs(tilted, slope / -conditional.coupling)
        self.residual = problem.y + problem.n_samples * per_weight(problem, coefficients) - outputs
        self.mean_phi = -problem.beta * outputs
        self.psi_slope = (problem.w.T @ slope.T).to(tilted.values.dtype)  # (q, M)

    @property
    def excess(self) -> float:
        """|R|^2/(2n): what the residual of C adds to the gap."""
        nothing = torch.zeros_like(self.residual)
        return float(data_loss(self.residual, nothing, self.tilted.problem.sample_weight))

    def solver(self) -> RidgeSolver:
        """A preconditioner: each point weighed by the mean of its psi'', 1 without truncation."""
        problem = self.tilted.problem
        stiffness = self.curvature.mean(1) / (problem.beta * kernel_scale(problem))
        return RidgeSolver(problem, _kernel(self.tilted.values, self.tilted.weights * stiffness))

    def times(self, v: Tensor, *, moving: bool) -> Tensor:
        """The Hessian of -D times v; if not `moving`, that of -B: the law of u stays."""
        problem, weights = self.tilted.problem, self.tilted.weights.to(self.psi_slope.dtype)
        columns = v.T.to(weights.dtype).contiguous()
        moment, mean = torch.zeros_like(columns), 0.0
        for tile in tiles(len(weights), TILE):
            values, slope = self.tilted.values[tile], self.psi_slope[:, tile]
            turned = columns @ values.T  # (q, tile): the other way round takes twice as long
            rows = self._stiffen(turned, tile)
            if moving:
                along = (turned * slope).sum(0)
                rows += along * slope
                mean += float(weights[tile] @ along)
            moment += (weights[tile] * rows) @ values
        change = moment.T.double() - mean * self.mean_phi
        return problem.n_samples * per_weight(problem, v) + change / problem.beta

    def _stiffen(self, turned: Tensor, tile: slice) -> Tensor:
        """sum_k psi''(c_k) W_k W_k^T at some points, times a vector (q,) at each."""
        problem = self.tilted.problem
        if problem.truncation is None:  # psi'' is constant
            return float(self.curvature[0, 0]) * (gram(problem).to(turned.dtype) @ turned)
        w = problem.w.to(turned.dtype)
        return w.T @ (self.curvature[tile].T.to(turned.dtype) * (w @ turned))


class RidgeSolver:
    r"""A^-1 for one kernel and many right-hand sides.

    With sample weights A^-1 = S^(1/2) (n I + (gamma^2/lambda) S^(1/2) K S^(1/2) (x) W^T W)^-1
    S^(1/2), S the diagonal matrix of the weights.
    """

    def __init__(self, problem: Problem, kernel: Tensor) -> None:
        self.roots = None
        if problem.sample_weight is not None:
            self.roots = problem.sample_weight.sqrt()[:, None]
            kernel = self.roots * kernel * self.roots.T
        self.k_values, self.k = torch.linalg.eigh(kernel)
        b_values, self.b = torch.linalg.eigh(gram(problem))
        self.denominator = problem.n_samples + kernel_scale(problem) * torch.outer(
            self.k_values.clamp(min=0), b_values.clamp(min=0)
        )

    def __call__(self, right: Tensor) -> Tensor:
        """A^-1 of one right-hand side (n, q)."""
        if self.roots is not None:
            right = self.roots * right
        solved: Tensor = self.k @ ((self.k.T @ right @ self.b) / self.denominator) @ self.b.T
        return solved if self.roots is None else self.roots * solved


def _conjugate_gradients(
    hessian: Callable[[Tensor], Tensor],
    solver: RidgeSolver,
    right: Tensor,
    tolerance: float,
    most: int,
) -> Tensor:
    direction = torch.zeros_like(right)
    left = right.clone()
    scaled = solver(left)
    search = scaled.clone()
    product = (left * scaled).sum()
    first = float(product)
    for _ in range(most):
        if not float(product) > tolerance**2 * first:
            break
        image = hessian(search)
        step = product / (search * image).sum()
        direction += step * search
        left -= step * image
        scaled = solver(left)
        before, product = product, (left * scaled).sum()
        search = scaled + product / before * search
    return direction


def _bracket(tilted: Tilted, coefficients: Tensor, rise: float) -> float:
    """B(C) of :func:`gap_at`, from rise = E_mu[e_C - e_G]."""
    problem, before = tilted.problem, tilted.dual
    middle = per_weight(problem, coefficients + before) / 2
    linear = ((coefficients - before) * (problem.y + problem.n_samples * middle)).sum()
    return float(-linear) - rise / problem.beta


def _local_fields(problem: Problem, coefficients: Tensor, values: Tensor) -> Tensor:
    """Local fields c = W C^T s at each row s of `values` (M, n), (M, p) in float64."""
    columns = coefficients.T.to(values.dtype).contiguous().T  # so it takes half the time
    return (values @ columns).double() @ problem.w.T


def _outputs(tilted: Tilted, means: Tensor) -> Tensor:
    """Z = gamma E_mu[s m^T] W (n, q), from the means m (M, p) of tau(a) at each point."""
    problem, values = tilted.problem, tilted.values
    rows = (problem.w.T @ means.T) * tilted.weights
    total = torch.zeros_like(problem.y)
    for tile in tiles(len(values), TILE):
        total += (rows[:, tile].to(values.dtype) @ values[tile]).T
    return problem.gamma * total


def _kernel(values: Tensor, weights: Tensor) -> Tensor:
    n = values.shape[1]
    total = weights.new_zeros(n, n)
    for tile in tiles(len(values), TILE):
        part = values[tile]
        total += (part * weights[tile, None].to(part.dtype)).T @ part
    return total


def per_weight(problem: Problem, rows: Tensor) -> Tensor:
    """Divide each row (n, q) by its sample weight: 0 where that is 0, the same without weights."""
    if problem.sample_weight is None:
        return rows
    weight = problem.sample_weight[:, None]
    return torch.where(weight > 0, rows / weight, 0.0)


def gram(problem: Problem) -> Tensor:
    """W^T W, (q, q)."""
    return problem.w.T @ problem.w


def kernel_scale(problem: Problem) -> float:
    """gamma^2/lambda, the factor of the kernel K in A of :func:`solve_ridge`."""
    return problem.gamma**2 / problem.decay
