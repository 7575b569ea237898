"""Gibbs-form measures on a grid, stationary or not, for tests with inputs of width 1."""

from __future__ import annotations

import torch
from support.seeds import seeded
from torch import Tensor

from gibbs import GibbsMeasure, Problem
from gibbs.solver.dual import log_tilt


def line_problem(
    x: list[float], *, p: int = 3, q: int = 2, counts: list[int] | None = None, **settings
) -> Problem:
    """Inputs of width 1, the classes in order, balanced unless `counts` says otherwise."""
    inputs = torch.tensor(x, dtype=torch.float64)[:, None]
    sizes = torch.tensor(counts or [len(x) // q] * q)
    y = torch.eye(q, dtype=torch.float64)[torch.arange(q).repeat_interleave(sizes)]
    noise = torch.randn(p, q, generator=seeded(), dtype=torch.float64)
    return Problem(inputs, y, torch.linalg.qr(noise)[0].contiguous(), **settings)


def gibbs_form(problem: Problem, coefficients: Tensor, dual: Tensor) -> GibbsMeasure:
    """The measure of C = `coefficients` and G = `dual`, by the trapezoidal rule over u."""
    scale = (problem.beta * problem.decay) ** -0.5
    points = scale * torch.linspace(-12, 12, 2001, dtype=torch.float64)[:, None]
    values = problem.sigma(points @ problem.x.T)
    base = -problem.beta * problem.decay / 2 * points[:, 0].square()
    log_weights = base - torch.logsumexp(base, 0) + log_tilt(problem, dual, values)
    log_z = torch.logsumexp(log_weights, 0)
    return GibbsMeasure(
        problem=problem,
        coefficients=coefficients,
        dual=dual,
        points=points,
        weights=torch.exp(log_weights - log_z),
        log_z=float(log_z),
        basis=torch.eye(1, dtype=torch.float64),
    )
