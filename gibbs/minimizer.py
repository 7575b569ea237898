"""The Gibbs minimizer, solved: quadrature where the data have rank 1 or 2, else Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from gibbs.certificate import Certificate, student_quantile
from gibbs.dual import (
    Tilted,
    dual_value,
    dual_value_at,
    newton_direction,
    solve_ridge,
    tight_gap,
    tilt,
)
from gibbs.measure import GibbsMeasure, Target, mala
from gibbs.network import kernel
from gibbs.particles import Particles
from gibbs.problem import Problem

__all__ = ["GibbsResult", "certify", "solve_gibbs"]

Progress = Callable[[dict[str, float]], None]


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
    until D and the features stand still. Otherwise a population of u's follows a path of G's
    from 0: Newton directions by conjugate gradients, each shortened until half of the
    effective sample size is left, resampling, and MALA moves of u alone. The path is then
    replayed with fresh draws, which judge a G that they did not choose.

    Parameters
    ----------
    problem : Problem
        beta finite, no truncation, bounded activation.
    n_particles : int, default 20_000
        M, the size of each population.
    tol : float, default 1e-2
        Certified means: max(0, gap) + t-quantile * stderr <= tol * (dual - 2 stderr).
    generator : torch.Generator
    method : {"auto", "quadrature", "monte_carlo"}
    n_replays : int, default 6
        >= 6 for a certificate.
    n_moves : int, default 6
        MALA moves after each step of the path.
    max_rounds : int, default 3
        Rounds of replays; after one that is not certified, a Newton step from the pool of
        its populations lengthens the path.
    progress : callable, optional
        Told a dict of numbers after every step.

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
    _check(problem, n_particles, tol, method, n_replays)
    exact = _in_float64(problem)
    basis = _row_space(exact.x)
    small = replace(exact, x=exact.x @ basis)
    rank = basis.shape[1]
    if method == "quadrature" and rank > 2:
        raise ValueError(f"method='quadrature' needs inputs of rank <= 2, got rank {rank}")
    if method != "monte_carlo" and rank <= 2:
        return _by_quadrature(problem, small, basis, tol, progress)
    path = _Path(small, n_particles, n_moves, generator)
    history = _climb(path, progress)
    return _replay_until_certified(
        problem, path, basis, history, tol, n_replays, max_rounds, progress
    )


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
    visitors = None
    if isinstance(measure_or_particles, Particles):
        if measure_or_particles.u.shape[1] != problem.n_inputs:
            raise ValueError(
                f"particles must have u of width d = {problem.n_inputs}, "
                f"got {measure_or_particles.u.shape[1]}"
            )
        visitors = measure_or_particles.u.double() @ basis
        dual = -solve_ridge(small, kernel(small.x, visitors, small.sigma), small.y)
    else:
        dual = measure_or_particles.tilt
    if method != "monte_carlo" and basis.shape[1] <= 2:
        return _quadrature_certificate(_settle(small, dual)[0], tol)
    if method == "quadrature":
        raise ValueError(f"method='quadrature' needs rank <= 2, got rank {basis.shape[1]}")
    path = _Path(small, n_particles, n_moves, generator)
    _walk_to(path, dual)
    populations = [path.replay() for _ in range(n_replays)]
    return _judge(path, populations, tol, visitors)


def _check(problem: Problem, n_particles: int, tol: float, method: str, n_replays: int) -> None:
    if math.isinf(problem.beta):
        raise ValueError("beta must be finite for a Gibbs minimizer, got inf")
    if problem.truncation is not None:
        raise ValueError("truncation must be None: with tau_R the dual is not implemented")
    if not problem.sigma.smooth_and_bounded:
        raise ValueError(
            f"activation must be bounded (sigmoid, tanh, erf), got {problem.sigma.name}: the "
            "dual is -inf outside of a domain that samples cannot see"
        )
    if n_particles < 100:
        raise ValueError(f"n_particles must be >= 100, got {n_particles}")
    if not tol > 0:
        raise ValueError(f"tol must be > 0, got {tol}")
    if method not in {"auto", "quadrature", "monte_carlo"}:
        raise ValueError(f"method must be auto, quadrature or monte_carlo, got {method!r}")
    if n_replays < 2:
        raise ValueError(f"n_replays must be >= 2, got {n_replays}")


def _in_float64(problem: Problem) -> Problem:
    x, y, w = (t.double() for t in (problem.x, problem.y, problem.w))
    return replace(problem, x=x, y=y, w=w)


def _row_space(x: Tensor) -> Tensor:
    """Orthonormal basis (d, r) of the row space of x (n, d)."""
    _, sizes, right = torch.linalg.svd(x, full_matrices=False)
    rank = int((sizes > sizes[0] * max(x.shape) * torch.finfo(x.dtype).eps).sum())
    basis: Tensor = right[: max(1, rank)].T
    return basis.contiguous()


# Quadrature


def _by_quadrature(
    problem: Problem, small: Problem, basis: Tensor, tol: float, progress: Progress | None
) -> GibbsResult:
    """Trapezoidal rule over u in r <= 2 coordinates, refined until it stands still.

    Range: sqrt(2(e_max + 40)) prior deviations hold all but e^-40 of the mass.
    """
    history = _new_history()
    tilted, grid = _settle(small, None, history, progress)
    certificate = _quadrature_certificate(tilted, tol)
    return _result(problem, tilted, grid, basis, certificate, history)


def _settle(
    small: Problem,
    dual: Tensor | None,
    history: dict[str, list[float]] | None = None,
    progress: Progress | None = None,
) -> tuple[Tilted, Tensor]:
    """Refine the rule until D and the features stand still, at a given G or at the best one."""
    reach, points = 9.0, 1000 if small.n_inputs == 1 else 150
    before: Tilted | None = None
    while points**small.n_inputs * small.n_samples <= 2.5e8:
        grid, base = _grid(small, reach, points)
        values = small.sigma.value_(grid @ small.x.T)
        start = before.dual if before else dual
        if start is None:
            start = -solve_ridge(small, _prior_kernel(base, values), small.y)
        tilted = Tilted(small, start, values, base, 0.0, base).at(start)
        if dual is None:
            tilted = _maximize(tilted, history or _new_history(), progress)
        needed = math.sqrt(2 * (float(tilt(small, tilted.dual, values).max()) + 40))
        if needed > reach:
            reach, before = 1.1 * needed, tilted
            continue
        if before is not None and _agree(before, tilted):
            return tilted, grid
        before, reach, points = tilted, 1.3 * reach, 2 * points
    raise ValueError("quadrature did not converge: use method='monte_carlo'")


def _new_history() -> dict[str, list[float]]:
    return {"dual": [], "gap": [], "step": [], "effective_size": []}


def _prior_kernel(base: Tensor, values: Tensor) -> Tensor:
    return (values * base.exp()[:, None]).T @ values


def _grid(small: Problem, reach: float, points: int) -> tuple[Tensor, Tensor]:
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64, device=small.device)
    axis /= math.sqrt(small.beta * small.decay)
    grid = torch.cartesian_prod(*[axis] * small.n_inputs).reshape(-1, small.n_inputs)
    log_mass = -small.beta * small.decay / 2 * grid.square().sum(1)
    return grid, log_mass - torch.logsumexp(log_mass, 0)


def _maximize(tilted: Tilted, history: dict[str, list[float]], progress: Progress | None) -> Tilted:
    """Damped Newton's method on the dual of fixed points."""
    value = dual_value(tilted)
    for _ in range(100):
        direction, slope = newton_direction(tilted)
        size = 1.0
        while size > 1e-8:
            trial = tilted.at(tilted.dual + size * direction)
            if dual_value(trial) >= value + 1e-4 * size * slope - 1e-15 * abs(value):
                break
            size /= 2
        tilted, value = trial, dual_value(trial)
        _record(history, progress, value, _gap(tilted), size, tilted.effective_size)
        if not slope > 1e-15 * max(abs(value), 1e-12):
            break
    return tilted


def _agree(coarse: Tilted, fine: Tilted) -> bool:
    """Whether D stands still to 1e-10 and the features to 1e-8, relative."""
    first, second = dual_value(coarse), dual_value(fine)
    if abs(first - second) > 1e-10 * abs(second):
        return False
    h_first, h_second = (t.kernel @ t.dual for t in (coarse, fine))
    return bool((h_first - h_second).abs().max() <= 1e-8 * h_second.abs().max())


def _quadrature_certificate(tilted: Tilted, tol: float) -> Certificate:
    dual, gap = dual_value(tilted), _gap(tilted)
    certified = dual > 0 and gap <= tol * dual
    reason = f"relative gap {gap / dual:.2g} > tol {tol:g}" if dual > 0 else "the dual is <= 0"
    return Certificate(
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
    )


def _result(
    problem: Problem,
    tilted: Tilted,
    points: Tensor,
    basis: Tensor,
    certificate: Certificate,
    history: dict[str, list[float]],
) -> GibbsResult:
    dual = -solve_ridge(tilted.problem, tilted.kernel, tilted.problem.y)
    kept = tilted.weights > 1e-18
    measure = GibbsMeasure(
        problem=problem,
        dual=dual,
        tilt=tilted.dual,
        points=points[kept],
        weights=tilted.weights[kept] / tilted.weights[kept].sum(),
        log_z=tilted.log_z,
        basis=basis,
    )
    tensors = {name: torch.tensor(v, dtype=torch.float64) for name, v in history.items()}
    status = "certified" if certificate.certified else "not certified"
    return GibbsResult(measure, certificate, status, tensors)


def _record(history: dict[str, list[float]], progress: Progress | None, *numbers: float) -> None:
    row = dict(zip(("dual", "gap", "step", "effective_size"), numbers, strict=True))
    for name, number in row.items():
        history[name].append(number)
    if progress is not None:
        progress(row)


# Monte Carlo


@dataclass(frozen=True, eq=False)
class _Population:
    """Equally weighted points from (about) mu_G, with the estimate of log Z that led there."""

    u: Tensor
    dual: Tensor
    log_z: float
    tilts: Tensor
    least_size: float


class _Path:
    """A sequence of G's from 0, and how populations follow it."""

    def __init__(
        self, small: Problem, n_particles: int, n_moves: int, generator: torch.Generator
    ) -> None:
        self.small = small
        self.x32 = small.x.float()
        self.n_particles = n_particles
        self.n_moves = n_moves
        self.generator = generator
        self.duals: list[Tensor] = []
        self.steps: list[float] = []

    def start(self) -> _Population:
        """Draw a population from the prior: G = 0."""
        small = self.small
        u = torch.randn(
            self.n_particles,
            small.n_inputs,
            device=small.device,
            generator=self.generator,
        ) / math.sqrt(small.beta * small.decay)
        zero = torch.zeros_like(small.y)
        return _Population(u, zero, 0.0, u.new_zeros(len(u)), float(len(u)))

    def tilted(self, population: _Population) -> Tilted:
        """The population as weighted points that can be re-weighted to other G's."""
        values = self.small.sigma.value_(population.u @ self.x32.T)
        tilts = tilt(self.small, population.dual, values)
        base = population.log_z - math.log(len(tilts)) - tilts
        weights = tilts.new_full((len(tilts),), 1 / len(tilts))
        return Tilted(self.small, population.dual, values, base, population.log_z, weights)

    def advance(self, population: _Population, there: Tilted, number: int) -> _Population:
        """Resample to the weights of `there`, then move."""
        chosen = _systematic(there.weights, self.generator)
        step = self.steps[number] if number < len(self.steps) else (self.steps or [0.3])[-1]
        target = Target(self.small, self.x32, there.dual)
        u, tilts, step = mala(
            target, population.u[chosen], step, self.n_moves, generator=self.generator
        )
        if number == len(self.duals):
            self.duals.append(there.dual)
            self.steps.append(step)
        least = min(population.least_size, there.effective_size)
        return _Population(u, there.dual, there.log_z, tilts, least)

    def replay(self) -> _Population:
        """Follow the whole path with fresh draws."""
        population = self.start()
        for number, dual in enumerate(self.duals):
            there = self.tilted(population).at(dual)
            population = self.advance(population, there, number)
        return population


def _systematic(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Systematic resampling: each point about weight * M times, M in all."""
    n = len(weights)
    offset = torch.rand(1, dtype=torch.float64, device=weights.device, generator=generator)
    ticks = (torch.arange(n, dtype=torch.float64, device=weights.device) + offset) / n
    return torch.searchsorted(weights.cumsum(0), ticks).clamp_(max=n - 1)


def _shorten(tilted: Tilted, direction: Tensor, least: float) -> tuple[Tilted, float]:
    """The longest step along the direction (at most 1) with that effective size left."""
    size = 1.0
    there = tilted.at(tilted.dual + direction)
    while there.effective_size < least and size > 1e-6:
        size *= 0.7
        there = tilted.at(tilted.dual + size * direction)
    return there, size


def _climb(path: _Path, progress: Progress | None) -> dict[str, list[float]]:
    """Find the path: Newton steps from G = 0 until full steps stop helping.

    They do where the slope is small, or no longer falls: then it is the noise of a finite
    population.
    """
    history = _new_history()
    population = path.start()
    settled, best = 0, math.inf
    for number in range(80):
        tilted = path.tilted(population)
        direction, slope = newton_direction(tilted, tolerance=1e-4)
        there, size = _shorten(tilted, direction, path.n_particles / 2)
        value = dual_value(there)
        _record(history, progress, value, _gap(tilted), size, there.effective_size)
        population = path.advance(population, there, number)
        still = slope < 2e-2 * abs(value) or slope > best / 2
        settled = settled + 1 if size == 1.0 and still else 0
        best = min(best, slope)
        if settled >= 3:
            break
    return history


def _walk_to(path: _Path, dual: Tensor) -> None:
    """Find a path that ends at a given G, along the straight line from 0."""
    population = path.start()
    for number in range(200):
        tilted = path.tilted(population)
        there, size = _shorten(tilted, dual - tilted.dual, path.n_particles / 2)
        population = path.advance(population, there, number)
        if size == 1.0:
            return


def _replay_until_certified(
    problem: Problem,
    path: _Path,
    basis: Tensor,
    history: dict[str, list[float]],
    tol: float,
    n_replays: int,
    max_rounds: int,
    progress: Progress | None,
) -> GibbsResult:
    for number in range(max_rounds):
        populations = [path.replay() for _ in range(n_replays)]
        pool = _pool(path, populations)
        certificate = _judge(path, populations, tol)
        if certificate.certified or number == max_rounds - 1:
            break
        direction, _ = newton_direction(pool, tolerance=1e-4)
        there, size = _shorten(pool, direction, len(pool.weights) / 4)
        _record(history, progress, dual_value(there), _gap(pool), size, there.effective_size)
        path.duals.append(there.dual)
        path.steps.append(path.steps[-1])
    points = torch.cat([population.u for population in populations]).double()
    return _result(problem, pool, points, basis, certificate, history)


def _pool(path: _Path, populations: list[_Population]) -> Tilted:
    """All replays as one weighted sample: each population weighs its own estimate of Z."""
    parts = [path.tilted(population) for population in populations]
    log_z = torch.tensor([p.log_z for p in populations], dtype=torch.float64)
    pooled_log_z = float(torch.logsumexp(log_z, 0)) - math.log(len(parts))
    base = torch.cat([part.base for part in parts]) - math.log(len(parts))
    values = torch.cat([part.values for part in parts])
    whole = Tilted(path.small, parts[0].dual, values, base, pooled_log_z, base)
    return whole.at(parts[0].dual)


def _judge(
    path: _Path, populations: list[_Population], tol: float, visitors: Tensor | None = None
) -> Certificate:
    """Certificate of the pooled measure; errors by the jackknife over replays."""
    n, small, shared = len(populations), path.small, populations[0].dual
    kernels = torch.stack([path.tilted(population).kernel for population in populations])
    masses = torch.tensor([p.log_z for p in populations], dtype=torch.float64)

    def measure(chosen: Tensor) -> tuple[float, float]:
        """Dual value and gap from some of the replays."""
        log_z = torch.logsumexp(masses[chosen], 0)
        shares = torch.exp(masses[chosen] - log_z)
        mixed = torch.tensordot(shares.to(kernels), kernels[chosen], dims=1)
        mean_log_z = float(log_z) - math.log(len(chosen))
        value = dual_value_at(small, shared, mean_log_z)
        return value, tight_gap(small, shared, mixed)

    everyone = torch.arange(n)
    dual, gap = measure(everyone)
    without = [measure(everyone[everyone != left]) for left in range(n)]
    dual_stderr, gap_stderr = (_jackknife(list(v)) for v in zip(*without, strict=True))
    least = min(population.least_size for population in populations)
    reason = _why_not(dual, gap, gap_stderr, dual_stderr, n, tol) or _missed_mass(
        path, populations, visitors
    )
    return Certificate(
        dual=dual,
        primal=dual + gap,
        gap=gap,
        gap_stderr=gap_stderr,
        dual_stderr=dual_stderr,
        method="monte_carlo",
        effective_size=least,
        n_replays=n,
        certified=not reason,
        reason=reason,
    )


def _gap(tilted: Tilted) -> float:
    return tight_gap(tilted.problem, tilted.dual, tilted.kernel)


def _jackknife(values: list[float]) -> float:
    v = torch.tensor(values, dtype=torch.float64)
    return float(((len(v) - 1) * (v - v.mean()).square().mean()).sqrt())


def _why_not(
    dual: float, gap: float, gap_stderr: float, dual_stderr: float, n: int, tol: float
) -> str:
    if n < 6:
        return f"{n} replays, at least 6 are needed"
    floor = dual - 2 * dual_stderr
    if not floor > 0:
        return "the dual value is not above 0 by two standard errors"
    reached = (max(0.0, gap) + student_quantile(n - 1) * gap_stderr) / floor
    if reached > tol:
        return f"relative gap {gap / dual:.2g}, with its error {reached:.2g}, above tol {tol:g}"
    return ""


def _missed_mass(
    path: _Path, populations: list[_Population], visitors: Tensor | None = None
) -> str:
    """Compare with starts that did not follow the path: hot ones, and given `visitors`.

    Hot points are prior draws scaled up to the widest range that can matter; all run MALA at
    the final G. If a share of them stays where e(u) is above what the path has seen, the
    path has missed mass: its log Z is too small, and its lower bound D too high.
    """
    seen = torch.cat([population.tilts for population in populations]).double()
    top = float(seen.sort().values[int(0.9999 * (len(seen) - 1))])
    target = Target(path.small, path.x32, populations[0].dual)
    hot = path.start().u[: max(500, path.n_particles // 10)]
    widest = math.sqrt(2 * (top + 40) / path.small.n_inputs)
    scales = torch.linspace(1.0, max(2.0, widest), len(hot), device=hot.device)
    starts = {"hot starts": hot * scales[:, None]}
    if visitors is not None:
        starts["the given neurons"] = visitors.to(hot)
    for name, start in starts.items():
        n_moves = 40 * path.n_moves
        _, tilts, _ = mala(target, start, path.steps[-1], n_moves, generator=path.generator)
        share = float((tilts.double() > 1.2 * top + 3).double().mean())
        if share > 0.002:
            return f"{name} keep {100 * share:.1f} % of their mass where the path never was"
    return ""
