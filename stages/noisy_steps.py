"""The settings of the noisy dynamics, which both stages share, and a run with checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from gibbs import LangevinResult, Particles, Problem, run_langevin
from gibbs.dynamics.backends import check_backend
from gibbs.dynamics.noise import check_scheme
from gibbs.dynamics.step_sizes import Schedule, StepSize, check_step_size, check_temperature
from gibbs.model.checks import check_integer
from stages.checkpoint import Checkpoint, fingerprint

__all__ = ["NoisySteps", "run_checkpointed"]


@dataclass(frozen=True, kw_only=True)
class NoisySteps:
    """Steps of the noisy dynamics (Eq. 20), whichever stage they belong to.

    Every field goes to :func:`gibbs.run_langevin` under its own name.

    Parameters
    ----------
    n_steps : int, default 1000
        >= 0.
    step_size : float, "auto" or callable, default "auto"
    batch_size : int, optional
        Samples a step; None means all.
    scheme : {"euler", "leimkuhler_matthews"}, default "euler"
    temperature : float or callable, optional
        Of the noise; None means that of the problem, 1/beta.
    backend : {"auto", "torch", "fused"}, default "auto"
        Who computes a step.

    Raises
    ------
    ValueError
        If a field is out of range.
    """

    n_steps: int = 1000
    step_size: StepSize = "auto"
    batch_size: int | None = None
    scheme: str = "euler"
    temperature: float | Schedule | None = None
    backend: str = "auto"

    def __post_init__(self) -> None:
        check_integer("n_steps", self.n_steps, 0)
        check_step_size(self.step_size)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, 1)
        check_scheme(self.scheme)
        check_temperature(self.temperature)
        check_backend(self.backend)


def run_checkpointed(
    problem: Problem,
    start: Particles,
    *,
    n_steps: int,
    generator: torch.Generator,
    checkpoint: Checkpoint | None,
    **settings: Any,
) -> LangevinResult:
    """:func:`gibbs.run_langevin` that continues from the checkpoints of its folder."""
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
        on_record=checkpoint.on_record(run, n_steps),
        resume=checkpoint.read(run),
        **settings,
    )
