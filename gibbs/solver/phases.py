r"""Phases: separate regions of mu_G, whose masses the certified measure may choose.

Near a first-order transition the masses of mu_G are exponentially sensitive to G: an error
of a few times 1/beta in the dual moves all the mass from one region to another, D hardly
moves, and the residual, hence the gap, is large. A measure with chosen masses and the same law
inside of every region does not have this problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles
from gibbs.solver.dual import ARMIJO, TILE, RidgeSolver, dual_residual, gram, kernel_scale
from gibbs.solver.mixture import Mixture

__all__ = ["Phases", "choose_masses", "find_phases", "output_shares", "phase_gap", "phase_kernels"]

LEAST_OVERLAP = 0.1
"""Components that share more than this part of the smaller one's mass are one region."""

LEAST_MASS = 1e-3
"""Phases with less are put with the heaviest."""

FARTHEST_STEP = 0.9
"""A step of the masses goes at most this share of the way to where the first of them is 0."""

MASSES_TOLERANCE = 1e-6
"""Newton steps for the masses end when a step gains less than this share of the gap."""


@dataclass(frozen=True, eq=False)
class Phases:
    """A partition of u-space, and the mass of each part under mu_G and as chosen.

    A part is a region, cut by the level of e(u): where one region holds both, the mass that
    makes the outputs and the mass near the prior are as sensitive to each other.

    Attributes
    ----------
    regions : Mixture
        A point belongs to the region of the component that most likely made it.
    groups : Tensor (K,)
        The region of each component.
    level : float
        Of e(u): below and above it are different phases.
    numbers : Tensor (2 R,)
        The phase of (region, below or above).
    masses, chosen : Tensor (P,)
        Under mu_G, and in the certified measure.
    """

    regions: Mixture
    groups: Tensor
    level: float
    numbers: Tensor
    masses: Tensor
    chosen: Tensor

    def of(self, u: Tensor, log_tilts: Tensor) -> Tensor:
        """Phase of each row of u (M, r), given e(u) (M,), as (M,)."""
        region = self.groups[self.regions.responsibilities(u).argmax(1)]
        return self.numbers[2 * region + (log_tilts > self.level)]

    def merged(self, kept: Tensor) -> Phases:
        """The phases that are `kept` (P,), bool; the others are merged with the heaviest."""
        kept = kept | (torch.arange(len(kept), device=kept.device) == 0)
        renumbered = torch.where(kept, kept.cumsum(0) - 1, 0)
        masses = self.masses[kept].clone()
        masses[0] += self.masses[~kept].sum()
        return replace(self, numbers=renumbered[self.numbers], masses=masses, chosen=masses)

    def log_ratio(self, u: Tensor, log_tilts: Tensor) -> Tensor:
        """log(chosen / mass under mu_G) at each row of u, as float64 (M,)."""
        return (self.chosen / self.masses).log()[self.of(u, log_tilts)]


def find_phases(regions: Mixture, u: Tensor, weights: Tensor, log_tilts: Tensor) -> Phases:
    """Phases of weighted points: groups of overlapping components, cut by the level of e(u).

    The level has half of E[1 + e/E e] on either side.

    Parameters
    ----------
    regions : Mixture
    u : Tensor (M, r)
    weights : Tensor (M,)
        Of mu_G, adding up to 1.
    log_tilts : Tensor (M,)
        e(u).
    """
    belongs = regions.responsibilities(u)
    groups = _connected(belongs, weights)
    order = log_tilts.argsort()
    passed = output_shares(weights, log_tilts)[order].cumsum(0)
    level = float(log_tilts[order[int((passed < 0.5).sum().clamp(max=len(u) - 1))]])
    parts = 2 * groups[belongs.argmax(1)] + (log_tilts > level)
    totals = weights.new_zeros(2 * (int(groups.max()) + 1)).index_add_(0, parts, weights)
    ordered = totals.argsort(descending=True)
    kept = ordered[totals[ordered] >= LEAST_MASS]
    numbers = torch.zeros_like(ordered)
    numbers[kept] = torch.arange(len(kept), device=u.device)
    masses = weights.new_zeros(len(kept)).index_add_(0, numbers[parts], weights)
    return Phases(regions, groups, level, numbers, masses, masses)


def output_shares(weights: Tensor, log_tilts: Tensor) -> Tensor:
    """Half of the weights, and half of their share in E e(u): the mass that makes the outputs."""
    mean = weights @ log_tilts
    return weights / 2 * (1 + log_tilts / mean) if float(mean) > 0 else weights


def _connected(belongs: Tensor, weights: Tensor) -> Tensor:
    """Group number of each component: those that overlap, directly or by way of others."""
    masses = (weights @ belongs).clamp(min=1e-300)
    n = len(masses)
    shared = torch.stack([weights @ torch.minimum(belongs[:, [k]], belongs) for k in range(n)])
    linked = shared / torch.minimum(masses[:, None], masses[None, :]) > LEAST_OVERLAP
    reached = linked | torch.eye(n, dtype=torch.bool, device=belongs.device)
    for _ in range(n):
        reached = (reached.double() @ reached.double()) > 0
    groups: Tensor = torch.unique(reached.double().argmax(1), return_inverse=True)[1]
    return groups


def phase_kernels(
    values: Tensor, weights: Tensor, phases: Tensor, n_phases: int
) -> tuple[Tensor, Tensor]:
    """Sums of weight * s s^T (P, n, n) and of weights (P,) over the points of each phase."""
    n = values.shape[1]
    kernels = weights.new_zeros(n_phases, n, n)
    for k in range(n_phases):
        inside = torch.nonzero(phases == k).squeeze(1)
        for tile in tiles(len(inside), TILE):
            some = values[inside[tile]]
            kernels[k] += (some * weights[inside[tile], None].to(some.dtype)).T @ some
    sums = weights.new_zeros(n_phases).index_add_(0, phases, weights)
    return kernels, sums


def phase_gap(
    problem: Problem, dual: Tensor, kernels: Tensor, masses: Tensor, chosen: Tensor
) -> float:
    r"""Duality gap of mu_G with the masses of its phases changed from p to pi.

    .. math:: F(\mu_\pi) - D(G) = \tfrac12 \langle R_\pi, A_\pi^{-1} R_\pi\rangle
        + \tfrac1\beta KL(\pi | p)

    with R and A of :mod:`gibbs.solver.dual` at K_pi, the sum of pi_k times the kernel of phase k.
    """
    return _Masses(problem, dual, kernels, masses).gap(chosen)


def choose_masses(
    problem: Problem, dual: Tensor, kernels: Tensor, masses: Tensor, start: Tensor | None = None
) -> tuple[Tensor, float]:
    """The masses with the smallest :func:`phase_gap`, a convex problem, by Newton's method.

    Parameters
    ----------
    kernels : Tensor (P, n, n)
        E[s s^T] within each phase.
    masses : Tensor (P,)
        p, adding up to 1.

    Returns
    -------
    Tensor (P,), float
        pi and the gap.
    """
    function = _Masses(problem, dual, kernels, masses)
    chosen = masses if start is None else start
    value = function.gap(chosen)
    for _ in range(50 if len(masses) > 1 else 0):
        step, slope = function.newton_step(chosen)
        size = 1.0
        shrink = -(step / chosen).min()
        if float(shrink) > 0:
            size = min(1.0, FARTHEST_STEP / float(shrink))
        while size > 1e-9:
            trial = function.gap(chosen + size * step)
            if trial <= value + ARMIJO * size * slope:
                chosen, value = chosen + size * step, trial
                break
            size /= 2
        if not -slope > MASSES_TOLERANCE * abs(value):
            break
    return chosen / chosen.sum(), value


class _Masses:
    """phase_gap as a function of pi, with its exact Newton step on the simplex."""

    def __init__(self, problem: Problem, dual: Tensor, kernels: Tensor, masses: Tensor) -> None:
        self.problem, self.dual, self.masses = problem, dual, masses
        self.kernels = kernels
        self.gram, self.kernel_scale = gram(problem), kernel_scale(problem)

    def _at(self, chosen: Tensor) -> tuple[RidgeSolver, Tensor, Tensor]:
        """A_pi^-1, R_pi and A_pi^-1 R_pi."""
        mixed = torch.tensordot(chosen, self.kernels.to(chosen.dtype), dims=1)
        solver, right = (
            RidgeSolver(self.problem, mixed),
            dual_residual(self.problem, self.dual, mixed),
        )
        return solver, right, solver(right)

    def gap(self, chosen: Tensor) -> float:
        _, right, solved = self._at(chosen)
        divergence = (chosen * (chosen / self.masses).log()).sum() - chosen.sum() + 1
        return float(0.5 * (right * solved).sum() + divergence / self.problem.beta)

    def newton_step(self, chosen: Tensor) -> tuple[Tensor, float]:
        solver, _, solved = self._at(chosen)
        kernels = self.kernels.to(chosen.dtype)
        change = self.kernel_scale * kernels @ ((self.dual - solved) @ self.gram)
        half = self.kernel_scale * kernels @ (solved @ self.gram) / 2
        gradient = (solved * (change + half)).sum((1, 2))
        gradient = gradient + (chosen / self.masses).log() / self.problem.beta
        inverse = torch.stack([solver(p) for p in change])
        hessian = torch.einsum("knq,lnq->kl", change, inverse)
        hessian = hessian + torch.diag(1 / (self.problem.beta * chosen))
        # Newton's step among masses that add up to 1.
        ones = torch.ones_like(chosen)
        plain, along = torch.linalg.solve(hessian, torch.stack([gradient, ones], 1)).T
        step = -plain + (ones @ plain) / (ones @ along) * along
        return step, float(step @ gradient)
