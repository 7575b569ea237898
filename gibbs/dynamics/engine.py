"""One step of the neurons: forward and backward pass in tiles that stay in the cache."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gibbs.dynamics.cloud import TiledCloud
from gibbs.dynamics.curvature import apply_tangent_kernel
from gibbs.dynamics.noise import Kick, TiledNoise
from gibbs.model.activations import ACTIVATIONS, Activation
from gibbs.model.energy import feature_gradient
from gibbs.model.network import outputs
from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles
from gibbs.model.truncation import truncate, truncate_slope

__all__ = ["TorchEngine"]

CACHE = 720 * 2**10
"""Bytes of each of the two work arrays (samples by neurons): both fit the second-level cache."""

MAX_ROWS = 1024
"""Samples handled at a time."""

BUDGET = 8 * 2**20
"""Bytes of activations kept from the forward to the backward pass. Beyond it they are computed
again, which takes about as long as reading them back, and no memory."""

WIDE, WIDE_BUDGET = 64, 256 * 2**20
"""From this many inputs on computing them again takes longer, and more bytes are kept."""


@dataclass(frozen=True)
class _Form:
    """An activation as sigma(z) = shift + scale tau(stretch z), with a tau that costs less."""

    tau: Activation
    shift: float = 0.0
    scale: float = 1.0
    stretch: float = 1.0


def _form_of(activation: Activation, dtype: torch.dtype) -> _Form:
    """tanh(z) = 2 sigmoid(2z) - 1: in float32 the tanh of torch is slow on some processors."""
    if activation is ACTIVATIONS["tanh"] and dtype == torch.float32:
        return _Form(ACTIVATIONS["sigmoid"], -1.0, 2.0, 2.0)
    return _Form(activation)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some samples by some neurons of a tile: views made once, as a step has thousands.

    Attributes
    ----------
    chunk : int
        Which samples.
    tile : int
    columns : slice
        Which neurons of the tile.
    block : slice
        Which neurons of the cloud.
    b, u : Tensor (r, m), (d, m)
        Of the tile.
    grad_b, grad_u : Tensor (r, m), (d, m)
        Of the buffer for gradient and noise.
    values, deltas : Tensor (samples, m)
        Work arrays: the activations, and the gradients in the pre-activations.
    """

    chunk: int
    tile: int
    columns: slice
    block: slice
    b: Tensor
    u: Tensor
    grad_b: Tensor
    grad_u: Tensor
    values: Tensor
    deltas: Tensor


class TorchEngine:
    """Passes of a cloud over batches of a fixed number of samples, in kept buffers.

    Parameters
    ----------
    problem : Problem
        Gives W, gamma, activation, truncation, lambda_rho and beta.
    cloud : TiledCloud
        Moved by :meth:`descend`, in place.
    n_rows : int
        Samples of a batch.
    noise : TiledNoise
    """

    def __init__(self, problem: Problem, cloud: TiledCloud, n_rows: int, noise: TiledNoise) -> None:
        self.problem = problem
        self.w = problem.w
        self.cloud = cloud
        self.noise = noise
        self._form = _form_of(problem.sigma, problem.dtype)
        size = problem.x.element_size()
        budget = WIDE_BUDGET if problem.n_inputs >= WIDE else BUDGET
        self.keeps = cloud.n_neurons * n_rows * size <= budget
        self._rows = tiles(n_rows, _part(n_rows, -(-n_rows // MAX_ROWS)))
        self._buffers = {tile.shape[1]: torch.empty_like(tile) for tile in cloud.tiles[::-1]}
        height = self._rows[0].stop
        steps = {
            width: _part(width, -(-width * height * size // CACHE), multiple=16)
            for width in self._buffers
        }
        area = height * max(steps.values())
        work = problem.x.new_empty(area)
        values = problem.x.new_empty(cloud.n_neurons * n_rows if self.keeps else area)
        self._plan: list[list[_Piece]] = []
        taken = 0
        for index, tile in enumerate(cloud.tiles):
            pieces = []
            for columns in tiles(tile.shape[1], steps[tile.shape[1]]):
                for chunk, rows in enumerate(self._rows):
                    shape = (rows.stop - rows.start, columns.stop - columns.start)
                    own = values[taken : taken + shape[0] * shape[1]].view(shape)
                    deltas = work[: own.numel()].view(shape)
                    pieces.append(self._piece(index, chunk, columns, own, deltas))
                    taken += own.numel() if self.keeps else 0
            self._plan.append(pieces)

    def _piece(
        self, index: int, chunk: int, columns: slice, values: Tensor, deltas: Tensor
    ) -> _Piece:
        rank, tile = self.cloud.rank, self.cloud.tiles[index]
        first = self.cloud.blocks[index].start
        block = slice(first + columns.start, first + columns.stop)
        theta, gradient = tile[:, columns], self._buffers[tile.shape[1]][:, columns]
        return _Piece(
            chunk,
            index,
            columns,
            block,
            theta[:rank],
            theta[rank:],
            gradient[:rank],
            gradient[rank:],
            values,
            deltas,
        )

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        *,
        weight: Tensor | None = None,
        uncoupled: Tensor | None = None,
    ) -> None:
        r"""Compute features, outputs (Eqs. 1 to 3) and the gradient of the loss in the features.

        Sets `features` (n, r), `outputs` (n, q), `residual` (n, q), Z - Y times the weights of
        the samples (n,), and with `uncoupled` (N, k), further coordinates of the a's,
        `uncoupled_features` (n, k).
        """
        problem, form = self.problem, self._form
        x = x if form.stretch == 1 else x * form.stretch
        self._x = [x[rows] for rows in self._rows]
        total = x.new_zeros(self.cloud.rank, len(x))
        rest = x.new_zeros(0 if uncoupled is None else uncoupled.shape[1], len(x))
        totals = [total[:, rows] for rows in self._rows]
        for piece in itertools.chain.from_iterable(self._plan):
            values = self._activate(piece).T
            truncated = truncate(piece.b, problem.truncation)
            totals[piece.chunk].addmm_(truncated, values, alpha=form.scale)
            if uncoupled is not None and len(rest):
                c = uncoupled[piece.block].T
                rest[:, self._rows[piece.chunk]].addmm_(c, values, alpha=form.scale)
        if form.shift:
            for tile in self.cloud.tiles:
                truncated = truncate(tile[: self.cloud.rank], problem.truncation)
                total.add_(truncated.sum(1, keepdim=True), alpha=form.shift)
            if uncoupled is not None:
                rest.add_(uncoupled.sum(0)[:, None], alpha=form.shift)
        self.features = total.T / self.cloud.n_neurons
        self.uncoupled_features = rest.T / self.cloud.n_neurons
        self.outputs = outputs(self.features, self.w, problem.gamma)
        self.residual = self.outputs - y
        if weight is not None:
            self.residual.mul_(weight[:, None])
        feature_gradients = feature_gradient(self.residual, self.w, problem.gamma).T.contiguous()
        self._feature_gradients = [feature_gradients[:, rows] for rows in self._rows]
        self._feature_gradient_sum = feature_gradients.sum(1, keepdim=True).mul_(form.shift)

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
            x, feature_gradients = self._x[piece.chunk], self._feature_gradients[piece.chunk]
            values = piece.values if self.keeps else self._activate(piece)
            if radius is None:
                piece.grad_b.addmm_(feature_gradients, values, alpha=alpha)
            else:
                slope = truncate_slope(piece.b, radius)
                piece.grad_b.addcmul_(slope, feature_gradients @ values, value=alpha)
            torch.mm(feature_gradients.T, truncate(piece.b, radius), out=piece.deltas)
            form.tau.times_slope_(piece.deltas, values)
            piece.grad_u.addmm_(x.T, piece.deltas, alpha=alpha)
        if form.shift:
            truncated = self.cloud.tiles[index][: self.cloud.rank]
            slopes = 1.0 if radius is None else truncate_slope(truncated, radius)
            buffer = self._buffers[truncated.shape[1]]
            buffer[: self.cloud.rank].add_(self._feature_gradient_sum * slopes, alpha=scale)

    def squared_gradient(self) -> float:
        """Sum over the neurons of |grad V|^2, of the coordinates that couple."""
        total = 0.0
        for index, tile in enumerate(self.cloud.tiles):
            gradient = torch.mul(tile, self.problem.decay, out=self._buffers[tile.shape[1]])
            self._add_data_gradient(index, 1.0)
            total += float(gradient.square().sum())
        return total

    def tangent(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Tangent kernel: :func:`gibbs.dynamics.curvature.apply_tangent_kernel`."""
        problem = copy.copy(self.problem)
        object.__setattr__(problem, "w", self.w)
        return partial(apply_tangent_kernel, problem, self.cloud.particles(), x)

    def layer_gradient(self, lambda_w: float) -> Tensor:
        r"""Gradient of Eq. 4 in W, (r, q).

        .. math:: \tfrac{\gamma}{n} H^T (Z - Y) + \lambda_w W .
        """
        scale = self.problem.gamma / len(self.residual)
        return torch.addmm(self.w, self.features.T, self.residual, beta=lambda_w, alpha=scale)

    def begin(self, kick: Kick) -> None:
        """Begin a step: move the cloud by the noise that comes before the gradient."""
        self.noise.begin(kick)

    def descend(self, eta: float) -> None:
        r"""Take one step of every neuron (Eq. 20).

        With xi ~ N(0, I) that is

        .. math:: \theta \leftarrow \theta - \eta \nabla V(\theta) + \sqrt{2\eta/\beta}\; \xi
            = (1 - \eta\lambda_\rho)\, \theta - \eta \nabla L(\theta) + \sqrt{2\eta/\beta}\; \xi,

        grad L the data part of grad V at the outputs of :meth:`forward`. The noise comes from
        `noise.fill`, which writes sqrt(2 eta/beta) xi, or the part of it that its scheme
        (:class:`gibbs.dynamics.noise.Scheme`) leaves for after the gradient.
        """
        rate = 1 - eta * self.problem.decay
        for index, tile in enumerate(self.cloud.tiles):
            change = self._buffers[tile.shape[1]]
            self.noise.fill(index, change)
            self._add_data_gradient(index, -eta)
            torch.add(change, tile, alpha=rate, out=tile)


def _part(length: int, n_parts: int, multiple: int = 1) -> int:
    """Length of each of n_parts nearly equal parts, rounded up to a multiple."""
    step = -(-length // n_parts)
    return min(length, -(-step // multiple) * multiple)
