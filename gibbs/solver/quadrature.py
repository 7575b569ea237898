"""Quadrature over u where the inputs have rank 1 or 2: there the dual is solved to round-off."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gibbs.gauss_rules import legendre_rule
from gibbs.model.energy import prior_energy
from gibbs.model.problem import Problem
from gibbs.solver.certificate import Certificate
from gibbs.solver.conditional import Conditional
from gibbs.solver.domain import (
    N_ANGLES,
    NEGLIGIBLE,
    START_LIMIT,
    edge,
    has_domain,
    in_domain,
    kink_angles,
    needed_extent,
    outside_certificate,
    within,
)
from gibbs.solver.dual import (
    ARMIJO,
    Tilted,
    dual_value,
    gap_of,
    log_tilt,
    newton_direction,
    outputs_of,
    solve_ridge,
)
from gibbs.solver.progress import StepLog

__all__ = ["RuleTooLarge", "certificate_at", "quadrature_certificate", "refine_rule"]

BUDGET = 2.5e8
"""Most activations, points times samples, that a rule may take."""

FIRST_RADIUS, FIRST_POLAR_RADIUS = 9.0, 40.0
"""Radius of the first rule, in prior deviations: on a line the prior has 2e-19 beyond 9."""

MARGIN = 1.1
"""A rule extends this much further than the law needs, so that the next G fits in, too."""

WIDER = 1.3
"""Each refinement extends this much further than the rule before."""

N_RADII = 300
"""Radii of the scan for how far the law extends."""

LINE_POINTS, PLANE_POINTS = 1000, 150
"""Points on each axis of the first trapezoidal rule, in rank 1 and in rank 2; they double."""

SAME_VALUE, SAME_FEATURES = 1e-10, 1e-8
"""Relative changes of D and of the features below which a rule counts as converged."""

MOST_STEPS = 100
"""Newton steps on one rule at most; they end before that where a step gains nothing."""


class RuleTooLarge(ValueError):
    """The rule would take more activations than BUDGET before D and the features converge."""


def refine_rule(
    small: Problem,
    dual: Tensor | None,
    log: StepLog | None = None,
    start: Tensor | None = None,
) -> tuple[Tilted, Tensor]:
    """Refine the rule until D and the features converge, at a given G or at the best one.

    The search for the best one begins at `start`. A given G must lie inside the domain of the
    dual (:mod:`gibbs.solver.domain`).
    """
    polar = has_domain(small)
    extent, level = (FIRST_POLAR_RADIUS if polar else FIRST_RADIUS, 1.0), 0
    start, before = start if dual is None else dual, None
    while True:
        grid, base = (_polar if polar else _grid)(small, extent, level)
        values = small.sigma.value_(grid @ small.x.T)
        if start is None:
            start = -solve_ridge(small, _prior_kernel(base, values), small.y)
            if polar:
                start, _ = in_domain(small, start, share=START_LIMIT)
        tilted = Tilted(small, start, values, base, 0.0, base).at(start)
        if dual is None:
            tilted = _maximize(tilted, log or StepLog(), extent)
        start, needed = tilted.dual, _needed(small, tilted)
        if not _covers(extent, needed):
            extent = max(extent[0], MARGIN * needed[0]), max(extent[1], MARGIN * needed[1])
            # Of two polar rules of one level only the extent differs: their agreement says little.
            before = None if polar else tilted
            continue
        if before is not None and _agree(before, tilted):
            return tilted, grid
        before, extent, level = tilted, (WIDER * extent[0], extent[1]), level + 1


def _needed(small: Problem, tilted: Tilted) -> tuple[float, float]:
    """Prior deviations beyond which there is no mass, and a factor for the width of the law."""
    if has_domain(small):
        return needed_extent(small, tilted.dual, edge(small, tilted.dual))
    return _far_radius(small, tilted.dual), 1.0


def _far_radius(small: Problem, dual: Tensor) -> float:
    """Where e(u) - r^2/2 has fallen NEGLIGIBLE below its largest value, on a scan of rays.

    A rule may agree with its own refinements while a phase lies beyond it.
    """
    scale = 1 / math.sqrt(small.beta * small.decay)
    rank = small.n_inputs
    angles = torch.linspace(0, 2 * math.pi, 3 if rank == 1 else N_ANGLES + 1, dtype=torch.float64)[
        :-1
    ]
    rays = torch.stack([angles.cos(), angles.sin()], 1)[:, :rank].to(small.device)
    end = math.log10(_farthest(small, dual))
    radii = torch.logspace(0, end, N_RADII, dtype=torch.float64, device=small.device)
    heights = torch.stack(
        [
            log_tilt(small, dual, small.sigma.value_(radius * scale * rays @ small.x.T)).max()
            - radius**2 / 2
            for radius in radii
        ]
    )
    alive = radii[heights >= heights.max().clamp(min=0) - NEGLIGIBLE]
    return MARGIN * float(alive.max())


def _farthest(small: Problem, dual: Tensor) -> float:
    """A radius, in prior deviations, from which e(u) + 40 < r^2/2 by the bounds of sigma and tau.

    A bounded sigma bounds the local fields, hence e(u). Else |sigma(z)| <= |z| + 1, and tau_R,
    which is at most 3R/2, makes e(u) <= slope * r + rest.
    """
    weights = (dual @ small.w.T).abs()
    slope = 0.0
    if small.sigma.bounded:
        largest = small.sigma.max_value * weights.sum(0)
        rest = float(Conditional.of(small).total(largest[None]))
    else:
        assert small.truncation is not None
        steepest = small.beta * small.gamma * 1.5 * small.truncation
        rest = steepest * float(weights.sum())
        norms = small.x.norm(dim=1) / math.sqrt(small.beta * small.decay)
        slope = steepest * float(norms @ weights.sum(1))
    return slope + math.sqrt(slope**2 + 2 * (rest + NEGLIGIBLE))


def _covers(extent: tuple[float, float], needed: tuple[float, float]) -> bool:
    return needed[0] <= extent[0] and needed[1] <= extent[1]


def _prior_kernel(base: Tensor, values: Tensor) -> Tensor:
    return (values * base.exp()[:, None]).T @ values


def _grid(small: Problem, extent: tuple[float, float], level: int) -> tuple[Tensor, Tensor]:
    """Trapezoidal rule: points (M, r), and the logarithms of their prior masses."""
    points = (LINE_POINTS if small.n_inputs == 1 else PLANE_POINTS) * 2**level
    _check_size(small, points**small.n_inputs)
    axis = torch.linspace(-extent[0], extent[0], points, dtype=torch.float64, device=small.device)
    axis /= math.sqrt(small.beta * small.decay)
    grid = torch.cartesian_prod(*[axis] * small.n_inputs).reshape(-1, small.n_inputs)
    log_mass = -small.beta * small.decay / 2 * grid.square().sum(1)
    return grid, log_mass - torch.logsumexp(log_mass, 0)


def _polar(small: Problem, extent: tuple[float, float], level: int) -> tuple[Tensor, Tensor]:
    """A rule in polar coordinates, for laws that are far wider in some directions: as `_grid`."""
    radii, log_mass = _radii(*extent, level)
    rank = small.n_inputs
    log_mass = log_mass + (rank - 1) * radii.log() - radii.square() / 2
    if rank == 1:
        radius, angle = torch.cat([radii, -radii]), None
        log_mass = log_mass.repeat(2)
    elif math.isfinite(small.sigma.max_curvature):
        scale = float(small.x.norm(dim=1).max()) / math.sqrt(small.beta * small.decay)
        counts = (16 + 4 * 1.5**level * (1 + radii * max(1.0, scale))).long()
        _check_size(small, int(counts.sum()))
        radius = radii.repeat_interleave(counts)
        first = (counts.cumsum(0) - counts).repeat_interleave(counts)
        share = 1 / counts.double().repeat_interleave(counts)
        angle = 2 * math.pi * share * (torch.arange(len(radius)) - first)
        log_mass = log_mass.repeat_interleave(counts) + share.log()
    else:
        angles, shares = _sector_rule(small.x.cpu(), extent[0], level)
        _check_size(small, len(angles) * len(radii))
        radius, angle = torch.cartesian_prod(radii, angles).T
        log_mass = (log_mass[:, None] + shares.log()).flatten()
    directions = [radius] if angle is None else [radius * angle.cos(), radius * angle.sin()]
    grid = torch.stack(directions, 1) / math.sqrt(small.beta * small.decay)
    log_mass -= torch.logsumexp(log_mass, 0)
    return grid.to(small.device), log_mass.to(small.device)


def _radii(extent: float, stretch: float, level: int) -> tuple[Tensor, Tensor]:
    r"""Trapezoidal rule in s, radius = exp(s - e^-s), up to `extent`, for all scales at once.

    The integrands are smooth in log radius, whatever 1 - kappa^2 is, and the e^-s makes them
    vanish doubly exponentially at the lower end. `stretch` makes the steps finer.
    """
    width = 0.2 / stretch / 1.3**level
    s = torch.arange(-3.7, math.log(extent) + 1 / extent + width, width, dtype=torch.float64)
    return (s - (-s).exp()).exp(), s - (-s).exp() + (-s).exp().log1p()


def _sector_rule(x: Tensor, extent: float, level: int) -> tuple[Tensor, Tensor]:
    r"""Gauss-Legendre angles between the kinks of relu (A,), and their weights.

    The radial integrals are powers of 1/(1 - kappa^2), and `extent` sets the least 1 - kappa^2 that
    counts, eps = 80/extent^2. Near a smooth maximum of kappa they have poles at about sqrt(eps),
    hence panels of that width; near one on a kink at about eps, or nearer where kappa falls
    steeply, hence panels that halve towards kinks.
    """
    kinks = torch.cat(kink_angles(x)).sort().values
    gaps = torch.cat([kinks[1:], kinks[:1] + 2 * math.pi]) - kinks
    eps = 2 * NEGLIGIBLE / extent**2
    width, least = math.sqrt(eps) / 1.5**level, eps / 8 / 2**level
    doublings = torch.arange(math.ceil(math.log2(width / least)), dtype=torch.float64)
    steps = least * 2**doublings
    # Many kinks are weak kinks: short gaps are left whole, until a higher level asks for more.
    kept = (steps < gaps[:, None] / 2) & (gaps[:, None] > 8 * least)
    after = (kinks[:, None] + steps)[kept]
    ahead = ((kinks + gaps)[:, None] - steps)[kept]
    even = torch.linspace(0, 2 * math.pi, 1 + math.ceil(2 * math.pi / width), dtype=torch.float64)
    edges = torch.cat([kinks, after, ahead, even[:-1]]).remainder(2 * math.pi).sort().values
    widths = (torch.cat([edges[1:], edges[:1] + 2 * math.pi]) - edges)[:, None]
    nodes, weights = legendre_rule(7 + 2 * level)
    kept = widths[:, 0] > 0
    return (edges[:, None] + widths * nodes)[kept].flatten(), (widths * weights)[kept].flatten()


def _check_size(small: Problem, points: int) -> None:
    if points * small.n_samples > BUDGET:
        raise RuleTooLarge(
            f"quadrature takes more than {BUDGET:g} activations: use method='monte_carlo'"
        )


def _maximize(tilted: Tilted, log: StepLog, extent: tuple[float, float]) -> Tilted:
    """Damped Newton's method on the dual of fixed points.

    For an unbounded activation D counts as -inf where the law would extend twice as far as
    the rule: that is outside of the domain, or where the points decide nothing.
    """
    small, value = tilted.problem, dual_value(tilted)
    polar, most = has_domain(small), (2 * extent[0], 2 * extent[1])
    for _ in range(MOST_STEPS):
        direction, slope = newton_direction(tilted)
        size = 1.0
        while size > 1e-8:
            trial = tilted.at(tilted.dual + size * direction)
            inside = not polar or _covers(most, _needed(small, trial))
            least = value + ARMIJO * size * slope - 1e-15 * abs(value)
            if inside and dual_value(trial) >= least:
                break
            size /= 2
        else:
            break
        tilted, value = trial, dual_value(trial)
        log.record(value, gap_of(tilted), size, tilted.effective_size)
        if not slope > 1e-15 * max(abs(value), 1e-12):
            break
    return tilted


def _agree(coarse: Tilted, fine: Tilted) -> bool:
    """Whether D and the features have converged, to SAME_VALUE and SAME_FEATURES."""
    first, second = dual_value(coarse), dual_value(fine)
    if abs(first - second) > SAME_VALUE * abs(second):
        return False
    h_first, h_second = outputs_of(coarse), outputs_of(fine)
    return bool((h_first - h_second).abs().max() <= SAME_FEATURES * h_second.abs().max())


def quadrature_certificate(tilted: Tilted, tol: float) -> Certificate:
    """Certificate of a converged rule: its numbers are exact to round-off."""
    dual, gap = dual_value(tilted), gap_of(tilted)
    certified = dual > 0 and gap <= tol * dual
    reason = f"relative gap {gap / dual:.2g} > tol {tol:g}" if dual > 0 else "the dual is not > 0"
    certificate = Certificate(
        dual=dual,
        primal=dual + gap,
        gap=gap,
        gap_stderr=0.0,
        dual_stderr=0.0,
        method="quadrature",
        effective_size=tilted.effective_size,
        n_replays=0,
        certified=certified,
        reason="" if certified else reason,
        prior_energy=prior_energy(tilted.problem),
    )
    small = tilted.problem
    return within(certificate, edge(small, tilted.dual)) if has_domain(small) else certificate


def certificate_at(small: Problem, dual: Tensor, tol: float) -> Certificate:
    """Certificate of a given G, which may lie outside of the domain of the dual."""
    if has_domain(small):
        found = edge(small, dual)
        if found.outside:
            return outside_certificate(found, prior_energy(small), "quadrature")
    return quadrature_certificate(refine_rule(small, dual)[0], tol)
