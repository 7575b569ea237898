"""What a run leaves in its folder."""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.app.run.model_store import write_model
from eval.app.run.runs import Outcome, history
from eval.app.shared.certificates import certificate_fields
from eval.app.shared.formats import dump, versions
from eval.app.shared.plots import class_mean_axes
from eval.app.shared.run_folder import seal
from eval.app.shared.scores import record_fields
from eval.collapse.fitted import collapse_of
from stages import TwoStageClassifier
from stages.files import write_arrays

__all__ = ["write_run"]


def write_run(outcome: Outcome, folder: Path) -> None:
    """Write data and model into an existing, empty folder; the report comes after."""
    config = outcome.config.recorded(outcome.split.kind) | {"versions": _versions()}
    _dump(folder / "config.json", config)
    _dump(folder / "metrics.json", _metrics(outcome))
    history(outcome.model).to_csv(folder / "history.csv", index=False)
    write_arrays(folder / "features.npz", _arrays(outcome), compressed=True)
    write_model(outcome.saved_model, folder)
    seal(folder, complete=outcome.complete)


def _metrics(outcome: Outcome) -> dict[str, Any]:
    certificates = [certificate_fields(certificate) for certificate in outcome.certificates]
    return {
        "data": outcome.split.name,
        "overlap": outcome.split.overlap,
        "classes": outcome.model.classes_.tolist(),
        "steps": outcome.model.n_iter_,
        "backend": outcome.model.backend_,
        "parameters": {
            name: value
            for name, value in outcome.model.get_params().items()
            if name not in {"verbose", "random_state"} and not callable(value)
        },
        "scores": {
            name: [record_fields(score) for score in scores]
            for name, scores in outcome.scores.items()
        },
        "losses": outcome.losses,
        "certificate": certificates[0] if certificates else None,
        "certificates": certificates,
        "collapse": {
            "train": _collapse(outcome.model, outcome.split.x, outcome.split.y),
            "test": _collapse(outcome.model, outcome.split.x_test, outcome.split.y_test),
        },
        "assumptions": [dataclasses.asdict(check) for check in outcome.assumptions],
    }


def _collapse(
    model: TwoStageClassifier, x: NDArray[np.float64], y: NDArray[Any]
) -> dict[str, dict[str, Any]]:
    """Every collapse metric of the features, as value (None where undefined) and status."""
    measured = collapse_of(model, x, y).as_dict()
    return {
        name: {
            "value": float(entry.value) if np.isfinite(entry.value) else None,
            "status": str(entry.status),
        }
        for name, entry in measured.items()
    }


def _arrays(outcome: Outcome) -> dict[str, NDArray[Any]]:
    recorder = outcome.frames
    members = np.searchsorted(outcome.model.classes_, outcome.split.y)
    if recorder.first is None or recorder.last is None:
        raise ValueError("a run without a single record has nothing to write")
    axes = class_mean_axes(recorder.last, members)
    points = np.stack([(frame - frame.mean(axis=0)) @ axes for frame in recorder.frames])
    watched = len(recorder.frames) > 1
    before = {"before": recorder.first.astype(np.float32)} if watched else {}
    return before | {
        "steps": np.array(recorder.steps),
        "points": points.astype(np.float32),
        "labels": members[recorder.rows],
        "after": recorder.last.astype(np.float32),
        "members": members,
        "confusion": outcome.confusion,
    }


def _versions() -> dict[str, Any]:
    made = {"pot": version("pot"), "python": platform.python_version()}
    return {**versions(), **made, "threads": torch.get_num_threads()}


def _dump(path: Path, content: dict[str, Any]) -> None:
    dump(path, content, default=str, allow_nan=True)
