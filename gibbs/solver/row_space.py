"""The problem in the row space of its inputs: u has rank(X) dimensions there."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gibbs.model.particles import Particles
from gibbs.model.problem import Problem
from gibbs.solver.dual import Tilted, refit
from gibbs.solver.measure import GibbsMeasure

__all__ = ["in_row_space", "starting_point"]


def in_row_space(problem: Problem) -> tuple[Problem, Tensor]:
    """The problem in float64 in the row space of X, and the basis (d, r) of that."""
    exact = problem.to(torch.float64)
    basis = _row_space(exact.x)
    return replace(exact, x=exact.x @ basis), basis


def _row_space(x: Tensor) -> Tensor:
    """Orthonormal basis (d, r) of the row space of x (n, d)."""
    _, sizes, right = torch.linalg.svd(x, full_matrices=False)
    rank = int((sizes > sizes[0] * max(x.shape) * torch.finfo(x.dtype).eps).sum())
    basis: Tensor = right[: max(1, rank)].T
    return basis.contiguous()


def starting_point(
    small: Problem, basis: Tensor, law: GibbsMeasure | Particles, *, name: str
) -> tuple[Tensor, Tensor, Tensor]:
    """The G that is best for a law of u, the u's in the row space, and their weights.

    Raises
    ------
    ValueError
        If the u's have another width or are not finite; `name` is that of the argument.
    """
    if isinstance(law, Particles):
        u = law.u.double()
        weights = u.new_full((len(u),), 1 / len(u))
    else:
        u, weights = law.points @ law.basis.T, law.weights
    if u.shape[1] != len(basis):
        raise ValueError(f"{name} must have u of width d = {len(basis)}, got {u.shape[1]}")
    if not bool(torch.isfinite(u).all()):
        raise ValueError(f"{name} must be finite, got NaN or inf")
    u = u @ basis
    values = small.sigma.value_(u @ small.x.T)
    tilted = replace(Tilted.uniform(small, values), weights=weights)
    return refit(tilted), u, weights
