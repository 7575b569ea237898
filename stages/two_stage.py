"""Both stages of Algorithm 1, one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from gibbs import (
    Certificate,
    GibbsMeasure,
    GibbsResult,
    LangevinResult,
    LangevinStatus,
    Particles,
    Problem,
    data_loss,
    features,
    outputs,
    solve_gibbs,
)
from gibbs.dynamics.langevin import LangevinState, Observer, default_lambda_w, observe
from gibbs.dynamics.step_sizes import Schedule, StepSize
from gibbs.model.energy import mean_square
from gibbs.model.repeats import distinct
from gibbs.solver.progress import Progress
from stages.checkpoint import Checkpoint
from stages.linear import fit_linear
from stages.mean_field import run_kept, train_mean_field

__all__ = ["TwoStageResult", "train_two_stage"]


@dataclass(frozen=True, eq=False)
class TwoStageResult:
    """What both stages left.

    Attributes
    ----------
    problem : Problem
        The problem of stage one; its `w` is W_0.
    stage_one : LangevinResult or GibbsResult
        Its `history` is that of the dynamics, or of the solver.
    stage_two : LangevinResult or None
        The joint flow, where it was stage two.
    particles : Particles
        The neurons after stage two; the ridge solve leaves them as stage one made them. Of the
        solved measure they are a sample with a replaced by its mean given u, see
        :meth:`GibbsMeasure.neurons`.
    w : Tensor (p, q)
        The linear layer after stage two.
    stage_two_history : dict of str to 1-D Tensor
        Of the ridge solve "step" (0 before, 1 after), "loss", "regularized_loss" (Eq. 4, the
        term of W included), "gradient_norm" (Frobenius norm of its gradient in W), and
        one entry an observer; of the flow its history.
    """

    problem: Problem
    stage_one: LangevinResult | GibbsResult
    stage_two: LangevinResult | None
    particles: Particles
    w: Tensor
    stage_two_history: dict[str, Tensor]

    @property
    def status(self) -> str:
        """How the training ended: of the flow where it diverged or was stopped, or stage one."""
        two = self.stage_two
        if two is not None and two.status is not LangevinStatus.COMPLETED:
            return two.status
        return self.stage_one.status

    @property
    def certificate(self) -> Certificate | None:
        """Of the solver; the dynamics have none."""
        return getattr(self.stage_one, "certificate", None)


def train_two_stage(
    problem: Problem,
    *,
    solver: Literal["langevin", "gibbs"] = "langevin",
    stage_two: Literal["linear", "flow"] = "linear",
    n_neurons: int = 1000,
    n_steps: int = 1000,
    flow_steps: int | None = None,
    step_size: StepSize = "auto",
    flow_step_size: StepSize = "auto",
    batch_size: int | None = None,
    scheme: str = "euler",
    temperature: float | Schedule | None = None,
    lambda_w: float | None = None,
    start: Particles | GibbsMeasure | None = None,
    n_particles: int = 20_000,
    tol: float = 1e-2,
    generator: torch.Generator,
    observers: Mapping[str, Observer] | None = None,
    every: int = 10,
    checkpoint: Checkpoint | None = None,
    on_newton_step: Progress | None = None,
) -> TwoStageResult:
    """Train the neurons with W_0 = problem.w fixed, then W: Algorithm 1.

    Parameters
    ----------
    problem : Problem
        Data, W_0 (see :func:`stages.orthonormal_layer`), beta, gamma, activation.
    solver : {"langevin", "gibbs"}, default "langevin"
        Stage one by noisy dynamics, or by :func:`gibbs.solve_gibbs`.
    stage_two : {"linear", "flow"}, default "linear"
        W by exact ridge regression on the features, or neurons and W together by the joint
        noisy flow (Eq. 20), from W_0.
    n_neurons, n_steps, step_size, batch_size, scheme, temperature, start, generator, every
        The dynamics, see :func:`stages.train_mean_field`; `n_neurons` and `generator` also
        serve the solver, whose `start` may be a :class:`gibbs.GibbsMeasure` too. All but `n_steps`,
        `step_size` and `start` are those of the flow too.
    flow_steps : int, optional
        Steps of the flow; None means `n_steps`.
    flow_step_size : float, "auto" or callable, default "auto"
        Of the flow.
    n_particles, tol
        The solver, see :func:`gibbs.solve_gibbs`.
    lambda_w : float, optional
        L2 weight of W in stage two, > 0. None means 1/beta, or lambda_rho at beta = inf.
    observers : mapping of str to callable, optional
        Called along stage one, and before and after the ridge solve or along the flow.
    checkpoint : Checkpoint, optional
        Where the dynamics of both stages keep what they need to go on after a kill; the solver
        begins again.
    on_newton_step : callable, optional
        Told a :data:`gibbs.SolverReport` after every step of the solver.

    Returns
    -------
    TwoStageResult
        With the histories of both stages. After a divergence the layer is fitted on the last
        sound particles; `status` tells.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from stages import orthonormal_layer
    >>> generator = torch.Generator().manual_seed(0)
    >>> w = orthonormal_layer(4, 2, generator=generator)
    >>> problem = Problem(torch.eye(2), torch.eye(2), w, beta=1e3)
    >>> result = train_two_stage(problem, n_neurons=50, n_steps=20, generator=generator)
    >>> result.stage_two_history["step"].tolist()
    [0.0, 1.0]
    """
    lambda_w = default_lambda_w(problem) if lambda_w is None else lambda_w
    if not 0 < lambda_w < math.inf:
        raise ValueError(f"lambda_w must be > 0 and finite, got {lambda_w}")
    if isinstance(start, GibbsMeasure) and solver != "gibbs":
        raise TypeError(f"start must be Particles for the solver {solver}, got GibbsMeasure")
    if stage_two not in ("linear", "flow"):
        raise ValueError(f"stage_two must be one of linear, flow, got {stage_two!r}")
    dynamics: dict[str, Any] = {
        "batch_size": batch_size,
        "scheme": scheme,
        "temperature": temperature,
        "generator": generator,
        "observers": observers,
        "every": every,
    }
    stage_one: LangevinResult | GibbsResult
    if solver == "gibbs":
        stage_one = solve_gibbs(
            problem,
            n_particles=n_particles,
            tol=tol,
            warm_start=start,
            generator=generator,
            progress=on_newton_step,
        )
        particles = stage_one.measure.neurons(n_neurons, generator=generator)
    elif solver == "langevin":
        assert not isinstance(start, GibbsMeasure)
        stage_one = train_mean_field(
            problem,
            n_neurons=n_neurons,
            n_steps=n_steps,
            step_size=step_size,
            start=start,
            checkpoint=checkpoint and checkpoint.part("stage-one"),
            **dynamics,
        )
        particles = stage_one.particles
    else:
        raise ValueError(f"solver must be one of langevin, gibbs, got {solver!r}")
    if stage_two == "flow":
        flow = run_kept(
            problem,
            particles,
            n_steps=n_steps if flow_steps is None else flow_steps,
            step_size=flow_step_size,
            train_w=True,
            lambda_w=lambda_w,
            checkpoint=checkpoint and checkpoint.part("stage-two"),
            **dynamics,
        )
        return TwoStageResult(problem, stage_one, flow, flow.particles, flow.w, flow.history)
    samples = distinct(problem)
    few = samples.problem
    h = features(few.x, particles, problem.sigma, problem.truncation)
    w = fit_linear(
        h, few.y, gamma=problem.gamma, lambda_w=lambda_w, sample_weight=few.sample_weight
    )
    rows = []
    for step, layer in enumerate((problem.w, w)):
        z = outputs(h, layer, problem.gamma)
        row = _measure(step, replace(few, w=layer), particles, h, z, lambda_w)
        state = LangevinState(
            step,
            1,
            replace(problem, w=layer),
            particles,
            samples.spread(h),
            samples.spread(z),
            step_size=0.0,
        )
        observe(state, observers or {}, row)
        rows.append(row)
    history = {
        name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]
    }
    return TwoStageResult(problem, stage_one, None, particles, w, history)


def _measure(
    step: int, problem: Problem, particles: Particles, h: Tensor, z: Tensor, lambda_w: float
) -> dict[str, float]:
    """The row of the history for the layer of `problem`, from features and outputs."""
    loss = data_loss(z, problem.y, problem.sample_weight)
    ridge = problem.decay * mean_square(particles) + lambda_w * problem.w.square().sum()
    residual = z - problem.y
    if problem.sample_weight is not None:
        residual = problem.sample_weight[:, None] * residual
    gradient = problem.gamma / problem.n_samples * h.T @ residual + lambda_w * problem.w
    return {
        "step": float(step),
        "loss": float(loss),
        "regularized_loss": float(loss + ridge / 2),
        "gradient_norm": float(gradient.norm()),
    }
