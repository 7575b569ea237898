"""Both stages of Algorithm 1, one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from gibbs import (
    Certificate,
    GibbsResult,
    LangevinResult,
    Particles,
    Problem,
    data_loss,
    features,
    outputs,
    solve_gibbs,
)
from gibbs.dual import Progress
from gibbs.energy import mean_square
from gibbs.langevin import LangevinState, Observer, StepSize, observe
from stages.linear import fit_linear
from stages.mean_field import train_mean_field

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
    particles : Particles
        The neurons, which stage two leaves as stage one made them. Of the solved measure they
        are a sample with a replaced by its mean given u, see :meth:`GibbsMeasure.neurons`.
    w : Tensor (p, q)
        The linear layer after stage two.
    stage_two_history : dict of str to 1-D Tensor
        "step" (0 before, 1 after the ridge solve), "loss", "regularized_loss" (Eq. 4, the
        term of W included), "gradient_norm" (Frobenius norm of the gradient in W), and one
        entry an observer.
    """

    problem: Problem
    stage_one: LangevinResult | GibbsResult
    particles: Particles
    w: Tensor
    stage_two_history: dict[str, Tensor]

    @property
    def status(self) -> str:
        """How stage one ended."""
        return self.stage_one.status

    @property
    def certificate(self) -> Certificate | None:
        """Of the solver; the dynamics have none."""
        return getattr(self.stage_one, "certificate", None)


def train_two_stage(
    problem: Problem,
    *,
    solver: Literal["langevin", "gibbs"] = "langevin",
    n_neurons: int = 1000,
    n_steps: int = 1000,
    step_size: StepSize = "auto",
    batch_size: int | None = None,
    lambda_w: float | None = None,
    start: Particles | None = None,
    n_particles: int = 20_000,
    tol: float = 1e-2,
    generator: torch.Generator,
    observers: Mapping[str, Observer] | None = None,
    every: int = 10,
    on_newton_step: Progress | None = None,
) -> TwoStageResult:
    """Train the neurons with W_0 = problem.w fixed, then fit W by exact ridge regression.

    Parameters
    ----------
    problem : Problem
        Data, W_0 (see :func:`stages.orthonormal_layer`), beta, gamma, activation.
    solver : {"langevin", "gibbs"}, default "langevin"
        Stage one by noisy dynamics, or by :func:`gibbs.solve_gibbs`.
    n_neurons, n_steps, step_size, batch_size, start, generator, every
        The dynamics, see :func:`stages.train_mean_field`; `n_neurons` and `generator` also
        serve the solver, the others are not for it.
    n_particles, tol
        The solver, see :func:`gibbs.solve_gibbs`.
    lambda_w : float, optional
        Ridge weight of stage two, > 0. None means 1/beta, or lambda_rho at beta = inf.
    observers : mapping of str to callable, optional
        Called along stage one, and before and after stage two.
    on_newton_step : callable, optional
        Told a dict of numbers after every step of the solver.

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
    stage_one: LangevinResult | GibbsResult
    if solver == "gibbs":
        stage_one = solve_gibbs(
            problem,
            n_particles=n_particles,
            tol=tol,
            generator=generator,
            progress=on_newton_step,
        )
        particles = stage_one.measure.neurons(n_neurons, generator=generator)
    elif solver == "langevin":
        stage_one = train_mean_field(
            problem,
            n_neurons=n_neurons,
            n_steps=n_steps,
            step_size=step_size,
            batch_size=batch_size,
            start=start,
            generator=generator,
            observers=observers,
            every=every,
        )
        particles = stage_one.particles
    else:
        raise ValueError(f"solver must be one of langevin, gibbs, got {solver!r}")
    h = features(problem.x, particles, problem.sigma, problem.truncation)
    w = fit_linear(h, problem.y, gamma=problem.gamma, lambda_w=lambda_w)
    rows = [
        _measure(step, replace(problem, w=layer), particles, h, lambda_w, observers)
        for step, layer in enumerate((problem.w, w))
    ]
    history = {
        name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]
    }
    return TwoStageResult(problem, stage_one, particles, w, history)


def default_lambda_w(problem: Problem) -> float:
    """1/beta, the paper's choice; lambda_rho where beta is inf."""
    return problem.decay if math.isinf(problem.beta) else problem.temperature


def _measure(
    step: int,
    problem: Problem,
    particles: Particles,
    h: Tensor,
    lambda_w: float,
    observers: Mapping[str, Observer] | None,
) -> dict[str, float]:
    z = outputs(h, problem.w, problem.gamma)
    loss = data_loss(z, problem.y)
    ridge = problem.decay * mean_square(particles) + lambda_w * problem.w.square().sum()
    gradient = problem.gamma / problem.n_samples * h.T @ (z - problem.y) + lambda_w * problem.w
    row = {
        "step": float(step),
        "loss": float(loss),
        "regularized_loss": float(loss + ridge / 2),
        "gradient_norm": float(gradient.norm()),
    }
    state = LangevinState(step, 1, problem, particles, h, z, 0.0)
    observe(state, observers or {}, row)
    return row
