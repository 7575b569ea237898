"""A batch of features and labels: checked, cut into blocks, cast to float64 block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from stages.estimator.reading import row_major

__all__ = [
    "Array",
    "Batch",
    "check_finite",
    "check_known",
    "declared_classes",
    "is_numeric",
    "read_labels",
    "shifted",
    "shifted_sum",
]

Array = NDArray[np.float64]

BLOCK_BYTES = 3 * 2**18


def read_labels(labels: ArrayLike | Tensor) -> NDArray[Any]:
    """Labels as an array; strings as such, whatever held them."""
    y = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if y.dtype.kind == "f" and np.isnan(y).any():
        raise ValueError("labels must not be NaN")
    if y.dtype.kind == "O" and all(isinstance(label, str) for label in y.flat):
        return np.asarray(y.astype(str))
    return y


def is_numeric(labels: NDArray[Any]) -> bool:
    """Whether labels are numbers."""
    return labels.dtype.kind in "biuf"


def declared_classes(classes: int | ArrayLike | Tensor) -> NDArray[Any]:
    """Sorted labels: those given, or 0 to classes - 1.

    Raises
    ------
    ValueError
        If there are none.
    """
    labels = read_labels(classes)
    labels = np.arange(int(labels)) if labels.ndim == 0 else np.unique(labels)
    if not len(labels):
        raise ValueError(f"classes must name at least 1 class, got {classes!r}")
    return labels


def check_known(labels: NDArray[Any], known: NDArray[Any], which: str) -> None:
    """Raise ValueError where a label is none of the known ones."""
    unknown = np.setdiff1d(labels, known)
    if len(unknown):
        raise ValueError(f"labels must be among {which}, got {unknown.tolist()[0]!r}")


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


def check_finite(*values: Any) -> None:
    """Raise ValueError if sums over features show that one of them is not finite."""
    if not all(np.isfinite(value).all() for value in values):
        raise ValueError("features must be finite, got NaN or inf")


def _check_matrix(matrix: NDArray[Any], name: str) -> None:
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"{name} must be a matrix that is not empty, got shape {matrix.shape}")


def _read_features(features: ArrayLike | Tensor) -> tuple[NDArray[Any], float]:
    """The features, in their own type where NumPy has it, and the epsilon of that type."""
    precision = float(np.finfo(np.float64).eps)
    if isinstance(features, Tensor):
        values = features.detach().cpu()
        if values.is_floating_point():
            precision = torch.finfo(values.dtype).eps
        array = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    else:
        array = np.asarray(features)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        elif array.dtype.kind == "f":
            precision = float(np.finfo(array.dtype).eps)
    _check_matrix(array, "features")
    return array.astype(array.dtype.newbyteorder("="), copy=False), precision


def _magnitude(features: NDArray[Any]) -> float:
    """A power of two near the largest float64, so that no square over- or underflows.

    1 for the smaller types, whose squares cannot in float64.
    """
    if features.dtype != np.float64:
        return 1.0
    size = max(float(features.max()), -float(features.min()))
    check_finite(size)
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
    def of(cls, features: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> Batch:
        """Check features and labels, without a copy of the features where they are an array."""
        values, precision = _read_features(features)
        y = read_labels(labels)
        if y.shape != (len(values),):
            raise ValueError(
                "labels must have one entry per row of features, "
                f"({len(values)},), got shape {y.shape}"
            )
        classes, members = np.unique(y, return_inverse=True)
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
            check_finite(block)

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
