"""The three-layer network: features, outputs and the kernel of the first layer."""

from __future__ import annotations

from torch import Tensor

from gibbs.model.activations import Activation
from gibbs.model.checks import row_major
from gibbs.model.particles import Particles
from gibbs.model.tiles import tiles
from gibbs.model.truncation import truncate

__all__ = ["NEURON_TILE", "features", "kernel", "outputs"]

NEURON_TILE, SAMPLE_TILE = 512, 1024
"""Neurons and samples handled at a time: the activations of such a tile stay in the cache."""


def features(
    x: Tensor, particles: Particles, activation: Activation, truncation: float | None = None
) -> Tensor:
    r"""Features of inputs, a mean over the neurons (Equations 1 and 2).

    .. math:: h(x) = \frac{1}{N} \sum_j \tau(a_j)\, \sigma(u_j \cdot x)

    Parameters
    ----------
    x : Tensor (n, d)
    particles : Particles
    activation : Activation
    truncation : float, optional
        Radius of tau; None means the identity.

    Returns
    -------
    Tensor (n, p)
        H. Memory above it: one tile of neurons by samples.
    """
    x = row_major(x)
    total = x.new_zeros(particles.a.shape[1], len(x))  # this way round it takes half the time
    for block in tiles(len(particles), NEURON_TILE):
        a, u = truncate(particles.a[block].T, truncation), particles.u[block]
        for some in tiles(len(x), SAMPLE_TILE):
            total[:, some].addmm_(a, activation.value_(u @ x[some].T))
    return total.div_(len(particles)).T.contiguous()


def outputs(features: Tensor, w: Tensor, gamma: float) -> Tensor:
    """Outputs Z = gamma H W (Equation 3), of shape (n, q), from H (n, p) and W (p, q)."""
    return features @ w * gamma


def kernel(x: Tensor, u: Tensor, activation: Activation) -> Tensor:
    r"""Kernel of the first layer (Equation 8), a mean over the neurons.

    .. math:: K_{ij} = \frac{1}{N} \sum_k \sigma(x_i \cdot u_k)\, \sigma(x_j \cdot u_k)

    Parameters
    ----------
    x : Tensor (n, d)
    u : Tensor (N, d)
    activation : Activation

    Returns
    -------
    Tensor (n, n)
        Symmetric, positive semidefinite.
    """
    x, u = row_major(x), row_major(u)
    total = x.new_zeros(len(x), len(x))
    for block in tiles(len(u), NEURON_TILE):
        values = activation.value_(u[block] @ x.T)
        total.addmm_(values.T, values)
    return total.div_(len(u))
