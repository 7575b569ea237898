"""Judging a dual point by fresh draws, and by starts from elsewhere."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gibbs.ascent import Scouts
from gibbs.bridge import Bridge, Draw, log_ratio
from gibbs.certificate import Certificate, student_quantile
from gibbs.dual import dual_value_at, tight_gap

__all__ = ["judge", "pool"]

N_SCOUTS = 1000


def pool(draws: list[Draw]) -> Draw:
    """All draws as one: each weighs its own estimate of Z."""
    u = torch.cat([draw.u for draw in draws])
    base = torch.cat([draw.base for draw in draws]) - math.log(len(draws))
    return Draw(u, base, min(draw.least_size for draw in draws))


def judge(
    bridge: Bridge,
    draws: list[Draw],
    tol: float,
    *,
    generator: torch.Generator,
    visitors: Tensor | None = None,
) -> Certificate:
    """Certificate of the pooled measure; errors by the jackknife over draws."""
    n, small, shared = len(draws), bridge.small, bridge.dual
    tilted = [draw.tilted(small, shared) for draw in draws]
    kernels = torch.stack([t.kernel.double() for t in tilted])
    masses = torch.tensor([t.log_z for t in tilted], dtype=torch.float64)

    def measure(chosen: Tensor) -> tuple[float, float]:
        """Dual value and gap from some of the draws."""
        log_z = torch.logsumexp(masses[chosen], 0)
        shares = torch.exp(masses[chosen] - log_z)
        mixed = torch.tensordot(shares.to(kernels), kernels[chosen], dims=1)
        mean_log_z = float(log_z) - math.log(len(chosen))
        value = dual_value_at(small, shared, mean_log_z)
        return value, tight_gap(small, shared, mixed)

    everyone = torch.arange(n)
    dual, gap = measure(everyone)
    without = [measure(everyone[everyone != left]) for left in range(n)]
    dual_stderr, gap_stderr = (_jackknife(list(v)) for v in zip(*without, strict=True))
    reason = _why_not(dual, gap, gap_stderr, dual_stderr, n, tol) or _missed_mass(
        bridge, draws, generator, visitors
    )
    return Certificate(
        dual=dual,
        primal=dual + gap,
        gap=gap,
        gap_stderr=gap_stderr,
        dual_stderr=dual_stderr,
        method="monte_carlo",
        effective_size=min(draw.least_size for draw in draws),
        n_replays=n,
        certified=not reason,
        reason=reason,
    )


def _jackknife(values: list[float]) -> float:
    v = torch.tensor(values, dtype=torch.float64)
    return float(((len(v) - 1) * (v - v.mean()).square().mean()).sqrt())


def _why_not(
    dual: float, gap: float, gap_stderr: float, dual_stderr: float, n: int, tol: float
) -> str:
    if n < 6:
        return f"{n} replays, at least 6 are needed"
    floor = dual - 2 * dual_stderr
    if not floor > 0:
        return "the dual value is not above 0 by two standard errors"
    reached = (max(0.0, gap) + student_quantile(n - 1) * gap_stderr) / floor
    if reached > tol:
        return f"relative gap {gap / dual:.2g}, with its error {reached:.2g}, above tol {tol:g}"
    return ""


def _missed_mass(
    bridge: Bridge, draws: list[Draw], generator: torch.Generator, visitors: Tensor | None
) -> str:
    """Compare with points that did not come from the proposal q.

    Where mu_G / q is far above all that the draws have met, q misses mass: log Z is too
    small, and the lower bound D too high.
    """
    small, dual = bridge.small, bridge.dual
    met = torch.cat([log_ratio(small, dual, bridge.proposal, draw.u) for draw in draws])
    scouts = Scouts(small, generator, visitors).explore(dual, 150, N_SCOUTS)
    beyond = log_ratio(small, dual, bridge.proposal, scouts) > met.max() + 1
    share = float(beyond.double().mean())
    if share > 0.002:
        return f"starts from elsewhere keep {100 * share:.1f} % of their mass where no draw was"
    return ""
