"""Lemma 4.7: the kernel of the initial neurons is positive definite."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from eval.theory.assumptions import dependent_inputs, distinct_inputs, pairwise_inputs
from eval.theory.law import Law
from eval.theory.table import BoundCheck
from gibbs import Activation, Problem

__all__ = ["MOST_SAMPLES", "gaussian_kernel", "kernel_rows", "prior_kernel"]

MOST_SAMPLES = 300
"""Integrals over pairs of more samples than that are left out."""


def gaussian_kernel(x: Tensor, sigma: Activation) -> Tensor:
    """E sigma(x_i.u) sigma(x_j.u) over u ~ N(0, I), (n, n), for inputs of any width d.

    A pair needs two Gaussian numbers: u along x_i, and across it. The trapezoidal rule is exact
    to round-off for an analytic sigma whose poles are a distance of 1.5 or more away.
    """
    x = x.double()
    norms = x.norm(dim=1)
    step = 0.2 / max(1.0, float(norms.max()))
    count = math.ceil(9 / step)
    nodes = step * torch.arange(-count, count + 1, dtype=torch.float64)
    masses = step / math.sqrt(2 * math.pi) * torch.exp(-nodes.square() / 2)
    units = x / norms.clamp(min=1e-300)[:, None]
    result = x.new_empty(len(x), len(x))
    for i in range(len(x)):
        others = slice(i, len(x))
        along = x[others] @ units[i]
        across = (x[others] - along[:, None] * units[i]).norm(dim=1)
        total = x.new_zeros(len(along))
        first = masses * sigma(norms[i] * nodes)
        for node, mass in zip(nodes.tolist(), masses.tolist(), strict=True):
            total += mass * (sigma(torch.outer(along, nodes) + across[:, None] * node) @ first)
        result[i, others] = result[others, i] = total
    return result


@lru_cache(maxsize=1)
def prior_kernel(problem: Problem) -> Tensor:
    """The kernel of the prior N(0, I/(beta lambda_rho)), kept for the last problem."""
    return gaussian_kernel(problem.x / math.sqrt(problem.beta * problem.decay), problem.sigma)


def kernel_rows(law: Law) -> list[BoundCheck]:
    """Lemma 4.7: under Assumption 2, under it with inputs distinct up to sign, and pairwise."""
    problem, name = law.problem, "Lemma 4.7: 0 < lambda_min(K)"
    printed, corrected = (distinct_inputs(problem, mirrored=flag) for flag in (False, True))
    needs = {"printed": printed, "corrected": corrected, "sharp": pairwise_inputs(problem)}
    if not problem.sigma.smooth_and_bounded or problem.n_samples > MOST_SAMPLES:
        note = f"left out: sigma is not smooth, or n > {MOST_SAMPLES}"
        return [BoundCheck.left_out(name, "", (printed,), note)]
    values = torch.linalg.eigvalsh(gaussian_kernel(problem.x, problem.sigma))
    noise = 8 * problem.n_samples * torch.finfo(torch.float64).eps * float(values[-1])
    least, why = float(values[0]), dependent_inputs(problem)
    holds = False if why else (True if least > noise else None)
    note = why or ("" if holds else "below round-off: not decided by the number")
    return [
        BoundCheck(name, "", version, noise, least, holds, least - noise, (check,), note)
        for version, check in needs.items()
    ]
