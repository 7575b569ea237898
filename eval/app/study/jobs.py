"""The parts of a study: its jobs, and the measurements of one job."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from eval.app.shared.workspace import Workspace
from eval.app.study.config import STUDY, StudyConfig
from eval.comparison.records import measure
from eval.data.laws import draw_samples
from eval.data.synthetic import SeparableDistribution
from stages import TwoStageClassifier

__all__ = ["Job", "check_config", "execute", "jobs_of", "run_job"]

MEASURED = ("train_error", "test_error", "test_error_low", "test_error_high") + (
    *("nc1_train", "nc1_test"),
)
"""Entries of a record that a job stores; the interval of the test error is binomial."""


@dataclass(frozen=True)
class Job:
    """One training run: tau/M, n, and the seed of law, samples and network."""

    margin: float
    n: int
    seed: int

    @property
    def file(self) -> str:
        """Name of the file that holds the result."""
        return f"margin{self.margin!r}-n{self.n}-seed{self.seed}.json"


def jobs_of(config: StudyConfig) -> list[Job]:
    """All jobs, the long ones first so that the workers end together."""
    return [
        Job(margin, n, config.seed + repeat)
        for n in sorted(config.sizes, reverse=True)
        for margin in config.margins
        for repeat in range(config.seeds)
    ]


def check_config(config: StudyConfig) -> None:
    """Raise, before any work, for options that a job would refuse."""
    for margin in config.margins:
        law = SeparableDistribution(config.n_features, config.n_classes, margin=margin)
    if min(config.sizes) < config.n_classes:
        raise ValueError(
            f"--sizes must be >= --n-classes = {config.n_classes}, got {min(config.sizes)}"
        )
    _network(config, 0, n_neurons=1, max_iter=0).fit(*law.sample(config.n_classes, 0))


def run_job(job: Job, config: StudyConfig) -> dict[str, Any]:
    """Draw, train and measure; the same numbers in every process with one thread.

    A law belongs to a seed: it is the same for all sizes, and its directions for all margins.
    """
    start = time.perf_counter()
    law = SeparableDistribution(
        config.n_features, config.n_classes, margin=job.margin, random_state=job.seed
    )
    train, test, network = np.random.SeedSequence((job.seed, job.n)).generate_state(3)
    samples, fresh = (
        draw_samples(law, job.n, int(train)),
        draw_samples(law, config.n_test, int(test)),
    )
    record, _ = measure(_network(config, int(network)), (*samples, *fresh))
    measured = {name: getattr(record, name) for name in MEASURED}
    return dataclasses.asdict(job) | measured | {"seconds": time.perf_counter() - start}


def execute(config: StudyConfig, space: Workspace) -> pd.DataFrame:
    """Run the jobs that the folder does not hold yet; return all results in order."""
    jobs = {job.file: partial(run_job, job, config) for job in jobs_of(config)}
    columns = (*(each.name for each in dataclasses.fields(Job)), *MEASURED, "seconds")
    results = space.run(jobs, lambda content: {name: content[name] for name in columns}, STUDY)
    return pd.DataFrame(results).sort_values(["margin", "n", "seed"], ignore_index=True)


def _network(config: StudyConfig, random_state: int, **changes: Any) -> TwoStageClassifier:
    parameters: dict[str, Any] = {
        "n_neurons": config.neurons,
        "max_iter": config.steps,
        "beta": config.beta,
        "gamma": config.gamma,
        "activation": config.activation,
        "random_state": random_state,
    }
    return TwoStageClassifier(**parameters | changes)
