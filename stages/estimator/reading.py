"""Arrays and frames as scikit-learn reads them, in one layout, with errors that say where."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

__all__ = ["check_labels", "plain", "read_labelled", "read_samples", "row_major"]

_OPTIONS = {"dtype": [np.float64, np.float32], "ensure_all_finite": False}


def row_major(values: NDArray[Any]) -> NDArray[Any]:
    """Return the array stored row by row in native byte order; copied only if it is not yet.

    Sums run in the order of the memory: numbers stored by columns, as in frames and converted CSC
    matrices, would round differently.
    """
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    # NumPy lets an array of one row or column keep any stride, and BLAS looks at strides.
    return native.reshape(-1).reshape(values.shape)


def read_samples(estimator: BaseEstimator, X: ArrayLike) -> NDArray[Any]:
    """Samples (n, d) for a fitted estimator, in float64 or float32, :func:`row_major`.

    Raises
    ------
    ValueError, TypeError
        If they are not usable; the message says which value.
    """
    _refuse_masked(X)
    _refuse_twins(X)
    try:
        samples: NDArray[Any] = validate_data(estimator, X, reset=False, **_OPTIONS)
    except (ValueError, TypeError) as error:
        _explain(error, X)
        raise
    _refuse_infinite(samples, X)
    return row_major(samples)


def read_labelled(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, *, reset: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples (n, d), :func:`row_major`, and their class labels (n,).

    `reset` stores d and the names of the columns in the estimator.

    Raises
    ------
    ValueError, TypeError
        If they are not usable; the message says which value.
    """
    _refuse_masked(X)
    _refuse_twins(X)
    check_labels(y, "y")
    try:
        samples, targets = validate_data(estimator, X, y, reset=reset, **_OPTIONS)
    except (ValueError, TypeError) as error:
        _explain(error, X, y)
        raise
    _refuse_infinite(samples, X)
    check_classification_targets(targets)
    return row_major(samples), targets


def _refuse_masked(X: Any) -> None:
    for row, column in np.argwhere(np.ma.getmaskarray(X))[:1] if np.ma.isMaskedArray(X) else ():
        raise ValueError(f"X must hold no masked values, got one in row {row}, column {column}")


def _refuse_infinite(samples: NDArray[Any], X: Any) -> None:
    finite = np.isfinite(samples)
    if finite.all():
        return
    row, column = np.argwhere(~finite)[0]
    what = "NaN" if np.isnan(samples[row, column]) else "infinity"
    raise ValueError(
        f"Input X contains {what} in row {row}, column {_column_name(X, column)}: "
        "every value must be finite"
    )


def _column_name(X: Any, column: int) -> str:
    return repr(list(X.columns)[column]) if hasattr(X, "columns") else str(column)


def check_labels(labels: Any, name: str) -> None:
    """Refuse None, NaN and pandas' NA, and text beside numbers, which would become text."""
    array = np.asarray(labels)
    for row in np.flatnonzero(_missing(array))[:1]:
        shown = "NaN" if isinstance(array[row], (float, np.floating)) else array[row]
        raise ValueError(f"Input {name} contains {shown} in row {row}: every label must be known")
    held = array.tolist() if array.dtype.kind == "O" and array.ndim else []
    values = labels if isinstance(labels, (list, tuple)) else held
    texts = [isinstance(label, str) for label in values]
    if any(texts) and not all(texts):
        other = values[texts.index(not texts[0])]
        raise ValueError(f"{name} must hold labels of one type, got {values[0]!r} and {other!r}")


def _missing(labels: NDArray[Any]) -> Any:
    """Which of the labels (n,) are None, NaN, or pandas' NA and NaT."""
    if labels.ndim != 1 or labels.dtype.kind not in "Ofc":
        return []
    if labels.dtype.kind != "O":
        return np.isnan(labels)
    names = ("NoneType", "NAType", "NaTType")
    return [type(v).__name__ in names or (isinstance(v, float) and np.isnan(v)) for v in labels]


def _explain(error: Exception, X: Any, y: Any = None) -> None:
    """Raise an error of the same type with a clearer message, where there is one."""
    text = None
    if X is None or isinstance(X, (dict, set, str, bytes, Number)):
        text = f"X must be an array or a frame of shape (n, d), got {_shown(X)}"
    elif hasattr(X, "columns"):
        text = _bad_column(X)
    elif isinstance(X, Sequence):
        text = _bad_row(X) or _bad_value(np.array(X, dtype=object))
    elif np.ndim(X) == 2 and getattr(getattr(X, "dtype", None), "kind", "") in ("O", "U", "S"):
        text = _bad_value(np.asarray(X))
    if text is not None:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{text}: {str(error).splitlines()[0]}") from error
    if "inconsistent numbers of samples" in str(error):
        raise ValueError(
            f"X and y have inconsistent numbers of samples, {len(X)} and {len(y)}"
        ) from error


def _shown(value: object) -> str:
    return repr(value) if value is None or isinstance(value, Number) else type(value).__name__


def _refuse_twins(X: Any) -> None:
    """Refuse columns of one name, which some versions of scikit-learn take."""
    if isinstance(X, (dict, set)) or not hasattr(X, "columns"):
        return
    names = [str(name) for name in X.columns]
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"X must have columns of different names, got several named {name!r}")


def _bad_column(X: Any) -> str | None:
    for name in X.columns:
        values = np.asarray(X[name])
        if values.dtype.kind in "mM":
            return f"X must hold numbers, got dates or times in column {name!r}"
        row = _first_text(values) if values.dtype.kind in "OUS" else None
        if row is not None:
            return f"X must hold numbers, got {plain(values[row])!r} in row {row}, column {name!r}"
    return None


def _bad_row(X: Sequence[Any]) -> str | None:
    lengths = [len(row) if hasattr(row, "__len__") else 0 for row in X]
    for row, length in enumerate(lengths):
        if length != lengths[0]:
            return (
                f"X must have rows of one length, got {lengths[0]} values in row 0 and "
                f"{length} in row {row}"
            )
    return None


def _bad_value(array: NDArray[Any]) -> str | None:
    if array.ndim != 2:
        return None
    row = _first_text(array.ravel())
    if row is None:
        return None
    place = divmod(row, array.shape[1])
    value = plain(array[place])
    return f"X must hold numbers, got {value!r} in row {place[0]}, column {place[1]}"


def _first_text(values: NDArray[Any]) -> int | None:
    """Where the first value is that is no number."""
    for place, value in enumerate(values):
        try:
            float(value)
        except (TypeError, ValueError):
            return place
    return None


def plain(value: Any) -> Any:
    """A value out of NumPy, as Python writes it."""
    return value.item() if isinstance(value, np.generic) else value
