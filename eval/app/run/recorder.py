"""Observers of a run: frames of the features while they collapse, and the early stop."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gibbs import StopRun
from gibbs.dynamics.langevin import LangevinState

__all__ = ["FrameRecorder", "Stopper"]


class FrameRecorder:
    """An observer that keeps the features of some samples at some steps, evenly in log(step).

    The frames are those of stage one; `last` holds the latest features, of stage two too.

    Parameters
    ----------
    n_samples : int
    n_steps : int
        0 for a stage one without steps for observers: one frame is kept, of its end.
    most_rows, most_frames : int
        Above `most_rows` samples, evenly spaced ones are kept.
    """

    def __init__(
        self, n_samples: int, n_steps: int, *, most_rows: int = 500, most_frames: int = 40
    ) -> None:
        kept, self.n_steps = min(n_samples, most_rows), n_steps
        self.rows: NDArray[np.int64] = np.linspace(0, n_samples - 1, kept).astype(np.int64)
        self.due = np.unique(np.geomspace(1, max(1, n_steps), most_frames).astype(int)).tolist()
        self.steps: list[int] = []
        self.frames: list[NDArray[np.float64]] = []
        self.first: NDArray[np.float64] | None = None
        self.last: NDArray[np.float64] | None = None
        self._ended = False

    def __call__(self, state: LangevinState) -> float:
        """Store the features of this state if a frame is due; return the number of frames."""
        self.last = state.features.double().numpy(force=True).copy()
        if self._ended or (state.n_steps <= 1 and self.frames):  # stage two
            return float(len(self.frames))
        self._ended = state.step == state.n_steps or self.n_steps == 0
        if self.first is None:
            self.first = self.last
        due = [step for step in self.due if step <= state.step]
        if due or not self.frames or state.step == state.n_steps:
            self.due = self.due[len(due) :]
            self.steps.append(state.step)
            self.frames.append(self.last[self.rows])
        return float(len(self.frames))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the frames, for a run that continues after a stop."""
        state = {
            "steps": torch.tensor(self.steps, dtype=torch.int64),
            "ended": torch.tensor(self._ended),
        }
        if self.first is not None and self.last is not None:
            state |= {"first": torch.tensor(self.first), "last": torch.tensor(self.last)}
            state["frames"] = torch.tensor(np.stack(self.frames))
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore those frames."""
        self.steps = state["steps"].tolist()
        self._ended = bool(state["ended"])
        self.due = [step for step in self.due if step > max(self.steps, default=0)]
        if self.steps:
            self.first, self.last = state["first"].numpy(), state["last"].numpy()
            self.frames = list(state["frames"].numpy())


class Stopper:
    """An observer that ends the run once its flag has been raised."""

    def __init__(self) -> None:
        self.raised = False

    def __call__(self, _: LangevinState) -> float:
        """Return 0, or end the run."""
        if self.raised:
            raise StopRun
        return 0.0
