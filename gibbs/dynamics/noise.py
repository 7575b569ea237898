"""The noise of a step: where in the step it enters, and its draws from torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from gibbs.dynamics.cloud import TiledCloud

__all__ = ["Kick", "Scheme", "TiledNoise", "check_scheme"]


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


class TiledNoise:
    """Noise drawn tile by tile, when it is needed."""

    def __init__(self, cloud: TiledCloud, generator: torch.Generator) -> None:
        self._cloud = cloud
        self._generator = generator
        self._kick = Kick(0.0, 0.0)
        self._kept: list[Tensor] = []

    def begin(self, kick: Kick) -> None:
        """Draw the noise of a step, where its first part moves the cloud before the gradient."""
        self._kick = kick
        if kick.before == 0:
            self._kept = []
            return
        self._kept = self._kept or [torch.empty_like(tile) for tile in self._cloud.tiles]
        for tile, xi in zip(self._cloud.tiles, self._kept, strict=True):
            tile.add_(xi.normal_(generator=self._generator), alpha=kick.before)

    def fill(self, index: int, out: Tensor) -> None:
        """Write after * xi of a tile."""
        if self._kept:
            torch.mul(self._kept[index], self._kick.after, out=out)
        elif self._kick.after > 0:
            out.normal_(0, self._kick.after, generator=self._generator)
        else:
            out.zero_()

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
