"""Counts, means and sums of squares of the classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.collapse.batch import Batch, shifted, shifted_sum
from eval.reading import Array, check_finite, check_known

__all__ = ["ClassMoments", "mean_moments", "no_moments", "widen"]


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """The statistics of the features that the metrics use.

    Attributes
    ----------
    classes, counts : ndarray (K,)
        Sorted labels, and samples of each; 0 for a declared class that never came.
    origin : ndarray (p,)
    unit : float
        A power of two. Means and squares are those of (features - origin) / unit.
    means : ndarray (K, p)
    precision : float
        Machine epsilon of the coarsest type that the features came in.
    squares : ndarray (K,)
        Sums of squared distances to the class mean.
    whitened : float or None
        tr(S_W pinv(S_B)); None where it is unknown.
    agreement : float or None
        Share of samples for which linear layer and nearest class mean agree.
    """

    classes: NDArray[Any]
    counts: NDArray[np.int64]
    origin: Array
    unit: float
    means: Array
    precision: float
    squares: Array
    whitened: float | None = None
    agreement: float | None = None


def mean_moments(batch: Batch) -> ClassMoments:
    """Counts and means of the classes; squares from a block of each, to estimate round-off."""
    origin = np.asarray(batch.features[0], np.float64)
    check_finite("features", origin)
    counts = np.bincount(batch.members)
    sums = np.zeros((len(counts), len(origin)))
    squares = np.zeros(len(counts))
    for k, rows in batch.class_runs():
        sums[k] += shifted_sum(rows, origin, batch.unit)
        if not squares[k]:
            values = shifted(rows, origin, batch.unit)
            squares[k] = np.vdot(values, values) * (counts[k] / len(rows))
    check_finite("features", sums)
    means = sums / counts[:, None]
    return ClassMoments(batch.classes, counts, origin, batch.unit, means, batch.precision, squares)


def no_moments(classes: NDArray[Any]) -> ClassMoments:
    """Of classes of which no sample has come, whose features have no width yet."""
    k = len(classes)
    return ClassMoments(
        classes, np.zeros(k, np.int64), np.zeros(0), 0.0, np.zeros((k, 0)), 0.0, np.zeros(k)
    )


def widen(moments: ClassMoments, classes: NDArray[Any]) -> ClassMoments:
    """The same moments among more classes, those added having no samples."""
    check_known(moments.classes, classes, "the declared classes")
    places = np.searchsorted(classes, moments.classes)
    return replace(
        moments,
        classes=classes,
        counts=_spread(moments.counts, places, len(classes)),
        means=_spread(moments.means, places, len(classes)),
        squares=_spread(moments.squares, places, len(classes)),
    )


def _spread(values: NDArray[Any], places: NDArray[np.intp], length: int) -> NDArray[Any]:
    """Rows moved to their places among `length` rows, 0 elsewhere."""
    wider = np.zeros((length, *values.shape[1:]), values.dtype)
    wider[places] = values
    return wider
