"""What a data set and a distribution are, and the description of a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "Distribution", "Loaded", "Loader", "describe"]

MAX_CLASSES_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with labels.

    Attributes
    ----------
    name : str
    x : ndarray (n, d)
    y : ndarray (n,)
        Labels of any type.
    standardize : bool
        Whether columns have different units and need a common scale.
    feature_names : tuple of str
        One a column of `x`; empty if unknown.
    notes : tuple of str
        What was done to the source: columns encoded or dropped, the separator found.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[Any]
    standardize: bool
    feature_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class Distribution(Protocol):
    """A law that samples can be drawn from, such as :class:`eval.SeparableDistribution`."""

    def sample(self, n: int, random_state: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw n samples (n, d) and their labels (n,)."""


Loaded: TypeAlias = "Dataset | Distribution | tuple[Any, Any]"

Loader: TypeAlias = Callable[[], Loaded]


def describe(dataset: Dataset) -> str:
    """Describe a data set in a few lines.

    Examples
    --------
    >>> from eval import load_dataset
    >>> print(describe(load_dataset("iris")))
    iris: n = 150 samples, d = 4 features, q = 3 classes
    classes: setosa 50, versicolor 50, virginica 50
    scale: column standard deviations 0.434 to 1.76, largest norm 11.1; to be standardized
    """
    x = dataset.x
    classes, counts = np.unique(dataset.y, return_counts=True)
    sizes = [f"{c} {n}" for c, n in zip(classes[:MAX_CLASSES_SHOWN], counts, strict=False)]
    if len(classes) > MAX_CLASSES_SHOWN:
        sizes.append(f"and {len(classes) - MAX_CLASSES_SHOWN} more")
    deviations = x.std(axis=0)
    lines = [
        f"{dataset.name}: n = {len(x)} samples, d = {x.shape[1]} features, "
        f"q = {len(classes)} classes",
        f"classes: {', '.join(sizes)}",
        f"scale: column standard deviations {deviations.min():.3g} to {deviations.max():.3g}, "
        f"largest norm {np.linalg.norm(x, axis=1).max():.3g}; "
        f"{'to be standardized' if dataset.standardize else 'used as it is'}",
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in dataset.notes)])
