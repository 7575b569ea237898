"""The moving parts of a run: neurons, linear layer, noise and batches, one step at a time."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from gibbs.dynamics.batches import Batches
from gibbs.dynamics.cloud import TiledCloud
from gibbs.dynamics.coupling import Coupling, Uncoupled, couple
from gibbs.dynamics.engine import Engine
from gibbs.dynamics.noise import DelayedNoise, Noise, Scheme, TiledNoise
from gibbs.dynamics.snapshot import Stateful, packed, unpack
from gibbs.model.energy import data_loss
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
        self.cloud = TiledCloud(Particles(b, particles.u))
        own = None
        if noisy and c.numel():
            seed = torch.randint(2**62, (), generator=generator, device=problem.device)
            own = torch.Generator(problem.device).manual_seed(int(seed))
        self.uncoupled = Uncoupled(c, own)
        inner = self.coupling.problem
        self.noise: Noise = TiledNoise(self.cloud, generator)
        if scheme is Scheme.EULER and DelayedNoise.is_faster(
            self.cloud.n_neurons, problem.n_inputs, batch_size
        ):
            self.noise = DelayedNoise(self.cloud, generator)
        self.everything = Engine(inner, self.cloud, once.n_samples)
        self.minibatch, self.batches = None, None
        if batch_size is not None:
            self.minibatch = Engine(inner, self.cloud, batch_size, moves_u=self.noise.moves_u)
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
        self.noise.begin(kick, rate)
        self.uncoupled.begin(kick, rate)
        self._has_passed = False

    def network(self) -> tuple[Problem, Particles]:
        """Return the current values of the coordinates that couple, with their problem."""
        self.noise.flush()
        return self._now(self.everything.problem), self.cloud.particles()

    def whole(self) -> tuple[Problem, Particles]:
        """Return the current values of all coordinates, and the problem with the current W."""
        self.noise.flush()
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
        self.noise.flush()
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
        total += sum(float(part.square().sum()) for part in self.everything.gradients())
        return math.sqrt(total / self.cloud.n_neurons)

    def layer_gradient(self) -> Tensor:
        """Gradient in W of Eq. 4 (p, q), after :meth:`evaluate`; W must be trained."""
        return self._layer_gradient(self.everything)

    def _layer_gradient(self, engine: Engine) -> Tensor:
        assert self.lambda_w is not None
        scale = self.problem.gamma / len(engine.residual)
        return torch.addmm(
            engine.w, engine.features.T, engine.residual, beta=self.lambda_w, alpha=scale
        )

    def step(self) -> None:
        """Take the step that has begun, on all samples or on the next batch."""
        engine, (x, y, weight) = self.everything, self._samples
        if self.minibatch is not None and self.batches is not None:
            engine, rows = self.minibatch, self.batches.draw()
            x, y = x[rows], y[rows]
            weight = None if weight is None else weight[rows]
            engine.forward(x, y, weight=weight, batch_noise=self.noise.on_batch(x))
        elif not self._has_passed:
            engine.forward(x, y, weight=weight)
        engine.descend(self.eta, self.noise)
        self.uncoupled.end()
        if self.lambda_w is not None:
            self._move_layer(engine.w - self.eta * self._layer_gradient(engine))

    def _move_layer(self, w: Tensor) -> None:
        for engine in (self.everything, self.minibatch):
            if engine is not None:
                engine.w = w

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Stateful] = {"noise": self.noise, "uncoupled": self.uncoupled}
        return parts if self.batches is None else parts | {"batches": self.batches}

    def state_dict(self) -> dict[str, Tensor]:
        """The state in a step that has begun and in which the network has been evaluated."""
        return {
            "theta": torch.cat(self.cloud.tiles, 1),
            "w": self.everything.w,
            "eta": torch.tensor(self.eta, dtype=torch.float64),
            "generator": self.generator.get_state(),
            **packed(self._parts()),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state."""
        for tile, block in zip(self.cloud.tiles, self.cloud.blocks, strict=True):
            tile.copy_(state["theta"][:, block])
        self._move_layer(state["w"].to(self.problem.device))
        self.generator.set_state(state["generator"])
        self.eta = float(state["eta"])
        unpack(state, self._parts())
        self._has_passed = False
