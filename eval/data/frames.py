"""How frames become a data set: the column of the labels is found, and text is one-hot encoded."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eval.data.arrays import (
    DECIMAL_COMMA,
    Origin,
    checked_labels,
    not_finite,
    refuse_small_classes,
)
from eval.data.dataset import Dataset
from stages.estimator.reading import plain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "frame_dataset", "refuse_duplicates", "refuse_missing", "table_dataset"]

MAX_LEVELS = 100


@dataclass(frozen=True, eq=False)
class Table:
    """A frame with information about its file.

    Attributes
    ----------
    name : str
        Of the data set that it becomes.
    origin : Origin
    frame : DataFrame
    unnamed : str or None
        Column that may number the rows: the first one without a name, or the pandas index.
    notes : tuple of str
        What was found in the file, as in :class:`eval.Dataset`.
    """

    name: str
    origin: Origin
    frame: pd.DataFrame
    unnamed: str | None
    notes: tuple[str, ...]


def table_dataset(table: Table, target: str | None, index: str | Sequence[str] | None) -> Dataset:
    """Take the labels from `target`, the last column if None, and drop the columns `index`.

    Raises
    ------
    ValueError
        If a column or value is not usable; the message names it and its line or row.
    """
    origin, frame = table.origin, table.frame
    if len(frame) == 0:
        raise ValueError(f"{origin.name}: there are no rows below the header")
    dropped = [index] if isinstance(index, str) else list(index or ())
    for name in [*dropped, *([] if target is None else [target])]:
        if name not in frame.columns:
            raise ValueError(
                f"{origin.name}: no column {name!r}; there are {', '.join(frame.columns)}"
            )
    if target in dropped:
        raise ValueError(f"{origin.name}: column {target!r} is both target and index")
    notes = [*table.notes, *(f"column {name!r} is dropped, as asked" for name in dropped)]
    frame = frame.drop(columns=dropped)
    if table.unnamed is not None and table.unnamed not in [*dropped, target]:
        notes.append(_refuse_or_tell_unnamed(table))
        frame = frame.drop(columns=table.unnamed)
    column = target or ["the labels", *frame.columns][-1]
    if frame.shape[1] < 2:
        hint = ": is the separator another one?" if set(column) & set(",;|\t ") else ""
        raise ValueError(
            f"{origin.name}: there must be feature columns beside {column!r}, got none{hint}"
        )
    features, labels = frame.drop(columns=column), frame[column]
    return frame_dataset(origin, table.name, features, labels, notes)


def _refuse_or_tell_unnamed(table: Table) -> str:
    values = table.frame[table.unnamed].to_numpy()
    rows = np.arange(len(values))
    if values.dtype.kind in "iu" and (
        np.array_equal(values, rows) or np.array_equal(values, rows + 1)
    ):
        return f"column {table.unnamed!r} is dropped: it numbers the rows"
    raise ValueError(
        f"{table.origin.name}: column {table.unnamed!r} looks like an index but does not number "
        f"the rows: give it a name in the file, or drop it as index"
    )


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
    y = checked_labels(origin, target, labels.infer_objects().to_numpy())
    refuse_small_classes(origin, target, y)
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
