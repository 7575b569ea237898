"""Descent in the law of u: where the ascent of the dual fails, it starts from its result."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.solver.domain import START_LIMIT, has_domain, in_domain
from gibbs.solver.dual import Tilted, refit
from gibbs.solver.mala import Target, mala
from gibbs.solver.progress import DescentRound, StepLog

__all__ = ["marginal_descent"]

N_ROUNDS = 150
"""Rounds of moves, each with a new G: the last `N_KEPT` give the result, the others are burn-in."""

N_KEPT = 50
"""Rounds at the end whose law is averaged."""

MEMORY = 0.9
"""Weight of the past in the moving average that gives G: the G of one round is noisy."""

STEP = 0.1
"""Step of MALA before any tuning, in units of the prior variance: all points start in the prior."""


def marginal_descent(
    small: Problem, n: int, *, n_moves: int, generator: torch.Generator, log: StepLog
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Move n points towards mu_G while G follows from their own law: a gradient flow of F.

    F(mu), the least free energy of the laws with marginal mu, is convex in mu, and its first
    variation is -e(u)/beta + lambda/2 |u|^2 at the G that `gibbs.solver.dual.refit` finds for mu.
    So F falls from any start, where Newton steps of the dual may fail. The masses of separate
    phases remain those of the start: no point crosses from one to another.

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
    x, step, dual, kept = small.x.float(), STEP, None, []
    mean = torch.zeros_like(small.y)
    for number in range(N_ROUNDS):
        now = refit(Tilted.uniform(small, small.sigma.value_(u @ x.T)), dual)
        dual = now if dual is None else MEMORY * dual + (1 - MEMORY) * now
        if has_domain(small):
            dual, _ = in_domain(
                small, dual, generator=generator, share=START_LIMIT, n_starts=8, n_steps=4
            )
        u, log_tilts, step = mala(Target(small, x, dual), u, step, n_moves, generator=generator)
        left = N_ROUNDS - 1 - number
        if left < N_KEPT:
            mean += dual / N_KEPT
            if left % (N_KEPT // 5) == 0:
                kept.append(u)
        if number % 10 == 9:
            log.report(DescentRound(number + 1, N_ROUNDS, float(log_tilts.mean())))
    points = torch.cat(kept)
    return mean, points, torch.full((len(points),), 1 / len(points)).to(mean)
