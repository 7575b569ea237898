"""The Gibbs-form measure of a dual point, as a law that can be evaluated and sampled."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gibbs.gauss_rules import hermite_rule
from gibbs.model.checks import row_major
from gibbs.model.energy import data_loss
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles
from gibbs.model.truncation import truncate, truncate_slope
from gibbs.solver.conditional import Conditional
from gibbs.solver.dual import TILE
from gibbs.solver.mala import LogDensity, Target, mala
from gibbs.solver.phases import Phases

__all__ = ["GibbsMeasure"]

VALUES_BUDGET = 256 * 2**20
"""Bytes of first-layer activations that one block of points may take."""


@dataclass(frozen=True, eq=False)
class GibbsMeasure:
    r"""A law with the density of the Gibbs minimizer (Equation 27), c exp(-beta V(theta)).

    That is where G = C = (Z - Y)/n. For any G and C it is the law of (a, u) with u ~ mu_G and a
    given u by its local fields c = W C^T s(u); :meth:`log_density` is its density.

    Without truncation a | u ~ N(-(gamma/lambda) c, I/(beta lambda)); `gibbs.solver.conditional`
    has the general case. The dual variable G fixes the marginal of u, and the coefficients C the
    law of a given u. At the minimizer both are (Z - Y)/n. Elsewhere they differ: C is the best
    choice for the law of u that G gives (see :func:`gibbs.solver.dual.refit`), with which the
    certificate is tightest, and the features use C.

    u enters the data only by its part in the row space of X; the other directions keep the
    prior N(0, I/(beta lambda)), independent of the rest.

    Attributes
    ----------
    problem : Problem
    dual : Tensor (n, q)
        The dual variable G, float64.
    coefficients : Tensor (n, q)
        The conditional-mean coefficients C, float64: given u the mean of a is
        -(gamma/lambda) W C^T s(u) without truncation.
    points : Tensor (M, r)
        Points of u in the coordinates of `basis`, float64: a quadrature rule or a sample.
    weights : Tensor (M,)
        Of the law of u, adding up to 1.
    log_z : float
        log E_prior exp(e(u)); NaN for a marginal descent, whose law has no known divergence.
    basis : Tensor (d, r)
        Orthonormal basis of the row space of X.
    phases : Phases, optional
        Where the masses of phases have been chosen: the law of u is mu_G times chosen/mass.
    replays : Tensor (M,), optional
        Of a Monte Carlo law: the number of the replay that each point belongs to, from
        0 on, each weighted by its own estimate of Z. None for quadrature.
    """

    problem: Problem
    dual: Tensor
    coefficients: Tensor
    points: Tensor
    weights: Tensor
    log_z: float
    basis: Tensor
    phases: Phases | None = None
    replays: Tensor | None = None

    def features(self, x: Tensor) -> Tensor:
        r"""Features by Rao-Blackwell: h(x) = E[sigma(u.x) m(c)], m(c) the mean of tau(a) given u.

        Without truncation that is -(gamma/lambda) E[sigma(u.x) s(u)^T] C W^T.

        Parameters
        ----------
        x : Tensor (m, d)

        Returns
        -------
        Tensor (m, p)
            In the dtype of the problem. No noise of a is in it.
        """
        problem, new = self.problem, row_major(x.double())
        inside = new @ self.basis
        outside = (new - inside @ self.basis.T).norm(dim=1)
        nodes, node_weights = hermite_rule(1 / math.sqrt(problem.beta * problem.decay))
        flat = bool((outside <= 1e-9 * (1 + new.norm(dim=1))).all())
        if flat:
            nodes, node_weights = nodes.new_zeros(1), nodes.new_ones(1)
        w, products = problem.w.double(), self._products(self.coefficients)
        rows, columns = Conditional.of(problem).mean_factors(products, w)
        rows = self.weights[:, None] * rows
        total = new.new_zeros(len(new), rows.shape[1])
        size = max(1, VALUES_BUDGET // (16 * len(new)))
        for tile in tiles(len(self.points), size):
            along = self.points[tile] @ inside.T
            for node, node_weight in zip(nodes.tolist(), node_weights.tolist(), strict=True):
                values = problem.sigma(along + node * outside)
                total += node_weight * values.T @ rows[tile]
        return (total @ columns).to(problem.dtype)

    def mean_square(self) -> tuple[float, float]:
        """E|a|^2 and E|u|^2."""
        problem = self.problem
        variance = 1 / (problem.beta * problem.decay)
        squares = Conditional.of(problem).mean_square(self._local_fields(self.coefficients)).sum(1)
        free = problem.n_inputs - self.points.shape[1]
        u = float(self.weights @ self.points.square().sum(1)) + free * variance
        return float(self.weights @ squares), u

    def kl_to_prior(self) -> float:
        """KL(rho | rho_0) >= 0, in nats: that of the law of u, and that of a given u.

        For a Monte Carlo law it is an estimate, which noise may make negative.
        """
        conditional = Conditional.of(self.problem)
        marginal = conditional.total(self._local_fields(self.dual))
        if self.phases is not None:
            marginal = marginal + self.phases.log_ratio(self.points, marginal)
        given = conditional.divergence(self._local_fields(self.coefficients)).sum(1)
        return float(self.weights @ (marginal + given)) - self.log_z

    def without(self, replay: int) -> GibbsMeasure:
        """The same law from all replays but one; its log Z is that of those.

        Raises
        ------
        ValueError
            If there are no independent draws, or fewer than two.
        """
        if self.replays is None or int(self.replays.max()) < 1:
            raise ValueError("measure must have two or more independent draws to leave one out")
        kept, count = self.replays != replay, int(self.replays.max()) + 1
        weights = self.weights[kept]
        total = float(weights.sum())
        return replace(
            self,
            points=self.points[kept],
            weights=weights / total,
            log_z=self.log_z + math.log(total * count / (count - 1)),
            replays=None,
        )

    def free_energy(self) -> float:
        """L_n + KL(rho | rho_0)/beta: the free energy counted relative to the prior, >= 0."""
        problem = self.problem
        z = problem.gamma * self.features(problem.x).double() @ problem.w.double()
        weight = None if problem.sample_weight is None else problem.sample_weight.double()
        loss = data_loss(z, problem.y.double(), weight)
        return float(loss) + self.kl_to_prior() / problem.beta

    def log_density(self, particles: Particles) -> Tensor:
        r"""Logarithm of the density at each neuron (N,), up to one constant.

        .. math:: e_G(u) - e_C(u) - \beta\gamma\, c \cdot \tau(a)
            - \tfrac{\beta\lambda}{2} (|a|^2 + |u|^2), \qquad c = W C^T s(u)

        Where C = G = (Z - Y)/n, at the minimizer (Eq. 27), that is -beta V(theta), V the first
        variation :func:`gibbs.first_variation`.
        """
        problem, conditional = self.problem, Conditional.of(self.problem)
        a, u = particles.a.double(), particles.u.double()
        values, w = problem.sigma(u @ problem.x.double().T), problem.w.double()
        c = values @ self.coefficients @ w.T
        log_ratio = conditional.total(values @ self.dual @ w.T)
        if self.phases is not None:
            log_ratio = log_ratio + self.phases.log_ratio(u @ self.basis, log_ratio)
        log_ratio = log_ratio - conditional.total(c)
        linear = (c * truncate(a, problem.truncation)).sum(1)
        squares = a.square().sum(1) + u.square().sum(1)
        return log_ratio - conditional.coupling * linear - conditional.precision / 2 * squares

    def score(self, particles: Particles) -> Particles:
        r"""Gradient of :meth:`log_density` in each neuron, in float64.

        Between phases with chosen masses the density jumps; the jump is not in the gradient.

        .. math::

            \nabla_a &= -\beta\gamma\, c \odot \tau'(a) - \beta\lambda\, a \\
            \nabla_u &= \sum_i [\psi'(c_G) \cdot W G_i - (\psi'(c_C) + \beta\gamma\, \tau(a))
                \cdot W C_i]\, \sigma'(u \cdot x_i)\, x_i - \beta\lambda\, u
        """
        cloud = particles.to(self.problem.device).to(torch.float64)
        parts = [self._score(cloud.a[tile], cloud.u[tile]) for tile in tiles(len(cloud), TILE)]
        return Particles(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _score(self, a: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        problem, conditional = self.problem, Conditional.of(self.problem)
        x, w = problem.x.double(), problem.w.double()
        values = problem.sigma(u @ x.T)
        c, c_dual = values @ self.coefficients @ w.T, values @ self.dual @ w.T
        (slope,), (slope_dual,) = (conditional.derivatives(each, 1) for each in (c, c_dual))
        truncated, gradient_a = truncate(a, problem.truncation), conditional.coupling * c
        if problem.truncation is not None:
            gradient_a = gradient_a * truncate_slope(a, problem.truncation)
        along = slope_dual @ w @ self.dual.T
        along -= (slope + conditional.coupling * truncated) @ w @ self.coefficients.T
        along *= problem.sigma.slope(values)
        return -gradient_a - conditional.precision * a, along @ x - conditional.precision * u

    def sample(self, n: int, *, generator: torch.Generator, n_moves: int = 50) -> Particles:
        """Draw n neurons: u by resampling the points and MALA moves, a exactly given u.

        Parameters
        ----------
        n : int
        generator : torch.Generator
        n_moves : int, default 50
            MALA moves that decorrelate draws of one point.
        """
        problem = self.problem
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        target: LogDensity = Target(problem, problem.x.double() @ self.basis, self.dual)
        if self.phases is not None:
            target = _Phased(target, self.phases)
        inside, _, _ = mala(target, self.points[chosen], 0.1, n_moves, generator=generator)
        free = torch.randn(
            n, problem.n_inputs, dtype=torch.float64, device=problem.device, generator=generator
        )
        free /= math.sqrt(problem.beta * problem.decay)
        u = inside @ self.basis.T + free - free @ self.basis @ self.basis.T
        a = Conditional.of(problem).sample(self._local_fields_at(u), generator=generator)
        return Particles(a, u).to(problem.dtype)

    def neurons(self, n: int, *, generator: torch.Generator) -> Particles:
        """Draw n neurons whose tau(a) is its mean given u: their features have no noise of a.

        The cloud has the features of the law on average, with less noise than that of
        :meth:`sample`, and too small an E|a|^2.
        """
        u = self.sample(n, generator=generator).u
        a = Conditional.of(self.problem).stand_in(self._local_fields_at(u.double()))
        return Particles(a.to(self.problem.dtype), u)

    def _local_fields_at(self, u: Tensor) -> Tensor:
        """W C^T s(u) at any u (N, d), (N, p)."""
        problem = self.problem
        return problem.sigma(u @ problem.x.double().T) @ self.coefficients @ problem.w.double().T

    def _local_fields(self, rows: Tensor) -> Tensor:
        """W rows^T s(u) at every point (M, p), the rows (n, q) being C or G."""
        return self._products(rows) @ self.problem.w.double().T

    def _products(self, rows: Tensor) -> Tensor:
        """rows^T s(u) at every point (M, q), the rows (n, q) being C or G."""
        train = self.problem.x.double() @ self.basis
        size = max(1, VALUES_BUDGET // (8 * len(train)))
        sigma = self.problem.sigma
        parts = [
            sigma.value_(self.points[tile] @ train.T) @ rows
            for tile in tiles(len(self.points), size)
        ]
        return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class _Phased:
    """A target times the ratio of chosen masses: the jumps enter the acceptance only."""

    target: LogDensity
    phases: Phases

    @property
    def problem(self) -> Problem:
        """The problem."""
        return self.target.problem

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        density, gradient, log_tilts = self.target(u)
        return density + self.phases.log_ratio(u, log_tilts), gradient, log_tilts
