"""Stage one: the mean-field layers are trained while the linear layer stays as it starts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gibbs import LangevinResult, Particles, Problem, run_langevin, sample_normal
from stages.checkpoint import Checkpoint, fingerprint

__all__ = ["orthonormal_layer", "run_kept", "train_mean_field"]


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
    start: Particles | None = None,
    generator: torch.Generator,
    checkpoint: Checkpoint | None = None,
    **settings: Any,
) -> LangevinResult:
    """Stage one of Algorithm 1: noisy dynamics from theta ~ N(0, I), with W fixed.

    `start` replaces the fresh N(0, I) neurons; `settings` are those of
    :func:`gibbs.run_langevin`. With a `checkpoint` the run goes on where its folder says that it
    was, and ends bitwise as if it had never stopped.
    """
    if start is None:
        start = sample_normal(problem, n_neurons, generator=generator)
    return run_kept(
        problem, start, n_steps=n_steps, generator=generator, checkpoint=checkpoint, **settings
    )


def run_kept(
    problem: Problem,
    start: Particles,
    *,
    n_steps: int,
    generator: torch.Generator,
    checkpoint: Checkpoint | None,
    **settings: Any,
) -> LangevinResult:
    """:func:`gibbs.run_langevin` that goes on from the checkpoints of its folder."""
    if checkpoint is None:
        return run_langevin(problem, start, n_steps=n_steps, generator=generator, **settings)
    about = {name: value for name, value in settings.items() if name != "observers"}
    about["n_steps"] = n_steps
    run = fingerprint(problem, start=start, generator=generator, **about)
    return run_langevin(
        problem,
        start,
        n_steps=n_steps,
        generator=generator,
        keep=checkpoint.keeper(run, n_steps),
        resume=checkpoint.read(run),
        **settings,
    )
