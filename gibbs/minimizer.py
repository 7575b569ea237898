"""The Gibbs minimizer, solved: quadrature where the data have rank 1 or 2, else Monte Carlo."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from gibbs.ascent import Ascent, Scouts
from gibbs.bridge import Bridge, Draw, build_bridge, surround
from gibbs.certificate import Certificate
from gibbs.dual import Progress, StepLog, Tilted, refit, tilt
from gibbs.measure import GibbsMeasure
from gibbs.mixture import Mixture, standard_mixture
from gibbs.particles import Particles
from gibbs.phases import Phases, output_shares
from gibbs.problem import Problem
from gibbs.quadrature import certificate_at, quadrature_certificate, settle
from gibbs.replays import judge, pool

__all__ = ["GibbsResult", "certify", "solve_gibbs"]


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
        (the fraction of the Newton step taken), "effective_size".
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
    progress: Progress | None = None,
) -> GibbsResult:
    r"""Solve stage one with W fixed: the minimizer of the free energy (Eq. 27), certified.

    The minimizer is rho_G at the maximizer of a concave dual in (n, q) numbers
    (:mod:`gibbs.dual`). Where rank(X) <= 2 the integrals over u are quadrature sums, refined
    until D and the features stand still. Otherwise points are drawn from a fitted mixture and
    weighted, or led to mu_G over a bridge (:mod:`gibbs.bridge`); Newton directions by
    conjugate gradients climb the dual (:mod:`gibbs.ascent`). Fresh draws then judge a G that
    they did not choose.

    Parameters
    ----------
    problem : Problem
        beta finite; an unbounded activation needs truncation, or inputs of rank <= 2.
    n_particles : int, default 20_000
        M, the size of each draw.
    tol : float, default 1e-2
        Certified means: max(0, gap) + t-quantile * stderr <= tol * (dual - 2 stderr).
    generator : torch.Generator
    method : {"auto", "quadrature", "monte_carlo"}
    n_replays : int, default 6
        >= 6 for a certificate.
    n_moves : int, default 6
        MALA moves after each level of a bridge.
    max_rounds : int, default 3
        Rounds of replays; after one that is not certified, a Newton step from the pool of
        its draws gives the next G.
    progress : callable, optional
        Told a dict of numbers after every step.

    Returns
    -------
    GibbsResult

    Raises
    ------
    ValueError
        If the problem is not of that kind, or an argument is out of range.
    ArithmeticError
        If no draw of the law succeeds: the problem is too cold for this size of draws.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]], dtype=torch.float64)
    >>> y = torch.eye(2, dtype=torch.float64)[[0, 1, 1]]
    >>> problem = Problem(x, y, torch.eye(2, dtype=torch.float64), beta=20.0)
    >>> result = solve_gibbs(problem, generator=torch.Generator().manual_seed(0))
    >>> result.certificate.method, result.certificate.certified
    ('quadrature', True)
    """
    _check(problem, n_particles, tol, method, n_replays)
    exact = _in_float64(problem)
    basis = _row_space(exact.x)
    small = replace(exact, x=exact.x @ basis)
    _check_bounded(small, method)
    rank = basis.shape[1]
    log = StepLog(progress)
    if method == "quadrature" and rank > 2:
        raise ValueError(f"method='quadrature' needs inputs of rank <= 2, got rank {rank}")
    if method != "monte_carlo" and rank <= 2:
        tilted, grid = settle(small, None, log)
        certificate = quadrature_certificate(tilted, tol)
        return _result(problem, tilted, grid, basis, certificate, log)
    ascent = Ascent(small, n_moves=n_moves, tol=tol, generator=generator, log=log)
    ascent.begin(max(100, n_particles // 4))
    for number in range(max_rounds):
        ascent.climb(max(100, n_particles // (4 if number == 0 else 1)))
        bridge, _ = ascent.propose(n_particles)
        draws = [bridge.draw(n_particles, generator=generator) for _ in range(n_replays)]
        certificate, phases = judge(bridge, draws, tol, generator=generator)
        pooled = pool(draws)
        if certificate.certified or number == max_rounds - 1:
            break
        ascent.remember(pooled, bridge.dual)
    tilted, points = pooled.tilted(small, bridge.dual), pooled.u.double()
    if max(abs(chosen / mass - 1) for mass, chosen in certificate.phase_masses) < 1e-12:
        return _result(problem, tilted, points, basis, certificate, log)
    ratio = phases.log_ratio(points, tilt(small, tilted.dual, tilted.values)).exp()
    weights = tilted.weights * ratio
    tilted = replace(tilted, weights=weights / weights.sum())
    return _result(problem, tilted, points, basis, certificate, log, phases)


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
) -> Certificate:
    r"""Judge a measure, or a cloud of neurons by the dual point that its u's give.

    A finite cloud has no entropy, hence no free energy of its own. Its natural dual point is
    G_K = -(n I + (gamma^2/lambda) K_N (x) W^T W)^-1 Y with the kernel K_N of its u's: the
    certificate is that of the Gibbs-form measure of G_K, and says how far the law behind the
    u's is from the minimizer. The cloud's outputs are not used; their noise would be
    amplified by 1 + gamma^2 k_max/(n lambda).

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
    exact = _in_float64(problem)
    basis = _row_space(exact.x)
    small = replace(exact, x=exact.x @ basis)
    _check_bounded(small, method)
    visitors = None
    if isinstance(measure_or_particles, Particles):
        if measure_or_particles.u.shape[1] != problem.n_inputs:
            raise ValueError(
                f"particles must have u of width d = {problem.n_inputs}, "
                f"got {measure_or_particles.u.shape[1]}"
            )
        visitors = measure_or_particles.u.double() @ basis
        dual = refit(Tilted.uniform(small, small.sigma(visitors @ small.x.T)))
    else:
        dual = measure_or_particles.tilt
    if method != "monte_carlo" and basis.shape[1] <= 2:
        return certificate_at(small, dual, tol)
    if method == "quadrature":
        raise ValueError(f"method='quadrature' needs rank <= 2, got rank {basis.shape[1]}")
    scale = 1 / math.sqrt(small.beta * small.decay)

    def bridge_from(proposal: Mixture) -> tuple[Bridge, Draw]:
        return build_bridge(
            small, dual, proposal, n_particles, n_moves=n_moves, generator=generator
        )

    def around(draw: Draw) -> Mixture:
        return _proposal(small, dual, draw, n_moves=n_moves, generator=generator, visitors=visitors)

    _, draw = bridge_from(standard_mixture(small.n_inputs, scale, device=small.device))
    _, draw = bridge_from(around(draw))
    bridge, _ = bridge_from(around(draw))
    draws = [bridge.draw(n_particles, generator=generator) for _ in range(n_replays)]
    return judge(bridge, draws, tol, generator=generator, visitors=visitors)[0]


def _proposal(
    small: Problem,
    dual: Tensor,
    draw: Draw,
    *,
    n_moves: int,
    generator: torch.Generator,
    visitors: Tensor | None = None,
) -> Mixture:
    """A proposal around a draw, and around what starts from elsewhere have found."""
    tilted = draw.tilted(small, dual)
    weights = output_shares(tilted.weights, tilt(small, dual, tilted.values))
    scouts = Scouts(small, generator, visitors).explore(dual, 30 * n_moves)
    points = torch.cat([draw.u, scouts])
    shares = torch.cat([0.8 * weights, weights.new_full((len(scouts),), 0.2 / len(scouts))])
    return surround(small, points, shares, generator=generator)


def _check(problem: Problem, n_particles: int, tol: float, method: str, n_replays: int) -> None:
    if math.isinf(problem.beta):
        raise ValueError("beta must be finite for a Gibbs minimizer, got inf")
    if n_particles < 100:
        raise ValueError(f"n_particles must be >= 100, got {n_particles}")
    if not tol > 0:
        raise ValueError(f"tol must be > 0, got {tol}")
    if method not in {"auto", "quadrature", "monte_carlo"}:
        raise ValueError(f"method must be auto, quadrature or monte_carlo, got {method!r}")
    if n_replays < 2:
        raise ValueError(f"n_replays must be >= 2, got {n_replays}")


def _check_bounded(small: Problem, method: str) -> None:
    """Samples cannot see where an unbounded activation makes D -inf."""
    bounded = small.sigma.bounded or small.truncation is not None
    if not bounded and (method == "monte_carlo" or small.n_inputs > 2):
        raise ValueError(
            f"activation {small.sigma.name} is unbounded, so that the dual is -inf outside of a "
            "domain that samples cannot see: give a truncation, or inputs of rank <= 2, got rank "
            f"{small.n_inputs} and method {method!r}"
        )


def _in_float64(problem: Problem) -> Problem:
    x, y, w = (t.double() for t in (problem.x, problem.y, problem.w))
    return replace(problem, x=x, y=y, w=w)


def _row_space(x: Tensor) -> Tensor:
    """Orthonormal basis (d, r) of the row space of x (n, d)."""
    _, sizes, right = torch.linalg.svd(x, full_matrices=False)
    rank = int((sizes > sizes[0] * max(x.shape) * torch.finfo(x.dtype).eps).sum())
    basis: Tensor = right[: max(1, rank)].T
    return basis.contiguous()


def _result(
    problem: Problem,
    tilted: Tilted,
    points: Tensor,
    basis: Tensor,
    certificate: Certificate,
    log: StepLog,
    phases: Phases | None = None,
) -> GibbsResult:
    dual = refit(tilted)
    kept = tilted.weights > 1e-18
    measure = GibbsMeasure(
        problem=problem,
        dual=dual,
        tilt=tilted.dual,
        points=points[kept],
        weights=tilted.weights[kept] / tilted.weights[kept].sum(),
        log_z=tilted.log_z,
        basis=basis,
        phases=phases,
    )
    status = "certified" if certificate.certified else "not certified"
    return GibbsResult(measure, certificate, status, log.tensors())
