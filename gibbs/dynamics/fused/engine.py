"""The engine of compiled passes, with the cloud and the noise that belong to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gibbs.dynamics.cloud import TiledCloud
from gibbs.dynamics.fused import passes
from gibbs.dynamics.fused.functions import VALUES
from gibbs.dynamics.fused.lanes import PANEL
from gibbs.dynamics.fused.team import Team
from gibbs.dynamics.noise import Kick
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem
from gibbs.model.truncation import truncate, truncate_slope

__all__ = ["CounterNoise", "FusedEngine", "PanelCloud"]

BUDGET = 2**28
"""Bytes of activations that are kept from the first to the second pass. Reading them back takes
less time than computing them again, as long as there is memory for them."""

WIDE, WIDE_BUDGET = 64, 2**30
"""From this many inputs on computing them again takes a third of a step, and more is kept."""

Array = NDArray[Any]


def _panels(n_panels: int, rows: int, like: Tensor) -> Tensor:
    """Zeros (panels, rows, 64) with room behind them for what a block of 4 rows reads too much."""
    size = n_panels * rows * PANEL
    return like.new_zeros(size + 4 * PANEL)[:size].view(n_panels, rows, PANEL)


class PanelCloud(TiledCloud):
    """A cloud whose tiles are the panels of one array.

    Attributes
    ----------
    panels : Tensor (panels, r + d, 64)
        The last one is filled up with zeros.
    n_last : int
        The neurons of the last panel.
    team : Team
        The threads of its passes: as many as torch has when it is made.
    """

    def __init__(self, particles: Particles) -> None:
        super().__init__(particles, width=PANEL)
        rows, self.n_last = self.tiles[-1].shape
        self.panels = _panels(len(self.tiles), rows, self.tiles[0])
        for panel, tile in zip(self.panels, self.tiles, strict=True):
            panel[:, : tile.shape[1]] = tile
        self.tiles = [*self.panels[:-1], self.panels[-1][:, : self.n_last]]
        dtype = self.panels.numpy().dtype
        size = 2 * passes.BLOCK // dtype.itemsize + (rows + 4) * PANEL
        n_threads = min(torch.get_num_threads(), len(self.panels))
        self.team = Team(n_threads, lambda: np.empty(size, dtype))


class CounterNoise:
    """The noise of a run as a function of its seed, the step, the neuron and the coordinate.

    Parameters
    ----------
    generator : torch.Generator or None
        Gives the seed, by one draw; None without noise.
    """

    def __init__(self, generator: torch.Generator | None) -> None:
        self.seed = 0
        if generator is not None:
            self.seed = int(torch.randint(2**63 - 1, (), generator=generator))
        self.step = -1
        self.kick = Kick(0.0, 0.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Seed, step and sizes of a step that has begun."""
        sizes = torch.tensor([self.kick.before, self.kick.after], dtype=torch.float64)
        return {"seed": torch.tensor(self.seed), "step": torch.tensor(self.step), "kick": sizes}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state."""
        self.seed, self.step = int(state["seed"]), int(state["step"])
        self.kick = Kick(*state["kick"].tolist())


class FusedEngine:
    """Passes of a cloud over batches of at most a fixed number of samples, compiled.

    It has the interface of :class:`gibbs.dynamics.engine.TorchEngine`, with the noise of a
    :class:`CounterNoise`. Its numbers are the same for any number of threads, whether activations
    are kept or not, and with AVX2 as with AVX-512.

    Parameters
    ----------
    problem : Problem
        Gives W, gamma, activation, truncation, lambda_rho and beta; on the CPU.
    cloud : PanelCloud
        Moved by :meth:`begin` and :meth:`descend`, in place.
    n_rows : int
        Samples of a batch, at most.
    noise : CounterNoise
    """

    def __init__(
        self, problem: Problem, cloud: PanelCloud, n_rows: int, noise: CounterNoise
    ) -> None:
        self.problem = problem
        self.w = problem.w
        self.cloud = cloud
        self.noise = noise
        self._n_rows = n_rows
        self._activation = list(VALUES).index(problem.sigma.name)
        self._theta: Array = cloud.panels.numpy()
        self._type = self._theta.dtype.type
        kept = len(cloud.panels) * passes.quads(n_rows) * 4 * PANEL
        budget = WIDE_BUDGET if problem.n_inputs >= WIDE else BUDGET
        keeps = kept * self._theta.itemsize <= budget and problem.sigma.name != "erf"
        self._nothing: Array = np.empty(0, self._type)
        self._kept: Array = np.empty(kept, self._type) if keeps else self._nothing
        self._slopes: Array = np.empty((0, 0, 0), self._type)

    def begin(self, kick: Kick) -> None:
        """Begin a step: move the cloud by the noise that comes before the gradient."""
        noise, cloud = self.noise, self.cloud
        noise.kick = kick
        noise.step += 1
        if kick.before > 0:
            scale = self._type(kick.before)
            cloud.team.run(passes.shake, self._theta, cloud.n_last, scale, noise.seed, noise.step)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        *,
        weight: Tensor | None = None,
        uncoupled: Tensor | None = None,
    ) -> None:
        """Compute features, outputs (Eqs. 1 to 3) and the force on the features.

        Sets what :meth:`gibbs.dynamics.engine.TorchEngine.forward` sets.
        """
        rank = self.cloud.rank
        self._x: Array = x.contiguous().numpy()
        self._lead = lead = self._leading()
        width = rank
        if uncoupled is not None and uncoupled.shape[1] > 0:
            width += uncoupled.shape[1]
            lead = self._leading(uncoupled)
        sums = self._sums(len(x), width)
        self.cloud.team.run(
            passes.forward, self._activation, self._x, self._theta, lead, width, self._kept, sums
        )
        means, self.outputs, self.residual = (
            x.new_empty(len(x), columns) for columns in (width, y.shape[1], y.shape[1])
        )
        self._force: Array = np.empty((len(x), rank), self._type)
        weights = self._nothing if weight is None else weight.contiguous().numpy()
        passes.respond(
            sums, *self._layer(), y.contiguous().numpy(), weights, means.numpy(),
            self.outputs.numpy(), self.residual.numpy(), self._force,
        )  # fmt: skip
        self.features, self.uncoupled_features = means[:, :rank], means[:, rank:]

    def _layer(self) -> tuple[Any, Array, Any]:
        """The number of neurons, W and gamma, as the passes take them."""
        count, gamma = self._type(self.cloud.n_neurons), self._type(self.problem.gamma)
        return count, self.w.contiguous().numpy(), gamma

    def _leading(self, uncoupled: Tensor | None = None) -> Array:
        """Panels that begin with the coordinates that the features are means of."""
        cloud, radius = self.cloud, self.problem.truncation
        if radius is None and uncoupled is None:
            return self._theta
        coupled = cloud.panels[:, : cloud.rank]
        if radius is not None:
            self._slopes = truncate_slope(coupled, radius).contiguous().numpy()
        n_others = 0 if uncoupled is None else uncoupled.shape[1]
        lead = _panels(len(coupled), cloud.rank + n_others, coupled)
        lead[:, : cloud.rank] = truncate(coupled, radius)
        if uncoupled is not None:
            full, last = uncoupled[: -cloud.n_last], uncoupled[-cloud.n_last :]
            lead[:-1, cloud.rank :] = full.view(-1, PANEL, n_others).transpose(1, 2)
            lead[-1, cloud.rank :, : cloud.n_last] = last.T
        return lead.numpy()

    def _sums(self, n: int, width: int) -> Array:
        """Room for the sums over the neurons of each group, in blocks of 4 by 4."""
        groups = passes.n_groups(len(self._theta))
        return np.empty(groups * passes.quads(n) * passes.quads(width) * 16, self._type)

    def _run_along(self, body: Any, x: Array, force: Array, kept: Array, *rest: Any) -> None:
        """A pass that takes the gradient along a force."""
        self.cloud.team.run(
            body, self._activation, x, self._theta, self.cloud.n_last, self._lead, self._slopes,
            force, kept, *rest,
        )  # fmt: skip

    def tangent(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Tangent kernel: :func:`gibbs.dynamics.curvature.apply_tangent_kernel`.

        The activations are written where those of :meth:`forward` were.
        """
        n, rank = len(x), self.cloud.rank
        samples = x.contiguous().numpy()
        self._lead = self._leading()
        kept = self._kept if n <= self._n_rows else self._nothing
        if len(kept) > 0:
            self.cloud.team.run(passes.keep, self._activation, samples, self._theta, kept)

        def apply(direction: Tensor) -> Tensor:
            layer = self._layer()
            sums = self._sums(n, rank)
            force: Array = np.empty((n, rank), self._type)
            passes.pull_back(direction.contiguous().numpy(), *layer[1:], force)
            self._run_along(passes.tangent, samples, force, kept, sums)
            image = torch.empty_like(direction)
            passes.apply_layer(sums, *layer, np.empty_like(force), image.numpy())
            return image

        return apply

    def squared_gradient(self) -> float:
        """Sum over the neurons of |grad V|^2, of the coordinates that couple."""
        totals = np.empty(len(self._theta))
        decay = self._type(self.problem.decay)
        self._run_along(passes.squares, self._x, self._force, self._kept, decay, totals)
        return math.fsum(totals)

    def layer_gradient(self, lambda_w: float) -> Tensor:
        """Gradient of Eq. 4 in W, see `gibbs.dynamics.engine.TorchEngine.layer_gradient`."""
        gradient = torch.empty_like(self.w)
        passes.layer_gradient(
            self.features.numpy(), self.residual.numpy(), self.w.contiguous().numpy(),
            self._type(self.problem.gamma), self._type(lambda_w), gradient.numpy(),
        )  # fmt: skip
        return gradient

    def descend(self, eta: float) -> None:
        """Take one step of every neuron (Eq. 20): `gibbs.dynamics.engine.TorchEngine.descend`."""
        noise = self.noise
        sizes = (1 - eta * self.problem.decay, eta, noise.kick.after)
        self._run_along(
            passes.descend, self._x, self._force, self._kept, *map(self._type, sizes), noise.seed,
            noise.step,
        )  # fmt: skip
