"""Weighted clouds of points, and pairs of clouds of one law to compare a distance with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from eval.reading import Array, Values, check_entries, read_matrix, read_numbers
from gibbs import GibbsMeasure, Particles, Problem
from gibbs.model.checks import check_integer

__all__ = [
    "Cloud",
    "Points",
    "Reference",
    "check_widths",
    "draw_neurons",
    "null_pairs",
    "read_cloud",
    "read_points",
]

Points = Values | Particles
Reference = GibbsMeasure | Callable[[int, int], Points] | Sequence[Points]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points (n, d) in float64 with weights (n,) > 0 that add up to 1."""

    points: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.points)

    @property
    def width(self) -> int:
        """The dimension d."""
        return int(self.points.shape[1])

    @property
    def equal_weights(self) -> bool:
        """Whether all weights are 1/n."""
        return bool(np.allclose(self.weights, 1 / len(self), rtol=1e-12, atol=0))

    @property
    def effective_size(self) -> int:
        """Effective sample size 1 / sum_i w_i^2, rounded; n for equal weights."""
        return round(1 / float(self.weights @ self.weights))


def read_cloud(points: Points, weights: Values | None, name: str) -> Cloud:
    """Check points and weights. Neurons become points (a, u); points of weight 0 are left out.

    Raises
    ------
    ValueError
        If the points are not a finite matrix, or the weights do not fit them; the message
        names the argument.
    """
    matrix = read_points(points, name)
    if weights is None:
        return Cloud(matrix, np.full(len(matrix), 1 / len(matrix)))
    masses = read_numbers(weights, f"weights_{name}")
    check_entries(masses, f"weights_{name}", len(matrix), f"row of {name}")
    total = float(masses.sum())
    if not (masses.min() >= 0 and 0 < total < math.inf):
        raise ValueError(
            f"weights_{name} must be finite and >= 0 with a sum > 0, "
            f"got minimum {masses.min():g} and sum {total:g}"
        )
    kept = masses > 0
    return Cloud(matrix[kept], masses[kept] / total)


def read_points(points: Points, name: str) -> Array:
    """Points as a finite float64 matrix (n, d); neurons are points (a, u)."""
    if isinstance(points, Particles):
        points = torch.cat([points.a, points.u], dim=1)
    return read_matrix(points, name)


def check_widths(neurons: Particles, problem: Problem, name: str) -> None:
    """Raise ValueError where neurons do not have the widths p and d of a problem."""
    widths = (neurons.a.shape[1], neurons.u.shape[1])
    if widths != (problem.n_features, problem.n_inputs):
        raise ValueError(
            f"{name} must have a of width p = {problem.n_features} and u of width "
            f"d = {problem.n_inputs}, got {widths[0]} and {widths[1]}"
        )


def draw_neurons(measure: GibbsMeasure, n: int, seed: int) -> Particles:
    """Draw n neurons of the measure, in float64."""
    generator = torch.Generator(device=measure.problem.device).manual_seed(seed)
    return measure.sample(n, generator=generator).to(torch.float64)


def null_pairs(
    x: Cloud, y: Cloud, reference: Reference | None, n_null: int, rng: np.random.Generator
) -> Iterator[tuple[Cloud, Cloud]]:
    """Two or more pairs of clouds like x and y, but of one law.

    Without a reference: the points of both, each with its weight, reassigned at random. With one:
    a fresh sample in the place of x, and y.
    """
    if reference is None:
        return (_deal(x, y, rng) for _ in range(check_integer("n_null", n_null, 2)))
    return ((fresh, y) for fresh in _fresh_clouds(x, reference, n_null, rng))


def _deal(x: Cloud, y: Cloud, rng: np.random.Generator) -> tuple[Cloud, Cloud]:
    points = np.concatenate([x.points, y.points])
    masses = np.concatenate([len(x) * x.weights, len(y) * y.weights])
    order = rng.permutation(len(points))
    first, second = order[: len(x)], order[len(x) :]
    return (
        Cloud(points[first], masses[first] / masses[first].sum()),
        Cloud(points[second], masses[second] / masses[second].sum()),
    )


def _fresh_clouds(
    x: Cloud, reference: Reference, n_null: int, rng: np.random.Generator
) -> Iterator[Cloud]:
    shape = (x.effective_size, x.width)
    for points in _fresh_points(shape[0], reference, n_null, rng):
        cloud = read_cloud(points, None, "reference")
        if cloud.points.shape != shape:
            raise ValueError(
                f"reference must give clouds of shape {shape}, as many points as x stands for, "
                f"got shape {cloud.points.shape}"
            )
        yield cloud


def _fresh_points(
    size: int, reference: Reference, n_null: int, rng: np.random.Generator
) -> Iterator[Points]:
    if isinstance(reference, (list, tuple)):
        check_integer("the number of clouds in reference", len(reference), 2)
        return iter(reference)
    seeds = rng.integers(2**31, size=check_integer("n_null", n_null, 2)).tolist()
    if isinstance(reference, GibbsMeasure):
        measure = reference
        return (draw_neurons(measure, size, seed) for seed in seeds)
    if callable(reference):
        sample = reference
        return (sample(size, seed) for seed in seeds)
    raise TypeError(
        "reference must be a GibbsMeasure, a callable sample(n, random_state) or a list of "
        f"clouds, got {type(reference).__name__}"
    )
