"""Arrays and labels as they come from a user: read, checked and refused in this one module.

Whatever holds numbers or labels may come: lists, arrays of any layout and byte order, frames,
series, and tensors of any device. What cannot be used is refused with the name of the argument.
The samples of the classifier itself are read in :mod:`stages.estimator.reading`, on which this
stands, and the rows of a data set are checked one by one in :mod:`eval.data.arrays`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from stages.estimator.reading import check_labels, row_major

__all__ = [
    "Array",
    "Values",
    "as_array",
    "check_entries",
    "check_finite",
    "check_known",
    "check_matrix",
    "is_numeric",
    "read_classes",
    "read_labelled",
    "read_labels",
    "read_matrix",
    "read_numbers",
]

Array: TypeAlias = NDArray[np.float64]
Values: TypeAlias = ArrayLike | Tensor


def as_array(values: Values, name: str) -> NDArray[Any]:
    """Values as an array, not copied where they are one; bfloat16 becomes float32.

    Raises
    ------
    ValueError
        If they cannot be an array, such as rows of several lengths.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must be an array: {error}") from error


def read_numbers(values: Values, name: str) -> Array:
    """Numbers in float64, of any shape, in the order of rows.

    Raises
    ------
    ValueError
        If a value is no number.
    """
    try:
        return row_major(np.asarray(as_array(values, name), dtype=np.float64))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error


def read_matrix(values: Values, name: str) -> Array:
    """A finite float64 matrix (n, d), in the order of rows.

    Raises
    ------
    ValueError
        If it is no matrix, is empty, or holds NaN or infinity.

    Examples
    --------
    >>> read_matrix([[1, 2], [3, 4]], "X").dtype
    dtype('float64')
    >>> read_matrix([[1.0, float("nan")]], "X")
    Traceback (most recent call last):
    ...
    ValueError: X must be finite, got NaN or inf
    """
    matrix = read_numbers(values, name)
    check_matrix(matrix, name)
    check_finite(name, matrix)
    return matrix


def check_matrix(array: Any, name: str, n: int | None = None) -> None:
    """Raise ValueError where an array or frame is no matrix, is empty, or has not n rows."""
    if array.ndim != 2 or not array.size or (n is not None and len(array) != n):
        rows = "" if n is None else f" of {n} rows"
        raise ValueError(
            f"{name} must be a matrix{rows} that is not empty, got shape {array.shape}"
        )


def check_finite(name: str, *values: Any) -> None:
    """Raise ValueError where one of these values, or sums over them, is not finite."""
    if not all(np.isfinite(value).all() for value in values):
        raise ValueError(f"{name} must be finite, got NaN or inf")


def check_entries(array: Any, name: str, n: int, per: str) -> None:
    """Raise ValueError where an array does not have n entries, one per `per`."""
    if array.shape != (n,):
        raise ValueError(f"{name} must have one entry per {per}, ({n},), got shape {array.shape}")


def read_labels(labels: Values, name: str) -> NDArray[Any]:
    """Labels as an array; text as such, whatever held it.

    Raises
    ------
    ValueError
        If a label is missing (None, NaN, pandas' NA), or a list holds text beside numbers.

    Examples
    --------
    >>> read_labels(np.array(["b", "a"], dtype=object), "y")
    array(['b', 'a'], dtype='<U1')
    >>> read_labels([0.0, float("nan")], "y")
    Traceback (most recent call last):
    ...
    ValueError: Input y contains NaN in row 1: every label must be known
    """
    array = as_array(labels, name)
    check_labels(labels if isinstance(labels, (list, tuple)) else array, name)
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array.flat):
        return array.astype(str)
    return array


def read_classes(
    labels: Values, name: str, n: int, per: str
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Sorted classes (q,) of n labels, and the class of each as 0 to q - 1, (n,).

    Raises
    ------
    ValueError
        If there are not n labels, one per `per`, or they do not sort.

    Examples
    --------
    >>> read_classes(["b", "a", "b"], "y", 3, "row of X")
    (array(['a', 'b'], dtype='<U1'), array([1, 0, 1]))
    """
    array = read_labels(labels, name)
    check_entries(array, name, n, per)
    try:
        classes, members = np.unique(array, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"{name} must hold labels of one type that sorts: {error}") from error
    return classes, members


def read_labelled(X: Values, y: Values) -> tuple[Array, NDArray[Any], NDArray[np.intp]]:
    """Samples (n, d) as :func:`read_matrix`, their classes and members as :func:`read_classes`.

    Raises
    ------
    ValueError
        If either is not usable, or there is one class only.
    """
    x = read_matrix(X, "X")
    classes, members = read_classes(y, "y", len(x), "row of X")
    if len(classes) < 2:
        raise ValueError(f"y must hold at least 2 classes, got {classes.tolist()}")
    return x, classes, members


def is_numeric(labels: NDArray[Any]) -> bool:
    """Whether labels are numbers."""
    return labels.dtype.kind in "biuf"


def check_known(
    labels: NDArray[Any], known: NDArray[Any], which: str, name: str = "labels"
) -> None:
    """Raise ValueError where a label is none of the known ones.

    NumPy would compare numbers and text as text: of two types, none is known.
    """
    same_type = is_numeric(labels) == is_numeric(known)
    unknown = np.setdiff1d(labels, known) if same_type else labels
    if len(unknown):
        raise ValueError(f"{name} must be among {which}, got {unknown.tolist()[0]!r}")
