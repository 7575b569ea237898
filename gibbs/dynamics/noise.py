"""The noise of a step: where in the step it enters, and which part of it is drawn later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import torch
from torch import Tensor

from gibbs.dynamics.cloud import TiledCloud
from gibbs.dynamics.snapshot import Stateful

__all__ = ["BatchNoise", "DelayedNoise", "Kick", "Noise", "Scheme", "TiledNoise", "check_scheme"]


@dataclass(frozen=True)
class Kick:
    """Standard deviations of the two parts of a step's noise, which share one xi.

    Attributes
    ----------
    before, after : float
        The neurons move by before * xi, then the gradient is taken, then they move by
        after * xi together with the gradient step.
    """

    before: float
    after: float


class Scheme(StrEnum):
    r"""How the noise enters a step of the dynamics (Eq. 20).

    - "euler" (Euler and Maruyama), with s = sqrt(2 eta/beta):

      .. math:: \theta_{k+1} = \theta_k - \eta \nabla V(\theta_k) + s\, \xi_k

      Averages over its stationary law are off by O(eta).

    - "leimkuhler_matthews", one gradient a step as well:

      .. math:: \theta_{k+1} = \theta_k - \eta \nabla V(\theta_k) + s (\xi_k + \xi_{k+1})/2

      Off by O(eta^2); exact where V is quadratic. It keeps the noise of a step, N (r + d)
      numbers. (B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013.) The N neurons
      together are a Langevin dynamics in the potential N L(theta_1, ..., theta_N), so the
      order is that of one particle in a fixed potential. On batches the noise of the gradient,
      of variance O(eta^2) a step, leaves a bias of O(eta) with either scheme.
    """

    EULER = "euler"
    LEIMKUHLER_MATTHEWS = "leimkuhler_matthews"

    def kick(self, scale: float, first: bool) -> Kick:
        """Split the noise of a step of standard deviation `scale`."""
        if self is Scheme.EULER:
            return Kick(0.0, scale)
        return Kick(0.0 if first else scale / 2, scale / 2)


def check_scheme(name: str) -> Scheme:
    """The scheme of this name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in list(Scheme):
        raise ValueError(f"scheme must be one of {', '.join(Scheme)}, got {name!r}")
    return Scheme(name)


@dataclass(frozen=True, eq=False)
class BatchNoise:
    """The part that m samples depend on of the noise that has not been drawn yet.

    Attributes
    ----------
    factor : Tensor (m, m)
    gain : Tensor (d, m)
    normals : list of Tensor (m, width of the tile)
        Along the samples, the noise of a tile is factor @ normals; given that, the mean of all of
        it is gain @ normals.
    """

    factor: Tensor
    gain: Tensor
    normals: list[Tensor]


class Noise(Stateful, Protocol):
    """The noise of the tiles of a cloud, step by step: begin, on_batch, fill each tile, end.

    Its state is that after :meth:`flush` in a step that has begun.

    Attributes
    ----------
    moves_u : bool
        Whether :meth:`on_batch` gives all noise of the u's: :meth:`fill` leaves their rows alone.
    """

    moves_u: bool

    def begin(self, kick: Kick, rate: float) -> None:
        """Begin a step theta <- rate * theta + ..., and move the cloud by the first part."""

    def on_batch(self, x: Tensor) -> BatchNoise | None:
        """The part that the samples (m, d) depend on of noise that is not in the cloud yet."""

    def fill(self, index: int, out: Tensor) -> None:
        """Overwrite `out`, of the shape of a tile, with the rest of the noise of the step."""

    def end(self) -> None:
        """End the step, once every tile has been filled and moved."""

    def flush(self) -> None:
        """Add all noise of past steps to the cloud."""


class TiledNoise:
    """Noise drawn tile by tile, when it is needed: exact for every scheme."""

    moves_u = False

    def __init__(self, cloud: TiledCloud, generator: torch.Generator) -> None:
        self._cloud = cloud
        self._generator = generator
        self._kick = Kick(0.0, 0.0)
        self._kept: list[Tensor] = []

    def begin(self, kick: Kick, _rate: float) -> None:
        """Draw the noise of the step, where its first part enters before the gradient."""
        self._kick = kick
        if kick.before == 0:
            self._kept = []
            return
        self._kept = self._kept or [torch.empty_like(tile) for tile in self._cloud.tiles]
        for tile, xi in zip(self._cloud.tiles, self._kept, strict=True):
            tile.add_(xi.normal_(generator=self._generator), alpha=kick.before)

    def on_batch(self, _x: Tensor) -> None:
        """None: the cloud has all noise of past steps."""
        return

    def fill(self, index: int, out: Tensor) -> None:
        """Write after * xi of a tile."""
        if self._kept:
            torch.mul(self._kept[index], self._kick.after, out=out)
        elif self._kick.after > 0:
            out.normal_(0, self._kick.after, generator=self._generator)
        else:
            out.zero_()

    def end(self) -> None:
        """Do nothing: all noise of the step has been added."""

    def flush(self) -> None:
        """Do nothing: no noise is pending."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the noise of a step that has begun."""
        scales = torch.tensor([self._kick.before, self._kick.after], dtype=torch.float64)
        kept = {"kept": torch.cat(self._kept, 1)} if self._kept else {}
        return {"kick": scales, **kept}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state."""
        self._kick = Kick(*state["kick"].tolist())
        if "kept" in state:
            kept = state["kept"].to(self._cloud.tiles[0].device)
            self._kept = [kept[:, block].clone() for block in self._cloud.blocks]


class DelayedNoise:
    r"""Euler-Maruyama noise of the u's, drawn only along the samples that depend on it.

    The outputs of a batch of m samples depend on u in m directions. The pending noise, on which no
    batch has depended, is an independent N(0, C) vector for every neuron, with one C (d, d) for all
    of them. For a batch X its values X p = L z, L L^T = X C X^T, are drawn, and the rest is
    conditioned on them,

    .. math:: u \leftarrow u + M z, \qquad C \leftarrow C - M M^T, \qquad M = C X^T L^{-T},

    and the step u <- (1 - eta lambda) u - eta grad + sqrt(2 eta/beta) xi becomes

    .. math:: u \leftarrow (1 - \eta\lambda)\, u - \eta\, \mathrm{grad}, \qquad
        C \leftarrow (1 - \eta\lambda)^2 C + \frac{2\eta}{\beta} I.

    The law of the chain is that of drawing everything at once; N m normals a step in place of
    N d, for one more product of N m d and updates of C of d^2 m, in float64. That of the outgoing
    weights enters every batch and is drawn at once.

    A record of the neurons (:meth:`flush`) draws all pending noise, so here the stride of the
    history is part of the seed. With other noise only the uncoupled coordinates depend on it: not
    the outputs, u and the coordinates that couple.
    """

    moves_u = True

    JITTER = 1e-12
    """Added to the variances, relative to the whole variance of the noise, to which rounding errors
    of C are proportional. It keeps L defined for samples that are repeated within a batch or
    between batches."""

    def __init__(self, cloud: TiledCloud, generator: torch.Generator) -> None:
        self._cloud = cloud
        self._generator = generator
        tile = cloud.tiles[0]
        d = tile.shape[0] - cloud.rank
        self._pending = torch.zeros(d, d, dtype=torch.float64, device=tile.device)
        self._variance = 0.0
        self._kick, self._rate = Kick(0.0, 0.0), 1.0
        self._normals: list[Tensor] = []

    @staticmethod
    def is_faster(n_neurons: int, n_inputs: int, n_rows: int | None) -> bool:
        """Whether fewer normals outweigh the products (docs/mathematics/engine.md)."""
        return n_rows is not None and 8 * n_rows <= n_inputs <= n_neurons

    def begin(self, kick: Kick, rate: float) -> None:
        """Keep the sizes of the step."""
        self._kick, self._rate = kick, rate

    def on_batch(self, x: Tensor) -> BatchNoise | None:
        """Draw the noise along these samples, and condition the pending noise on it."""
        if self._variance == 0:
            return None
        exact = x.double()
        across = self._pending @ exact.T
        seen = exact @ across
        size = float(exact.square().sum(1).max())
        factor = _root(seen, self.JITTER * self._variance * size)
        gain = torch.linalg.solve_triangular(factor, across.T, upper=False).T
        self._pending.addmm_(gain, gain.T, alpha=-1)
        if not self._normals or len(self._normals[0]) != len(x):
            self._normals = [tile.new_empty(len(x), tile.shape[1]) for tile in self._cloud.tiles]
        for normals in self._normals:
            normals.normal_(generator=self._generator)
        return BatchNoise(factor.to(x.dtype), gain.to(x.dtype).contiguous(), self._normals)

    def fill(self, _index: int, out: Tensor) -> None:
        """Write the noise of the outgoing weights."""
        b = out[: self._cloud.rank]
        if self._kick.after > 0:
            b.normal_(0, self._kick.after, generator=self._generator)
        else:
            b.zero_()

    def end(self) -> None:
        """Add the noise of the step to the pending noise."""
        decay, added = self._rate * self._rate, self._kick.after * self._kick.after
        self._pending.mul_(decay).diagonal().add_(added)
        self._variance = decay * self._variance + added

    def flush(self) -> None:
        """Draw all pending noise, and add it to the cloud."""
        if self._variance == 0:
            return
        factor = _root(self._pending, self.JITTER * self._variance)
        factor = factor.to(self._cloud.tiles[0].dtype)
        for tile in self._cloud.tiles:
            xi = tile.new_empty(len(factor), tile.shape[1]).normal_(generator=self._generator)
            tile[self._cloud.rank :].addmm_(factor, xi)
        self._pending.zero_()
        self._variance = 0.0

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sizes of the step: after :meth:`flush` there is no other state."""
        sizes = (self._kick.before, self._kick.after, self._rate)
        return {"kick": torch.tensor(sizes, dtype=torch.float64)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state."""
        before, after, self._rate = state["kick"].tolist()
        self._kick = Kick(before, after)


def _root(covariance: Tensor, jitter: float) -> Tensor:
    """Cholesky factor; NaN where there is none, as in a run that diverges. Changes its argument."""
    covariance.diagonal().add_(jitter + 1e-300)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    return torch.full_like(factor, torch.nan) if failed else factor
