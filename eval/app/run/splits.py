"""Training and test samples of one repetition of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from eval.app.run.config import Kind, RunConfig
from eval.data.dataset import Dataset, Distribution
from eval.data.laws import draw_samples
from eval.data.loading import load_source
from eval.data.synthetic import SeparableDistribution

__all__ = ["Split", "draw_split", "kind_of", "load"]


@dataclass(frozen=True, eq=False)
class Split:
    """Training and test samples, scaled as for every method: (raw - shift) / scale."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[Any]
    x_test: NDArray[np.float64]
    y_test: NDArray[Any]
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    feature_names: tuple[str, ...]
    kind: Kind

    @property
    def overlap(self) -> float:
        """n_test / n_train for splits of one data set, 0 for a fresh draw."""
        return len(self.y_test) / len(self.y) if self.kind == "data set" else 0.0


def load(config: RunConfig) -> Dataset | Distribution | None:
    """Load the data that the option names; None for "separable", drawn in each repetition."""
    if config.data == "separable":
        return None
    return load_source(config.data, config.target, index=config.index, separator=config.separator)


def kind_of(source: Dataset | Distribution | None) -> Kind:
    """The kind of data that :func:`load` gave."""
    if source is None:
        return "separable"
    return "data set" if isinstance(source, Dataset) else "distribution"


def draw_split(
    config: RunConfig, repeat: int, source: Dataset | Distribution | None = None
) -> Split:
    """Draw the data, or the stratified split, of one repetition.

    `source` is what :func:`load` gave; None loads it again.
    """
    source = source or load(config)
    if isinstance(source, Dataset):
        return _split_dataset(source, config, config.seed + repeat)
    return _draw_fresh(source, config, config.seed + repeat)


def _split_dataset(data: Dataset, config: RunConfig, seed: int) -> Split:
    x, x_test, y, y_test = train_test_split(
        data.x, data.y, test_size=config.test_size, stratify=data.y, random_state=seed
    )
    shift, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    if data.standardize:
        scaler = StandardScaler().fit(x)
        shift, scale = scaler.mean_, scaler.scale_
    return Split(
        name=f"{data.name}, n={len(x)}, {len(x_test)} held out",
        x=(x - shift) / scale,
        y=y,
        x_test=(x_test - shift) / scale,
        y_test=y_test,
        shift=shift,
        scale=scale,
        feature_names=data.feature_names or _default_names(x.shape[1]),
        kind="data set",
    )


def _draw_fresh(law: Distribution | None, config: RunConfig, seed: int) -> Split:
    kind = kind_of(law)
    name = f"{config.data}, n={config.n_samples}, {config.n_test} fresh test points"
    if law is None:
        law = SeparableDistribution(
            config.n_features, config.n_classes, margin=config.margin, random_state=seed
        )
        name = (
            f"separable, q={config.n_classes}, d={config.n_features}, tau/M={config.margin:g}, "
            f"n={config.n_samples}, {config.n_test} fresh test points"
        )
    train, test = np.random.SeedSequence(seed).generate_state(2)
    x, y = draw_samples(law, config.n_samples, int(train), name=config.data)
    x_test, y_test = draw_samples(law, config.n_test, int(test), name=config.data)
    for option, labels in (("--n-samples", y), ("--n-test", y_test)):
        classes, counts = np.unique(labels, return_counts=True)
        if len(classes) < len(np.unique(y_test)) or counts.min() < 2:
            raise ValueError(
                f"{option}={len(labels)} is too small: every class needs at least 2 samples"
            )
    d = x.shape[1]
    if x_test.shape[1] != d:
        raise ValueError(
            f"{config.data}: every draw must have the same number of columns, got {d} in "
            f"{len(x)} samples and {x_test.shape[1]} in {len(x_test)}"
        )
    return Split(name, x, y, x_test, y_test, np.zeros(d), np.ones(d), _default_names(d), kind)


def _default_names(d: int) -> tuple[str, ...]:
    return tuple(f"x{k}" for k in range(d))
