"""Stage one: the mean-field layers are trained while the linear layer stays as it starts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gibbs import LangevinResult, Particles, Problem, run_langevin, sample_normal
from gibbs.langevin import Observer, StepSize

__all__ = ["orthonormal_layer", "train_mean_field"]


def orthonormal_layer(
    n_features: int,
    n_outputs: int,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Draw W_0 (p, q) with W_0^T W_0 = I_q, uniformly: where Algorithm 1 starts.

    Raises
    ------
    ValueError
        If n_features < n_outputs: then there is no such matrix.
    """
    if n_features < n_outputs:
        raise ValueError(
            "n_features (p) must be at least n_outputs (q) for W^T W = I, "
            f"got p = {n_features}, q = {n_outputs}"
        )
    gaussian = torch.randn(
        n_features, n_outputs, dtype=dtype, device=generator.device, generator=generator
    )
    basis, triangle = torch.linalg.qr(gaussian)
    layer: Tensor = basis * torch.sign(torch.diagonal(triangle))
    return layer.contiguous()


def train_mean_field(
    problem: Problem,
    *,
    n_neurons: int,
    n_steps: int,
    step_size: StepSize = "auto",
    batch_size: int | None = None,
    start: Particles | None = None,
    generator: torch.Generator,
    observers: Mapping[str, Observer] | None = None,
    every: int = 10,
) -> LangevinResult:
    """Stage one of Algorithm 1: noisy dynamics from theta ~ N(0, I), with W fixed.

    `start` replaces the fresh N(0, I) neurons; the other arguments are those of
    :func:`gibbs.run_langevin`.
    """
    if start is None:
        start = sample_normal(problem, n_neurons, generator=generator)
    return run_langevin(
        problem,
        start,
        n_steps=n_steps,
        step_size=step_size,
        batch_size=batch_size,
        generator=generator,
        observers=observers,
        every=every,
    )
