"""A flow of u alone: where the climb of the dual finds no way, it starts from here."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.solver.domain import has_domain, in_domain
from gibbs.solver.dual import Tilted, refit
from gibbs.solver.measure import Target, mala
from gibbs.solver.progress import FlowRound, StepLog

__all__ = ["mean_field_flow"]

N_ROUNDS = 150

N_KEPT = 50
"""Rounds at the end whose law is averaged."""

MEMORY = 0.9
"""Weight of the past in the law that sets G."""


def mean_field_flow(
    small: Problem, n: int, *, n_moves: int, generator: torch.Generator, log: StepLog
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Let n points move towards mu_G while G follows their own law: the gradient flow of F.

    F(mu), the least free energy of the laws with marginal mu, is convex in mu, and its first
    variation is -e(u)/beta + lambda/2 |u|^2 at the G that `gibbs.solver.dual.refit` finds for mu.
    So the flow goes downhill from any distance, where Newton steps of the dual may not. Phases
    keep the masses that the way gave them.

    Parameters
    ----------
    small : Problem
        In the row space of X, float64.
    n : int
    n_moves : int
        MALA moves between two G's.

    Returns
    -------
    Tensor (n, q), Tensor (M, r), Tensor (M,)
        G, points from the last rounds, and their weights, all equal.
    """
    scale = 1 / math.sqrt(small.beta * small.decay)
    u = scale * torch.randn(n, small.n_inputs, device=small.device, generator=generator)
    x, step, dual, kept = small.x.float(), 0.1, None, []
    mean = torch.zeros_like(small.y)
    for number in range(N_ROUNDS):
        now = refit(Tilted.uniform(small, small.sigma.value_(u @ x.T)), dual)
        dual = now if dual is None else MEMORY * dual + (1 - MEMORY) * now
        if has_domain(small):
            dual, _ = in_domain(small, dual, generator=generator, share=0.9, n_starts=8, n_steps=4)
        u, tilts, step = mala(Target(small, x, dual), u, step, n_moves, generator=generator)
        left = N_ROUNDS - 1 - number
        if left < N_KEPT:
            mean += dual / N_KEPT
            if left % (N_KEPT // 5) == 0:
                kept.append(u)
        if number % 10 == 9:
            log.report(FlowRound(number + 1, N_ROUNDS, float(tilts.mean())))
    points = torch.cat(kept)
    return mean, points, torch.full((len(points),), 1 / len(points)).to(mean)
