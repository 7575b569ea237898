"""Weighted samples of mu_G: annealed importance sampling that starts from a mixture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles
from gibbs.solver.dual import TILE, Tilted, log_tilt
from gibbs.solver.mala import FIRST_STEP, Target, mala
from gibbs.solver.mixture import Mixture, fit_mixture, standard_mixture
from gibbs.solver.progress import BridgeLevel, StepLog

__all__ = [
    "Bridge",
    "WeightedSample",
    "build_bridge",
    "fit_proposal",
    "log_prior",
    "log_ratio",
    "log_tilt_at",
    "resample",
]

LEAST_SHARE = 0.5
"""Each step of a bridge keeps this share of the effective sample size."""

MOST_LEVELS = 60
"""Levels of a bridge at most: a proposal that needs more is too far from mu_G."""

DIRECT_SHARE = 0.4
"""Importance sampling without a bridge is accepted at 40 % of the effective sample size that a
level must keep: it takes no moves, and its points are independent."""

LEAST_LEVEL = 1e-4
"""Each level of a bridge rises by this much at least, so that it ends."""

FOUND_SHARE = 0.2
"""Share of the fit of a proposal that follows the points found by other chains."""

PRIOR_SHARE = 0.05
"""Share of a proposal that is the prior: e(u) >= 0 makes mu_G at least a multiple of the prior
everywhere, and q must cover that mass, too."""

WIDENING = 0.5
"""The covariances of a fit are multiplied by 1 + WIDENING / sqrt(r): a fit that is a little too
wide keeps the weights bounded, and the cost of that grows with the dimension r."""


@dataclass(frozen=True, eq=False)
class WeightedSample:
    """An independent weighted sample of mu_G.

    Attributes
    ----------
    u : Tensor (M, r)
        float32, in the coordinates of the row space.
    base : Tensor (M,)
        Logarithms of the weights less e(u): the sum of exp(base + e(u)) is an unbiased estimate
        of Z at any G.
    least_size : float
        Smallest effective sample size over the levels of the bridge.
    variance : float
        Of the estimate of log Z, from the spread of the weights of every level.
    proposal : Mixture, optional
        The law q of the points before weighting; None where they have been moved.
    """

    u: Tensor
    base: Tensor
    least_size: float
    variance: float
    proposal: Mixture | None = None

    def tilted(self, small: Problem, dual: Tensor) -> Tilted:
        """The sample with its activations, which can be re-weighted from one G to another."""
        x = small.x.to(self.u.dtype)
        values = small.sigma.value_(self.u @ x.T)
        return Tilted(small, dual, values, self.base, 0.0, self.base).at(dual)


@dataclass(frozen=True, eq=False)
class Bridge:
    r"""A path from a mixture q to mu_G, through q^(1-t) (prior e^e)^t for a fixed sequence of t.

    Attributes
    ----------
    small : Problem
        In the row space of X, float64.
    dual : Tensor (n, q)
        G.
    proposal : Mixture
        q.
    levels : tuple of float
        t after each step; the last is 1. With one level it is plain importance sampling.
    steps : tuple of float
        MALA step after each level, in units of the prior variance.
    n_moves : int
    """

    small: Problem
    dual: Tensor
    proposal: Mixture
    levels: tuple[float, ...]
    steps: tuple[float, ...]
    n_moves: int

    def sample(self, n: int, *, generator: torch.Generator) -> WeightedSample:
        """Draw a new sample of n points."""
        population = _Population(self.small, self.dual, self.proposal, n, generator)
        for level, step in zip(self.levels, self.steps, strict=True):
            population.reweight(level)
            if len(self.levels) > 1:
                population.move(step, self.n_moves)
        return population.sample()


class _Population:
    """The points of a sample on their way over a bridge (particles of a sequential sampler)."""

    def __init__(
        self, small: Problem, dual: Tensor, q: Mixture, n: int, generator: torch.Generator
    ) -> None:
        self.small, self.dual, self.proposal, self.generator = small, dual, q, generator
        self.u = q.sample(n, generator=generator).float()
        self.ratio = log_ratio(small, dual, q, self.u)
        self.level, self.log_z, self.moved = 0.0, 0.0, False
        self.least_size, self.variance = float(n), 0.0

    def size_at(self, level: float) -> float:
        """Effective sample size after a step to `level`."""
        return _effective_size((level - self.level) * self.ratio)

    def reweight(self, level: float) -> None:
        """Compute the weights of a step to `level`; :meth:`move` applies them."""
        size = self.size_at(level)
        self.least_size = min(self.least_size, size)
        self.variance += 1 / size - 1 / len(self.u)
        self.weights = (level - self.level) * self.ratio
        self.level, self.moved = level, False

    def move(self, step: float, n_moves: int) -> float:
        """Resample by the weights, and move."""
        self.log_z += float(torch.logsumexp(self.weights, 0)) - math.log(len(self.u))
        chosen = resample(torch.softmax(self.weights, 0), len(self.u), self.generator)
        target = _BridgeTarget(self.small, self.dual, self.proposal, self.level)
        self.u, _, step = mala(
            target, self.u[chosen], step, n_moves, generator=self.generator, metric=self.proposal
        )
        self.ratio = log_ratio(self.small, self.dual, self.proposal, self.u)
        self.moved = True
        return step

    def sample(self) -> WeightedSample:
        """The weighted points at the end."""
        log_tilts = log_tilt_at(self.small, self.dual, self.u)
        base = self.log_z - math.log(len(self.u)) - log_tilts
        if not self.moved:
            base = base + self.weights
        proposal = None if self.log_z else self.proposal
        return WeightedSample(self.u, base, self.least_size, self.variance, proposal)


@dataclass(frozen=True, eq=False)
class _BridgeTarget:
    """Log density of one level and its gradient: a :class:`gibbs.solver.measure.LogDensity`."""

    small: Problem
    dual: Tensor
    proposal: Mixture
    level: float

    @property
    def problem(self) -> Problem:
        """The problem in the row space."""
        return self.small

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        law = Target(self.small, self.small.x.to(u.dtype), self.dual)
        density, gradient, log_tilts = law(u)
        if self.level == 1:
            return density, gradient, log_tilts
        q_density, q_score = self.proposal.density_and_score(u)
        t = self.level
        return t * density + (1 - t) * q_density, t * gradient + (1 - t) * q_score, log_tilts


def build_bridge(
    small: Problem,
    dual: Tensor,
    proposal: Mixture,
    n: int,
    *,
    n_moves: int,
    generator: torch.Generator,
    most: int = MOST_LEVELS,
    log: StepLog | None = None,
) -> tuple[Bridge, WeightedSample]:
    """Find the levels with a pilot population of n points, and return its sample as well.

    Every level is reported to `log`.

    Raises
    ------
    ArithmeticError
        If it takes more than `most` levels.
    """
    population = _Population(small, dual, proposal, n, generator)
    levels: list[float] = []
    steps: list[float] = []
    step = FIRST_STEP
    while population.level < 1 and len(levels) < most:
        level = _next_level(population, n * LEAST_SHARE)
        if level == 1 and not levels:
            population.reweight(1.0)
            levels, steps = [1.0], [step]
            break
        population.reweight(level)
        step = population.move(step, n_moves)
        levels.append(level)
        steps.append(step)
        if log is not None:
            log.report(BridgeLevel(len(levels), level))
    if levels[-1] < 1:
        raise ArithmeticError(
            f"no bridge to mu_G within {most} levels: raise n_particles, or lower beta or gamma"
        )
    return Bridge(small, dual, proposal, tuple(levels), tuple(steps), n_moves), population.sample()


def _next_level(population: _Population, least: float) -> float:
    """The farthest level with an effective size of `least`, or `DIRECT_SHARE` of it from q to 1."""
    share = DIRECT_SHARE if population.level == 0 else 1.0
    if population.size_at(1.0) >= share * least:
        return 1.0
    low, high = population.level, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if population.size_at(middle) >= least else (low, middle)
    return min(1.0, max(low, population.level + LEAST_LEVEL))


def log_prior(small: Problem, u: Tensor) -> Tensor:
    """Log density of N(0, I/(beta lambda)) at each row of u (M, r), float64 (M,)."""
    precision = small.beta * small.decay
    scale = u.shape[1] / 2 * math.log(precision / (2 * math.pi))
    return scale - precision / 2 * u.double().square().sum(1)


def log_ratio(small: Problem, dual: Tensor, proposal: Mixture, u: Tensor) -> Tensor:
    """Log of (prior density times e^e(u)) / q at each point, float64 (M,)."""
    return log_prior(small, u) + log_tilt_at(small, dual, u) - proposal.log_density(u)


def log_tilt_at(small: Problem, dual: Tensor, u: Tensor) -> Tensor:
    """The log tilt e(u) at each row of u (M, r), float64 (M,), a tile at a time."""
    x = small.x.to(u.dtype)
    return torch.cat(
        [log_tilt(small, dual, small.sigma.value_(u[tile] @ x.T)) for tile in tiles(len(u), TILE)]
    )


def fit_proposal(
    small: Problem,
    u: Tensor,
    weights: Tensor,
    *,
    generator: torch.Generator,
    found: Tensor | None = None,
) -> Mixture:
    """Fit the proposal q to weighted points of mu_G, widen it, and mix it with the prior.

    A share `FOUND_SHARE` of the fit follows the points that other chains have `found`, if any;
    `WIDENING` and `PRIOR_SHARE` say how much is added.
    """
    width = small.n_inputs
    prior = standard_mixture(width, 1 / math.sqrt(small.beta * small.decay), device=small.device)
    if found is not None:
        u = torch.cat([u, found.to(u.dtype)])
        added = weights.new_full((len(found),), FOUND_SHARE / len(found))
        weights = torch.cat([(1 - FOUND_SHARE) * weights, added])
    fitted = fit_mixture(u, weights, generator=generator)
    return fitted.widened(1 + WIDENING / math.sqrt(width), prior, PRIOR_SHARE)


def resample(weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Systematic resampling: each point about weight * n times, n indices in all."""
    offset = torch.rand(1, dtype=torch.float64, device=weights.device, generator=generator)
    ticks = (torch.arange(n, dtype=torch.float64, device=weights.device) + offset) / n
    edges = weights.double().cumsum(0)
    return torch.searchsorted(edges / edges[-1], ticks).clamp_(max=len(weights) - 1)


def _effective_size(log_weights: Tensor) -> float:
    weights = torch.softmax(log_weights, 0)
    return 1 / float(weights.square().sum())
