"""A batch of features and labels: checked, cut into blocks, cast to float64 block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.reading import (
    Array,
    Values,
    as_array,
    check_finite,
    check_matrix,
    read_classes,
    read_labels,
    read_numbers,
)
from stages.estimator.reading import row_major

__all__ = ["Batch", "declared_classes", "shifted", "shifted_sum"]

BLOCK_BYTES = 3 * 2**18


def declared_classes(classes: int | Values) -> NDArray[Any]:
    """Sorted labels: those given, or 0 to classes - 1.

    Raises
    ------
    ValueError
        If there are none.
    """
    labels = read_labels(classes, "classes")
    labels = np.arange(int(labels)) if labels.ndim == 0 else np.unique(labels)
    if not len(labels):
        raise ValueError(f"classes must name at least 1 class, got {classes!r}")
    return labels


def shifted(rows: NDArray[Any], origin: Array, unit: float, buffer: Array | None = None) -> Array:
    """(rows - origin) / unit in float64; unit is a power of two, so dividing is exact."""
    out = None if buffer is None else buffer[: len(rows)]
    values: Array = np.subtract(rows, origin, out=out, dtype=np.float64)
    if unit != 1:
        values /= unit
    return values


def shifted_sum(rows: NDArray[Any], origin: Array, unit: float) -> Array:
    """Sum of the shifted rows.

    Values of at most 24 bits that are within 2^20 of each other add up exactly in float64, and
    so does a block of equal rows: there the shift may come after the sum, which is twice as fast.
    """
    with np.errstate(invalid="ignore"):
        if rows.dtype in (np.float16, np.float32):
            return np.asarray(rows.sum(axis=0, dtype=np.float64) - len(rows) * origin)
        return np.asarray(np.ones(len(rows)) @ shifted(rows, origin, unit))


def _read_features(features: Values) -> tuple[NDArray[Any], float]:
    """The features, in their own type where NumPy has it, and the epsilon of that type."""
    array = as_array(features, "features")
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        array = read_numbers(array, "features")
    precision = float(np.finfo(array.dtype if array.dtype.kind == "f" else np.float64).eps)
    if isinstance(features, Tensor) and features.is_floating_point():
        precision = torch.finfo(features.dtype).eps  # of bfloat16, which became float32
    check_matrix(array, "features")
    return array.astype(array.dtype.newbyteorder("="), copy=False), precision


def _magnitude(features: NDArray[Any]) -> float:
    """A power of two near the largest float64, so that no square over- or underflows.

    1 for the smaller types, whose squares cannot in float64.
    """
    if features.dtype != np.float64:
        return 1.0
    size = max(float(features.max()), -float(features.min()))
    check_finite("features", size)
    return 2.0 ** min(max(math.frexp(size)[1], -960), 960)


@dataclass(frozen=True, eq=False)
class Batch:
    """Features in their own type, sorted classes, and the class of each row."""

    features: NDArray[Any]
    precision: float
    unit: float
    classes: NDArray[Any]
    members: NDArray[np.intp]

    @classmethod
    def of(cls, features: Values, labels: Values) -> Batch:
        """Check features and labels, without a copy of the features where they are an array."""
        values, precision = _read_features(features)
        classes, members = read_classes(labels, "labels", len(values), "row of features")
        return cls(values, precision, _magnitude(values), classes, members)

    @property
    def rows(self) -> int:
        """Rows of a block."""
        return max(1, BLOCK_BYTES // (8 * int(self.features.shape[1])))

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The features in blocks of 768 KiB in float64, row-major."""
        for start in range(0, len(self.features), self.rows):
            yield row_major(self.features[start : start + self.rows])

    def check_finite(self) -> None:
        """Raise ValueError where a feature is not finite."""
        for block in self.blocks():
            check_finite("features", block)

    def class_runs(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """The features by class, in row-major blocks: index into `classes`, rows.

        The rows may lie in a buffer, which the next ones overwrite.
        """
        # Small integers sort by radix.
        small = np.int16 if len(self.classes) < 2**15 else np.intp
        order = np.argsort(self.members.astype(small), kind="stable")
        ends = np.cumsum(np.bincount(self.members))
        buffer = np.empty((self.rows, self.features.shape[1]), self.features.dtype)
        for k, (first, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            for start in range(first, end, self.rows):
                yield k, self._gather(order[start : min(start + self.rows, end)], buffer)

    def _gather(self, places: NDArray[np.intp], buffer: NDArray[Any]) -> NDArray[Any]:
        out = buffer[: len(places)]
        if not self.features.flags.c_contiguous:  # np.take would copy all the features.
            out[:] = self.features[places]
            return out
        return np.take(self.features, places, axis=0, out=out, mode="clip")
