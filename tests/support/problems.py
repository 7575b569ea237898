"""Small problems that the tests share."""

from __future__ import annotations

from typing import Any

import torch
from support.seeds import seeded, unmoved

from gibbs import Problem


def small_problem(
    n: int = 6,
    d: int = 2,
    p: int = 3,
    q: int = 2,
    *,
    seed: int = 0,
    instance: int | None = None,
    dtype: torch.dtype = torch.float64,
    **settings: Any,
) -> Problem:
    """Random inputs in the unit ball, one-hot targets by the first coordinate, W^T W = I.

    With an `instance` in place of a seed it is always the same problem: for those that have two
    phases, or whose integrals a rule of the tests is known to reach.
    """
    generator = seeded(seed) if instance is None else unmoved(instance)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    x /= x.norm(dim=1).max()
    ranks = x[:, 0].argsort().argsort()
    y = torch.nn.functional.one_hot(ranks * q // n, q)
    w = torch.linalg.qr(torch.randn(p, q, generator=generator, dtype=torch.float64))[0]
    settings = {"beta": 50.0, "lambda_rho": 0.05, "gamma": 2.0} | settings
    return Problem(x.to(dtype), y.to(dtype), w.to(dtype).contiguous(), **settings)


def wide_problem(**settings: Any) -> Problem:
    """d = 16, more than there are samples."""
    settings = {"beta": 30.0, "lambda_rho": 0.1, "gamma": 4.0, "p": 3, "q": 2} | settings
    return small_problem(n=12, d=16, **settings)
