"""Weighted draws of mu_G that start from a law which is sampled exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.solver.dual import TILE, Tilted, tiles, tilt
from gibbs.solver.measure import Target, mala
from gibbs.solver.mixture import Mixture, fit_mixture, standard_mixture
from gibbs.solver.progress import BridgeLevel, StepLog

__all__ = [
    "Bridge",
    "Draw",
    "build_bridge",
    "log_prior",
    "log_ratio",
    "resample",
    "surround",
    "tilts_at",
]

LEAST_SHARE = 0.5
"""Each step of a bridge keeps this share of the effective sample size."""

MOST_LEVELS = 60


@dataclass(frozen=True, eq=False)
class Draw:
    """Weighted points of mu_G.

    Attributes
    ----------
    u : Tensor (M, r)
        float32, in the coordinates of the row space.
    base : Tensor (M,)
        Logarithms of the weights less e(u): base + e(u) adds up, in exp, to an unbiased
        estimate of Z at any G.
    least_size : float
        Smallest effective sample size on the way.
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
        """As weighted points that can be re-weighted from one G to another."""
        x = small.x.to(self.u.dtype)
        values = small.sigma.value_(self.u @ x.T)
        return Tilted(small, dual, values, self.base, 0.0, self.base).at(dual)


@dataclass(frozen=True, eq=False)
class Bridge:
    r"""From a mixture q to mu_G, by way of q^(1-t) (prior e^e)^t for a fixed sequence of t.

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

    def draw(self, n: int, *, generator: torch.Generator) -> Draw:
        """Draw n points afresh."""
        walk = _Walk(self.small, self.dual, self.proposal, n, generator)
        for level, step in zip(self.levels, self.steps, strict=True):
            walk.go_to(level)
            if len(self.levels) > 1:
                walk.move(step, self.n_moves)
        return walk.draw()


class _Walk:
    """A population on its way over a bridge."""

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

    def go_to(self, level: float) -> None:
        """Note the weights of a step; :meth:`move` applies them."""
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

    def draw(self) -> Draw:
        """The weighted points at the end."""
        tilts = tilts_at(self.small, self.dual, self.u)
        base = self.log_z - math.log(len(self.u)) - tilts
        if not self.moved:
            base = base + self.weights
        proposal = None if self.log_z else self.proposal
        return Draw(self.u, base, self.least_size, self.variance, proposal)


@dataclass(frozen=True, eq=False)
class _BridgeTarget:
    """Log density of one level, and its gradient, as :func:`gibbs.solver.measure.mala` asks."""

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
        density, gradient, tilts = law(u)
        if self.level == 1:
            return density, gradient, tilts
        q_density, q_score = self.proposal.density_and_score(u)
        t = self.level
        return t * density + (1 - t) * q_density, t * gradient + (1 - t) * q_score, tilts


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
) -> tuple[Bridge, Draw]:
    """Find the levels with a pilot population of n points, and return its draw as well.

    Every level is reported to `log`.

    Raises
    ------
    ArithmeticError
        If it takes more than `most` levels.
    """
    walk = _Walk(small, dual, proposal, n, generator)
    levels: list[float] = []
    steps: list[float] = []
    step = 0.3
    while walk.level < 1 and len(levels) < most:
        level = _next_level(walk, n * LEAST_SHARE)
        if level == 1 and not levels:
            walk.go_to(1.0)
            levels, steps = [1.0], [step]
            break
        walk.go_to(level)
        step = walk.move(step, n_moves)
        levels.append(level)
        steps.append(step)
        if log is not None:
            log.report(BridgeLevel(len(levels), level))
    if levels[-1] < 1:
        raise ArithmeticError(
            f"no bridge to mu_G within {most} levels: raise n_particles, or lower beta or gamma"
        )
    return Bridge(small, dual, proposal, tuple(levels), tuple(steps), n_moves), walk.draw()


def _next_level(walk: _Walk, least: float) -> float:
    """The farthest level with that effective size; plain importance sampling is let off."""
    share = 0.4 if walk.level == 0 else 1.0
    if walk.size_at(1.0) >= share * least:
        return 1.0
    low, high = walk.level, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if walk.size_at(middle) >= least else (low, middle)
    return min(1.0, max(low, walk.level + 1e-4))


def log_prior(small: Problem, u: Tensor) -> Tensor:
    """Log density of N(0, I/(beta lambda)) at each row of u (M, r), float64 (M,)."""
    precision = small.beta * small.decay
    scale = u.shape[1] / 2 * math.log(precision / (2 * math.pi))
    return scale - precision / 2 * u.double().square().sum(1)


def log_ratio(small: Problem, dual: Tensor, proposal: Mixture, u: Tensor) -> Tensor:
    """Log of (prior density times e^e(u)) / q at each point, float64 (M,)."""
    return log_prior(small, u) + tilts_at(small, dual, u) - proposal.log_density(u)


def tilts_at(small: Problem, dual: Tensor, u: Tensor) -> Tensor:
    """e(u) at each point, float64 (M,), a tile at a time."""
    x = small.x.to(u.dtype)
    return torch.cat(
        [tilt(small, dual, small.sigma.value_(u[tile] @ x.T)) for tile in tiles(len(u), TILE)]
    )


def surround(
    small: Problem,
    u: Tensor,
    weights: Tensor,
    *,
    generator: torch.Generator,
    scouts: Tensor | None = None,
) -> Mixture:
    """A proposal around points of mu_G: fitted, widened, with a twentieth left to the prior.

    e(u) >= 0 makes mu_G at least a multiple of the prior everywhere; and a fit that is a
    little too wide keeps the weights bounded. A fifth of the fit follows `scouts`, if any.
    """
    width = small.n_inputs
    prior = standard_mixture(width, 1 / math.sqrt(small.beta * small.decay), device=small.device)
    if scouts is not None:
        u = torch.cat([u, scouts.to(u.dtype)])
        found = weights.new_full((len(scouts),), 0.2 / len(scouts))
        weights = torch.cat([0.8 * weights, found])
    fitted = fit_mixture(u, weights, generator=generator)
    return fitted.widened(1 + 0.5 / math.sqrt(width), prior, 0.05)


def resample(weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Systematic resampling: each point about weight * n times, n indices in all."""
    offset = torch.rand(1, dtype=torch.float64, device=weights.device, generator=generator)
    ticks = (torch.arange(n, dtype=torch.float64, device=weights.device) + offset) / n
    edges = weights.double().cumsum(0)
    return torch.searchsorted(edges / edges[-1], ticks).clamp_(max=len(weights) - 1)


def _effective_size(log_weights: Tensor) -> float:
    weights = torch.softmax(log_weights, 0)
    return 1 / float(weights.square().sum())
