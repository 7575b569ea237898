"""`gibbsnet compare --tuned`: one job is one method on one outer fold of one data set."""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.app.compare.config import CompareConfig
from eval.app.compare.tables import Result, write
from eval.app.shared.workspace import Workspace
from eval.comparison import Method, TunedRecord, outer_splits, tune_fold
from eval.comparison.folds import Comparison, gather
from eval.data.dataset import Dataset

__all__ = ["execute_tuned"]

_Split = tuple[NDArray[np.intp], NDArray[np.intp]]
_Measured = tuple[str, TunedRecord, NDArray[np.int64]]


def execute_tuned(
    config: CompareConfig, used: dict[str, Any], loaded: list[Dataset], space: Workspace
) -> list[Result]:
    """Run the jobs that the folder does not hold yet, and write tables and figure there.

    `used` is what the configuration comes to, for config.json.

    Raises
    ------
    ValueError, FileNotFoundError, FileExistsError
        If an option, a data set or the folder is not usable; nothing is written then.
    InputError
        If a worker was killed. What is finished is kept.
    """
    spaces = config.spaces()
    splits = [_splits(data, config) for data in loaded]
    # Like a version of a package: a folder is not continued where one has changed.
    sources = {f"data {data.name}": _fingerprint(data) for data in loaded}
    sources["search spaces"] = _checksum(spaces)
    # The long ones first, so that the workers end together.
    jobs = {
        f"{place}-{_slug(data.name)}-{_slug(name)}-fold{fold}.json": partial(
            _run_job, data, spaces[name], fold, split, config.seed
        )
        for name in spaces
        for place, data in sorted(enumerate(loaded), key=lambda each: -each[1].x.size)
        for fold, split in enumerate(splits[place])
    }
    with space.jobs("comparison", "tuned", used, sources):
        measured = space.run(jobs, _read, "compare")
        results = [
            Result(data, _assemble(data, cuts, measured, config.folds))
            for data, cuts in zip(loaded, splits, strict=True)
        ]
        candidates = {name: list(each.candidates) for name, each in spaces.items()}
        write(results, space.out, {"spaces.json": candidates})
    return results


def _splits(data: Dataset, config: CompareConfig) -> list[_Split]:
    try:
        return outer_splits(_codes(data), config.folds, config.seed, config.repeats)
    except ValueError as error:
        raise ValueError(f"--data {data.name}: {error}") from error


def _run_job(data: Dataset, method: Method, fold: int, split: _Split, seed: int) -> dict[str, Any]:
    """Tune, fit and measure; return what its file holds. Labels are places among the classes."""
    record, predicted = tune_fold(
        data.x,
        _codes(data),
        *split,
        method,
        fold=fold,
        standardize=data.standardize,
        random_state=seed,
    )
    return {
        "data": data.name,
        "record": record.row(),
        "predicted": predicted.tolist(),
    }


def _read(content: dict[str, Any]) -> _Measured:
    values = content["record"]
    record = TunedRecord(**values | {"inner_errors": tuple(values["inner_errors"])})
    predicted = np.array(content["predicted"], dtype=np.int64)
    if len(predicted) != record.n_test:
        raise ValueError(f"predicted must have {record.n_test} labels, got {len(predicted)}")
    return content["data"], record, predicted


def _assemble(
    data: Dataset, splits: list[_Split], measured: list[_Measured], folds: int
) -> Comparison:
    classes = np.unique(data.y)
    mine = [(record, classes[codes]) for name, record, codes in measured if name == data.name]
    return gather(data.y, [test for _, test in splits], mine, len(splits) // folds)


def _codes(data: Dataset) -> NDArray[np.int64]:
    return np.unique(data.y, return_inverse=True)[1].astype(np.int64)


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def _fingerprint(data: Dataset) -> str:
    """Checksum of the data: samples, classes, and how they are scaled."""
    digest = hashlib.sha256(f"{data.x.shape} {data.standardize}".encode())
    digest.update(np.ascontiguousarray(data.x, dtype=np.float64).tobytes())
    digest.update(_codes(data).tobytes())
    return digest.hexdigest()[:16]


def _checksum(spaces: dict[str, Method]) -> str:
    """Checksum of all candidates with their fixed settings, for few samples and for many."""
    described = {
        f"{name}, {n} samples": [
            method.build(n, 10, 0, **settings).get_params() for settings in method.candidates
        ]
        for name, method in spaces.items()
        for n in (100, 100_000)
    }
    return hashlib.sha256(json.dumps(described, default=repr).encode()).hexdigest()[:16]
