"""One step of the neurons: forward and backward pass in tiles that stay in the cache."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.activations import ACTIVATIONS, Activation
from gibbs.energy import pull
from gibbs.network import outputs
from gibbs.particles import Particles
from gibbs.problem import Problem
from gibbs.truncation import truncate, truncate_slope

__all__ = ["Engine", "TiledCloud"]

TILE = 512
"""Neurons of a tile of the cloud. The noise is drawn tile by tile, so another width is another
seed; nothing else depends on it."""

AREA = 2**17
"""Numbers in a tile, at most: with many inputs it has fewer neurons."""

CACHE = 720 * 2**10
"""Bytes of each of the two work arrays (samples by neurons): both fit the second-level cache."""

MAX_ROWS = 1024
"""Samples handled at a time."""

BUDGET = 8 * 2**20
"""Bytes of activations kept from the forward to the backward pass. Beyond it they are computed
again, which takes about as long as reading them back, and no memory."""

WIDE, WIDE_BUDGET = 64, 256 * 2**20
"""From this many inputs on computing them again takes longer, and more bytes are kept."""


class TiledCloud:
    """A cloud of neurons as tiles (r + d, m): rows 0..r-1 are the a's, the rest the u's.

    Neurons are columns, so that products with few classes or inputs have their long side where
    the matrix product is fast, and one draw gives the noise of a whole tile.

    Attributes
    ----------
    rank, n_neurons : int
        r and N.
    blocks : list of slice
        The neurons of each tile.
    tiles : list of Tensor
        Only ever changed in place.
    """

    def __init__(self, particles: Particles) -> None:
        self.rank = particles.a.shape[1]
        self.n_neurons = len(particles)
        step = max(16, min(TILE, AREA // (self.rank + particles.u.shape[1])) // 16 * 16)
        self.blocks = _cut(self.n_neurons, step)
        self.tiles = [
            torch.cat((particles.a[block].T, particles.u[block].T)).contiguous()
            for block in self.blocks
        ]

    def particles(self) -> Particles:
        """Return a copy as `Particles`, a (N, r) and u (N, d)."""
        a = torch.cat([tile[: self.rank].T for tile in self.tiles])
        return Particles(a, torch.cat([tile[self.rank :].T for tile in self.tiles]))


@dataclass(frozen=True)
class _Form:
    """An activation as sigma(z) = shift + scale tau(stretch z), with a tau that costs less."""

    tau: Activation
    shift: float = 0.0
    scale: float = 1.0
    stretch: float = 1.0


def _cheapest_form(activation: Activation, dtype: torch.dtype) -> _Form:
    """In float32 torch has tanh in three quarters of the time of sigmoid."""
    if activation is ACTIVATIONS["sigmoid"] and dtype == torch.float32:
        return _Form(ACTIVATIONS["tanh"], 0.5, 0.5, 0.5)
    return _Form(activation)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some samples by some neurons of a tile: views made once, as a step has thousands.

    Attributes
    ----------
    chunk : int
        Which samples.
    block : slice
        Which neurons of the cloud.
    b, u : Tensor (r, m), (d, m)
        Of the tile.
    grad_b, grad_u : Tensor (r, m), (d, m)
        Of the buffer for gradient and noise.
    values, pulls : Tensor (samples, m)
        Work arrays.
    """

    chunk: int
    block: slice
    b: Tensor
    u: Tensor
    grad_b: Tensor
    grad_u: Tensor
    values: Tensor
    pulls: Tensor


class Engine:
    """Passes of a cloud over batches of a fixed number of samples, in kept buffers.

    Parameters
    ----------
    problem : Problem
        Gives W, gamma, activation, truncation, lambda_rho and beta.
    cloud : TiledCloud
        Moved by :meth:`descend`, in place.
    n_rows : int
        Samples of a batch.
    """

    def __init__(self, problem: Problem, cloud: TiledCloud, n_rows: int) -> None:
        self.problem = problem
        self.cloud = cloud
        self._form = _cheapest_form(problem.sigma, problem.dtype)
        size = problem.x.element_size()
        budget = WIDE_BUDGET if problem.n_inputs >= WIDE else BUDGET
        self.keeps = cloud.n_neurons * n_rows * size <= budget
        self._rows = _cut(n_rows, _part(n_rows, -(-n_rows // MAX_ROWS)))
        self._buffers = {tile.shape[1]: torch.empty_like(tile) for tile in cloud.tiles[::-1]}
        height = self._rows[0].stop
        steps = {
            width: _part(width, -(-width * height * size // CACHE), multiple=16)
            for width in self._buffers
        }
        area = height * max(steps.values())
        pulls = problem.x.new_empty(area)
        values = problem.x.new_empty(cloud.n_neurons * n_rows if self.keeps else area)
        self._plan: list[list[_Piece]] = []
        taken = 0
        for index, tile in enumerate(cloud.tiles):
            pieces = []
            for columns in _cut(tile.shape[1], steps[tile.shape[1]]):
                for chunk, rows in enumerate(self._rows):
                    shape = (rows.stop - rows.start, columns.stop - columns.start)
                    own = values[taken : taken + shape[0] * shape[1]].view(shape)
                    work = pulls[: own.numel()].view(shape)
                    pieces.append(self._piece(index, chunk, columns, own, work))
                    taken += own.numel() if self.keeps else 0
            self._plan.append(pieces)

    def _piece(
        self, index: int, chunk: int, columns: slice, values: Tensor, pulls: Tensor
    ) -> _Piece:
        rank, tile = self.cloud.rank, self.cloud.tiles[index]
        first = self.cloud.blocks[index].start
        block = slice(first + columns.start, first + columns.stop)
        theta, gradient = tile[:, columns], self._buffers[tile.shape[1]][:, columns]
        return _Piece(
            chunk,
            block,
            theta[:rank],
            theta[rank:],
            gradient[:rank],
            gradient[rank:],
            values,
            pulls,
        )

    def forward(self, x: Tensor, y: Tensor, uncoupled: Tensor | None = None) -> None:
        r"""Compute features, outputs (Eqs. 1 to 3) and the forces on the outgoing weights.

        Sets `features` (n, r), `outputs` (n, q), and with `uncoupled` (N, k), further
        coordinates of the a's, `uncoupled_features` (n, k).
        """
        problem, form = self.problem, self._form
        x = x if form.stretch == 1 else x * form.stretch
        self._x = [x[rows] for rows in self._rows]
        total = x.new_zeros(self.cloud.rank, len(x))
        rest = x.new_zeros(0 if uncoupled is None else uncoupled.shape[1], len(x))
        totals = [total[:, rows] for rows in self._rows]
        for piece in itertools.chain.from_iterable(self._plan):
            values = self._activate(piece).T
            reach = truncate(piece.b, problem.truncation)
            totals[piece.chunk].addmm_(reach, values, alpha=form.scale)
            if uncoupled is not None and len(rest):
                c = uncoupled[piece.block].T
                rest[:, self._rows[piece.chunk]].addmm_(c, values, alpha=form.scale)
        if form.shift:
            for tile in self.cloud.tiles:
                reach = truncate(tile[: self.cloud.rank], problem.truncation)
                total.add_(reach.sum(1, keepdim=True), alpha=form.shift)
            if uncoupled is not None:
                rest.add_(uncoupled.sum(0)[:, None], alpha=form.shift)
        self.features = total.T / self.cloud.n_neurons
        self.uncoupled_features = rest.T / self.cloud.n_neurons
        self.outputs = outputs(self.features, problem.w, problem.gamma)
        forces = pull(self.outputs - y, problem.w, problem.gamma).T.contiguous()
        self._forces = [forces[:, rows] for rows in self._rows]
        self._force_sum = forces.sum(1, keepdim=True).mul_(form.shift)

    def _activate(self, piece: _Piece) -> Tensor:
        """tau(stretch x . u) of some samples and neurons."""
        torch.mm(self._x[piece.chunk], piece.u, out=piece.values)
        return self._form.tau.value_(piece.values)

    def _add_data_gradient(self, index: int, scale: float) -> None:
        r"""Add scale times the data part of grad V of a tile to its buffer (r + d, m).

        .. math:: \nabla_b V = \tau_R'(b) \odot \sum_i \sigma(u \cdot x_i) P_i, \qquad
            \nabla_u V = \sum_i (\tau_R(b) \cdot P_i)\, \sigma'(u \cdot x_i)\, x_i.
        """
        form, radius = self._form, self.problem.truncation
        alpha = scale * form.scale
        for piece in self._plan[index]:
            x, forces = self._x[piece.chunk], self._forces[piece.chunk]
            values = piece.values if self.keeps else self._activate(piece)
            if radius is None:
                piece.grad_b.addmm_(forces, values, alpha=alpha)
            else:
                slope = truncate_slope(piece.b, radius)
                piece.grad_b.addcmul_(slope, forces @ values, value=alpha)
            torch.mm(forces.T, truncate(piece.b, radius), out=piece.pulls)
            form.tau.times_slope_(piece.pulls, values)
            piece.grad_u.addmm_(x.T, piece.pulls, alpha=alpha)
        if form.shift:
            reach = self.cloud.tiles[index][: self.cloud.rank]
            slopes = 1.0 if radius is None else truncate_slope(reach, radius)
            buffer = self._buffers[reach.shape[1]]
            buffer[: self.cloud.rank].add_(self._force_sum * slopes, alpha=scale)

    def gradients(self) -> Iterator[Tensor]:
        """Gradients of V, tile by tile: (r + d, m), in a buffer that the next overwrites."""
        for index, tile in enumerate(self.cloud.tiles):
            buffer = torch.mul(tile, self.problem.decay, out=self._buffers[tile.shape[1]])
            self._add_data_gradient(index, 1.0)
            yield buffer

    def descend(self, eta: float, generator: torch.Generator) -> None:
        r"""Take one step, theta <- (1 - eta lambda_rho) theta - eta grad L + sqrt(2 eta/beta) xi.

        Eq. 20 with W fixed, grad L the data part of grad V at the outputs of :meth:`forward`.
        """
        scale = math.sqrt(2 * eta * self.problem.temperature)
        rate = 1 - eta * self.problem.decay
        for index, tile in enumerate(self.cloud.tiles):
            change = self._buffers[tile.shape[1]]
            if scale > 0:
                change.normal_(0, scale, generator=generator)
            else:
                change.zero_()
            self._add_data_gradient(index, -eta)
            torch.add(change, tile, alpha=rate, out=tile)


def _part(length: int, n_parts: int, multiple: int = 1) -> int:
    """Length of each of n_parts nearly equal parts, rounded up to a multiple."""
    step = -(-length // n_parts)
    return min(length, -(-step // multiple) * multiple)


def _cut(length: int, step: int) -> list[slice]:
    """Cut 0..length-1 into slices of `step`; the last may be shorter."""
    return [slice(k, min(k + step, length)) for k in range(0, length, step)]
