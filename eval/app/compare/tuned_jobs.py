"""The jobs of a tuned comparison: one method on one outer fold of one data set each."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.app.shared.parallel import run_jobs
from eval.comparison import Method, TunedRecord, outer_splits, tune_fold
from eval.comparison.folds import OURS, Comparison, gather
from eval.data.dataset import Dataset

__all__ = ["Job", "fingerprint", "measure", "plan", "run_job"]

_Result = tuple[str, TunedRecord, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Job:
    """Everything that one job needs; labels are indices into the sorted classes."""

    data: str
    file: str
    x: NDArray[np.float64]
    labels: NDArray[np.int64]
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    method: Method
    fold: int
    standardize: bool
    seed: int


def plan(
    data: Dataset,
    place: int,
    methods: Mapping[str, Method],
    folds: int,
    repeats: int | None,
    seed: int,
) -> list[Job]:
    """All jobs of one data set, the `place`-th; its name alone may not be a file name.

    `repeats` None means :func:`eval.comparison.default_repeats`.

    Raises
    ------
    ValueError
        If a class is too small for the folds; the message names the data set.
    """
    labels = _codes(data)
    try:
        splits = outer_splits(labels, folds, seed, repeats)
    except ValueError as error:
        raise ValueError(f"--data {data.name}: {error}") from error
    return [
        Job(
            data.name,
            file=f"{place}-{_slug(data.name)}-{_slug(method.name)}-fold{fold}.json",
            x=data.x,
            labels=labels,
            train=train,
            test=test,
            method=method,
            fold=fold,
            standardize=data.standardize,
            seed=seed,
        )
        for fold, (train, test) in enumerate(splits)
        for method in methods.values()
    ]


def measure(
    jobs: list[Job],
    loaded: list[Dataset],
    folder: Path,
    *,
    folds: int,
    workers: int,
    progress: bool = False,
) -> dict[str, Comparison]:
    """Run the jobs that `folder` does not hold yet; return the comparison of every data set.

    `folds` is the number of them in one repeat.
    """
    # The long ones first, so that the workers end together.
    ordered = sorted(jobs, key=lambda job: (job.method.name != OURS, -job.x.size))
    results = run_jobs(
        {job.file: partial(run_job, job) for job in ordered},
        _read,
        folder,
        workers=workers,
        progress=progress,
        label="compare",
    )
    return {
        data.name: _with_classes(data, _assemble(data.name, jobs, results, folds))
        for data in loaded
    }


def _assemble(data: str, jobs: list[Job], results: list[_Result], folds: int) -> Comparison:
    ours = [job for job in jobs if job.data == data and job.method.name == OURS]
    mine = [(record, predicted) for name, record, predicted in results if name == data]
    return gather(ours[0].labels, [job.test for job in ours], mine, len(ours) // folds)


def run_job(job: Job) -> dict[str, Any]:
    """Tune, fit and measure; return the content of its file."""
    record, predicted = tune_fold(
        job.x,
        job.labels,
        job.train,
        job.test,
        job.method,
        fold=job.fold,
        standardize=job.standardize,
        random_state=job.seed,
    )
    return {
        "data": job.data,
        "record": dataclasses.asdict(record),
        "predicted": predicted.tolist(),
    }


def _read(content: dict[str, Any]) -> _Result:
    values = content["record"]
    record = TunedRecord(**values | {"inner_errors": tuple(values["inner_errors"])})
    predicted = np.array(content["predicted"], dtype=np.int64)
    if len(predicted) != record.n_test:
        raise ValueError(f"predicted must have {record.n_test} labels, got {len(predicted)}")
    return content["data"], record, predicted


def _with_classes(data: Dataset, comparison: Comparison) -> Comparison:
    classes = np.unique(data.y)
    return dataclasses.replace(
        comparison,
        labels=classes[comparison.labels],
        predictions={name: classes[codes] for name, codes in comparison.predictions.items()},
    )


def _codes(data: Dataset) -> NDArray[np.int64]:
    return np.unique(data.y, return_inverse=True)[1].astype(np.int64)


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def fingerprint(data: Dataset) -> str:
    """Checksum of the data: samples, classes, and how they are scaled."""
    digest = hashlib.sha256(f"{data.x.shape} {data.standardize}".encode())
    digest.update(np.ascontiguousarray(data.x, dtype=np.float64).tobytes())
    digest.update(_codes(data).tobytes())
    return digest.hexdigest()[:16]
