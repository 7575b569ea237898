"""The parts of a study: its configuration, its jobs, and the measurements of one job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.accuracy import mismatch_error, mismatch_interval
from eval.collapse.metrics import nc1
from eval.data.laws import draw_samples
from eval.data.synthetic import SeparableDistribution
from stages import TwoStageClassifier

DEFAULTS = TwoStageClassifier().get_params()

__all__ = ["STUDY", "Job", "JobResult", "StudyConfig", "check_config", "run_job"]

STUDY = "generalization"


@dataclass(frozen=True)
class StudyConfig:
    """Everything that the numbers of a study depend on; options of the command by their names."""

    margins: tuple[float, ...] = (0.01, 0.02, 0.05)
    sizes: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    seeds: int = 5
    seed: int = 0
    n_features: int = 20
    n_classes: int = 4
    n_test: int = 20_000
    neurons: int = 500
    steps: int = DEFAULTS["max_iter"]
    beta: float = DEFAULTS["beta"]
    gamma: float = DEFAULTS["gamma"]
    activation: str = "sigmoid"

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


@dataclass(frozen=True)
class JobResult:
    """Results of one run; the ends are the binomial interval of the test error."""

    margin: float
    n: int
    seed: int
    train_error: float
    test_error: float
    test_error_low: float
    test_error_high: float
    nc1_train: float
    nc1_test: float
    seconds: float


def check_config(config: StudyConfig) -> None:
    """Raise, before any work, for options that a job would refuse."""
    for margin in config.margins:
        law = SeparableDistribution(config.n_features, config.n_classes, margin=margin)
    if min(config.sizes) < config.n_classes:
        raise ValueError(
            f"--sizes must be >= --n-classes = {config.n_classes}, got {min(config.sizes)}"
        )
    _network(config, 0, n_neurons=1, max_iter=0).fit(*law.sample(config.n_classes, 0))


def run_job(job: Job, config: StudyConfig) -> JobResult:
    """Draw, train and measure; the same numbers in every process with one thread.

    A law belongs to a seed: it is the same for all sizes, and its directions for all margins.
    """
    start = time.perf_counter()
    law = SeparableDistribution(
        config.n_features, config.n_classes, margin=job.margin, random_state=job.seed
    )
    train, test, network = np.random.SeedSequence((job.seed, job.n)).generate_state(3)
    x, y = draw_samples(law, job.n, int(train))
    x_test, y_test = draw_samples(law, config.n_test, int(test))
    model = _network(config, int(network)).fit(x, y)
    error, low, high = mismatch_interval(y_test, model.predict(x_test))
    return JobResult(
        job.margin,
        job.n,
        job.seed,
        train_error=mismatch_error(y, model.predict(x)),
        test_error=error,
        test_error_low=low,
        test_error_high=high,
        nc1_train=nc1(model.transform(x), y),
        nc1_test=nc1(model.transform(x_test), y_test),
        seconds=time.perf_counter() - start,
    )


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
