"""The step size of every step: constant, scheduled, or from the curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from gibbs.dynamics.curvature import largest_curvature
from gibbs.model.checks import is_number
from gibbs.model.problem import Problem

__all__ = [
    "Schedule",
    "StepSize",
    "StepSizes",
    "check_step_size",
    "check_temperature",
    "temperatures",
]

Schedule = Callable[[int], float]
"""A function of the step number 0, 1, ..."""

StepSize = float | Literal["auto"] | Schedule
"""A constant, "auto", or a schedule."""


class Network(Protocol):
    """What the curvature of the loss is measured on: the network at the current step."""

    def tangent(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Tangent kernel on the samples (m, d): what applies it to a direction (m, q)."""

    def layer_curvature(self, x: Tensor, weight: Tensor | None) -> float:
        """Largest curvature of L_n in W on the samples."""


class StepSizes:
    """The step size of every step; see `step_size` of :func:`gibbs.run_langevin`.

    Parameters
    ----------
    problem : Problem
    step_size : float, "auto" or callable
    batch_size : int or None
    lambda_w : float or None
        Where W is trained too: its curvature is added to that of the neurons, which is an upper
        bound on that of both together.

    Attributes
    ----------
    current : float
        The size of the last step that was asked for; NaN before.
    """

    MAX_ROWS = 2048
    INTERVAL = 128
    STEP_TIMES_CURVATURE = 1.5
    BATCHES = 4

    def __init__(
        self,
        problem: Problem,
        step_size: StepSize,
        batch_size: int | None,
        lambda_w: float | None = None,
    ) -> None:
        check_step_size(step_size)
        self.step_size = step_size
        self.current = math.nan
        self.lambda_w = lambda_w
        self.decay = problem.decay
        if batch_size is None:
            rows = [torch.arange(0, problem.n_samples, -(-problem.n_samples // self.MAX_ROWS))]
        else:
            own = torch.Generator().manual_seed(0)
            kept = min(batch_size, self.MAX_ROWS)
            rows = [
                torch.randperm(problem.n_samples, generator=own)[:kept] for _ in range(self.BATCHES)
            ]
        rows = [part.to(problem.device) for part in rows]
        weight = problem.sample_weight
        self.batches = [problem.x[part] for part in rows]
        self.weights = [None if weight is None else weight[part] for part in rows]
        targets = [problem.y[part] for part in rows]
        self.directions = [
            y if own is None else own.sqrt()[:, None] * y
            for y, own in zip(targets, self.weights, strict=True)
        ]

    def measures_at(self, step: int) -> bool:
        """Whether "auto" measures the curvature before this step."""
        return step % self.INTERVAL == 0 or (step < self.INTERVAL and step & (step - 1) == 0)

    def at(self, step: int, network: Network) -> float:
        """Return eta for this step of the network."""
        if callable(self.step_size):
            self.current = _positive_step(self.step_size(step), f"step_size at step {step}")
        elif self.step_size != "auto":
            self.current = float(self.step_size)
        elif self.measures_at(step):
            self._measure(network, first=step == 0)
        return self.current

    def _measure(self, network: Network, first: bool) -> None:
        curvatures = []
        n_iterations = 20 if first else 3
        for k, (x, weight) in enumerate(zip(self.batches, self.weights, strict=True)):
            value, self.directions[k] = largest_curvature(
                network.tangent(x), self.decay, self.directions[k], n_iterations, weight
            )
            if self.lambda_w is not None:
                value += network.layer_curvature(x, weight) + self.lambda_w
            curvatures.append(value)
        if 0 < max(curvatures) < math.inf:
            size = self.STEP_TIMES_CURVATURE / max(curvatures)
            # To 24 bits: the last digits of a sum in float64 depend on the number of threads.
            self.current = float(torch.tensor(size, dtype=torch.float32))
        elif math.isnan(self.current):  # no data force and no decay: any step is stable
            self.current = 1.0

    def state_dict(self) -> dict[str, Tensor]:
        """The current size, and the directions that the next measurement starts from."""
        directions = {f"direction{k}": v for k, v in enumerate(self.directions)}
        return {"current": torch.tensor(self.current, dtype=torch.float64), **directions}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state."""
        self.current = float(state["current"])
        self.directions = [
            state[f"direction{k}"].to(before.device) for k, before in enumerate(self.directions)
        ]


def check_step_size(step_size: StepSize) -> None:
    """Refuse a constant that is no step size; a schedule is checked at every step.

    Raises
    ------
    ValueError
        If it is neither a finite number > 0 nor "auto" nor callable.
    """
    if step_size != "auto" and not callable(step_size):
        _positive_step(step_size, "step_size")


def temperatures(problem: Problem, temperature: float | Schedule | None) -> Schedule:
    """The temperature of every step, checked; None means that of the problem."""
    if callable(temperature):
        return lambda step: _heat(temperature(step), f"temperature at step {step}")
    check_temperature(temperature)
    value = problem.temperature if temperature is None else float(temperature)
    return lambda _: value


def check_temperature(temperature: float | Schedule | None) -> None:
    """Refuse a constant that is no temperature; a schedule is checked at every step.

    Raises
    ------
    ValueError
        If it is neither a finite number >= 0 nor None nor callable.
    """
    if temperature is not None and not callable(temperature):
        _heat(temperature, "temperature")


def _positive_step(value: object, name: str) -> float:
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)


def _heat(value: object, name: str) -> float:
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return float(value)
