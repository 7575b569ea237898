"""Who computes a step: torch, on any device, or the compiled passes on a CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gibbs.dynamics.cloud import TiledCloud
from gibbs.dynamics.engine import TorchEngine
from gibbs.dynamics.noise import Kick, TiledNoise
from gibbs.dynamics.snapshot import Stateful
from gibbs.model.activations import ACTIVATIONS
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem

__all__ = ["BACKENDS", "Backend", "Engine", "check_backend", "make_backend"]

BACKENDS = ("auto", "torch", "fused")


class Engine(Protocol):
    """Passes of a cloud over batches of samples.

    Attributes
    ----------
    problem : Problem
    w : Tensor (r, q)
        The linear layer; replaced where it is trained.
    features, uncoupled_features : Tensor (n, r), (n, k)
    outputs, residual : Tensor (n, q)
        Of the last :meth:`forward`.
    """

    problem: Problem
    w: Tensor
    features: Tensor
    uncoupled_features: Tensor
    outputs: Tensor
    residual: Tensor

    def begin(self, kick: Kick) -> None:
        """Begin a step: move the cloud by the noise that comes before the gradient."""

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        *,
        weight: Tensor | None = None,
        uncoupled: Tensor | None = None,
    ) -> None:
        """Compute features, outputs and residual of the samples."""

    def squared_gradient(self) -> float:
        """Sum over the neurons of |grad V|^2, of the coordinates that couple."""

    def tangent(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Tangent kernel of the present cloud on samples (m, d): what applies it to (m, q).

        It is for the time between two steps: :meth:`forward` has to follow.
        """

    def layer_gradient(self, lambda_w: float) -> Tensor:
        """Gradient of Eq. 4 in W, (r, q)."""

    def descend(self, eta: float) -> None:
        """Take the step of every neuron (Eq. 20)."""


@dataclass(frozen=True, eq=False)
class Backend:
    """A cloud with its noise, and engines that move it.

    Attributes
    ----------
    name : {"torch", "fused"}
    cloud : TiledCloud
    noise : Stateful
    engine : callable
        Takes the problem and the number of samples of a batch.
    alone : callable
        Returns a context in which the threads of the backend have the cores to themselves.
    """

    name: str
    cloud: TiledCloud
    noise: Stateful
    engine: Callable[[Problem, int], Engine]
    alone: Callable[[], AbstractContextManager[None]] = nullcontext


def make_backend(
    name: str,
    problem: Problem,
    particles: Particles,
    generator: torch.Generator,
    *,
    noisy: bool = True,
) -> Backend:
    """The backend of that name; "auto" is the fused one where it can be used, else torch.

    The generator is left alone unless the steps are `noisy`.

    Raises
    ------
    ValueError
        If there is no such backend, or "fused" cannot be used: it says why.
    """
    check_backend(name)
    why_not = "" if name == "torch" else _why_not_fused(problem)
    if name == "fused" and why_not:
        raise ValueError(f"backend must be 'torch' or 'auto' here, got 'fused': {why_not}")
    if name == "torch" or why_not:
        cloud = TiledCloud(particles)
        noise = TiledNoise(cloud, generator)
        return Backend("torch", cloud, noise, lambda inner, n: TorchEngine(inner, cloud, n, noise))
    from gibbs.dynamics.fused.engine import CounterNoise, FusedEngine, PanelCloud
    from gibbs.dynamics.fused.team import alone

    panels, counted = PanelCloud(particles), CounterNoise(generator if noisy else None)
    return Backend(
        "fused", panels, counted, lambda inner, n: FusedEngine(inner, panels, n, counted), alone
    )


def check_backend(name: str) -> None:
    """Refuse a name that is none of a backend.

    Raises
    ------
    ValueError
        If it is not in `BACKENDS`.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {name!r}")


def _why_not_fused(problem: Problem) -> str:
    if problem.device.type != "cpu":
        return f"the problem is on {problem.device}, and it computes on a CPU"
    if problem.dtype not in (torch.float32, torch.float64):
        return f"the problem is {problem.dtype}, and it computes in float32 or float64"
    if ACTIVATIONS.get(problem.sigma.name) is not problem.sigma:
        return f"it has no activation {problem.sigma.name!r} of one's own"
    if float(problem.x.abs().max()) > math.sqrt(torch.finfo(problem.dtype).max):
        return "it has no inputs beyond the root of the largest number"
    return _why_not_compiled()


def _why_not_compiled() -> str:
    try:
        import gibbs.dynamics.fused.engine  # noqa: F401
        from gibbs.dynamics.fused.team import compiles
    except ImportError as error:
        return f'it needs numba, pip install "gibbsnet[fast]" ({error})'
    return "" if compiles() else "numba compiles nothing, as NUMBA_DISABLE_JIT is set"
