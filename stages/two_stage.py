"""Both stages of Algorithm 1, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from gibbs import (
    Certificate,
    GibbsResult,
    LangevinResult,
    LangevinStatus,
    Particles,
    Problem,
)
from gibbs.dynamics.langevin import Observer
from gibbs.model.checks import check_kind
from stages.checkpoint import Checkpoint
from stages.flow import Flow
from stages.linear import Ridge, RidgeResult
from stages.mean_field import Gibbs, Langevin

__all__ = ["TwoStageResult", "train_two_stage"]


@dataclass(frozen=True, eq=False)
class TwoStageResult:
    """Result of both stages.

    Attributes
    ----------
    problem : Problem
        The problem of stage one; its `w` is W_0.
    stage_one : LangevinResult or GibbsResult
        Its `history` is that of the dynamics, or of the solver.
    stage_two : RidgeResult or LangevinResult
        The ridge solution, or the joint flow.
    """

    problem: Problem
    stage_one: LangevinResult | GibbsResult
    stage_two: RidgeResult | LangevinResult

    @property
    def particles(self) -> Particles:
        """The neurons after stage two; the ridge solve does not change those of stage one.

        Of the solved measure they are a sample with a replaced by its mean given u, see
        :meth:`gibbs.GibbsMeasure.neurons`.
        """
        return self.stage_two.particles

    @property
    def w(self) -> Tensor:
        """The linear layer after stage two (p, q)."""
        return self.stage_two.w

    @property
    def stage_two_history(self) -> dict[str, Tensor]:
        """Of the ridge solve, see :class:`stages.RidgeResult`, or of the flow."""
        return self.stage_two.history

    @property
    def status(self) -> str:
        """How the training ended: the flow if it diverged or was stopped, else stage one."""
        two = self.stage_two
        if isinstance(two, LangevinResult) and two.status is not LangevinStatus.COMPLETED:
            return two.status
        return self.stage_one.status

    @property
    def backend(self) -> str | None:
        """What computed the steps of the dynamics; None without dynamics."""
        runs = [run for run in (self.stage_one, self.stage_two) if isinstance(run, LangevinResult)]
        return runs[0].backend if runs else None

    @property
    def certificate(self) -> Certificate | None:
        """The certificate of the solver; None for the dynamics."""
        return getattr(self.stage_one, "certificate", None)


def train_two_stage(
    problem: Problem,
    stage_one: Langevin | Gibbs = Langevin(),
    stage_two: Ridge | Flow = Ridge(),
    *,
    generator: torch.Generator,
    observers: Mapping[str, Observer] | None = None,
    every: int = 10,
    checkpoint: Checkpoint | None = None,
) -> TwoStageResult:
    """Train the neurons with W_0 = problem.w fixed, then W: Algorithm 1.

    Parameters
    ----------
    problem : Problem
        Data, W_0 (see :func:`stages.orthonormal_layer`), beta, gamma, activation.
    stage_one : Langevin or Gibbs, default Langevin()
        Noisy dynamics of the neurons, or the Gibbs minimizer itself with a certificate.
    stage_two : Ridge or Flow, default Ridge()
        W by exact ridge regression on the features, or neurons and W together by the joint noisy
        flow (Eq. 20), from W_0.
    generator : torch.Generator
        For all random numbers.
    observers : mapping of str to callable, optional
        Called along the dynamics of stage one, and before and after the ridge solve or along the
        flow.
    every : int, default 10
        Stride of the histories of the dynamics.
    checkpoint : Checkpoint, optional
        Where the dynamics of both stages store what they need to continue after a kill; the solver
        starts again from the beginning.

    Returns
    -------
    TwoStageResult
        With the histories of both stages. After a divergence the layer is fitted on the last
        particles with a finite loss, and `status` is "diverged".

    Raises
    ------
    ValueError, TypeError
        If a setting does not fit the problem, or an argument is of another kind.

    Examples
    --------
    >>> from stages import Langevin, Ridge, orthonormal_layer
    >>> generator = torch.Generator().manual_seed(0)
    >>> w = orthonormal_layer(4, 2, generator=generator)
    >>> problem = Problem(torch.eye(2), torch.eye(2), w, beta=1e3)
    >>> stage_one = Langevin(n_neurons=50, n_steps=20)
    >>> result = train_two_stage(problem, stage_one, Ridge(lambda_w=0.1), generator=generator)
    >>> result.stage_two_history["step"].tolist()
    [0.0, 1.0]
    """
    check_kind("problem", problem, Problem)
    check_kind("stage_one", stage_one, Langevin, Gibbs)
    check_kind("stage_two", stage_two, Ridge, Flow)
    check_kind("generator", generator, torch.Generator)
    check_kind("observers", observers, Mapping, NoneType)
    for name, observer in (observers or {}).items():
        if not callable(observer):
            raise TypeError(f"observers must be callable, got {observer!r} for {name!r}")
    check_kind("checkpoint", checkpoint, Checkpoint, NoneType)
    stage_two = stage_two.resolved(problem)  # before any work: its weight may be refused
    shared: dict[str, Any] = {"generator": generator, "observers": observers, "every": every}
    folders = [checkpoint and checkpoint.part(name) for name in ("stage-one", "stage-two")]
    first, particles = stage_one.run(problem, checkpoint=folders[0], **shared)
    second = stage_two.run(problem, particles, checkpoint=folders[1], **shared)
    return TwoStageResult(problem, first, second)
