"""How arrays become a data set: shapes, types and each value are checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.data.dataset import Dataset
from eval.reading import Values, as_array, check_entries, check_matrix

__all__ = [
    "DECIMAL_COMMA",
    "Origin",
    "array_dataset",
    "checked_arrays",
    "checked_labels",
    "not_finite",
    "refuse_one_class",
    "refuse_small_classes",
    "telling",
]

DECIMAL_COMMA = re.compile(r"[-+]?\d+(,\d+)+(\.\d+)?")


@dataclass(frozen=True)
class Origin:
    """Where values come from, so that messages can point at them.

    Attributes
    ----------
    name : str
        File, or name of the data set.
    lines : sequence of int, optional
        Line in the file of each row; without it rows are numbered from 1.
    """

    name: str
    lines: Sequence[int] | None = None

    def error(self, row: int, column: str, problem: str) -> ValueError:
        """The error about one value."""
        place = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return ValueError(f"{self.name}: {place}, column {column!r}: {problem}")


def array_dataset(origin: Origin, dataset: Dataset) -> Dataset:
    """Check a data set made of arrays, or of what becomes arrays; return it converted.

    Raises
    ------
    ValueError
        If shapes, types or values are not usable; the message names the origin.
    """
    x, y, names = checked_arrays(origin, dataset.x, dataset.y, tuple(dataset.feature_names))
    refuse_small_classes(origin, "y", y)
    return replace(dataset, x=x, y=y, feature_names=names)


def checked_arrays(
    origin: Origin, x: Values, y: Values, names: tuple[str, ...] = (), n: int | None = None
) -> tuple[NDArray[np.float64], NDArray[Any], tuple[str, ...]]:
    """Check samples (n, d) and labels (n,); `n` None means any number.

    Returns
    -------
    x : ndarray of float64 (n, d)
    y : ndarray (n,)
    names : tuple of str
        One a column; x0, x1, ... where there were none.

    Raises
    ------
    ValueError
        If shapes, types or values are not usable; the message names the origin.
    """
    x, y = as_array(x, f"{origin.name}: X"), as_array(y, f"{origin.name}: y")
    check_matrix(x, f"{origin.name}: X", n)
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{origin.name}: X must be numeric, got dtype {x.dtype}")
    check_entries(y, f"{origin.name}: y", len(x), "row of X")
    names = names or tuple(f"x{j}" for j in range(x.shape[1]))
    if len(names) != x.shape[1]:
        raise ValueError(f"{origin.name}: {len(names)} feature names for {x.shape[1]} columns")
    numbers = x.astype(np.float64, order="C")
    for row, column in np.argwhere(~np.isfinite(numbers))[:1]:
        raise origin.error(row, names[column], not_finite(float(numbers[row, column])))
    return numbers, checked_labels(origin, "y", y), names


def checked_labels(origin: Origin, column: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Labels of one type, all text, all whole numbers or all booleans; else ValueError."""
    labels = _labels_of_one_type(origin, column, labels)
    if labels.dtype.kind == "f":
        for row in np.flatnonzero(~np.isfinite(labels))[:1]:
            raise origin.error(row, column, f"labels must be finite, got {labels[row].item()!r}")
        if (labels != np.rint(labels)).any():
            raise ValueError(
                f"{origin.name}: column {column!r} looks continuous; "
                "class labels must be text or integers"
            )
    return labels


def refuse_one_class(origin: Origin, column: str, labels: NDArray[Any]) -> None:
    """Raise ValueError if all labels are the same."""
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(
            f"{origin.name}: column {column!r} holds one class only, {classes.tolist()[0]!r}"
        )


def refuse_small_classes(origin: Origin, column: str, labels: NDArray[Any]) -> None:
    """Raise ValueError if there is one class, or one has a single sample."""
    refuse_one_class(origin, column, labels)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"{origin.name}: class {classes.tolist()[counts.argmin()]!r} in column {column!r} has "
            "one sample; at least 2 are needed to split it"
        )


def _labels_of_one_type(origin: Origin, column: str, labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind in "biufU":
        return labels
    wanted = "class labels must be all text, all integers or all booleans"
    if labels.dtype.kind in "mM":  # as objects, times in nanoseconds are integers
        raise origin.error(0, column, f"{wanted}, got {labels[0]}")
    values = labels.astype(object).tolist()
    for row, value in enumerate(values):
        if not isinstance(value, (str, int, np.integer, np.bool_)):
            raise origin.error(row, column, f"{wanted}, got {value!r}")
        if isinstance(value, str) != isinstance(values[0], str):
            raise origin.error(row, column, f"{wanted}, got {values[0]!r} and {value!r}")
    array = np.array(values)
    if array.dtype.kind == "O":
        raise ValueError(f"{origin.name}: column {column!r}: {wanted} of 64 bits")
    return array


def not_finite(value: Any) -> str:
    """Say what is wrong with a value that is no finite number."""
    hint = ""
    if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value.strip()):
        hint = ": write a point before decimals, and nothing between thousands"
    return f"features must be finite numbers, got {value!r}{hint}"


@contextmanager
def telling(name: str) -> Iterator[None]:
    """Raise errors of user code with the name of their origin."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise
        text = " ".join(str(error).split())
        raise ValueError(f"{name}: raised {type(error).__name__}: {text}") from error
