r"""eps_S (Definition 4.1) of a cloud from below: a part of a gradient is seen without a density.

Of a law rho with a density let v = grad (dE/drho) = grad V + (1/beta) grad log rho. By parts, for
any field phi of vectors,

.. math:: E[v \cdot \phi] = E[\nabla V \cdot \phi - \tfrac1\beta \operatorname{div} \phi] =: b_\phi,
    \qquad E|v|^2 \ge b^T \Gamma^{+} b, \quad \Gamma_{kl} = E[\phi_k \cdot \phi_l],

for the parts of v in a and in u each on its own. The fields are the gradients of
(a.w) sum_i e_i sigma(u.x_i), w in the range of W and e an eigenvector of K, and a and u themselves.
At a Gibbs form of its own G and W, v is a sum of the former, and at a Gaussian
of another width than the prior's of the latter: there the bound is an equality.

Over N neurons b is a mean, and the form is too large by tr(Gamma^+ C)/N on average, C the
covariance of one neuron's share, the residual Z - Y being a mean over neurons itself: that is
subtracted, and the square may be negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs import Activation, Particles, Problem, truncate, truncate_slope
from gibbs.model.tiles import tiles

__all__ = ["LEAST_NEURONS", "Projected", "projected_squares"]

LEAST_NEURONS = 40
"""Neurons at least: with fewer the noise of the bound cannot be estimated."""

NEURONS_A_DIRECTION = 20
MOST_DIRECTIONS = 30
MOST_FIELDS = 120
"""Of K at most so many eigenvectors, times the rank of W."""

FLOATS = 2**22
"""Numbers in one array of fields at a time."""

DIFFERENCE = 1e-4
"""Step of the difference that makes sigma''."""


@dataclass(frozen=True)
class Projected:
    """A mean square from below, less its bias, and its standard error over the neurons."""

    square: float
    stderr: float


def projected_squares(
    problem: Problem, cloud: Particles, kernel: Tensor, feature_gradients: Tensor
) -> tuple[Projected, Projected]:
    """E|grad_a|^2 and E|grad_u|^2 of the law behind a cloud, from below.

    Of an activation with kinks the second is 0: sigma'' is no function.

    Parameters
    ----------
    problem : Problem
        In float64, beta finite.
    cloud : Particles
        In float64, of at least LEAST_NEURONS neurons.
    kernel : Tensor (n, n)
        K of the cloud.
    feature_gradients : Tensor (n, p)
        P = (gamma/n)(Z - Y) W^T.
    """
    left, sizes, _ = torch.linalg.svd(problem.w, full_matrices=False)
    left = left[:, sizes > 1e-12 * sizes.max().clamp(min=1e-300)]
    values, vectors = torch.linalg.eigh(kernel)
    most = min(
        MOST_DIRECTIONS,
        len(cloud) // NEURONS_A_DIRECTION,
        MOST_FIELDS // max(1, left.shape[1]),
        int((values > 1e-10 * values[-1]).sum()),
    )
    fields = _Fields(problem, feature_gradients, vectors[:, len(values) - most :], left)
    smooth = math.isfinite(problem.sigma.max_curvature)
    size = most * left.shape[1]
    gram_a, gram_u = (
        feature_gradients.new_zeros(size + 1, size + 1),
        feature_gradients.new_zeros(size + 1, size + 1),
    )
    total = feature_gradients.new_zeros(3 * size + 2)
    squares = feature_gradients.new_zeros(len(total), len(total))
    tile_size = max(1, FLOATS // max(1, size * problem.n_inputs, problem.n_samples))
    for tile in tiles(len(cloud), tile_size):
        a, u = cloud.a[tile], cloud.u[tile]
        in_a, more_a, response = fields.in_a(a, u)
        in_u, more_u = fields.in_u(a, u) if smooth else (torch.zeros_like(in_a), gram_u)
        gram_a, gram_u = gram_a + more_a, gram_u + more_u
        shares = torch.cat([in_a, in_u, response], 1)
        total += shares.sum(0)
        squares += shares.T @ shares
    count = len(cloud)
    mean, covariance = total / count, squares / count - torch.outer(total, total) / count**2
    result = []
    for part, products in ((slice(0, size + 1), gram_a), (slice(size + 1, 2 * size + 2), gram_u)):
        gram = products / count
        follow = problem.gamma**2 / problem.n_samples * gram[:, :size]
        mixed = torch.zeros(size + 1, len(total), dtype=gram.dtype)
        mixed[:, part] = torch.eye(size + 1, dtype=gram.dtype)
        mixed[:, 2 * size + 2 :] = follow
        result.append(_form(gram, mean[part], mixed @ covariance @ mixed.T / count))
    return result[0], result[1]


def _form(gram: Tensor, b: Tensor, noise: Tensor) -> Projected:
    """b^T Gamma^+ b less its bias, with `noise` the covariance of b."""
    scale = gram.diagonal().clamp(min=0).sqrt()
    scale = torch.where(scale > 0, 1 / scale, 0.0)
    values, vectors = torch.linalg.eigh(scale[:, None] * gram * scale)
    kept = values > 1e-10 * values.max()
    root = (scale[:, None] * vectors[:, kept]) / values[kept].sqrt()
    along, spread = root.T @ b, root.T @ noise @ root
    square = float(along @ along - spread.trace())
    variance = 4 * float(along @ spread @ along) + 2 * float(spread.square().sum())
    return Projected(square, math.sqrt(max(0.0, variance)))


@dataclass(frozen=True, eq=False)
class _Fields:
    """The fields at some neurons: shares of b, sums of products, and the response of P."""

    problem: Problem
    feature_gradients: Tensor
    vectors: Tensor
    range_w: Tensor

    def in_a(self, a: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """grad_a V . phi - div phi / beta, the Gram matrix, and the response of P, by neuron."""
        problem, w = self.problem, self.problem.w
        s = problem.sigma(u @ problem.x.T)
        product = s @ self.feature_gradients
        if problem.truncation is not None:
            product = product * truncate_slope(a, problem.truncation)
        gradient, basis = problem.decay * a + product, s @ self.vectors
        own = (a * gradient).sum(1) - a.shape[1] / problem.beta
        shares = torch.cat([_outer(basis, gradient @ self.range_w), own[:, None]], 1)
        crossed = _outer(basis, a @ self.range_w).sum(0)
        gram = _bordered(
            torch.kron(basis.T @ basis, torch.eye(self.range_w.shape[1], dtype=a.dtype)),
            crossed,
            a.square().sum(),
        )
        truncated = truncate(a, problem.truncation)
        return shares, gram, _outer(basis, truncated @ w @ w.T @ self.range_w)

    def in_u(self, a: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """The same in u."""
        problem, x = self.problem, self.problem.x
        truncated, z = truncate(a, problem.truncation), u @ x.T
        slopes = _slope(problem.sigma, z)
        bends = _slope(problem.sigma, z + DIFFERENCE) - _slope(problem.sigma, z - DIFFERENCE)
        gradient = problem.decay * u + (slopes * (truncated @ self.feature_gradients.T)) @ x
        moves = x.new_empty(len(u), self.vectors.shape[1], x.shape[1])
        for k, column in enumerate(self.vectors.T):
            moves[:, k] = (slopes * column) @ x
        spread = bends * x.square().sum(1) / (2 * DIFFERENCE) @ self.vectors
        along = (moves * gradient[:, None]).sum(2) - spread / problem.beta
        coupled = truncated @ self.range_w
        own = (u * gradient).sum(1) - u.shape[1] / problem.beta
        shares = torch.cat([_outer(along, coupled), own[:, None]], 1)
        fields = (moves[:, :, None] * coupled[:, None, :, None]).flatten(1, 2)
        crossed = (fields * u[:, None]).sum((0, 2))
        flat = fields.transpose(0, 1).flatten(1)
        return shares, _bordered(flat @ flat.T, crossed, u.square().sum())


def _outer(first: Tensor, second: Tensor) -> Tensor:
    """Products of every column with every column, row by row: (t, r), (t, q) to (t, r q)."""
    return (first[:, :, None] * second[:, None]).flatten(1)


def _bordered(square: Tensor, side: Tensor, corner: Tensor) -> Tensor:
    top = torch.cat([square, side[:, None]], 1)
    return torch.cat([top, torch.cat([side, corner[None]])[None]])


def _slope(sigma: Activation, z: Tensor) -> Tensor:
    return sigma.slope(sigma(z))
