"""The largest stable step: curvature of the regularised loss along the flow of the neurons."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gibbs.model.energy import feature_gradient, neuron_gradient
from gibbs.model.network import NEURON_TILE
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles
from gibbs.model.truncation import truncate, truncate_slope

__all__ = ["apply_tangent_kernel", "largest_curvature"]


def apply_tangent_kernel(
    problem: Problem, particles: Particles, x: Tensor, direction: Tensor
) -> Tensor:
    r"""Apply the neural tangent kernel of the cloud to a direction in output space.

    While the neurons descend grad V, the outputs move by dZ/dt = -Theta (Z - Y) (up to the
    ridge term and the noise), with the positive semidefinite

    .. math:: \Theta v = \gamma\, E_\rho[(\tau'(a) \odot g_a)\, \sigma(u \cdot x)
        + \tau(a)\, \sigma'(u \cdot x)\, (g_u \cdot x)]^T W,

    where (g_a, g_u) is the data part of grad V for the residual v.

    Parameters
    ----------
    x : Tensor (n, d)
    direction : Tensor (n, q)
        v.

    Returns
    -------
    Tensor (n, q)
    """
    feature_gradients = feature_gradient(direction, problem.w, problem.gamma)
    change = torch.zeros_like(feature_gradients)
    for block in tiles(len(particles), NEURON_TILE):
        a, u = particles.a[block], particles.u[block]
        values = problem.sigma.value_(u @ x.T)
        slopes = problem.sigma.slope(values)
        grad_a, grad_u = neuron_gradient(problem, a, u, values, x, feature_gradients)
        grad_a -= problem.decay * a
        grad_u -= problem.decay * u
        if problem.truncation is not None:
            grad_a *= truncate_slope(a, problem.truncation)
        change += values.T @ grad_a
        change += (slopes * (grad_u @ x.T)).T @ truncate(a, problem.truncation)
    return change @ problem.w * (problem.gamma / len(particles))


def largest_curvature(
    apply: Callable[[Tensor], Tensor],
    decay: float,
    start: Tensor,
    n_iterations: int = 10,
    weight: Tensor | None = None,
) -> tuple[float, Tensor]:
    r"""Largest eigenvalue of the tangent kernel plus lambda_rho, by power iteration.

    Plain gradient descent along its eigenvector is stable for steps below 2 over this value.
    With sample weights, S their diagonal matrix, the outputs move by -Theta S (Z - Y), and the
    eigenvalue is that of the symmetric S^(1/2) Theta S^(1/2). Power iteration approaches it from
    below.

    Parameters
    ----------
    apply : callable
        Applies the tangent kernel to a direction (n, q), as :func:`apply_tangent_kernel` does.
    decay : float
        lambda_rho.
    start : Tensor (n, q)
        Where the iteration starts, S^(1/2) v for the residual v: then samples with weights
        start where their copies would. Ones where it is 0.
    n_iterations : int
    weight : Tensor (n,), optional
        The weights of these samples, of mean 1 over all samples; None means 1 for each.

    Returns
    -------
    float, Tensor (n, q)
        The value, and the direction it was found for: the start of the next call.
    """
    if not start.any():
        start = torch.ones_like(start)
    roots = None if weight is None else weight.sqrt()[:, None]
    direction = start / _norm(start)
    size = 0.0
    for _ in range(n_iterations):
        image = apply(direction if roots is None else roots * direction)
        if roots is not None:
            image = roots * image
        size = _norm(image)
        if not 0 < size < float("inf"):
            break
        direction = image / size
    return size + decay, direction


def _norm(values: Tensor) -> float:
    """Frobenius norm, summed in float64: in float32 its digits depend on the number of threads."""
    return float(values.double().square().sum().sqrt())
