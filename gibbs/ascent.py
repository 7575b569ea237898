"""Climbing the dual: Newton steps on a model made of all recent draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gibbs.bridge import Draw, build_bridge, resample, surround
from gibbs.dual import StepLog, Tilted, dual_value, gap_of, newton_direction, tilt
from gibbs.mixture import standard_mixture
from gibbs.problem import Problem

__all__ = ["climb", "line_search"]

MOST_STEPS = 40

N_REMEMBERED = 4
"""Draws that make up the model: each knows the mass near its own G."""


def climb(
    small: Problem, n_points: int, *, n_moves: int, generator: torch.Generator, log: StepLog
) -> tuple[Tensor, Draw]:
    """Newton steps from G = 0, until full steps stop helping; that G, or else the best, and a draw.

    Each step maximises the dual of the remembered draws together, from the best G so far,
    as far as half of a draw's size stays effective. The new mu_G is then drawn afresh, by a
    bridge, so that its log Z does not depend on the way there: a step that went too far is
    seen, and its draw remains in the model.
    """
    prior = standard_mixture(
        small.n_inputs, 1 / math.sqrt(small.beta * small.decay), device=small.device
    )
    dual = best_dual = torch.zeros_like(small.y)
    best, least_slope, settled = -math.inf, math.inf, 0
    _, draw = build_bridge(small, dual, prior, n_points, n_moves=n_moves, generator=generator)
    remembered: list[tuple[Tensor, Tensor, float]] = []
    for _ in range(MOST_STEPS):
        tilted = draw.tilted(small, dual)
        value = dual_value(tilted)
        u = draw.u[resample(tilted.weights, n_points, generator)]
        remembered = [*remembered, (u, dual, tilted.log_z)][-N_REMEMBERED:]
        if value > best - 0.003 * abs(best) or best == -math.inf:
            best, best_dual, best_draw = value, dual, draw
        model, points = _model(small, remembered, best_dual)
        direction, slope = newton_direction(model, tolerance=1e-3, most=30)
        least = min(0.3 * model.effective_size, n_points / 2)
        there, size = line_search(model, direction, slope, least)
        log.record(value, gap_of(tilted), size, there.effective_size)
        proposal = surround(small, points, there.weights, generator=generator)
        try:
            _, draw = build_bridge(
                small, there.dual, proposal, n_points, n_moves=n_moves, generator=generator
            )
        except ArithmeticError:
            break
        dual = there.dual
        still = slope < 1e-3 * abs(value) or slope > least_slope / 2
        settled = settled + 1 if size == 1.0 and still else 0
        least_slope = min(least_slope, slope)
        if settled >= 2:
            return dual, draw
    return best_dual, best_draw


def _model(
    small: Problem, remembered: list[tuple[Tensor, Tensor, float]], dual: Tensor
) -> tuple[Tilted, Tensor]:
    """All remembered points as one weighted sample: each weighs prior / (mean density)."""
    points = torch.cat([u for u, _, _ in remembered])
    values = small.sigma.value_(points @ small.x.to(points.dtype).T)
    densities = [tilt(small, at, values) - log_z + math.log(len(u)) for u, at, log_z in remembered]
    base = -torch.logsumexp(torch.stack(densities, 1), 1)
    return Tilted(small, dual, values, base, 0.0, base).at(dual), points


def line_search(
    tilted: Tilted, direction: Tensor, slope: float, least: float
) -> tuple[Tilted, float]:
    """The longest step (at most 1) that raises the dual and keeps that effective size."""
    size, value = 1.0, dual_value(tilted)
    while size > 1e-6:
        there = tilted.at(tilted.dual + size * direction)
        if there.effective_size >= least and dual_value(there) >= value + 1e-4 * size * slope:
            return there, size
        size *= 0.7
    return tilted, 0.0
