"""Judging a dual point by fresh draws, and by starts from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gibbs.ascent import Scouts
from gibbs.bridge import Bridge, Draw, log_ratio
from gibbs.certificate import Certificate, student_quantile
from gibbs.dual import Tilted, dual_value_at, gap_of, refit, tilt
from gibbs.phases import Phases, choose_masses, find_phases, phase_kernels

__all__ = ["judge", "pool"]

N_SCOUTS = 1000


def pool(draws: list[Draw]) -> Draw:
    """All draws as one: each weighs its own estimate of Z."""
    u = torch.cat([draw.u for draw in draws])
    base = torch.cat([draw.base for draw in draws]) - math.log(len(draws))
    variance = sum(draw.variance for draw in draws) / len(draws) ** 2
    return Draw(u, base, min(draw.least_size for draw in draws), variance)


def judge(
    bridge: Bridge,
    draws: list[Draw],
    tol: float,
    *,
    generator: torch.Generator,
    visitors: Tensor | None = None,
) -> tuple[Certificate, Phases]:
    """Certificate of the pooled measure, and its phases; errors by the jackknife over draws."""
    n, small, dual = len(draws), bridge.small, bridge.dual
    tilted = [draw.tilted(small, dual) for draw in draws]
    pooled = Tilted.together(tilted)
    phases = find_phases(
        bridge.proposal.without_last(),
        torch.cat([draw.u for draw in draws]),
        pooled.weights,
        tilt(small, dual, pooled.values),
    )
    log_z = torch.tensor([t.log_z for t in tilted], dtype=torch.float64)
    gap_of_some = (
        _gap_of_phases(draws, tilted, phases)
        if small.truncation is None
        else _gap_of_refit(tilted, pooled)
    )

    def measure(chosen: Tensor, start: Tensor | None) -> tuple[float, float, Tensor, Tensor]:
        """Dual value, gap, and masses of the phases, from some of the draws."""
        mean_log_z = float(torch.logsumexp(log_z[chosen], 0)) - math.log(len(chosen))
        return dual_value_at(small, dual, mean_log_z), *gap_of_some(chosen, start)

    everyone = torch.arange(n)
    value, gap, masses, best = measure(everyone, None)
    without = [measure(everyone[everyone != left], best)[:2] for left in range(n)]
    dual_stderr, gap_stderr = (_jackknife(list(v)) for v in zip(*without, strict=True))
    # Six draws may agree by chance: no less than the spread of the weights within them.
    within = math.sqrt(sum(draw.variance for draw in draws)) / n / small.beta
    dual_stderr = max(dual_stderr, within)
    reason = _why_not(value, gap, gap_stderr, dual_stderr, n, tol) or _missed_mass(
        bridge, draws, generator, visitors
    )
    certificate = Certificate(
        dual=value,
        primal=value + gap,
        gap=gap,
        gap_stderr=gap_stderr,
        dual_stderr=dual_stderr,
        method="monte_carlo",
        effective_size=min(draw.least_size for draw in draws),
        n_replays=n,
        certified=not reason,
        reason=reason,
        phase_masses=tuple(zip(masses.tolist(), best.tolist(), strict=True)),
    )
    return certificate, replace(phases, masses=masses, chosen=best)


_GapOfSome = Callable[[Tensor, Tensor | None], tuple[float, Tensor, Tensor]]
"""Of some draws: the gap, the masses of the phases, and those chosen, from a first guess."""


def _gap_of_phases(draws: list[Draw], tilted: list[Tilted], phases: Phases) -> _GapOfSome:
    small, dual = tilted[0].problem, tilted[0].dual
    top = max(t.log_z for t in tilted)
    n_phases = len(phases.masses)
    parts = [
        phase_kernels(
            t.values,
            math.exp(t.log_z - top) * t.weights,
            phases.of(draw.u, tilt(small, dual, t.values)),
            n_phases,
        )
        for t, draw in zip(tilted, draws, strict=True)
    ]
    kernels, sums = (torch.stack(part) for part in zip(*parts, strict=True))

    def gap(chosen: Tensor, start: Tensor | None) -> tuple[float, Tensor, Tensor]:
        total = sums[chosen].sum(0)
        inside = kernels[chosen].sum(0) / total[:, None, None]
        masses = total / total.sum()
        best, value = choose_masses(small, dual, inside, masses, start)
        return value, masses, best

    return gap


def _gap_of_refit(tilted: list[Tilted], pooled: Tilted) -> _GapOfSome:
    """With truncation a given u is fitted anew to each subset; masses stay those of mu_G."""
    best = refit(pooled)
    one = torch.ones(1, dtype=torch.float64)

    def gap(chosen: Tensor, _: Tensor | None) -> tuple[float, Tensor, Tensor]:
        return gap_of(Tilted.together([tilted[k] for k in chosen.tolist()]), best), one, one

    return gap


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
