"""The certificate of a dual point by Monte Carlo: independent samples, and other chains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gibbs.model.energy import prior_energy
from gibbs.solver.ascent import OverdispersedChains
from gibbs.solver.bridge import Bridge, WeightedSample, log_ratio, log_tilt_at
from gibbs.solver.certificate import Certificate, student_quantile
from gibbs.solver.dual import Tilted, dual_value_at, gap_of, refit
from gibbs.solver.phases import Phases, choose_masses, find_phases, phase_kernels

__all__ = ["jackknife", "pool", "replay_certificate"]

N_CHAINS = 1000
"""Chains from overdispersed starts that look for mass which the proposal misses."""

N_CHAIN_MOVES = 150
"""MALA moves of each."""

MISSED_MARGIN = 1.0
"""A chain has left what the replays cover where log mu_G/q is this much above all their values."""

MISSED_SHARE = 0.002
"""Nothing is certified if more than this share of the chains has left: two of 1,000 may."""

LEAST_REPLAYS = 6
"""Replays that a certificate needs: with fewer the standard error itself is too uncertain."""

DUAL_STDERRS = 2.0
"""The dual value that a gap is compared with is reduced by this many standard errors."""


def pool(replays: list[WeightedSample]) -> WeightedSample:
    """All replays as one sample, each weighted by its own estimate of Z."""
    u = torch.cat([each.u for each in replays])
    base = torch.cat([each.base for each in replays]) - math.log(len(replays))
    variance = sum(each.variance for each in replays) / len(replays) ** 2
    return WeightedSample(u, base, min(each.least_size for each in replays), variance)


def replay_certificate(
    bridge: Bridge,
    replays: list[WeightedSample],
    tol: float,
    *,
    generator: torch.Generator,
    starts: Tensor | None = None,
) -> tuple[Certificate, Phases]:
    """Certificate of the pooled measure, and its phases; errors by the jackknife over replays."""
    n, small, dual = len(replays), bridge.small, bridge.dual
    # The activations of one replay are held at a time.
    log_tilts = [log_tilt_at(small, dual, replay.u) for replay in replays]
    log_weights = [replay.base + each for replay, each in zip(replays, log_tilts, strict=True)]
    log_z = torch.stack([torch.logsumexp(each, 0) for each in log_weights])
    phases = find_phases(
        bridge.proposal.without_last(),
        torch.cat([replay.u for replay in replays]),
        torch.softmax(torch.cat(log_weights), 0),
        torch.cat(log_tilts),
    )
    if small.truncation is None:
        phases, gap_of_some = _gap_of_phases(bridge, replays, log_tilts, phases)
    else:
        gap_of_some = _gap_of_refit([replay.tilted(small, dual) for replay in replays])

    def measure(chosen: Tensor, start: Tensor | None) -> tuple[float, float, Tensor, Tensor]:
        """Dual value, gap, and masses of the phases, from some of the replays."""
        mean_log_z = float(torch.logsumexp(log_z[chosen], 0)) - math.log(len(chosen))
        return dual_value_at(small, dual, mean_log_z), *gap_of_some(chosen, start)

    everyone = torch.arange(n)
    value, gap, masses, best = measure(everyone, None)
    without = [measure(everyone[everyone != left], best)[:2] for left in range(n)]
    dual_stderr, gap_stderr = (jackknife(v) for v in zip(*without, strict=True))
    # Six replays may agree by chance: the error is at least the spread of the weights within them.
    dual_stderr = max(dual_stderr, math.sqrt(pool(replays).variance) / small.beta)
    missed = _missed_mass(bridge, replays, float(torch.cat(log_tilts).max()), generator, starts)
    reason = missed or _why_not(value, gap, gap_stderr, dual_stderr, n, tol)
    certificate = Certificate(
        dual=value,
        primal=value + gap,
        gap=gap,
        gap_stderr=gap_stderr,
        dual_stderr=dual_stderr,
        method="monte_carlo",
        effective_size=min(replay.least_size for replay in replays),
        n_replays=n,
        certified=not reason,
        reason=reason,
        phase_masses=tuple(zip(masses.tolist(), best.tolist(), strict=True)),
        bounded=not missed,
        prior_energy=prior_energy(small),
    )
    return certificate, replace(phases, masses=masses, chosen=best)


_GapOfSome = Callable[[Tensor, Tensor | None], tuple[float, Tensor, Tensor]]
"""The gap, the masses of the phases, and those chosen, of some replays, from a first guess."""


def _gap_of_phases(
    bridge: Bridge, replays: list[WeightedSample], log_tilts: list[Tensor], phases: Phases
) -> tuple[Phases, _GapOfSome]:
    small, dual = bridge.small, bridge.dual
    numbers = [phases.of(replay.u, each) for replay, each in zip(replays, log_tilts, strict=True)]
    n_phases = len(phases.masses)
    # Every phase must still be there when one replay is left out.
    held = torch.stack([torch.bincount(each, minlength=n_phases) > 0 for each in numbers])
    phases = phases.merged(held.sum(0) >= 2)
    top = max(float((d.base + t).max()) for d, t in zip(replays, log_tilts, strict=True))
    parts = []
    for replay, each in zip(replays, log_tilts, strict=True):
        values = small.sigma.value_(replay.u @ small.x.to(replay.u.dtype).T)
        weights = torch.exp(replay.base + each - top)
        parts.append(phase_kernels(values, weights, phases.of(replay.u, each), len(phases.masses)))
    kernels, sums = (torch.stack(part) for part in zip(*parts, strict=True))

    def gap(chosen: Tensor, start: Tensor | None) -> tuple[float, Tensor, Tensor]:
        total = sums[chosen].sum(0)
        inside = kernels[chosen].sum(0) / total[:, None, None]
        masses = total / total.sum()
        best, value = choose_masses(small, dual, inside, masses, start)
        return value, masses, best

    return phases, gap


def _gap_of_refit(tilted: list[Tilted]) -> _GapOfSome:
    """With truncation C is fitted to each subset; the masses stay those of mu_G."""
    best = refit(Tilted.together(tilted))
    one = torch.ones(1, dtype=torch.float64)

    def gap(chosen: Tensor, _: Tensor | None) -> tuple[float, Tensor, Tensor]:
        return gap_of(Tilted.together([tilted[k] for k in chosen.tolist()]), best), one, one

    return gap


def jackknife(without: Sequence[float]) -> float:
    """Standard error of a number, from its values with one of the independent draws left out."""
    values = torch.tensor(without, dtype=torch.float64)
    return float(((len(values) - 1) * (values - values.mean()).square().mean()).sqrt())


def _why_not(
    dual: float, gap: float, gap_stderr: float, dual_stderr: float, n: int, tol: float
) -> str:
    if n < LEAST_REPLAYS:
        return f"{n} replays, at least {LEAST_REPLAYS} are needed"
    if not math.isfinite(dual + gap):
        return "the replays give no finite dual value and gap"
    floor = dual - DUAL_STDERRS * dual_stderr
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
    replays: list[WeightedSample],
    top: float,
    generator: torch.Generator,
    starts: Tensor | None,
) -> str:
    """Compare with chains that do not start from the proposal q; "" where they find nothing new.

    Where mu_G / q is far above all its values at the replays, q misses mass: log Z is too
    small, and the lower bound D too high.
    """
    small, dual = bridge.small, bridge.dual
    met = torch.cat([log_ratio(small, dual, bridge.proposal, replay.u) for replay in replays])
    chains = OverdispersedChains(small, generator, starts, top=top)
    ends = chains.run(dual, N_CHAIN_MOVES, N_CHAINS)
    beyond = log_ratio(small, dual, bridge.proposal, ends) > met.max() + MISSED_MARGIN
    share = float(beyond.double().mean())
    if share > MISSED_SHARE:
        return (
            f"{100 * share:.1f} % of the chains that start elsewhere end where no sample came: "
            "the proposal misses mass"
        )
    return ""
