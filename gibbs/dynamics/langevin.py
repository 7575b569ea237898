"""Noisy mean-field Langevin dynamics of a cloud of neurons, and of the linear layer if trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import torch
from torch import Tensor

from gibbs.dynamics.noise import check_scheme
from gibbs.dynamics.run_state import Dynamics
from gibbs.dynamics.snapshot import RecordCallback, Snapshot, Stateful, packed, unpack
from gibbs.dynamics.step_sizes import Schedule, StepSize, StepSizes, temperatures
from gibbs.model.checks import check_integer
from gibbs.model.energy import add_ridge, data_loss, mean_square
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem

__all__ = [
    "LangevinResult",
    "LangevinState",
    "LangevinStatus",
    "Observer",
    "StepSize",
    "StopRun",
    "default_lambda_w",
    "observe",
    "run_langevin",
]

DIVERGENCE_FACTOR = 1e3
"""A loss this many times above both its start and the loss of zero outputs has diverged."""


class LangevinStatus(StrEnum):
    """How a run ended; `.advice` says what to do about it."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"

    @property
    def advice(self) -> str:
        """One sentence: what happened, what to try."""
        if self is LangevinStatus.COMPLETED:
            return "All steps were taken."
        if self is LangevinStatus.STOPPED:
            return "An observer ended the run; the particles are those of its last record."
        return (
            "The loss grew without bound or became NaN: take a smaller step_size (or 'auto'); "
            "the particles returned are those of the last record before that."
        )


@dataclass(frozen=True, eq=False)
class LangevinState:
    """The argument of an observer: the cloud before step `step`, evaluated on all samples.

    Attributes
    ----------
    step : int
    n_steps : int
        The number of steps of the whole run.
    problem : Problem
    particles : Particles
        All p coordinates of every a, also those that do not couple; a copy, not to be changed.
    features : Tensor (n, p)
    outputs : Tensor (n, q)
    step_size : float
        The size of the step to come; at the end, of the last one (NaN without a step).
    """

    step: int
    n_steps: int
    problem: Problem
    particles: Particles
    features: Tensor
    outputs: Tensor
    step_size: float


Observer = Callable[[LangevinState], float]


class StopRun(Exception):
    """Raised by an observer: the run ends here, regularly, with status STOPPED."""


@dataclass(frozen=True, eq=False)
class LangevinResult:
    """The cloud that a run ended with, and its history.

    Attributes
    ----------
    particles : Particles
    w : Tensor (p, q)
        The linear layer: the problem's, or with `train_w` as it ended.
    history : dict of str to 1-D Tensor
        "step", "loss" (L_n), "regularized_loss" (Eq. 4, the term of W only with `train_w`),
        "gradient_norm" (root mean square over the neurons of |grad V|), "step_size",
        with `train_w` "layer_gradient_norm" (Frobenius norm of the gradient of Eq. 4 in W),
        and one entry an observer; float64, one value every `every` steps and at the end.
    status : LangevinStatus
    n_steps : int
        Steps that led to `particles`.
    backend : {"torch", "fused"}
        What computed them.
    """

    particles: Particles
    w: Tensor
    history: dict[str, Tensor]
    status: LangevinStatus
    n_steps: int
    backend: str


def run_langevin(
    problem: Problem,
    particles: Particles,
    *,
    n_steps: int,
    step_size: StepSize = "auto",
    batch_size: int | None = None,
    scheme: str = "euler",
    temperature: float | Schedule | None = None,
    train_w: bool = False,
    lambda_w: float | None = None,
    backend: str = "auto",
    generator: torch.Generator,
    observers: Mapping[str, Observer] | None = None,
    every: int = 10,
    on_record: RecordCallback | None = None,
    resume: Snapshot | None = None,
) -> LangevinResult:
    r"""Run the noisy mean-field dynamics (Equation 20): stage one, or both layers by `train_w`.

    The update of each neuron, which :meth:`gibbs.dynamics.engine.TorchEngine.descend` computes, is

    .. math:: \theta_j \leftarrow \theta_j - \eta\, \nabla V(\theta_j)
        + \sqrt{2 \eta / \beta}\; \xi_j, \qquad \xi_j \sim N(0, I),

    where grad V is N times the gradient of the N-neuron regularised loss: the step size eta
    belongs to one neuron and does not depend on N. With W fixed its law approaches the Gibbs
    minimizer (Eq. 27) for small eta and large N; with no data its stationary variance is
    1/(beta lambda_rho (1 - eta lambda_rho/2)). At temperature 0 it is plain (stochastic)
    gradient descent.

    Parameters
    ----------
    problem : Problem
    particles : Particles
        The start; it is left as it is.
    n_steps : int
        >= 0.
    step_size : float, "auto" or callable, default "auto"
        eta > 0, a schedule (step number -> eta), or "auto": 3/2 over the largest curvature
        of the loss along the flow (`gibbs.dynamics.curvature.largest_curvature`, on at most 2,048
        samples; descent along that direction is stable up to 2 over it), measured again at
        steps 0, 1, 2, 4, ..., 128 and then every 128. With minibatches it is the largest
        value over four batches: that of one batch is larger than that of all samples.
    batch_size : int, optional
        Samples a step, without replacement within an epoch. None means all: then samples that occur
        several times are computed once, with that weight; observers see all of them.
    scheme : {"euler", "leimkuhler_matthews"}, default "euler"
        How the noise enters, see :class:`gibbs.dynamics.noise.Scheme`: with a bias of first or of
        second order in eta.
    temperature : float or callable, optional
        1/beta of the noise, >= 0, or a schedule of it; lambda_rho stays as it is. None means
        that of the problem.
    train_w : bool, default False
        Whether W is trained as well, W <- W - eta ((gamma/n) H^T (Z - Y) + lambda_w W): the joint
        noisy flow, Algorithm 1's second stage.
    lambda_w : float, optional
        L2 weight of W with `train_w`; None means 1/beta (at beta = inf: lambda_rho).
    backend : {"auto", "torch", "fused"}, default "auto"
        Who computes a step: torch, or compiled code on a CPU, several times as fast, which needs
        the extra "fast". "auto" takes "fused" where it can be used. The noise of "fused" is
        another one, and its numbers do not depend on the number of threads.
    generator : torch.Generator
        Decides noise and batches; on the device of the problem.
    observers : mapping of str to callable, optional
        Functions of the :class:`LangevinState`, called every `every` steps and at the end;
        what they return is kept in the history under their name. One that raises
        :class:`StopRun` ends the run there. One with `state_dict` and `load_state_dict`
        (:class:`gibbs.dynamics.snapshot.Stateful`) is part of the snapshots.
    every : int, default 10
        Stride of the history. A record is a pass over all samples: with small batches of a
        large set, one record an epoch is enough.
    on_record : callable, optional
        Called after every record with the number of the step and a function that takes a
        :class:`Snapshot`; see :class:`stages.Checkpoint`.
    resume : Snapshot, optional
        Continue from there, with the arguments of the run that it was taken in: the result is
        bitwise equal to that of an uninterrupted run. `n_steps` may be larger; from the snapshot of
        its last step only where step size and temperature are constant and that step was a
        multiple of `every`.

    Returns
    -------
    LangevinResult
        Always finite; `status` tells whether the run diverged.

    Raises
    ------
    ValueError
        If an argument is out of range or does not fit the problem.

    Examples
    --------
    >>> from gibbs import Problem, sample_normal
    >>> problem = Problem(torch.eye(2), torch.eye(2), torch.eye(2), beta=1e3)
    >>> generator = torch.Generator().manual_seed(0)
    >>> start = sample_normal(problem, 100, generator=generator)
    >>> result = run_langevin(problem, start, n_steps=50, generator=generator)
    >>> result.status.value, len(result.history["loss"])
    ('completed', 6)
    """
    names = dict(observers or {})
    _check_arguments(problem, particles, generator, names)
    n_steps = check_integer("n_steps", n_steps, 0)
    every = check_integer("every", every, 1)
    n = problem.n_samples
    size = (
        None if batch_size is None else check_integer("batch_size", batch_size, 1, n, high_is="n")
    )
    heat = temperatures(problem, temperature)
    weight = _layer_weight(problem, train_w, lambda_w)
    dynamics = Dynamics(
        problem,
        particles,
        batch_size=size,
        scheme=check_scheme(scheme),
        lambda_w=weight,
        noisy=callable(temperature) or heat(0) > 0,
        backend=backend,
        generator=generator,
    )
    sizes = StepSizes(dynamics.everything.problem, step_size, size, weight)
    parts = _stateful(dynamics, sizes, names)
    history: dict[str, list[float]] = {}
    sound, w, last = particles.clone(), problem.w, 0
    if resume is not None:
        varies = step_size == "auto" or callable(step_size) or callable(temperature)
        _check_resume(resume, n_steps, every, varies)
        history = _load(resume, parts)
        last = resume.step
        if last > 0:  # before, splitting a and joining it again would round
            now, sound = dynamics.whole()
            w = now.w
    status = LangevinStatus.COMPLETED
    alone = dynamics.backend.alone
    for step in range(last, n_steps + 1):
        if resume is None or step > resume.step:
            with alone():
                if step < n_steps:
                    sizes.at(step, dynamics)
                if n_steps > 0:
                    dynamics.begin(step, sizes.current, heat(min(step, n_steps - 1)))
            if step % every == 0 or step == n_steps:
                with alone():
                    first = sound if step == 0 else None
                    state = _evaluate(dynamics, step, n_steps, sizes.current, first)
                    row = _measure(state, dynamics, history)
                if row is None:
                    status = LangevinStatus.DIVERGED
                    break
                sound, w, last = state.particles, state.problem.w, step
                wanted = observe(state, names, row)
                for name, value in row.items():
                    history.setdefault(name, []).append(value)
                if not wanted:
                    status = LangevinStatus.STOPPED
                    break
                if on_record is not None:
                    on_record(step, partial(_snapshot, step, n_steps, parts, history))
        if step < n_steps:
            with alone():
                dynamics.step()
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in history.items()}
    return LangevinResult(sound, w, tensors, status, last, dynamics.backend.name)


_RECORDED = (
    "step",
    "loss",
    "regularized_loss",
    "gradient_norm",
    "step_size",
    "layer_gradient_norm",
)


def _evaluate(
    dynamics: Dynamics, step: int, n_steps: int, eta: float, particles: Particles | None
) -> LangevinState:
    """Evaluate the network on all samples; `particles` avoids a copy where they are known."""
    features, outputs = dynamics.evaluate()
    problem, now = dynamics.whole() if particles is None else (dynamics.problem, particles)
    return LangevinState(step, n_steps, problem, now, features, outputs, eta)


def _measure(
    state: LangevinState, dynamics: Dynamics, history: Mapping[str, list[float]]
) -> dict[str, float] | None:
    """The standard row of the history, or None where the run has diverged."""
    loss = dynamics.loss()
    regularized = add_ridge(loss, (state.problem.decay, float(mean_square(state.particles))))
    row = {"step": float(state.step), "loss": loss, "regularized_loss": regularized}
    if dynamics.lambda_w is not None:
        layer = (dynamics.lambda_w, float(state.problem.w.square().sum()))
        row["regularized_loss"] = add_ridge(regularized, layer)
        row["layer_gradient_norm"] = float(dynamics.layer_gradient().norm())
    row["gradient_norm"] = dynamics.gradient_norm()
    if not all(math.isfinite(value) for value in row.values()):
        return None
    if history:
        y, weight = state.problem.y, state.problem.sample_weight
        zero = float(data_loss(torch.zeros_like(y), y, weight))
        if loss > DIVERGENCE_FACTOR * max(history["loss"][0], zero):
            return None
    return row | {"step_size": state.step_size}


def _stateful(
    dynamics: Dynamics, sizes: StepSizes, observers: Mapping[str, Observer]
) -> dict[str, Stateful]:
    """The parts of a run that a snapshot holds, by their names there."""
    parts: dict[str, Stateful] = {"dynamics": dynamics, "sizes": sizes}
    for name, observer in observers.items():
        if isinstance(observer, Stateful):
            parts[f"observer/{name}"] = observer
    return parts


def _snapshot(
    step: int, n_steps: int, parts: Mapping[str, Stateful], history: Mapping[str, list[float]]
) -> Snapshot:
    tensors = packed(parts) | {"n_steps": torch.tensor(n_steps)}
    for name, values in history.items():
        tensors[f"history/{name}"] = torch.tensor(values, dtype=torch.float64)
    return Snapshot(step, tensors)


def _check_resume(resume: Snapshot, n_steps: int, every: int, varies: bool) -> None:
    """The last snapshot of a run has begun a step like its last one: a longer run may not."""
    asked = int(resume.tensors["n_steps"])
    if n_steps < resume.step:
        raise ValueError(f"n_steps must be >= the step of resume, {resume.step}, got {n_steps}")
    ended = resume.step == asked < n_steps
    if ended and (varies or asked == 0 or asked % every != 0):
        raise ValueError(
            f"n_steps must be {asked}, got {n_steps}: resume is the end of a run, which can be "
            "continued only with a constant step_size and temperature and from a multiple of every"
        )


def _load(snapshot: Snapshot, parts: Mapping[str, Stateful]) -> dict[str, list[float]]:
    """Restore a run to the state of the snapshot; return its history."""
    unpack(snapshot.tensors, parts)
    return {
        name.removeprefix("history/"): values.tolist()
        for name, values in snapshot.tensors.items()
        if name.startswith("history/")
    }


def observe(state: LangevinState, observers: Mapping[str, Observer], row: dict[str, float]) -> bool:
    """Add what the observers return to the row (NaN for one that stops); False to stop."""
    wanted = True
    for name, observer in observers.items():
        try:
            row[name] = float(observer(state))
        except StopRun:
            row[name] = math.nan
            wanted = False
    return wanted


def default_lambda_w(problem: Problem) -> float:
    """1/beta, the paper's choice; lambda_rho where beta is inf."""
    return problem.decay if math.isinf(problem.beta) else problem.temperature


def _layer_weight(problem: Problem, train_w: bool, lambda_w: float | None) -> float | None:
    """lambda_w of a layer that is trained, None for one that is not."""
    if not train_w:
        if lambda_w is not None:
            raise ValueError(f"lambda_w must be None unless train_w, got {lambda_w}")
        return None
    if lambda_w is None:
        return default_lambda_w(problem)
    if not 0 <= lambda_w < math.inf:
        raise ValueError(f"lambda_w must be >= 0 and finite, got {lambda_w}")
    return float(lambda_w)


def _check_arguments(
    problem: Problem,
    particles: Particles,
    generator: torch.Generator,
    observers: Mapping[str, Observer],
) -> None:
    widths = (particles.a.shape[1], particles.u.shape[1])
    if widths != (problem.n_features, problem.n_inputs):
        raise ValueError(
            "particles must have the problem's widths (p, d) = "
            f"({problem.n_features}, {problem.n_inputs}), got {widths}"
        )
    if (particles.a.dtype, particles.a.device) != (problem.dtype, problem.device):
        raise ValueError(
            f"particles must be {problem.dtype} on {problem.device} like the problem, "
            f"got {particles.a.dtype} on {particles.a.device}"
        )
    named = {"particles": (particles.a, particles.u), "problem": (problem.x, problem.y, problem.w)}
    for name, tensors in named.items():
        if any(tensor.requires_grad for tensor in tensors):
            raise ValueError(
                f"{name} must hold tensors without a gradient, got requires_grad=True: .detach()"
            )
    if not bool(torch.isfinite(particles.a).all() and torch.isfinite(particles.u).all()):
        raise ValueError("particles must be finite, got NaN or inf")
    if generator.device.type != problem.device.type:
        raise ValueError(f"generator must be on {problem.device}, got {generator.device}")
    taken = sorted(set(observers) & set(_RECORDED))
    if taken:
        raise ValueError(f"observers must not be called {taken[0]!r}: the history has that entry")
