"""What a run needs to go on after a stop: the states of its parts in one flat dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Keeper", "Snapshot", "Stateful", "packed", "unpack"]


@runtime_checkable
class Stateful(Protocol):
    """A part of a run, or an observer, that a run which goes on after a stop must restore."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what it keeps."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take it up again."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that a run needs to go on bitwise as if it had never stopped.

    Attributes
    ----------
    step : int
        The step that comes next; its state has been recorded.
    tensors : dict of str to Tensor
        Neurons, W, noise, generators, batches, step size, history and observers. They belong
        to the run: who keeps them copies them.
    """

    step: int
    tensors: dict[str, Tensor]


Keeper = Callable[[int, Callable[[], Snapshot]], object]
"""Told the step after every record, and how to take a snapshot."""


def packed(parts: Mapping[str, Stateful]) -> dict[str, Tensor]:
    """States of all parts, as "name/key"."""
    return {
        f"{name}/{key}": value
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }


def unpack(state: Mapping[str, Tensor], parts: Mapping[str, Stateful]) -> None:
    """Give each part its own back.

    Raises
    ------
    ValueError
        If a part misses something.
    """
    for name, part in parts.items():
        start = f"{name}/"
        own = {key.removeprefix(start): v for key, v in state.items() if key.startswith(start)}
        try:
            part.load_state_dict(own)
        except KeyError as error:
            raise ValueError(
                f"the snapshot must hold {start}{error.args[0]}, from which this run goes on: "
                "it is one of another run"
            ) from error
