"""Quadrature over u where the inputs have rank 1 or 2: the solver there, to round-off."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gibbs.certificate import Certificate
from gibbs.dual import StepLog, Tilted, dual_value, gap_of, newton_direction, solve_ridge, tilt
from gibbs.problem import Problem

__all__ = ["quadrature_certificate", "settle"]


def settle(
    small: Problem,
    dual: Tensor | None,
    log: StepLog | None = None,
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
            tilted = _maximize(tilted, log or StepLog())
        needed = math.sqrt(2 * (float(tilt(small, tilted.dual, values).max()) + 40))
        if needed > reach:
            reach, before = 1.1 * needed, tilted
            continue
        if before is not None and _agree(before, tilted):
            return tilted, grid
        before, reach, points = tilted, 1.3 * reach, 2 * points
    raise ValueError("quadrature did not converge: use method='monte_carlo'")


def _prior_kernel(base: Tensor, values: Tensor) -> Tensor:
    return (values * base.exp()[:, None]).T @ values


def _grid(small: Problem, reach: float, points: int) -> tuple[Tensor, Tensor]:
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64, device=small.device)
    axis /= math.sqrt(small.beta * small.decay)
    grid = torch.cartesian_prod(*[axis] * small.n_inputs).reshape(-1, small.n_inputs)
    log_mass = -small.beta * small.decay / 2 * grid.square().sum(1)
    return grid, log_mass - torch.logsumexp(log_mass, 0)


def _maximize(tilted: Tilted, log: StepLog) -> Tilted:
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
        log.record(value, gap_of(tilted), size, tilted.effective_size)
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


def quadrature_certificate(tilted: Tilted, tol: float) -> Certificate:
    """Certificate of a settled rule: its numbers are exact to round-off."""
    dual, gap = dual_value(tilted), gap_of(tilted)
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
