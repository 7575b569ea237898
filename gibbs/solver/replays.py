"""Judging a dual point by fresh draws, and by starts from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gibbs.model.energy import prior_energy
from gibbs.solver.ascent import Scouts
from gibbs.solver.bridge import Bridge, Draw, log_ratio, tilts_at
from gibbs.solver.certificate import Certificate, student_quantile
from gibbs.solver.dual import Tilted, dual_value_at, gap_of, refit
from gibbs.solver.phases import Phases, choose_masses, find_phases, phase_kernels

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
    # The activations of one draw are held at a time.
    tilts = [tilts_at(small, dual, draw.u) for draw in draws]
    log_weights = [draw.base + tilt for draw, tilt in zip(draws, tilts, strict=True)]
    log_z = torch.stack([torch.logsumexp(each, 0) for each in log_weights])
    phases = find_phases(
        bridge.proposal.without_last(),
        torch.cat([draw.u for draw in draws]),
        torch.softmax(torch.cat(log_weights), 0),
        torch.cat(tilts),
    )
    if small.truncation is None:
        phases, gap_of_some = _gap_of_phases(bridge, draws, tilts, phases)
    else:
        gap_of_some = _gap_of_refit([draw.tilted(small, dual) for draw in draws])

    def measure(chosen: Tensor, start: Tensor | None) -> tuple[float, float, Tensor, Tensor]:
        """Dual value, gap, and masses of the phases, from some of the draws."""
        mean_log_z = float(torch.logsumexp(log_z[chosen], 0)) - math.log(len(chosen))
        return dual_value_at(small, dual, mean_log_z), *gap_of_some(chosen, start)

    everyone = torch.arange(n)
    value, gap, masses, best = measure(everyone, None)
    without = [measure(everyone[everyone != left], best)[:2] for left in range(n)]
    dual_stderr, gap_stderr = (_jackknife(list(v)) for v in zip(*without, strict=True))
    # Six draws may agree by chance: no less than the spread of the weights within them.
    dual_stderr = max(dual_stderr, math.sqrt(pool(draws).variance) / small.beta)
    missed = _missed_mass(bridge, draws, float(torch.cat(tilts).max()), generator, visitors)
    reason = missed or _why_not(value, gap, gap_stderr, dual_stderr, n, tol)
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
        bounded=not missed,
        prior_energy=prior_energy(small),
    )
    return certificate, replace(phases, masses=masses, chosen=best)


_GapOfSome = Callable[[Tensor, Tensor | None], tuple[float, Tensor, Tensor]]
"""Of some draws: the gap, the masses of the phases, and those chosen, from a first guess."""


def _gap_of_phases(
    bridge: Bridge, draws: list[Draw], tilts: list[Tensor], phases: Phases
) -> tuple[Phases, _GapOfSome]:
    small, dual = bridge.small, bridge.dual
    numbers = [phases.of(draw.u, tilt) for draw, tilt in zip(draws, tilts, strict=True)]
    n_phases = len(phases.masses)
    # Without one of the draws every phase must still be there.
    held = torch.stack([torch.bincount(each, minlength=n_phases) > 0 for each in numbers])
    phases = phases.merged(held.sum(0) >= 2)
    top = max(float((d.base + t).max()) for d, t in zip(draws, tilts, strict=True))
    parts = []
    for draw, tilt in zip(draws, tilts, strict=True):
        values = small.sigma.value_(draw.u @ small.x.to(draw.u.dtype).T)
        weights = torch.exp(draw.base + tilt - top)
        parts.append(phase_kernels(values, weights, phases.of(draw.u, tilt), len(phases.masses)))
    kernels, sums = (torch.stack(part) for part in zip(*parts, strict=True))

    def gap(chosen: Tensor, start: Tensor | None) -> tuple[float, Tensor, Tensor]:
        total = sums[chosen].sum(0)
        inside = kernels[chosen].sum(0) / total[:, None, None]
        masses = total / total.sum()
        best, value = choose_masses(small, dual, inside, masses, start)
        return value, masses, best

    return phases, gap


def _gap_of_refit(tilted: list[Tilted]) -> _GapOfSome:
    """With truncation a given u is fitted anew to each subset; masses stay those of mu_G."""
    best = refit(Tilted.together(tilted))
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
    if not math.isfinite(dual + gap):
        return "the draws give no finite dual value and gap"
    floor = dual - 2 * dual_stderr
    if not floor > 0:
        return "the dual value is not above 0 by two standard errors"
    # Written so that NaN is not below anything.
    least = 0.0 if gap <= 0 else gap
    reached = (least + student_quantile(n - 1) * gap_stderr) / floor
    if not reached <= tol:
        return f"relative gap {gap / dual:.2g}, with its error {reached:.2g}, above tol {tol:g}"
    return ""


def _missed_mass(
    bridge: Bridge,
    draws: list[Draw],
    top: float,
    generator: torch.Generator,
    visitors: Tensor | None,
) -> str:
    """Compare with points that did not come from the proposal q.

    Where mu_G / q is far above all that the draws have met, q misses mass: log Z is too
    small, and the lower bound D too high.
    """
    small, dual = bridge.small, bridge.dual
    met = torch.cat([log_ratio(small, dual, bridge.proposal, draw.u) for draw in draws])
    scouts = Scouts(small, generator, visitors, top=top).explore(dual, 150, N_SCOUTS)
    beyond = log_ratio(small, dual, bridge.proposal, scouts) > met.max() + 1
    share = float(beyond.double().mean())
    if share > 0.002:
        return f"starts from elsewhere keep {100 * share:.1f} % of their mass where no draw was"
    return ""
