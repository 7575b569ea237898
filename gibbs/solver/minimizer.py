"""The Gibbs minimizer, solved: quadrature where the data have rank 1 or 2, else Monte Carlo."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from gibbs.model.energy import prior_energy
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem
from gibbs.solver.ascent import Ascent, OverdispersedChains
from gibbs.solver.bridge import Bridge, WeightedSample, build_bridge, fit_proposal
from gibbs.solver.certificate import Certificate, refusal
from gibbs.solver.domain import (
    START_LIMIT,
    edge,
    has_domain,
    in_domain,
    outside_certificate,
    within,
)
from gibbs.solver.dual import Tilted, log_tilt, refit
from gibbs.solver.marginal_descent import marginal_descent
from gibbs.solver.measure import GibbsMeasure
from gibbs.solver.phases import Phases, output_shares
from gibbs.solver.progress import Progress, Replay, StepLog
from gibbs.solver.quadrature import (
    RuleTooLarge,
    certificate_at,
    quadrature_certificate,
    refine_rule,
)
from gibbs.solver.replays import pool, replay_certificate
from gibbs.solver.row_space import in_row_space, starting_point

__all__ = ["GibbsResult", "certify", "solve_gibbs"]

FEWER = 4
"""The ascent takes samples of n_particles / FEWER points: only the certificate needs them all."""

FEWEST = 100
"""Points of a sample at least; n_particles must not be lower."""

N_FITS = 3
"""Times that the proposal for a given G is fitted, each time to a sample by the last proposal."""

CHAIN_ROUNDS = 30
"""Moves of the overdispersed chains for a given G, in units of n_moves: no ascent precedes them."""

LEAST_WEIGHT = 1e-18
"""Points of less weight are left out of a measure: they change no sum of float64."""

SAME_MASSES = 1e-12
"""Masses of phases that are changed by less than this, relative, count as not changed."""


@dataclass(frozen=True, eq=False)
class GibbsResult:
    """The solved measure with its certificate.

    Attributes
    ----------
    measure : GibbsMeasure
    certificate : Certificate
    status : str
        "certified" or "not certified".
    history : dict of str to 1-D Tensor
        By Newton step: "dual", "gap" (as seen by the sample that chose the step), "step"
        (the fraction of the Newton step taken), "effective_size". Empty where none was taken.
    """

    measure: GibbsMeasure
    certificate: Certificate
    status: str
    history: dict[str, Tensor]


def solve_gibbs(
    problem: Problem,
    *,
    n_particles: int = 20_000,
    tol: float = 1e-2,
    generator: torch.Generator,
    method: Literal["auto", "quadrature", "monte_carlo"] = "auto",
    n_replays: int = 6,
    n_moves: int = 6,
    max_rounds: int = 3,
    memory_budget: int = 2**31,
    warm_start: GibbsMeasure | Particles | None = None,
    progress: Progress | None = None,
) -> GibbsResult:
    r"""Solve stage one with W fixed: the minimizer of free energy (Equation 27), certified.

    The minimizer is rho_G at the maximizer of a concave dual in (n, q) numbers
    (:mod:`gibbs.solver.dual`). Where rank(X) <= 2 the integrals over u are quadrature sums, refined
    until D and the features converge. Otherwise points are drawn from a fitted mixture and
    weighted, directly or over a bridge to mu_G (:mod:`gibbs.solver.bridge`), and Newton steps by
    conjugate gradients maximise the dual (:mod:`gibbs.solver.ascent`). Independent samples
    (replays) then give the certificate of a G that they did not choose. Where the ascent fails, it
    begins again from the law that :mod:`gibbs.solver.marginal_descent` finds; if that fails too,
    this law is returned, not certified.

    Parameters
    ----------
    problem : Problem
        beta finite. With an unbounded activation and no truncation the dual is -inf outside of a
        domain (:mod:`gibbs.solver.domain`); in rank > 2 its edge is searched for, and near it
        nothing is certified.
    n_particles : int, default 20_000
        M, the size of each sample.
    tol : float, default 1e-2
        Certified means: max(0, gap) + t-quantile * stderr <= tol * (dual - 2 stderr).
    generator : torch.Generator
    method : {"auto", "quadrature", "monte_carlo"}
    n_replays : int, default 6
        >= 6 for a certificate.
    n_moves : int, default 6
        MALA moves after each level of a bridge.
    max_rounds : int, default 3
        Rounds of replays; after one that is not certified, Newton steps on its pooled samples
        give the next G.
    memory_budget : int, default 2 GiB
        Bytes of activations, points times training samples, that are held at once. Replays are
        handled one at a time, and the model of the ascent keeps few enough points to stay below.
    warm_start : GibbsMeasure or Particles, optional
        Where to begin in place of G = 0: the law of its u's, at the G that is best for
        it. A measure of another beta, gamma, lambda or W, or a Langevin cloud.
    progress : callable, optional
        Called with a :data:`gibbs.SolverReport` after every step of every part of the solver;
        :func:`gibbs.describe_report` puts it into words. An exception that it raises ends the
        solver.

    Returns
    -------
    GibbsResult

    Raises
    ------
    ValueError
        If the problem is not of that kind, or an argument is out of range.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]], dtype=torch.float64)
    >>> y = torch.eye(2, dtype=torch.float64)[[0, 1, 1]]
    >>> problem = Problem(x, y, torch.eye(2, dtype=torch.float64), beta=20.0)
    >>> result = solve_gibbs(problem, generator=torch.Generator().manual_seed(0))
    >>> result.certificate.method, result.certificate.certified
    ('quadrature', True)
    """
    _check(problem, n_particles, tol, method, n_replays, max_rounds)
    small, basis = in_row_space(problem)
    if 4 * n_particles * small.n_samples > memory_budget:
        raise ValueError(
            f"memory_budget must hold n_particles * n = {n_particles * small.n_samples} float32 "
            f"activations, {4 * n_particles * small.n_samples} bytes, got {memory_budget}"
        )
    log = StepLog(progress)
    start = (
        None if warm_start is None else starting_point(small, basis, warm_start, name="warm_start")
    )
    if start is not None and has_domain(small):
        inside, _ = in_domain(small, start[0], generator=generator, share=START_LIMIT)
        start = (inside, *start[1:])
    if method == "quadrature" and small.n_inputs > 2:
        raise ValueError(f"method='quadrature' needs rank <= 2, got rank {small.n_inputs}")
    if method != "monte_carlo" and small.n_inputs <= 2:
        try:
            tilted, grid = refine_rule(small, None, log, start=start[0] if start else None)
            certificate = quadrature_certificate(tilted, tol)
            return _result(problem, basis, tilted, grid, certificate, log)
        except RuleTooLarge:
            if method == "quadrature":
                raise
    effort = _Effort(n_particles, n_moves, n_replays, max_rounds, tol, memory_budget)
    return _by_monte_carlo(problem, small, basis, start, effort, generator, log)


@dataclass(frozen=True)
class _Effort:
    """How much work a Monte Carlo solution may take: arguments of :func:`solve_gibbs`."""

    n_particles: int
    n_moves: int
    n_replays: int
    max_rounds: int
    tol: float
    memory_budget: int


def _by_monte_carlo(
    problem: Problem,
    small: Problem,
    basis: Tensor,
    start: tuple[Tensor, Tensor, Tensor] | None,
    effort: _Effort,
    generator: torch.Generator,
    log: StepLog,
) -> GibbsResult:
    """Maximise the dual, certify by replays, and repeat from those until the gap is certified."""
    n, n_moves = effort.n_particles, effort.n_moves
    ascent = Ascent(
        small,
        n_moves=n_moves,
        tol=effort.tol,
        memory_budget=effort.memory_budget,
        generator=generator,
        log=log,
    )
    few = max(FEWEST, n // FEWER)
    if start is None or not ascent.begin_near(*start, few):
        ascent.begin(few)
    found = ascent.run(few)
    if not found and not has_domain(small):
        descent = marginal_descent(small, few, n_moves=n_moves, generator=generator, log=log)
        found = ascent.begin_near(*descent, few) and ascent.run(few)
    last = None
    for number in range(effort.max_rounds if found else 0):
        if number > 0:
            ascent.run(n)
        try:
            bridge, _ = ascent.propose(n)
        except ArithmeticError:
            break
        replays = _replays(bridge, n, effort.n_replays, generator, log)
        certificate, phases = replay_certificate(bridge, replays, effort.tol, generator=generator)
        certificate = _within(small, bridge.dual, certificate, generator)
        last = (bridge, replays, certificate, phases)
        if certificate.certified:
            break
        ascent.remember(pool(replays), bridge.dual)
    if last is not None:
        return _pooled_result(problem, basis, *last, log)
    if found or has_domain(small):
        descent = marginal_descent(small, few, n_moves=n_moves, generator=generator, log=log)
    return _descent_result(problem, basis, small, descent, log)


def certify(
    problem: Problem,
    measure_or_particles: GibbsMeasure | Particles,
    *,
    generator: torch.Generator,
    n_particles: int = 20_000,
    tol: float = 1e-2,
    method: Literal["auto", "quadrature", "monte_carlo"] = "auto",
    n_replays: int = 6,
    n_moves: int = 6,
    progress: Progress | None = None,
) -> Certificate:
    r"""Bound how far a measure, or the law behind a cloud of neurons, is from the minimizer.

    Of a measure it is the certificate of its dual variable G: the coefficients C and the masses of
    phases are chosen again.

    A finite cloud has no entropy, hence no free energy of its own. Its natural dual point is
    G_K = -(n I + (gamma^2/lambda) K_N (x) W^T W)^-1 Y with the kernel K_N of its u's: the
    certificate is that of the Gibbs-form measure of G_K. The cloud's outputs are not used; their
    noise would be amplified by 1 + gamma^2 k_max/(n lambda).

    Parameters are those of :func:`solve_gibbs`.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        If the problem is not one that :func:`solve_gibbs` takes, or the widths differ.
    """
    _check(problem, n_particles, tol, method, n_replays)
    name = "measure_or_particles"
    small, basis = in_row_space(problem)
    if isinstance(measure_or_particles, Particles):
        dual, points, weights = starting_point(small, basis, measure_or_particles, name=name)
        starts = points
    else:
        dual, starts = measure_or_particles.dual, None
        if dual.shape != small.y.shape:
            raise ValueError(
                f"{name} must have a dual of shape (n, q) = {tuple(small.y.shape)}, got "
                f"{tuple(dual.shape)}: that of the same samples"
            )
        weight = small.sample_weight
        if weight is not None and bool(dual[weight == 0].any()):
            raise ValueError(f"{name} must have a dual of 0 in every row whose sample_weight is 0")
        _, points, weights = starting_point(small, basis, measure_or_particles, name=name)
    if method != "monte_carlo" and small.n_inputs <= 2:
        try:
            return certificate_at(small, dual, tol)
        except RuleTooLarge:
            if method == "quadrature":
                raise
    if method == "quadrature":
        raise ValueError(f"method='quadrature' needs rank <= 2, got rank {small.n_inputs}")
    if has_domain(small):
        limit = edge(small, dual, generator=generator)
        if limit.outside:
            return outside_certificate(limit, prior_energy(small), "monte_carlo")
    chains, log = OverdispersedChains(small, generator, starts), StepLog(progress)
    try:
        bridge = _bridge_at(
            small, dual, points, weights, chains, n_particles, n_moves, generator, log
        )
    except ArithmeticError as error:
        return refusal(str(error), prior_energy(small))
    replays = _replays(bridge, n_particles, n_replays, generator, log)
    certificate, _ = replay_certificate(bridge, replays, tol, generator=generator, starts=starts)
    return _within(small, dual, certificate, generator)


def _replays(
    bridge: Bridge, n: int, n_replays: int, generator: torch.Generator, log: StepLog
) -> list[WeightedSample]:
    """Independent samples over a bridge, each of them reported."""
    replays: list[WeightedSample] = []
    while len(replays) < n_replays:
        replays.append(bridge.sample(n, generator=generator))
        log.report(Replay(len(replays), n_replays))
    return replays


def _within(
    small: Problem, dual: Tensor, certificate: Certificate, generator: torch.Generator
) -> Certificate:
    """The certificate, refused near the edge of the domain of the dual where there is one."""
    if not has_domain(small):
        return certificate
    return within(certificate, edge(small, dual, generator=generator))


def _bridge_at(
    small: Problem,
    dual: Tensor,
    points: Tensor,
    weights: Tensor,
    chains: OverdispersedChains,
    n: int,
    n_moves: int,
    generator: torch.Generator,
    log: StepLog,
) -> Bridge:
    """A bridge to mu_G from a proposal that was fitted to samples of it, starting from points."""
    for _ in range(N_FITS):
        found = chains.run(dual, CHAIN_ROUNDS * n_moves)
        proposal = fit_proposal(small, points, weights, found=found, generator=generator)
        bridge, sample = build_bridge(
            small, dual, proposal, n, n_moves=n_moves, generator=generator, log=log
        )
        tilted = sample.tilted(small, dual)
        shares = output_shares(tilted.weights, log_tilt(small, dual, tilted.values))
        points, weights = sample.u, shares
    return bridge


def _check(
    problem: Problem,
    n_particles: int,
    tol: float,
    method: str,
    n_replays: int,
    max_rounds: int = 1,
) -> None:
    if math.isinf(problem.beta):
        raise ValueError("beta must be finite for a Gibbs minimizer, got inf")
    if n_particles < FEWEST:
        raise ValueError(f"n_particles must be >= {FEWEST}, got {n_particles}")
    if not tol > 0:
        raise ValueError(f"tol must be > 0, got {tol}")
    if method not in {"auto", "quadrature", "monte_carlo"}:
        raise ValueError(f"method must be auto, quadrature or monte_carlo, got {method!r}")
    if max_rounds < 1:
        raise ValueError(f"max_rounds must be >= 1, got {max_rounds}")
    if n_replays < 2:
        raise ValueError(f"n_replays must be >= 2, got {n_replays}")


def _pooled_result(
    problem: Problem,
    basis: Tensor,
    bridge: Bridge,
    replays: list[WeightedSample],
    certificate: Certificate,
    phases: Phases,
    log: StepLog,
) -> GibbsResult:
    """The pooled replays, with the masses of their phases as chosen."""
    pooled = pool(replays)
    tilted, points = pooled.tilted(bridge.small, bridge.dual), pooled.u.double()
    numbers = torch.cat([torch.full((len(each.u),), k) for k, each in enumerate(replays)])
    if float((phases.chosen / phases.masses - 1).abs().max()) < SAME_MASSES:
        return _result(problem, basis, tilted, points, certificate, log, replays=numbers)
    ratio = phases.log_ratio(points, log_tilt(bridge.small, tilted.dual, tilted.values)).exp()
    weights = tilted.weights * ratio
    tilted = replace(tilted, weights=weights / weights.sum())
    return _result(problem, basis, tilted, points, certificate, log, phases, numbers)


def _descent_result(
    problem: Problem,
    basis: Tensor,
    small: Problem,
    descent: tuple[Tensor, Tensor, Tensor],
    log: StepLog,
) -> GibbsResult:
    """The law that the marginal descent found, with no bounds."""
    dual, points, weights = descent
    tilted = Tilted.uniform(small, small.sigma.value_(points @ small.x.to(points.dtype).T))
    tilted = replace(tilted, dual=dual, log_z=math.nan, weights=weights)
    reason = (
        "the ascent of the dual did not converge, or no bridge reached mu_G: the measure is that "
        "of a descent in the law of u, and nothing bounds its free energy. Raise n_particles, or "
        "lower beta or gamma"
    )
    certificate = refusal(reason, prior_energy(small))
    return _result(problem, basis, tilted, points.double(), certificate, log)


def _result(
    problem: Problem,
    basis: Tensor,
    tilted: Tilted,
    points: Tensor,
    certificate: Certificate,
    log: StepLog,
    phases: Phases | None = None,
    replays: Tensor | None = None,
) -> GibbsResult:
    kept = tilted.weights > LEAST_WEIGHT
    measure = GibbsMeasure(
        problem=problem,
        dual=tilted.dual,
        coefficients=refit(tilted),
        points=points[kept],
        weights=tilted.weights[kept] / tilted.weights[kept].sum(),
        log_z=tilted.log_z,
        basis=basis,
        phases=phases,
        replays=None if replays is None else replays.to(kept.device)[kept],
    )
    status = "certified" if certificate.certified else "not certified"
    return GibbsResult(measure, certificate, status, log.tensors())
