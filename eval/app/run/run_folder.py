"""The folder of a run on disk: written completely, with checksums that are checked when read."""

from __future__ import annotations

import dataclasses
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from eval.app.run.model_store import write_model
from eval.app.run.runs import Outcome, history
from eval.app.run.scores import Score
from eval.app.shared.certificates import certificate_fields
from eval.app.shared.formats import dump
from eval.app.shared.geometry import class_mean_axes
from eval.collapse.fitted import collapse_of
from stages import TwoStageClassifier
from stages.files import checksum

__all__ = ["StoredRun", "read_run", "seal", "write_certification", "write_run"]

FORMAT = 2
"""Version of the layout of run folders; those of version 1 are read as well."""

MANIFEST = "manifest.json"
VERDICT, VERDICT_ARRAYS = "certificate.json", "certificate.npz"


@dataclass(frozen=True, eq=False)
class StoredRun:
    """The content of the folder of a run, checked against its manifest.

    Attributes
    ----------
    config, metrics : dict
    history : DataFrame
        Both stages.
    arrays : dict of str to ndarray
        "steps" (F,), "points" (F, m, 2), "labels" (m,), "before" and "after" (n, p) and
        "members" (n,), "confusion" (q, q). "before" is missing where stage one took no steps
        with observers, as the solver "gibbs".
    complete : bool
    certification : dict or None
        certificate.json, where `gibbsnet certify` has written it.
    certification_arrays : dict of str to ndarray
        certificate.npz, see :meth:`eval.app.certify.marginals.Marginals.arrays`.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any]
    history: pd.DataFrame
    arrays: dict[str, NDArray[Any]]
    complete: bool
    certification: dict[str, Any] | None
    certification_arrays: dict[str, NDArray[Any]]

    @property
    def scores(self) -> dict[str, list[Score]]:
        """Scores by method, one a repetition."""
        return {
            name: [
                Score(**row | {"interval": tuple(row["interval"]) if row["interval"] else None})
                for row in rows
            ]
            for name, rows in self.metrics["scores"].items()
        }


def write_run(outcome: Outcome, folder: Path) -> None:
    """Write data and model into an existing, empty folder; the report comes after."""
    config = outcome.config.recorded(outcome.split.kind) | {"versions": _versions()}
    _dump(folder / "config.json", config)
    _dump(folder / "metrics.json", _metrics(outcome))
    history(outcome.model).to_csv(folder / "history.csv", index=False)
    np.savez_compressed(folder / "features.npz", allow_pickle=False, **_arrays(outcome))
    write_model(outcome.saved_model, folder)
    seal(folder, complete=outcome.complete)


def write_certification(folder: Path, content: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write the results of `certify_run`; the report comes after."""
    dump(folder / VERDICT, content)
    np.savez_compressed(folder / VERDICT_ARRAYS, allow_pickle=False, **arrays)
    seal(folder, complete=True)


def seal(folder: Path, *, complete: bool) -> None:
    """Write the manifest: format, status, and the checksum of every file."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    _dump(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "gibbsnet": version("gibbsnet"),
            "status": "complete" if complete else "partial",
            "files": {p.relative_to(folder).as_posix(): checksum(p) for p in files},
        },
    )


def read_run(folder: Path) -> StoredRun:
    """Read a run folder, every file checked against the manifest.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is not a run, was altered or cut short, or was made by a newer version.
    """
    manifest = read_manifest(folder)
    judged = VERDICT in manifest["files"]
    return StoredRun(
        folder,
        _read_json(folder / "config.json"),
        _read_json(folder / "metrics.json"),
        pd.read_csv(folder / "history.csv"),
        _read_arrays(folder / "features.npz"),
        manifest["status"] == "complete",
        _read_json(folder / VERDICT) if judged else None,
        _read_arrays(folder / VERDICT_ARRAYS) if judged else {},
    )


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest and check every file that it lists."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        made, files = int(manifest["format"]), dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is not the folder of a run: no valid {MANIFEST}") from error
    if made > FORMAT:
        raise ValueError(
            f"{folder} has format {made}, made by gibbsnet {manifest.get('gibbsnet', '?')}; "
            f"this one reads up to {FORMAT}"
        )
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{folder}: {name} is missing")
        if checksum(path) != expected:
            raise ValueError(f"{folder}: {name} was altered or cut short since the run wrote it")
    return manifest


def _metrics(outcome: Outcome) -> dict[str, Any]:
    certificates = [certificate_fields(certificate) for certificate in outcome.certificates]
    return {
        "data": outcome.split.name,
        "overlap": outcome.split.overlap,
        "classes": outcome.model.classes_.tolist(),
        "steps": outcome.model.n_iter_,
        "parameters": {
            name: value
            for name, value in outcome.model.get_params().items()
            if name not in {"verbose", "random_state"} and not callable(value)
        },
        "scores": {
            name: [dataclasses.asdict(score) for score in scores]
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
    packages = ("gibbsnet", "torch", "numpy", "scipy", "scikit-learn", "pot")
    versions: dict[str, Any] = {name: version(name) for name in packages}
    return versions | {"python": platform.python_version(), "threads": torch.get_num_threads()}


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
