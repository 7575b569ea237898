"""The moving parts of a run: neurons, linear layer, noise and batches, one step at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from gibbs.dynamics.backends import BACKENDS, make_backend
from gibbs.dynamics.batches import Batches
from gibbs.dynamics.coupling import Coupling, Uncoupled, couple
from gibbs.dynamics.noise import Scheme
from gibbs.dynamics.snapshot import Stateful, packed, unpack
from gibbs.model.energy import data_loss
from gibbs.model.network import features
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem
from gibbs.model.repeats import Distinct, distinct

__all__ = ["Dynamics"]


class Dynamics:
    r"""Noisy dynamics (Eq. 20) of the neurons, and of W where it is trained.

    A step is :meth:`begin`, any number of evaluations, :meth:`step`. The layer follows

    .. math:: W \leftarrow W - \eta\, (\tfrac{\gamma}{n} H^T (Z - Y) + \lambda_w W),

    with the features before the step, at the step size of the neurons. Where all samples make a
    step, repeated ones are computed once, see :func:`gibbs.model.repeats.distinct`.

    Parameters
    ----------
    problem : Problem
    particles : Particles
        The start; copied.
    batch_size : int or None
    scheme : Scheme
    lambda_w : float or None
        None leaves W as it is.
    noisy : bool
        Whether any step has noise.
    backend : {"auto", "torch", "fused"}
    generator : torch.Generator
        For noise and batches.
    """

    def __init__(
        self,
        problem: Problem,
        particles: Particles,
        *,
        batch_size: int | None,
        scheme: Scheme,
        lambda_w: float | None,
        noisy: bool,
        backend: str,
        generator: torch.Generator,
    ) -> None:
        self.problem = problem
        self.scheme = scheme
        self.lambda_w = lambda_w
        self.generator = generator
        self._once = distinct(problem) if batch_size is None else Distinct(problem)
        once = self._once.problem
        self.coupling: Coupling = couple(once, fixed=lambda_w is None)
        b, c = self.coupling.split(particles.a)
        own = None
        if noisy and c.numel():
            seed = torch.randint(2**62, (), generator=generator, device=problem.device)
            own = torch.Generator(problem.device).manual_seed(int(seed))
        self.uncoupled = Uncoupled(c, own)
        inner = self.coupling.problem
        self.backend = make_backend(
            backend, inner, Particles(b, particles.u), generator, noisy=noisy
        )
        self.cloud = self.backend.cloud
        self.everything = self.backend.engine(inner, once.n_samples)
        self.minibatch, self.batches = None, None
        if batch_size is not None:
            self.minibatch = self.backend.engine(inner, batch_size)
            self.batches = Batches(problem.n_samples, batch_size, generator)
        self._samples = (once.x, once.y, once.sample_weight)
        self._has_passed = False
        self.eta = math.nan
        self._largest = math.sqrt(torch.finfo(problem.dtype).max)

    def begin(self, step: int, eta: float, temperature: float) -> None:
        """Begin a step of this size."""
        self.eta = eta = min(eta, self._largest)  # beyond it every run diverges
        scale = min(math.sqrt(2 * eta * temperature), self._largest)
        kick = self.scheme.kick(scale, first=step == 0)
        rate = 1 - eta * self.problem.decay
        self.everything.begin(kick)
        self.uncoupled.begin(kick, rate)
        self._has_passed = False

    def tangent(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Tangent kernel on the samples (m, d), before :meth:`begin`."""
        return self.everything.tangent(x)

    def layer_curvature(self, x: Tensor, weight: Tensor | None) -> float:
        """Largest curvature of L_n in W: gamma^2 times the top eigenvalue of H^T S H / n."""
        problem, cloud = self.everything.problem, self.cloud.particles().to(torch.float64)
        h = features(x.double(), cloud, problem.sigma, problem.truncation)
        if not bool(torch.isfinite(h).all()):
            return math.nan
        if weight is not None:
            h = weight.double().sqrt()[:, None] * h
        return problem.gamma**2 * float(torch.linalg.matrix_norm(h, 2)) ** 2 / len(x)

    def whole(self) -> tuple[Problem, Particles]:
        """Return the current values of all coordinates, and the problem with the current W."""
        cloud, c = self.cloud.particles(), self.uncoupled.current()
        return self._now(self.problem), Particles(self.coupling.join(cloud.a, c), cloud.u)

    def _now(self, problem: Problem) -> Problem:
        if self.lambda_w is None:
            return problem
        now = copy.copy(problem)  # unchecked: a layer that diverges must not raise
        object.__setattr__(now, "w", self.everything.w.clone())
        return now

    def evaluate(self) -> tuple[Tensor, Tensor]:
        """Features (n, p) and outputs (n, q) of all samples, by a forward pass."""
        engine, (x, y, weight) = self.everything, self._samples
        engine.forward(x, y, weight=weight, uncoupled=self.uncoupled.current())
        self._has_passed = True
        features = self.coupling.join(engine.features, engine.uncoupled_features)
        return self._once.spread(features), self._once.spread(engine.outputs)

    def loss(self) -> float:
        """L_n, after :meth:`evaluate`."""
        _, y, weight = self._samples
        return float(data_loss(self.everything.outputs, y, weight))

    def gradient_norm(self) -> float:
        """Root mean square over the neurons of |grad V|, after :meth:`evaluate`."""
        total = self.problem.decay**2 * float(self.uncoupled.current().square().sum())
        return math.sqrt((total + self.everything.squared_gradient()) / self.cloud.n_neurons)

    def layer_gradient(self) -> Tensor:
        """Gradient in W of Eq. 4 (p, q), after :meth:`evaluate`; W must be trained."""
        assert self.lambda_w is not None
        return self.everything.layer_gradient(self.lambda_w)

    def step(self) -> None:
        """Take the step that has begun, on all samples or on the next batch."""
        engine, (x, y, weight) = self.everything, self._samples
        if self.minibatch is not None and self.batches is not None:
            engine, rows = self.minibatch, self.batches.draw()
            x, y = x[rows], y[rows]
            weight = None if weight is None else weight[rows]
            engine.forward(x, y, weight=weight)
        elif not self._has_passed:
            engine.forward(x, y, weight=weight)
        engine.descend(self.eta)
        self.uncoupled.end()
        if self.lambda_w is not None:
            self._move_layer(engine.w - self.eta * engine.layer_gradient(self.lambda_w))

    def _move_layer(self, w: Tensor) -> None:
        for engine in (self.everything, self.minibatch):
            if engine is not None:
                engine.w = w

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Stateful] = {"noise": self.backend.noise, "uncoupled": self.uncoupled}
        return parts if self.batches is None else parts | {"batches": self.batches}

    def state_dict(self) -> dict[str, Tensor]:
        """The state in a step that has begun and in which the network has been evaluated."""
        return {
            "theta": torch.cat(self.cloud.tiles, 1),
            "w": self.everything.w,
            "eta": torch.tensor(self.eta, dtype=torch.float64),
            "backend": torch.tensor(BACKENDS.index(self.backend.name)),
            "generator": self.generator.get_state(),
            **packed(self._parts()),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state.

        Raises
        ------
        ValueError
            If it is of another backend, whose noise and rounding are other ones.
        """
        taken = BACKENDS[int(state["backend"])]
        if taken != self.backend.name:
            raise ValueError(
                f"backend must be {taken!r} to continue this run, got {self.backend.name!r}"
            )
        for tile, block in zip(self.cloud.tiles, self.cloud.blocks, strict=True):
            tile.copy_(state["theta"][:, block])
        self._move_layer(state["w"].to(self.problem.device))
        self.generator.set_state(state["generator"])
        self.eta = float(state["eta"])
        unpack(state, self._parts())
        self._has_passed = False
