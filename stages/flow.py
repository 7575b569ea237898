"""Stage two as dynamics: neurons and linear layer are trained together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from gibbs import LangevinResult, Particles, Problem
from gibbs.dynamics.langevin import Observer, default_lambda_w
from stages.checkpoint import Checkpoint
from stages.linear import check_layer_weight
from stages.noisy_steps import NoisySteps, run_checkpointed

__all__ = ["Flow"]


@dataclass(frozen=True, kw_only=True)
class Flow(NoisySteps):
    """Stage two by the joint noisy flow (Equation 20): neurons and W together, W from W_0.

    Parameters
    ----------
    lambda_w : float, optional
        L2 weight of W, > 0. None means 1/beta, or lambda_rho at beta = inf.
    n_steps, step_size, batch_size, scheme, temperature
        The dynamics, see :class:`stages.noisy_steps.NoisySteps`.

    Raises
    ------
    ValueError
        If a field is out of range.
    """

    lambda_w: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer_weight(self.lambda_w)

    def resolved(self, problem: Problem) -> Flow:
        """The same, with the L2 weight that None means for this problem."""
        if self.lambda_w is not None:
            return self
        return replace(self, lambda_w=default_lambda_w(problem))

    def run(
        self,
        problem: Problem,
        particles: Particles,
        *,
        generator: torch.Generator,
        observers: Mapping[str, Observer] | None = None,
        every: int = 10,
        checkpoint: Checkpoint | None = None,
    ) -> LangevinResult:
        """Take the steps."""
        return run_checkpointed(
            problem,
            particles,
            train_w=True,
            generator=generator,
            observers=observers,
            every=every,
            checkpoint=checkpoint,
            **vars(self.resolved(problem)),
        )
