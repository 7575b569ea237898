"""A cloud of neurons in tiles that stay in the cache."""

from __future__ import annotations

import torch

from gibbs.model.particles import Particles
from gibbs.model.tiles import tiles

__all__ = ["TiledCloud"]

TILE = 512
"""Neurons of a tile of the cloud. The noise is drawn tile by tile, so another width is another
seed; nothing else depends on it."""

AREA = 2**17
"""Numbers in a tile, at most: with many inputs it has fewer neurons."""


class TiledCloud:
    """A cloud of neurons as tiles (r + d, m): rows 0..r-1 are the a's, the rest the u's.

    Neurons are columns, so that products with few classes or inputs have their long side where
    the matrix product is fast, and one draw gives the noise of a whole tile.

    Attributes
    ----------
    rank, n_neurons : int
        r and N.
    blocks : list of slice
        The neurons of each tile.
    tiles : list of Tensor
        Only ever changed in place.
    """

    def __init__(self, particles: Particles, width: int | None = None) -> None:
        self.rank = particles.a.shape[1]
        self.n_neurons = len(particles)
        if width is None:
            width = max(16, min(TILE, AREA // (self.rank + particles.u.shape[1])) // 16 * 16)
        self.blocks = tiles(self.n_neurons, width)
        self.tiles = [
            torch.cat((particles.a[block].T, particles.u[block].T)).contiguous()
            for block in self.blocks
        ]

    def particles(self) -> Particles:
        """Return a copy as `Particles`, a (N, r) and u (N, d)."""
        a = torch.cat([tile[: self.rank].T for tile in self.tiles])
        return Particles(a, torch.cat([tile[self.rank :].T for tile in self.tiles]))
