"""The source that a data option names: a data set, or a distribution to draw one from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.data.dataset import Dataset, Distribution
from eval.data.laws import draw_dataset
from eval.data.loading import load_source
from eval.data.synthetic import make_linearly_separable

__all__ = ["SEPARABLE", "find_source", "samples_of"]


@dataclass(frozen=True)
class _Family:
    """Separable data with d = 20, q = 4, tau/M = 0.05; a seed decides directions and samples."""

    options: Mapping[str, Any]

    def sample(self, n: int, random_state: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw n samples (n, d) and their labels (n,)."""
        return make_linearly_separable(n, random_state=random_state, **self.options)


SEPARABLE: dict[str, Distribution] = {
    "separable": _Family({}),
    "separable-student": _Family({"noise": "student"}),
    "separable-planar": _Family({"n_informative": 3}),
    "separable-imbalanced": _Family({"weights": (8, 4, 2, 1)}),
    "separable-noisy": _Family({"label_noise": 0.05}),
}
"""Laws by name; samples of the last are not separable."""


def find_source(
    name: str, target: str | None = None, **options: str | None
) -> Dataset | Distribution:
    """Find what :func:`eval.load_source` would, or one of :data:`SEPARABLE`."""
    return SEPARABLE.get(name) or load_source(name, target, **options)


def samples_of(source: Dataset | Distribution, name: str, n: int, seed: int) -> Dataset:
    """Take a data set as it is, or draw n samples of a distribution."""
    return source if isinstance(source, Dataset) else draw_dataset(source, n, seed, name=name)
