"""Noisy mean-field Langevin dynamics of a cloud of neurons, with the linear layer fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Real
from typing import Literal

import torch
from torch import Tensor

from gibbs.coupling import Coupling, Uncoupled, couple
from gibbs.curvature import largest_curvature
from gibbs.energy import data_loss, mean_square
from gibbs.engine import Engine, TiledCloud
from gibbs.particles import Particles
from gibbs.problem import Problem

__all__ = [
    "LangevinResult",
    "LangevinState",
    "LangevinStatus",
    "Observer",
    "StepSize",
    "StopRun",
    "observe",
    "run_langevin",
]

StepSize = float | Literal["auto"] | Callable[[int], float]
"""A constant, "auto", or a schedule: a function of the step number 0, 1, ..."""

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
            return "An observer ended the run; the particles are those that it saw last."
        return (
            "The loss grew without bound or became NaN: take a smaller step_size (or 'auto'); "
            "the particles returned are the last ones whose loss was sound."
        )


@dataclass(frozen=True, eq=False)
class LangevinState:
    """What an observer sees: the cloud before step `step`, evaluated on all samples.

    Attributes
    ----------
    step : int
    n_steps : int
        How many steps the run was asked for.
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
    """Raised by an observer: the run ends here, soundly, with status STOPPED."""


@dataclass(frozen=True, eq=False)
class LangevinResult:
    """The cloud that a run ended with, and its history.

    Attributes
    ----------
    particles : Particles
    w : Tensor (p, q)
        The linear layer.
    history : dict of str to 1-D Tensor
        "step", "loss" (L_n), "regularized_loss" (Eq. 4 without W's term), "gradient_norm"
        (root mean square over the neurons of |grad V|), "step_size" and one entry an
        observer; float64, one value every `every` steps and at the end.
    status : LangevinStatus
    n_steps : int
        Steps that led to `particles`.
    """

    particles: Particles
    w: Tensor
    history: dict[str, Tensor]
    status: LangevinStatus
    n_steps: int


def run_langevin(
    problem: Problem,
    particles: Particles,
    *,
    n_steps: int,
    step_size: StepSize = "auto",
    batch_size: int | None = None,
    generator: torch.Generator,
    observers: Mapping[str, Observer] | None = None,
    every: int = 10,
) -> LangevinResult:
    r"""Run the noisy mean-field dynamics of stage one (Eq. 20 with W fixed).

    The update of each neuron is

    .. math:: \theta_j \leftarrow \theta_j - \eta\, \nabla V(\theta_j)
        + \sqrt{2 \eta / \beta}\; \xi_j, \qquad \xi_j \sim N(0, I),

    where grad V is N times the gradient of the N-neuron regularised loss: the step size eta
    belongs to one neuron and does not depend on N. Its law approaches the Gibbs minimizer
    (Eq. 27) for small eta and large N; with no data its stationary variance is
    1/(beta lambda_rho (1 - eta lambda_rho/2)). At beta = inf it is plain (stochastic)
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
        of the loss along the flow (:func:`gibbs.curvature.largest_curvature`, on at most 2,048
        samples; descent along that direction is stable up to 2 over it), measured again at
        steps 0, 1, 2, 4, ..., 128 and then every 128. With minibatches it is the largest
        value over four batches: that of one batch is larger than that of all samples.
    batch_size : int, optional
        Samples a step, without replacement within an epoch. None means all.
    generator : torch.Generator
        Decides noise and batches; on the device of the problem.
    observers : mapping of str to callable, optional
        Functions of the :class:`LangevinState`, called every `every` steps and at the end;
        what they return is kept in the history under their name. One that raises
        :class:`StopRun` ends the run there.
    every : int, default 10
        Stride of the history.

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
    _check_arguments(problem, particles, n_steps, step_size, batch_size, generator, names, every)
    run = _Run(problem, particles, batch_size, generator)
    sizes = _StepSizes(run.problem, step_size, batch_size)
    batches = _batches(problem, batch_size, generator)
    history: dict[str, list[float]] = {name: [] for name in (*_RECORDED, *names)}
    sound, last, status = particles.clone(), 0, LangevinStatus.COMPLETED
    eta = math.nan
    for step in range(n_steps + 1):
        if step < n_steps:
            eta = sizes.at(step, run.cloud)
        if step % every == 0 or step == n_steps:
            state = run.look(step, n_steps, eta, sound if step == 0 else None)
            row = _measure(state, run.gradient_norm(), history)
            if row is None:
                status = LangevinStatus.DIVERGED
                break
            sound, last = state.particles, step
            wanted = observe(state, names, row)
            for name, value in row.items():
                history[name].append(value)
            if not wanted:
                status = LangevinStatus.STOPPED
                break
        elif batch_size is None:
            run.everything.forward(problem.x, problem.y)
        if step < n_steps:
            run.descend(eta, None if batch_size is None else next(batches), generator)
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in history.items()}
    return LangevinResult(sound, problem.w, tensors, status, last)


_RECORDED = ("step", "loss", "regularized_loss", "gradient_norm", "step_size")


def _measure(
    state: LangevinState, gradient_norm: float, history: Mapping[str, list[float]]
) -> dict[str, float] | None:
    """The standard row of the history, or None where the run has diverged."""
    loss = float(data_loss(state.outputs, state.problem.y))
    regularized = loss + state.problem.decay / 2 * float(mean_square(state.particles))
    if not math.isfinite(loss + regularized + gradient_norm):
        return None
    if history["loss"]:
        zero = float(data_loss(torch.zeros_like(state.problem.y), state.problem.y))
        if loss > DIVERGENCE_FACTOR * max(history["loss"][0], zero):
            return None
    row = (float(state.step), loss, regularized, gradient_norm, state.step_size)
    return dict(zip(_RECORDED, row, strict=True))


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


class _Run:
    """The moving parts of a run: the coordinates that couple, and those drawn when looked at."""

    def __init__(
        self,
        problem: Problem,
        particles: Particles,
        batch_size: int | None,
        generator: torch.Generator,
    ) -> None:
        self.full = problem
        self.coupling: Coupling = couple(problem)
        self.problem = self.coupling.problem
        b, c = self.coupling.split(particles.a)
        self.cloud = TiledCloud(Particles(b, particles.u))
        own = None
        if problem.temperature > 0 and c.numel():
            seed = torch.randint(2**62, (), generator=generator, device=problem.device)
            own = torch.Generator(problem.device).manual_seed(int(seed))
        self.uncoupled = Uncoupled(c, problem.decay, problem.temperature, own)
        self.everything = Engine(self.problem, self.cloud, problem.n_samples)
        self.minibatch = None
        if batch_size is not None:
            self.minibatch = Engine(self.problem, self.cloud, batch_size)

    def look(
        self, step: int, n_steps: int, eta: float, particles: Particles | None
    ) -> LangevinState:
        """Pass forward over all samples, and return all coordinates as they are now.

        `particles` spares the way back where they are known.
        """
        c = self.uncoupled.draw()
        self.everything.forward(self.full.x, self.full.y, c)
        if particles is None:
            cloud = self.cloud.particles()
            particles = Particles(self.coupling.join(cloud.a, c), cloud.u)
        h = self.coupling.join(self.everything.features, self.everything.uncoupled_features)
        return LangevinState(step, n_steps, self.full, particles, h, self.everything.outputs, eta)

    def gradient_norm(self) -> float:
        """Root mean square over the neurons of |grad V|, after :meth:`look`."""
        total = self.full.decay**2 * float(self.uncoupled.draw().square().sum())
        total += sum(float(part.square().sum()) for part in self.everything.gradients())
        return math.sqrt(total / self.cloud.n_neurons)

    def descend(
        self, eta: float, batch: tuple[Tensor, Tensor] | None, generator: torch.Generator
    ) -> None:
        """Take one step on a batch, or on all samples, whose forward pass has been made."""
        engine = self.everything
        if self.minibatch is not None and batch is not None:
            engine = self.minibatch
            engine.forward(*batch)
        engine.descend(eta, generator)
        self.uncoupled.advance(eta)


class _StepSizes:
    """The step size of every step: constant, scheduled, or from the curvature."""

    MAX_ROWS = 2048
    INTERVAL = 128
    REACH = 1.5
    BATCHES = 4

    def __init__(self, problem: Problem, step_size: StepSize, batch_size: int | None) -> None:
        self.problem = problem
        self.step_size = step_size
        self.current = math.nan
        if batch_size is None:
            stride = -(-problem.n_samples // self.MAX_ROWS)
            self.batches = [problem.x[::stride]]
            self.directions = [problem.y[::stride]]
        else:
            own = torch.Generator(problem.device).manual_seed(0)
            rows = [
                torch.randperm(problem.n_samples, generator=own, device=problem.device)
                for _ in range(self.BATCHES)
            ]
            kept = min(batch_size, self.MAX_ROWS)
            self.batches = [problem.x[order[:kept]] for order in rows]
            self.directions = [problem.y[order[:kept]] for order in rows]

    def at(self, step: int, cloud: TiledCloud) -> float:
        """Return eta for this step."""
        if callable(self.step_size):
            return _positive_step(self.step_size(step), f"step_size at step {step}")
        if self.step_size != "auto":
            return float(self.step_size)
        if step % self.INTERVAL == 0 or (step < self.INTERVAL and step & (step - 1) == 0):
            self._measure(cloud.particles(), first=step == 0)
        return self.current

    def _measure(self, particles: Particles, first: bool) -> None:
        curvatures = []
        for k, x in enumerate(self.batches):
            value, self.directions[k] = largest_curvature(
                self.problem, particles, x, self.directions[k], 20 if first else 3
            )
            curvatures.append(value)
        if 0 < max(curvatures) < math.inf:
            self.current = self.REACH / max(curvatures)
        elif math.isnan(self.current):  # no data force and no decay: any step is stable
            self.current = 1.0


def _batches(
    problem: Problem, batch_size: int | None, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches, shuffled anew each epoch; a last batch that is too short is skipped."""
    while batch_size is not None:
        order = torch.randperm(problem.n_samples, generator=generator, device=problem.device)
        for start in range(0, problem.n_samples - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            yield problem.x[rows], problem.y[rows]


def _positive_step(value: object, name: str) -> float:
    sound = isinstance(value, Real) and not isinstance(value, bool)
    if not sound or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def _check_arguments(
    problem: Problem,
    particles: Particles,
    n_steps: int,
    step_size: StepSize,
    batch_size: int | None,
    generator: torch.Generator,
    observers: Mapping[str, Observer],
    every: int,
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
    if not bool(torch.isfinite(particles.a).all() and torch.isfinite(particles.u).all()):
        raise ValueError("particles must be finite, got NaN or inf")
    if generator.device.type != problem.device.type:
        raise ValueError(f"generator must be on {problem.device}, got {generator.device}")
    if n_steps < 0:
        raise ValueError(f"n_steps must be >= 0, got {n_steps}")
    if every < 1:
        raise ValueError(f"every must be >= 1, got {every}")
    if batch_size is not None and not 1 <= batch_size <= problem.n_samples:
        raise ValueError(
            f"batch_size must be between 1 and n = {problem.n_samples}, got {batch_size}"
        )
    if step_size != "auto" and not callable(step_size):
        _positive_step(step_size, "step_size")
    taken = sorted(set(observers) & set(_RECORDED))
    if taken:
        raise ValueError(f"observers must not be called {taken[0]!r}: the history has that entry")
