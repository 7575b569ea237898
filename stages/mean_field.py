"""Stage one: the neurons are trained while the linear layer keeps its initial value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from gibbs import (
    GibbsMeasure,
    GibbsResult,
    LangevinResult,
    Particles,
    Problem,
    sample_normal,
    solve_gibbs,
)
from gibbs.dynamics.langevin import Observer
from gibbs.model.checks import check_integer, check_kind, is_number
from gibbs.solver.progress import Progress
from stages.checkpoint import Checkpoint
from stages.noisy_steps import NoisySteps, run_checkpointed

__all__ = ["Gibbs", "Langevin", "orthonormal_layer", "train_mean_field"]


@dataclass(frozen=True, kw_only=True)
class Langevin(NoisySteps):
    """Stage one by noisy dynamics of the neurons, see :func:`stages.train_mean_field`.

    Parameters
    ----------
    n_neurons : int, default 1000
        N.
    start : Particles, optional
        The neurons at the start; None means `n_neurons` new ones, theta ~ N(0, I).
    n_steps, step_size, batch_size, scheme, temperature
        The dynamics, see :class:`stages.noisy_steps.NoisySteps`.

    Raises
    ------
    ValueError, TypeError
        If a field is out of range or of another kind.

    Examples
    --------
    >>> Langevin(n_steps=-1)
    Traceback (most recent call last):
    ...
    ValueError: n_steps must be an integer >= 0, got -1
    """

    n_neurons: int = 1000
    start: Particles | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("n_neurons", self.n_neurons, 1)
        check_kind("start", self.start, Particles, NoneType)

    def run(
        self,
        problem: Problem,
        *,
        generator: torch.Generator,
        observers: Mapping[str, Observer] | None = None,
        every: int = 10,
        checkpoint: Checkpoint | None = None,
    ) -> tuple[LangevinResult, Particles]:
        """Take the steps; return the result, and the neurons that they ended with."""
        result = train_mean_field(
            problem,
            generator=generator,
            observers=observers,
            every=every,
            checkpoint=checkpoint,
            **vars(self),
        )
        return result, result.particles


@dataclass(frozen=True, kw_only=True)
class Gibbs:
    """Stage one solved: the Gibbs minimizer (Equation 27) itself, with a certificate.

    Parameters
    ----------
    n_neurons : int, default 1000
        N, the neurons that are drawn from the minimizer for stage two, see
        :meth:`gibbs.GibbsMeasure.neurons`.
    n_particles : int, default 20_000
        Points of each sample of the solver, see :func:`gibbs.solve_gibbs`.
    tol : float, default 1e-2
        Relative gap to certify to, > 0.
    start : GibbsMeasure or Particles, optional
        Where the solver begins.
    progress : callable, optional
        Called with a :data:`gibbs.SolverReport` after every step of the solver.

    Raises
    ------
    ValueError, TypeError
        If a field is out of range or of another kind.
    """

    n_neurons: int = 1000
    n_particles: int = 20_000
    tol: float = 1e-2
    start: GibbsMeasure | Particles | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        check_integer("n_neurons", self.n_neurons, 1)
        check_integer("n_particles", self.n_particles, 100)
        if not (is_number(self.tol) and 0 < self.tol < math.inf):
            raise ValueError(f"tol must be > 0 and finite, got {self.tol!r}")
        check_kind("start", self.start, GibbsMeasure, Particles, NoneType)
        if self.progress is not None and not callable(self.progress):
            raise TypeError(f"progress must be callable or None, got {self.progress!r}")

    def run(
        self, problem: Problem, *, generator: torch.Generator, **_: Any
    ) -> tuple[GibbsResult, Particles]:
        """Solve; return the result, and neurons drawn from its measure.

        The solver has no steps for observers or checkpoints.
        """
        result = solve_gibbs(
            problem,
            n_particles=self.n_particles,
            tol=self.tol,
            warm_start=self.start,
            generator=generator,
            progress=self.progress,
        )
        return result, result.measure.neurons(self.n_neurons, generator=generator)


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
    :func:`gibbs.run_langevin`. With a `checkpoint` the run continues from the last one in its
    folder, and its result is bitwise equal to that of an uninterrupted run.
    """
    if start is None:
        start = sample_normal(problem, n_neurons, generator=generator)
    return run_checkpointed(
        problem, start, n_steps=n_steps, generator=generator, checkpoint=checkpoint, **settings
    )
