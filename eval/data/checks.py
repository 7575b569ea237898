"""How arrays and frames become a data set: each value is checked, and what is text encoded."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.data.dataset import Dataset

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Origin",
    "array_dataset",
    "as_array",
    "checked_arrays",
    "frame_dataset",
    "not_finite",
    "plain",
    "refuse_duplicates",
    "refuse_missing",
    "refuse_one_class",
    "telling",
]

MAX_LEVELS = 100

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
        """Return the error that one value deserves."""
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
    _refuse_small_classes(origin, "y", y)
    return replace(dataset, x=x, y=y, feature_names=names)


def checked_arrays(
    origin: Origin, x: ArrayLike, y: ArrayLike, names: tuple[str, ...] = (), n: int | None = None
) -> tuple[NDArray[np.float64], NDArray[Any], tuple[str, ...]]:
    """Check samples (n, d) and labels (n,), of which `n` None are as many as come.

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
    x, y = as_array(origin, "X", x), as_array(origin, "y", y)
    if x.ndim != 2 or 0 in x.shape or (n is not None and len(x) != n):
        rows = "n" if n is None else n
        raise ValueError(f"{origin.name}: X must have shape ({rows}, d), got {x.shape}")
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{origin.name}: X must be numeric, got dtype {x.dtype}")
    if y.shape != (len(x),):
        raise ValueError(f"{origin.name}: y must have shape ({len(x)},), got {y.shape}")
    names = names or tuple(f"x{j}" for j in range(x.shape[1]))
    if len(names) != x.shape[1]:
        raise ValueError(f"{origin.name}: {len(names)} feature names for {x.shape[1]} columns")
    numbers = x.astype(np.float64, order="C")
    for row, column in np.argwhere(~np.isfinite(numbers))[:1]:
        raise origin.error(row, names[column], not_finite(float(numbers[row, column])))
    return numbers, _checked_labels(origin, "y", y), names


def as_array(origin: Origin, name: str, values: ArrayLike) -> NDArray[Any]:
    """Values of a user as an array; what cannot be one is refused by name."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{origin.name}: {name} is not an array: {error}") from error


def not_finite(value: Any) -> str:
    """Say what is wrong with a value that is no finite number."""
    hint = ""
    if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value.strip()):
        hint = ": write a point before decimals, and nothing between thousands"
    return f"features must be finite numbers, got {value!r}{hint}"


def frame_dataset(
    origin: Origin,
    name: str,
    features: pd.DataFrame,
    labels: pd.Series[Any],
    notes: Iterable[str] = (),
) -> Dataset:
    """Check a frame of features and a column of labels; one-hot encode what is not numeric.

    Text, categorical and boolean columns become one column for each of their sorted levels.
    A column with some numbers and some other text is refused.

    Raises
    ------
    ValueError
        If a column or value is not usable; the message names it and its row.
    """
    features = features.set_axis([str(column) for column in features.columns], axis=1)
    refuse_duplicates(origin, features.columns)
    target = "y" if labels.name is None else str(labels.name)
    refuse_missing(origin, target, labels)
    columns = [_encoded(origin, column, features[column]) for column in features.columns]
    y = _checked_labels(origin, target, labels.infer_objects().to_numpy())
    _refuse_small_classes(origin, target, y)
    return Dataset(
        name,
        np.hstack([column.x for column in columns]),
        y,
        True,
        tuple(name for column in columns for name in column.names),
        (*notes, *(column.note for column in columns if column.note)),
    )


def refuse_duplicates(origin: Origin, columns: Iterable[str]) -> None:
    """Raise ValueError if two columns have the same name."""
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise ValueError(f"{origin.name}: there are several columns named {column!r}")
        seen.add(column)


def refuse_missing(origin: Origin, column: str, values: pd.Series[Any]) -> None:
    """Raise ValueError if a value is missing; the message names its row."""
    for row in np.flatnonzero(values.isna().to_numpy())[:1]:
        raise origin.error(row, column, "missing value")


@dataclass(frozen=True, eq=False)
class _Columns:
    x: NDArray[np.float64]
    names: tuple[str, ...]
    note: str | None = None


def _encoded(origin: Origin, column: str, values: pd.Series[Any]) -> _Columns:
    import pandas as pd

    refuse_missing(origin, column, values)
    values = values.infer_objects()
    if isinstance(values.dtype, pd.CategoricalDtype) or values.dtype.kind == "b":
        return _one_hot(origin, column, values.astype(object).tolist())
    _refuse_other_types(origin, column, values)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    texts = values.dtype.kind == "O" and bool(np.isnan(numbers).all())
    if texts and not all(DECIMAL_COMMA.fullmatch(str(text).strip()) for text in values):
        return _one_hot(origin, column, values.tolist())
    for row in bad[:1]:
        raise origin.error(row, column, not_finite(plain(values.iloc[row])))
    return _Columns(numbers[:, None], (column,))


def plain(value: Any) -> Any:
    """Take a value out of numpy, as Python writes it."""
    return value.item() if isinstance(value, np.generic) else value


def _refuse_other_types(origin: Origin, column: str, values: pd.Series[Any]) -> None:
    if values.dtype.kind in "iuf":
        return
    for row, value in enumerate(values):
        if not isinstance(value, (str, Number)) or isinstance(value, complex):
            raise origin.error(
                row, column, f"features must be finite numbers or text, got {value!r}"
            )


def _one_hot(origin: Origin, column: str, values: list[Hashable]) -> _Columns:
    distinct = set(values)
    if len(distinct) > MAX_LEVELS:
        raise ValueError(
            f"{origin.name}: column {column!r} holds {len(distinct)} different texts, and at most "
            f"{MAX_LEVELS} are one-hot encoded: if it identifies the samples, drop it as index"
        )
    levels = sorted(distinct, key=lambda level: (str(type(level)), level))
    place = {level: i for i, level in enumerate(levels)}
    return _Columns(
        np.eye(len(levels))[[place[value] for value in values]],
        tuple(f"{column}={level}" for level in levels),
        f"column {column!r} is one-hot encoded, {len(levels)} levels",
    )


def _checked_labels(origin: Origin, column: str, labels: NDArray[Any]) -> NDArray[Any]:
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


def _refuse_small_classes(origin: Origin, column: str, labels: NDArray[Any]) -> None:
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


@contextmanager
def telling(name: str) -> Iterator[None]:
    """Say whose code raised, and what."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise
        raise ValueError(f"{name}: raised {type(error).__name__}: {error}") from error
