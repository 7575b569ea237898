"""The q coordinates of the outgoing weights that follow the data, and the p - q that do not."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.network import neuron_blocks
from gibbs.problem import Problem

__all__ = ["Coupling", "Uncoupled", "couple"]


@dataclass(frozen=True, eq=False)
class Coupling:
    r"""An orthogonal change of coordinates of a, in which q coordinates couple.

    With the linear layer fixed, the loss sees a neuron's a only through W^T a (Eq. 3). With
    W = Q T, Q (p, q) orthonormal, it sees

    .. math:: W^T a = T^T b, \qquad b = Q^T a,

    and ridge term and noise are the same in all orthonormal coordinates. So (b, u) follow the
    dynamics (Eq. 20) of the problem with T in the place of W; the other p - q coordinates c are
    an Ornstein-Uhlenbeck process of their own, see :class:`Uncoupled`. A truncation acts on
    each coordinate of a: then all of them couple.

    Attributes
    ----------
    problem : Problem
        The problem of (b, u), with r = q features, or r = p where all coordinates couple.
    frame : Tensor (p, p) or None
        Orthogonal; its first r columns are Q. None is the identity, where r = p.
    """

    problem: Problem
    frame: Tensor | None

    def split(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates b (N, r) and c (N, p - r) of the rows of `a` (N, p)."""
        rank = self.problem.n_features
        if self.frame is None:
            return a, a[:, rank:]
        return a @ self.frame[:, :rank], a @ self.frame[:, rank:]

    def join(self, b: Tensor, c: Tensor) -> Tensor:
        """Rows a = Q b + Q' c (N, p) from their coordinates, Q' the rest of the frame."""
        if self.frame is None:
            return b
        rank = self.problem.n_features
        return (b @ self.frame[:, :rank].T).addmm_(c, self.frame[:, rank:].T)


def couple(problem: Problem) -> Coupling:
    """Return the coordinates in which as few as possible follow the data."""
    if problem.truncation is not None or problem.n_features == problem.n_outputs:
        return Coupling(problem, None)
    frame, triangle = torch.linalg.qr(problem.w.double(), mode="complete")
    small = triangle[: problem.n_outputs].to(problem.dtype).contiguous()
    return Coupling(dataclasses.replace(problem, w=small), frame.to(problem.dtype).contiguous())


class Uncoupled:
    r"""The coordinates c (N, p - q) without data, drawn only when they are looked at.

    One Euler-Maruyama step of Eq. 20 is c <- (1 - eta lambda_rho) c + sqrt(2 eta/beta) xi. With
    r_k = 1 - eta_k lambda_rho, k steps together are

    .. math:: c_k = f_k c_0 + \sqrt{s_k}\; \xi, \qquad f_{k+1} = r_k f_k, \quad
        s_{k+1} = r_k^2 s_k + 2 \eta_k / \beta,

    one normal draw a coordinate for any number of steps, in law exactly the chain.

    Parameters
    ----------
    values : Tensor (N, p - q)
        c before the first step; overwritten.
    decay, temperature : float
        lambda_rho and 1/beta.
    generator : torch.Generator
        Its own: how often one looks does not change the noise of the others.
    """

    def __init__(
        self, values: Tensor, decay: float, temperature: float, generator: torch.Generator | None
    ) -> None:
        self._values = values
        self._decay = decay
        self._temperature = temperature
        self._generator = generator
        self._factor, self._variance = 1.0, 0.0

    def advance(self, eta: float) -> None:
        """Take a step of size `eta`; nothing is drawn yet."""
        rate = 1 - eta * self._decay
        self._factor *= rate
        self._variance = rate * rate * self._variance + 2 * eta * self._temperature

    def draw(self) -> Tensor:
        """Draw c as it is now, (N, p - q); the next call goes on from there."""
        if self._values.numel() and self._factor != 1:
            self._values.mul_(self._factor)
        if self._values.numel() and self._variance > 0:
            scale = math.sqrt(self._variance)
            for block in neuron_blocks(len(self._values)):
                part = self._values[block]
                noise = torch.empty_like(part).normal_(generator=self._generator)
                part.add_(noise, alpha=scale)
        self._factor, self._variance = 1.0, 0.0
        return self._values
