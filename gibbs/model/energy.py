"""Losses, the first variation of the regularised loss, and its gradient in each neuron."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from gibbs.model.network import NEURON_TILE, features, outputs
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles
from gibbs.model.truncation import truncate, truncate_slope

__all__ = [
    "add_ridge",
    "data_loss",
    "feature_gradient",
    "first_variation",
    "first_variation_gradient",
    "mean_square",
    "neuron_gradient",
    "prior_energy",
    "regularized_loss",
]

Scalar = TypeVar("Scalar", float, Tensor)


def data_loss(outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Squared-error loss L_n = sum_i s_i |Z_i - Y_i|^2 / (2n), a scalar; Z and Y are (n, q).

    `weight` (n,) holds the s_i, of mean 1 over all samples; None means 1 for each.
    """
    squares = (outputs - y).square()
    if weight is not None:
        squares = weight[:, None] * squares
    return squares.sum() / (2 * len(y))


def prior_energy(problem: Problem) -> float:
    r"""Free energy of the prior, relative to itself: an upper bound on the least one.

    Under rho_0 = N(0, I/(beta lambda_rho)) the mean of tau(a) sigma(u.x) is 0, since tau is odd and
    a is independent of u. So the outputs are 0, the divergence is 0, and

    .. math:: E(\rho_0) = \sum_i s_i |Y_i|^2 / (2n),

    which is 1/2 for one-hot targets, the s_i having mean 1.
    """
    return float(data_loss(torch.zeros_like(problem.y), problem.y, problem.sample_weight))


def mean_square(particles: Particles) -> Tensor:
    """Mean of |theta|^2 = |a|^2 + |u|^2 over the neurons, a scalar."""
    return (particles.a.square().sum() + particles.u.square().sum()) / len(particles)


def add_ridge(loss: Scalar, *terms: tuple[float, Scalar]) -> Scalar:
    r"""A loss with its L2 terms, each a weight lambda and a squared norm.

    .. math:: L + \tfrac{1}{2} \textstyle\sum_k \lambda_k |\cdot|_k^2

    The regularised loss (Eq. 4) is L_n with lambda_rho, E|theta|^2 and with lambda_w, |W|_F^2.

    Examples
    --------
    >>> add_ridge(1.0, (0.5, 4.0), (2.0, 3.0))
    5.0
    """
    return loss + sum(weight * square for weight, square in terms) / 2


def regularized_loss(problem: Problem, particles: Particles, lambda_w: float = 0.0) -> Tensor:
    """Regularised loss (Equation 4), a scalar: :func:`add_ridge` of all terms.

    `lambda_w` is 0 by default: in stage one W is fixed and its term is a constant. The
    entropy of the free energy (Eq. 5) is not in it: a finite cloud has none.
    """
    h = features(problem.x, particles, problem.sigma, problem.truncation)
    loss = data_loss(outputs(h, problem.w, problem.gamma), problem.y, problem.sample_weight)
    layer = (lambda_w, problem.w.square().sum())
    return add_ridge(loss, (problem.decay, mean_square(particles)), layer)


def feature_gradient(
    residual: Tensor, w: Tensor, gamma: float, weight: Tensor | None = None
) -> Tensor:
    """Gradient of L_n in the features: P_i = (gamma/n) s_i W (Z_i - Y_i), rows of P (n, p).

    Row i is the gradient in the features of sample i, and the data part of V(theta) is
    sum_i (tau(a) . P_i) sigma(u . x_i). `weight` (n,) holds the s_i, of mean 1 over all samples
    of the problem, of which these may be a batch; None means 1 for each.
    """
    if weight is not None:
        residual = weight[:, None] * residual
    return residual @ w.T * (gamma / len(residual))


def first_variation(problem: Problem, particles: Particles, residual: Tensor) -> Tensor:
    r"""First variation of the regularised loss at each neuron, (N,).

    .. math:: V(\theta) = \frac{\gamma}{n} \sum_i s_i (\tau(a) \cdot W r_i)\, \sigma(u \cdot x_i)
        + \frac{\lambda_\rho}{2} |\theta|^2

    with residual r = Z - Y (n, q), which need not be the residual of these very particles.
    The Gibbs minimizer (Eq. 27) is proportional to exp(-beta V), V taken at its own residual.
    """
    feature_gradients = feature_gradient(residual, problem.w, problem.gamma, problem.sample_weight)
    values = problem.sigma(particles.u @ problem.x.T)
    data = ((truncate(particles.a, problem.truncation) @ feature_gradients.T) * values).sum(1)
    ridge = particles.a.square().sum(1) + particles.u.square().sum(1)
    return data + problem.decay / 2 * ridge


def neuron_gradient(
    problem: Problem,
    a: Tensor,
    u: Tensor,
    values: Tensor,
    x: Tensor,
    feature_gradients: Tensor,
    work: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Gradient of the first variation V in some neurons, by hand.

    .. math::

        \nabla_a V &= \tau'(a) \odot \sum_i \sigma(u \cdot x_i) P_i + \lambda_\rho a \\
        \nabla_u V &= \sum_i (\tau(a) \cdot P_i)\, \sigma'(u \cdot x_i)\, x_i + \lambda_\rho u

    It is N times the gradient of the regularised loss of the N-neuron network.

    Parameters
    ----------
    problem : Problem
        Gives activation, truncation and lambda_rho.
    a, u : Tensor (m, p), (m, d)
    values : Tensor (m, n)
        sigma(u . x_i), which the forward pass has.
    x : Tensor (n, d)
        The samples: all of the problem's, or a batch.
    feature_gradients : Tensor (n, p)
        P of :func:`feature_gradient`, from the residuals of these samples.
    work : two Tensors (m, n), optional
        Scratch space, overwritten; a caller in a loop saves its allocation.

    Returns
    -------
    Tensor (m, p), Tensor (m, d)
        grad_a V and grad_u V.
    """
    grad_a = values @ feature_gradients
    truncated = a
    if problem.truncation is not None:
        grad_a *= truncate_slope(a, problem.truncation)
        truncated = truncate(a, problem.truncation)
    slopes, deltas = work or (torch.empty_like(values), torch.empty_like(values))
    problem.sigma.slope_(values, slopes)
    slopes.mul_(torch.mm(truncated, feature_gradients.T, out=deltas))
    grad_u = slopes @ x
    return grad_a.add_(a, alpha=problem.decay), grad_u.add_(u, alpha=problem.decay)


def first_variation_gradient(problem: Problem, particles: Particles) -> Particles:
    """Gradient of V in every neuron of a cloud, V taken at the cloud's own residual.

    Returns it as `Particles` with `.a` = grad_a V (N, p) and `.u` = grad_u V (N, d); see
    :func:`neuron_gradient` for the formula.
    """
    h = features(problem.x, particles, problem.sigma, problem.truncation)
    residual = outputs(h, problem.w, problem.gamma) - problem.y
    feature_gradients = feature_gradient(residual, problem.w, problem.gamma, problem.sample_weight)
    gradient = Particles(torch.empty_like(particles.a), torch.empty_like(particles.u))
    for block in tiles(len(particles), NEURON_TILE):
        a, u = particles.a[block], particles.u[block]
        values = problem.sigma.value_(u @ problem.x.T)
        gradient.a[block], gradient.u[block] = neuron_gradient(
            problem, a, u, values, problem.x, feature_gradients
        )
    return gradient
