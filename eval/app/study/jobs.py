"""The parts of a study: its configuration, its jobs, and the measurements of one job."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from eval.app.shared.options import setting
from eval.app.shared.workspace import Workspace
from eval.comparison.records import measure
from eval.data.laws import draw_samples
from eval.data.synthetic import SeparableDistribution
from stages import TwoStageClassifier

__all__ = ["STUDY", "Job", "StudyConfig", "check_config", "execute", "run_job"]

STUDY = "generalization"

DEFAULTS = TwoStageClassifier().get_params()

MEASURED = ("train_error", "test_error", "test_error_low", "test_error_high") + (
    *("nc1_train", "nc1_test"),
)
"""Entries of a record that a job stores; the interval of the test error is binomial."""


@dataclass(frozen=True)
class StudyConfig:
    """Everything that the numbers of a study depend on; options of the command by their names."""

    margins: tuple[float, ...] = setting((0.01, 0.02, 0.05), "tau/M.")
    sizes: tuple[int, ...] = setting((16, 32, 64, 128, 256, 512, 1024), "n, training samples.")
    seeds: int = setting(5, "Repeat with seeds seed, seed+1, ...", least=1)
    seed: int = setting(0, least=0)
    n_features: int = setting(20, least=1)
    n_classes: int = setting(4, least=2)
    n_test: int = setting(20_000, "Fresh test samples of every run.", least=1)
    neurons: int = setting(500, "N.", least=1)
    steps: int = setting(DEFAULTS["max_iter"], "Steps of stage one.", least=0)
    beta: float = setting(DEFAULTS["beta"])
    gamma: float = setting(DEFAULTS["gamma"])
    activation: str = setting("sigmoid")

    def jobs(self) -> list[Job]:
        """All jobs, the long ones first so that the workers end together."""
        return [
            Job(margin, n, self.seed + repeat)
            for n in sorted(self.sizes, reverse=True)
            for margin in self.margins
            for repeat in range(self.seeds)
        ]


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
    jobs = {job.file: partial(run_job, job, config) for job in config.jobs()}
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
