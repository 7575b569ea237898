"""What a run needs to continue after a stop: the states of its parts in one flat dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["RecordCallback", "Snapshot", "Stateful", "packed", "unpack"]


@runtime_checkable
class Stateful(Protocol):
    """A part of a run, or an observer, whose state must be restored when the run continues."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return its state."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore that state."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that a run needs to continue, bitwise equal to an uninterrupted run.

    Attributes
    ----------
    step : int
        The next step; its record is in the history already.
    tensors : dict of str to Tensor
        Neurons, W, noise, generators, batches, step size, history and observers. The run changes
        them in place: copy what is to be kept.
    """

    step: int
    tensors: dict[str, Tensor]


RecordCallback = Callable[[int, Callable[[], Snapshot]], object]
"""Called after every record with the number of the step and a function that takes a snapshot."""


def packed(parts: Mapping[str, Stateful]) -> dict[str, Tensor]:
    """States of all parts, as "name/key"."""
    return {
        f"{name}/{key}": value
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }


def unpack(state: Mapping[str, Tensor], parts: Mapping[str, Stateful]) -> None:
    """Restore the state of each part.

    Raises
    ------
    ValueError
        If the state of a part is incomplete.
    """
    for name, part in parts.items():
        start = f"{name}/"
        own = {key.removeprefix(start): v for key, v in state.items() if key.startswith(start)}
        try:
            part.load_state_dict(own)
        except KeyError as error:
            raise ValueError(
                f"the snapshot must hold {start}{error.args[0]} for this run, but does not: "
                "it belongs to another run"
            ) from error
