"""Judging a dual point by replays of its path, and by starts that did not follow it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gibbs.certificate import Certificate, student_quantile
from gibbs.dual import Tilted, dual_value_at, tight_gap
from gibbs.measure import Target, mala
from gibbs.population import Path, Population

__all__ = ["judge", "pool_replays"]


def pool_replays(path: Path, populations: list[Population]) -> Tilted:
    """All replays as one weighted sample: each population weighs its own estimate of Z."""
    parts = [path.tilted(population) for population in populations]
    log_z = torch.tensor([p.log_z for p in populations], dtype=torch.float64)
    pooled_log_z = float(torch.logsumexp(log_z, 0)) - math.log(len(parts))
    base = torch.cat([part.base for part in parts]) - math.log(len(parts))
    values = torch.cat([part.values for part in parts])
    whole = Tilted(path.small, parts[0].dual, values, base, pooled_log_z, base)
    return whole.at(parts[0].dual)


def judge(
    path: Path, populations: list[Population], tol: float, visitors: Tensor | None = None
) -> Certificate:
    """Certificate of the pooled measure; errors by the jackknife over replays."""
    n, small, shared = len(populations), path.small, populations[0].dual
    kernels = torch.stack([path.tilted(population).kernel for population in populations])
    masses = torch.tensor([p.log_z for p in populations], dtype=torch.float64)

    def measure(chosen: Tensor) -> tuple[float, float]:
        """Dual value and gap from some of the replays."""
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
    least = min(population.least_size for population in populations)
    reason = _why_not(dual, gap, gap_stderr, dual_stderr, n, tol) or _missed_mass(
        path, populations, visitors
    )
    return Certificate(
        dual=dual,
        primal=dual + gap,
        gap=gap,
        gap_stderr=gap_stderr,
        dual_stderr=dual_stderr,
        method="monte_carlo",
        effective_size=least,
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


def _missed_mass(path: Path, populations: list[Population], visitors: Tensor | None = None) -> str:
    """Compare with starts that did not follow the path: hot ones, and given `visitors`.

    Hot points are prior draws scaled up to the widest range that can matter; all run MALA at
    the final G. If a share of them stays where e(u) is above what the path has seen, the
    path has missed mass: its log Z is too small, and its lower bound D too high.
    """
    seen = torch.cat([population.tilts for population in populations]).double()
    top = float(seen.sort().values[int(0.9999 * (len(seen) - 1))])
    target = Target(path.small, path.x32, populations[0].dual)
    hot = path.start().u[: max(500, path.n_particles // 10)]
    widest = math.sqrt(2 * (top + 40) / path.small.n_inputs)
    scales = torch.linspace(1.0, max(2.0, widest), len(hot), device=hot.device)
    starts = {"hot starts": hot * scales[:, None]}
    if visitors is not None:
        starts["the given neurons"] = visitors.to(hot)
    for name, start in starts.items():
        n_moves = 40 * path.n_moves
        _, tilts, _ = mala(target, start, path.steps[-1], n_moves, generator=path.generator)
        share = float((tilts.double() > 1.2 * top + 3).double().mean())
        if share > 0.002:
            return f"{name} keep {100 * share:.1f} % of their mass where the path never was"
    return ""
