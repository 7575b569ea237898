"""Checkpoints of the dynamics on disk: complete files with checksums, read without running code."""

from __future__ import annotations

import hashlib
import json
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gibbs import Particles, Problem, Snapshot
from gibbs.dynamics.snapshot import RecordCallback
from stages.files import checksum, whole_file, write_arrays

__all__ = ["Checkpoint", "fingerprint"]

FORMAT = 2
"""Version of the layout of the files."""

N_KEPT = 2
"""Checkpoints that are not removed: the last one, and the one before in case it is damaged."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder of checkpoints, from which a run continues after a kill as if it had not stopped.

    Each checkpoint is a pair of files, ``step-K.npz`` with the arrays and ``step-K.json`` with
    their checksum and the settings of the run. The second appears only once the first is on
    the disk, so that a kill at any moment leaves complete checkpoints only. They are taken at
    records of the history (`every`).

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    steps : int, optional
        Take one when this many steps have passed since the last.
    seconds : float, default 60
        Take one when this much time has passed since the last.
    """

    folder: Path
    steps: int | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be >= 1 or None, got {self.steps}")
        if not self.seconds >= 0:
            raise ValueError(f"seconds must be >= 0, got {self.seconds}")

    def part(self, name: str) -> Checkpoint:
        """A checkpoint with the same settings in the subfolder `name`, for one of several runs."""
        return Checkpoint(self.folder / name, self.steps, self.seconds)

    def on_record(self, run: Mapping[str, Any], n_steps: int) -> RecordCallback:
        """The `on_record` of :func:`gibbs.run_langevin` for this run; see :func:`fingerprint`."""
        last_step, last_time = 0, time.monotonic()

        def write_when_due(step: int, take: Callable[[], Snapshot]) -> None:
            nonlocal last_step, last_time
            due = self.steps is not None and step - last_step >= self.steps
            if due or time.monotonic() - last_time >= self.seconds or step == n_steps:
                self.write(take(), run)
                last_step, last_time = step, time.monotonic()

        return write_when_due

    def write(self, snapshot: Snapshot, run: Mapping[str, Any]) -> None:
        """Write a snapshot, and remove those before the last two."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = self.folder / f"step-{snapshot.step:010d}.npz"
        values = {name: value.numpy(force=True) for name, value in snapshot.tensors.items()}
        with whole_file(arrays) as scratch:
            write_arrays(scratch, values)
        manifest = {
            "format": FORMAT,
            "step": snapshot.step,
            "sha256": checksum(arrays),
            "run": dict(run),
        }
        with whole_file(arrays.with_suffix(".json")) as scratch:
            scratch.write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        self._tidy()

    def _tidy(self) -> None:
        """Remove all but the last checkpoints, and files that a kill has left incomplete."""
        kept = {path.stem for path in self._manifests()[:N_KEPT]}
        for path in (*self.folder.glob("step-*"), *self.folder.glob(".*-step-*")):
            if path.stem not in kept:
                path.unlink(missing_ok=True)

    def read(self, run: Mapping[str, Any]) -> Snapshot | None:
        """Read the last complete checkpoint; None where the folder holds no checkpoint at all.

        One that is cut short, altered or of another format is skipped with a warning.

        Raises
        ------
        ValueError
            If no checkpoint is usable, or the last usable one belongs to another run.
        """
        manifests = self._manifests()
        refused = []
        for path in manifests:
            try:
                manifest, snapshot = _read(path)
            except ValueError as error:
                refused.append(str(error))
                continue
            _check_same(self.folder, manifest["run"], run)
            for reason in refused:
                warnings.warn(
                    f"{reason}: continuing from step {snapshot.step}", RuntimeWarning, stacklevel=2
                )
            return snapshot
        if refused:
            raise ValueError(f"{self.folder} has no usable checkpoint: {'; '.join(refused)}")
        return None

    def _manifests(self) -> list[Path]:
        """Manifests in the folder, the last one first."""
        return sorted(self.folder.glob("step-*.json"), reverse=True)


def fingerprint(
    problem: Problem, start: Particles, generator: torch.Generator, **settings: Any
) -> dict[str, Any]:
    """What distinguishes one run from another: its settings, and a checksum of its arrays.

    Schedules are compared by their repr, plain functions by their name alone.
    """
    digest = hashlib.sha256()
    large = (problem.x, problem.y, problem.w, problem.sample_weight, start.a, start.u)
    for tensor in (*large, generator.get_state()):
        if tensor is not None:
            digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
            digest.update(tensor.contiguous().numpy(force=True).tobytes())
    named = {
        "data": digest.hexdigest(),
        "beta": problem.beta,
        "gamma": problem.gamma,
        "lambda_rho": problem.decay,
        "activation": problem.sigma.name,
        "truncation": problem.truncation,
        **settings,
    }
    return {name: _as_json(value) for name, value in named.items()}


def _as_json(value: Any) -> Any:
    """As JSON: infinity has no number there, and the repr of a function holds an address."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, int, bool, type(None))):
        return value
    return getattr(value, "__qualname__", re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)))


def _read(path: Path) -> tuple[dict[str, Any], Snapshot]:
    name = path.stem
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        made, sealed, step = manifest["format"], manifest["sha256"], int(manifest["step"])
        _ = dict(manifest["run"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint {name} has no sound manifest") from error
    if made != FORMAT:
        raise ValueError(f"checkpoint {name} has format {made}, this version reads {FORMAT}")
    arrays = path.with_suffix(".npz")
    if not arrays.is_file() or checksum(arrays) != sealed:
        raise ValueError(f"checkpoint {name} was cut short or altered")
    with np.load(arrays, allow_pickle=False) as stored:
        tensors = {key: torch.from_numpy(stored[key]) for key in stored.files}
    return manifest, Snapshot(step, tensors)


def _check_same(folder: Path, stored: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    for name in sorted({*stored, *run}):
        before, now = stored.get(name), run.get(name)
        if before != now:
            what = f"of {name} = {before}, not {now}"
            if name == "data":
                what = "of other data, start or random numbers"
            raise ValueError(f"{folder} holds checkpoints of another run, {what}")
