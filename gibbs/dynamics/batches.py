"""Minibatches: an epoch goes through all samples in a new random order."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Batches"]


class Batches:
    """Endless batches of rows, shuffled again each epoch; a last one that is too short is skipped.

    Parameters
    ----------
    n_samples, size : int
    generator : torch.Generator
    """

    def __init__(self, n_samples: int, size: int, generator: torch.Generator) -> None:
        self._size = size
        self._generator = generator
        self._order = torch.empty(n_samples, dtype=torch.int64, device=generator.device)
        self._next = n_samples

    def draw(self) -> Tensor:
        """Rows of the next batch, (size,)."""
        n_samples = len(self._order)
        if self._next + self._size > n_samples:
            self._order = torch.randperm(
                n_samples, generator=self._generator, device=self._generator.device
            )
            self._next = 0
        rows = self._order[self._next : self._next + self._size]
        self._next += self._size
        return rows

    def state_dict(self) -> dict[str, Tensor]:
        """The order of this epoch, and the position of the next batch in it."""
        return {"order": self._order, "next": torch.tensor(self._next)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state."""
        self._order.copy_(state["order"])
        self._next = int(state["next"])
