"""The folder of a run on disk: sealed by checksums, checked when read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.app.shared.formats import dump
from eval.app.shared.scores import Scores, stored_record
from stages.files import checksum, write_arrays

__all__ = ["FORMAT", "StoredRun", "read_manifest", "read_run", "seal", "write_certification"]

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
    def scores(self) -> Scores:
        """Records by method, one a repetition."""
        return {
            name: [stored_record(row) for row in rows]
            for name, rows in self.metrics["scores"].items()
        }


def write_certification(folder: Path, content: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write the results of `certify_run`; the report comes after."""
    dump(folder / VERDICT, content)
    write_arrays(folder / VERDICT_ARRAYS, arrays, compressed=True)
    seal(folder, complete=True)


def seal(folder: Path, *, complete: bool) -> None:
    """Write the manifest: format, status, and the checksum of every file."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    dump(
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
