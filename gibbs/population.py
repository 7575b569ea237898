"""Populations of u's that follow a path of dual points: sequential Monte Carlo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.dual import StepLog, Tilted, dual_value, gap_of, newton_direction, tilt
from gibbs.measure import Target, mala
from gibbs.problem import Problem

__all__ = ["Path", "Population", "climb", "shorten", "walk_to"]


@dataclass(frozen=True, eq=False)
class Population:
    """Equally weighted points from (about) mu_G, with the estimate of log Z that led there."""

    u: Tensor
    dual: Tensor
    log_z: float
    tilts: Tensor
    least_size: float


class Path:
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

    def start(self) -> Population:
        """Draw a population from the prior: G = 0."""
        small = self.small
        u = torch.randn(
            self.n_particles,
            small.n_inputs,
            device=small.device,
            generator=self.generator,
        ) / math.sqrt(small.beta * small.decay)
        zero = torch.zeros_like(small.y)
        return Population(u, zero, 0.0, u.new_zeros(len(u)), float(len(u)))

    def tilted(self, population: Population) -> Tilted:
        """The population as weighted points that can be re-weighted to other G's."""
        values = self.small.sigma.value_(population.u @ self.x32.T)
        tilts = tilt(self.small, population.dual, values)
        base = population.log_z - math.log(len(tilts)) - tilts
        weights = tilts.new_full((len(tilts),), 1 / len(tilts))
        return Tilted(self.small, population.dual, values, base, population.log_z, weights)

    def advance(self, population: Population, there: Tilted, number: int) -> Population:
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
        return Population(u, there.dual, there.log_z, tilts, least)

    def replay(self) -> Population:
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


def shorten(tilted: Tilted, direction: Tensor, least: float) -> tuple[Tilted, float]:
    """The longest step along the direction (at most 1) with that effective size left."""
    size = 1.0
    there = tilted.at(tilted.dual + direction)
    while there.effective_size < least and size > 1e-6:
        size *= 0.7
        there = tilted.at(tilted.dual + size * direction)
    return there, size


def climb(path: Path, log: StepLog) -> None:
    """Find the path: Newton steps from G = 0 until full steps stop helping.

    They do where the slope is small, or no longer falls: then it is the noise of a finite
    population.
    """
    population = path.start()
    settled, best = 0, math.inf
    for number in range(80):
        tilted = path.tilted(population)
        direction, slope = newton_direction(tilted, tolerance=1e-4)
        there, size = shorten(tilted, direction, path.n_particles / 2)
        value = dual_value(there)
        log.record(value, gap_of(tilted), size, there.effective_size)
        population = path.advance(population, there, number)
        still = slope < 2e-2 * abs(value) or slope > best / 2
        settled = settled + 1 if size == 1.0 and still else 0
        best = min(best, slope)
        if settled >= 3:
            break


def walk_to(path: Path, dual: Tensor) -> None:
    """Find a path that ends at a given G, along the straight line from 0."""
    population = path.start()
    for number in range(200):
        tilted = path.tilted(population)
        there, size = shorten(tilted, dual - tilted.dual, path.n_particles / 2)
        population = path.advance(population, there, number)
        if size == 1.0:
            return
