"""Finite clouds of neurons, and the laws they start from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.model.checks import row_major
from gibbs.model.problem import Problem

__all__ = ["Particles", "sample_normal", "sample_prior"]


@dataclass(frozen=True, eq=False)
class Particles:
    """N neurons theta_j = (a_j, u_j), each of weight 1/N, stored neuron after neuron.

    Parameters
    ----------
    a : Tensor (N, p)
        Outgoing weights.
    u : Tensor (N, d)
        Incoming weights, of the dtype and on the device of `a`.

    Raises
    ------
    ValueError
        If their shapes, dtypes or devices do not fit; the message says which.
    """

    a: Tensor
    u: Tensor

    def __post_init__(self) -> None:
        if self.a.ndim != 2 or self.u.ndim != 2 or len(self.a) != len(self.u) or not len(self.a):
            raise ValueError(
                "a and u must have shapes (N, p) and (N, d) with the same N >= 1, "
                f"got {tuple(self.a.shape)} and {tuple(self.u.shape)}"
            )
        if (self.a.dtype, self.a.device) != (self.u.dtype, self.u.device):
            raise ValueError(
                "a and u must share dtype and device, "
                f"got {self.a.dtype} on {self.a.device} and {self.u.dtype} on {self.u.device}"
            )
        for name in ("a", "u"):
            object.__setattr__(self, name, row_major(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.a)

    def clone(self) -> Particles:
        """Return a copy that shares no memory."""
        return Particles(self.a.clone(), self.u.clone())

    def to(self, target: torch.dtype | torch.device | str) -> Particles:
        """Return the cloud in another dtype or on another device."""
        return Particles(self.a.to(target), self.u.to(target))


def sample_prior(problem: Problem, n_particles: int, *, generator: torch.Generator) -> Particles:
    """Draw neurons from the prior rho_0 = N(0, I/(beta lambda_rho)), the Gibbs law of no data.

    Parameters
    ----------
    problem : Problem
        Gives beta, lambda_rho, the widths, dtype and device.
    n_particles : int
        N >= 1.
    generator : torch.Generator
        On the device of the problem.

    Raises
    ------
    ValueError
        At beta = inf, where the prior is a point mass at 0.
    """
    if math.isinf(problem.beta):
        raise ValueError("beta must be finite to draw from the prior, got inf: use sample_normal")
    scale = 1 / math.sqrt(problem.beta * problem.decay)
    return _sample_gaussian(problem, n_particles, scale, generator)


def sample_normal(problem: Problem, n_particles: int, *, generator: torch.Generator) -> Particles:
    """Draw neurons from N(0, I), where Algorithm 1 of the paper starts.

    Parameters are those of :func:`sample_prior`.
    """
    return _sample_gaussian(problem, n_particles, 1.0, generator)


def _sample_gaussian(
    problem: Problem, n_particles: int, scale: float, generator: torch.Generator
) -> Particles:
    if n_particles < 1:
        raise ValueError(f"n_particles must be >= 1, got {n_particles}")

    def draw(width: int) -> Tensor:
        noise = torch.randn(
            n_particles, width, dtype=problem.dtype, device=problem.device, generator=generator
        )
        return noise.mul_(scale)

    return Particles(a=draw(problem.n_features), u=draw(problem.n_inputs))
