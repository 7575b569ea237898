"""The Gibbs-form measure of a dual point, as a law that can be evaluated and sampled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gibbs.dual import TILE, tiles
from gibbs.particles import Particles
from gibbs.problem import Problem

__all__ = ["GibbsMeasure", "Target", "hermite_rule", "mala"]

VALUES_BUDGET = 256 * 2**20
"""Bytes of first-layer activations that one block of points may take."""


@dataclass(frozen=True, eq=False)
class GibbsMeasure:
    r"""The law of (a, u) with u ~ mu_G and a | u ~ N(-(gamma/lambda) W C^T s(u), I/(beta lambda)).

    G, the `tilt`, fixes the marginal of u; C, the `dual`, the mean of a given u. At the
    minimizer both are the same. The tightest certificate re-optimises C for the law of u
    that G gives (see :func:`gibbs.dual.tight_gap`).

    u enters the data only by its part in the row space of X; the other directions keep the
    prior N(0, I/(beta lambda)), independent of the rest.

    Attributes
    ----------
    problem : Problem
    dual, tilt : Tensor (n, q)
        C and G, float64.
    points : Tensor (M, r)
        Points of u in the coordinates of `basis`, float64: a quadrature rule or a sample.
    weights : Tensor (M,)
        Of mu_G, adding up to 1.
    log_z : float
        log E_prior exp(e(u)).
    basis : Tensor (d, r)
        Orthonormal basis of the row space of X.
    """

    problem: Problem
    dual: Tensor
    tilt: Tensor
    points: Tensor
    weights: Tensor
    log_z: float
    basis: Tensor

    def features(self, x: Tensor) -> Tensor:
        r"""Features by Rao-Blackwell: h(x) = -(gamma/lambda) E[sigma(u.x) s(u)^T] C W^T.

        Parameters
        ----------
        x : Tensor (m, d)

        Returns
        -------
        Tensor (m, p)
            In the dtype of the problem. No noise of a is in it.
        """
        problem, new = self.problem, x.double()
        inside = new @ self.basis
        outside = (new - inside @ self.basis.T).norm(dim=1)
        nodes, node_weights = hermite_rule(1 / math.sqrt(problem.beta * problem.decay))
        flat = bool((outside <= 1e-9 * (1 + new.norm(dim=1))).all())
        if flat:
            nodes, node_weights = nodes.new_zeros(1), nodes.new_ones(1)
        total = new.new_zeros(len(new), problem.n_outputs)
        train = problem.x.double() @ self.basis
        size = max(1, VALUES_BUDGET // (8 * (len(train) + 2 * len(new))))
        for tile in tiles(len(self.points), size):
            points, weights = self.points[tile], self.weights[tile]
            pulls = problem.sigma.value_(points @ train.T) @ self.dual
            along = points @ inside.T
            for node, node_weight in zip(nodes.tolist(), node_weights.tolist(), strict=True):
                values = problem.sigma(along + node * outside)
                total += node_weight * values.T @ (weights[:, None] * pulls)
        h = -problem.gamma / problem.decay * total @ problem.w.double().T
        return h.to(problem.dtype)

    def mean_square(self) -> tuple[float, float]:
        """E|a|^2 and E|u|^2."""
        problem = self.problem
        variance = 1 / (problem.beta * problem.decay)
        a = problem.n_features * variance + float(self.weights @ self._mean_a().square().sum(1))
        free = problem.n_inputs - self.points.shape[1]
        u = float(self.weights @ self.points.square().sum(1)) + free * variance
        return a, u

    def kl_to_prior(self) -> float:
        """KL(rho | rho_0) >= 0, in nats."""
        problem = self.problem
        means = self._mean_a().square().sum(1)
        tilts = self._pulls(self.tilt).square().sum(1)
        strength = problem.beta * problem.gamma**2 / (2 * problem.decay)
        marginal = strength * float(self.weights @ tilts) - self.log_z
        return marginal + problem.beta * problem.decay / 2 * float(self.weights @ means)

    def free_energy(self) -> float:
        """L_n + KL(rho | rho_0)/beta: the free energy counted relative to the prior, >= 0."""
        problem = self.problem
        z = problem.gamma * self.features(problem.x).double() @ problem.w.double()
        loss = (z - problem.y.double()).square().sum() / (2 * problem.n_samples)
        return float(loss) + self.kl_to_prior() / problem.beta

    def log_density(self, particles: Particles) -> Tensor:
        """Logarithm of the density at each neuron (N,), up to one constant."""
        problem = self.problem
        u = particles.u.double()
        values = problem.sigma(u @ problem.x.double().T)
        w = problem.w.double()
        tilts = (values @ self.tilt @ w.T).square().sum(1)
        means = -problem.gamma / problem.decay * values @ self.dual @ w.T
        spread = (particles.a.double() - means).square().sum(1) + u.square().sum(1)
        strength = problem.beta * problem.gamma**2 / (2 * problem.decay)
        return strength * tilts - problem.beta * problem.decay / 2 * spread

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
        target = Target(problem, problem.x.double() @ self.basis, self.tilt)
        inside, _, _ = mala(target, self.points[chosen], 0.1, n_moves, generator=generator)
        scale = 1 / math.sqrt(problem.beta * problem.decay)

        def normals(width: int) -> Tensor:
            return scale * torch.randn(
                n, width, dtype=torch.float64, device=problem.device, generator=generator
            )

        free = normals(problem.n_inputs)
        u = inside @ self.basis.T + free - free @ self.basis @ self.basis.T
        values = problem.sigma(inside @ (problem.x.double() @ self.basis).T)
        means = -problem.gamma / problem.decay * values @ self.dual @ problem.w.double().T
        return Particles(means + normals(problem.n_features), u).to(problem.dtype)

    def neurons(self, n: int, *, generator: torch.Generator) -> Particles:
        """Draw n neurons whose a is its mean given u: their features have no noise of a.

        The cloud has the features of the law on average, with less noise than that of
        :meth:`sample`, and too small an E|a|^2.
        """
        u = self.sample(n, generator=generator).u
        problem = self.problem
        values = problem.sigma(u.double() @ problem.x.double().T)
        means = -problem.gamma / problem.decay * values @ self.dual @ problem.w.double().T
        return Particles(means.to(problem.dtype), u)

    def _pulls(self, dual: Tensor) -> Tensor:
        """W C^T s(u) at every point, (M, p)."""
        train = self.problem.x.double() @ self.basis
        size = max(1, VALUES_BUDGET // (8 * len(train)))
        sigma = self.problem.sigma
        parts = [
            sigma.value_(self.points[tile] @ train.T) @ dual
            for tile in tiles(len(self.points), size)
        ]
        return torch.cat(parts) @ self.problem.w.double().T

    def _mean_a(self) -> Tensor:
        return -self.problem.gamma / self.problem.decay * self._pulls(self.dual)


@dataclass(frozen=True, eq=False)
class Target:
    r"""Log density of mu_G in the coordinates of the row space: e(u) - beta lambda/2 |u|^2.

    Attributes
    ----------
    problem : Problem
    x : Tensor (n, r)
        The inputs in these coordinates; its dtype is that of the sampling.
    dual : Tensor (n, q)
    """

    problem: Problem
    x: Tensor
    dual: Tensor

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Log density (M,), its gradient (M, r), and e(u) (M,).

        grad e(u) = (beta gamma^2/lambda) sum_i (W G^T s(u) . W G_i) sigma'(u.x_i) x_i.
        """
        parts = [self._tile(u[tile]) for tile in tiles(len(u), TILE)]
        density, gradient, tilt = (torch.cat(part) for part in zip(*parts, strict=True))
        return density, gradient, tilt

    def _tile(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        problem = self.problem
        dual, w = self.dual.to(self.x.dtype), problem.w.to(self.x.dtype)
        values = problem.sigma.value_(u @ self.x.T)
        pulls = values @ (dual @ w.T)
        strength = problem.beta * problem.gamma**2 / problem.decay
        tilt = strength / 2 * pulls.square().sum(1)
        slopes = problem.sigma.slope(values)
        slopes *= pulls @ (w @ dual.T)
        prior = problem.beta * problem.decay
        return (
            tilt - prior / 2 * u.square().sum(1),
            strength * slopes @ self.x - prior * u,
            tilt,
        )


class LogDensity(Protocol):
    """What :func:`mala` moves under: log density (M,), its gradient (M, r), and e(u) (M,)."""

    @property
    def problem(self) -> Problem:
        """Sets the scale of the moves: its prior variance."""

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate at each row of u (M, r)."""


def mala(
    target: LogDensity, u: Tensor, step: float, n_moves: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """Metropolis-adjusted Langevin moves of all points, the step tuned to 60 % acceptance.

    Parameters
    ----------
    target : LogDensity
    u : Tensor (M, r)
    step : float
        In units of the prior variance.
    n_moves : int

    Returns
    -------
    Tensor (M, r), Tensor (M,), float
        The moved points, e(u) there, and the step as tuned. Tuning goes on while moving, by
        the acceptance of all points together, which of one point depends only by 1/M.
    """
    variance = 1 / (target.problem.beta * target.problem.decay)
    log_density, gradient, tilt = target(u)
    for _ in range(n_moves):
        h = step * variance
        noise = torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)
        proposal = u + h / 2 * gradient + math.sqrt(h) * noise
        new_density, new_gradient, new_tilt = target(proposal)
        back = u - proposal - h / 2 * new_gradient
        log_ratio = new_density - log_density + noise.square().sum(1) / 2
        log_ratio -= back.square().sum(1) / (2 * h)
        draw = torch.rand(len(u), dtype=u.dtype, device=u.device, generator=generator)
        accepted = draw.log() < log_ratio
        u = torch.where(accepted[:, None], proposal, u)
        gradient = torch.where(accepted[:, None], new_gradient, gradient)
        log_density = torch.where(accepted, new_density, log_density)
        tilt = torch.where(accepted, new_tilt, tilt)
        step *= math.exp(float(accepted.double().mean()) - 0.6)
    return u, tilt, step


def hermite_rule(scale: float, n_nodes: int = 64) -> tuple[Tensor, Tensor]:
    """Gauss-Hermite nodes and weights for N(0, scale^2), from the Jacobi matrix."""
    off = torch.arange(1, n_nodes, dtype=torch.float64).sqrt()
    nodes, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return scale * nodes, vectors[0].square()
