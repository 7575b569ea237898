"""The q coordinates of the outgoing weights that follow the data, and the p - q that do not."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.dynamics.noise import Kick
from gibbs.model.network import NEURON_TILE
from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles

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
        """Coordinates b (N, r) and c (N, p - r) of the rows of `a` (N, p).

        They are computed in float64 and rounded, so that float32 is the same on every processor.
        """
        rank = self.problem.n_features
        if self.frame is None:
            return a, a[:, rank:]
        rotated = (a.double() @ self.frame.double()).to(a.dtype)
        return rotated[:, :rank].contiguous(), rotated[:, rank:].contiguous()

    def join(self, b: Tensor, c: Tensor) -> Tensor:
        """Rows a = Q b + Q' c (N, p) from their coordinates, Q' the rest of the frame."""
        if self.frame is None:
            return b
        rank = self.problem.n_features
        return (b @ self.frame[:, :rank].T).addmm_(c, self.frame[:, rank:].T)


def couple(problem: Problem, *, fixed: bool = True) -> Coupling:
    """Return the coordinates in which as few as possible follow the data.

    Where W is not `fixed`, its range moves, and all coordinates couple.
    """
    all_follow = problem.truncation is not None or problem.n_features == problem.n_outputs
    if all_follow or not fixed:
        return Coupling(problem, None)
    frame, triangle = torch.linalg.qr(problem.w.double(), mode="complete")
    small = triangle[: problem.n_outputs].to(problem.dtype).contiguous()
    return Coupling(dataclasses.replace(problem, w=small), frame.to(problem.dtype).contiguous())


class Uncoupled:
    r"""The coordinates c (N, p - q) that do not depend on the data, drawn only when needed.

    With r = 1 - eta lambda_rho and the noise of a step in two parts (class `Kick`), the network is
    evaluated in step k at c_k + before_k xi_k, and a step (Eq. 20) is

    .. math:: c_{k+1} = r_k (c_k + \mathrm{before}_k\, \xi_k) + \mathrm{after}_k\, \xi_k .

    From step 0 to step k together that is

    .. math:: c_k = f_k c_0 + \sqrt{s_k}\; \xi, \qquad f_{k+1} = r_k f_k, \quad
        s_{k+1} = r_k^2 s_k + (r_k\, \mathrm{before}_k + \mathrm{after}_k)^2,

    one normal number a coordinate for any number of steps, with exactly the law of the chain.

    Parameters
    ----------
    values : Tensor (N, p - q)
        c before the first step; overwritten.
    generator : torch.Generator or None
        Its own, so that the number of evaluations does not change the noise of the other
        coordinates. None at temperature 0.
    """

    def __init__(self, values: Tensor, generator: torch.Generator | None) -> None:
        self._values = values
        self._generator = generator
        self._factor, self._variance = 1.0, 0.0
        self._kick, self._rate = Kick(0.0, 0.0), 1.0
        self._xi: Tensor | None = None

    def begin(self, kick: Kick, rate: float) -> None:
        """Begin a step; nothing is drawn yet."""
        self._kick, self._rate = kick, rate

    def end(self) -> None:
        """End the step; noise that has been drawn is used, nothing else is drawn."""
        scale = self._rate * self._kick.before + self._kick.after
        if self._xi is not None:  # c has been drawn at this step
            self._values.mul_(self._rate).add_(self._xi, alpha=scale)
            self._xi = None
            return
        self._factor *= self._rate
        self._variance = self._rate * self._rate * self._variance + scale * scale

    def current(self) -> Tensor:
        """Draw c where the network is evaluated in this step, (N, p - q)."""
        if not self._values.numel():
            return self._values
        if self._factor != 1:
            self._values.mul_(self._in_range(self._factor))
        if self._variance > 0:
            self._add_noise(self._values, self._in_range(math.sqrt(self._variance)))
        self._factor, self._variance = 1.0, 0.0
        if self._kick.before == 0:
            return self._values
        if self._xi is None:
            self._xi = torch.zeros_like(self._values)
            self._add_noise(self._xi, 1.0)
        return self._values + self._kick.before * self._xi

    def _in_range(self, value: float) -> float:
        """The value, or infinity if the dtype cannot hold it: then the chain diverges."""
        return value if abs(value) < torch.finfo(self._values.dtype).max else math.inf

    def _add_noise(self, values: Tensor, scale: float) -> None:
        for block in tiles(len(values), NEURON_TILE):
            part = values[block]
            noise = torch.empty_like(part).normal_(generator=self._generator)
            part.add_(noise, alpha=scale)

    def state_dict(self) -> dict[str, Tensor]:
        """The state in a step in which :meth:`current` has been called."""
        sizes = (self._kick.before, self._kick.after, self._rate)
        state = {"c": self._values, "kick": torch.tensor(sizes, dtype=torch.float64)}
        if self._xi is not None:
            state["xi"] = self._xi
        if self._generator is not None:
            state["generator"] = self._generator.get_state()
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state."""
        self._values.copy_(state["c"])
        before, after, self._rate = state["kick"].tolist()
        self._kick = Kick(before, after)
        self._factor, self._variance = 1.0, 0.0
        self._xi = state["xi"].to(self._values.device) if "xi" in state else None
        if self._generator is not None:
            self._generator.set_state(state["generator"])
