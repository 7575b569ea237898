"""A table read from a file, and how it becomes a data set."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from eval.data.checks import Origin, frame_dataset
from eval.data.dataset import Dataset

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "needed", "table_dataset"]


@dataclass(frozen=True, eq=False)
class Table:
    """A frame with what its file tells beside it.

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


def needed(kind: str, *modules: str) -> list[ModuleType]:
    """Import the optional dependencies that files of this kind need.

    Raises
    ------
    ModuleNotFoundError
        If one is missing; the message tells how to install them.
    """
    try:
        return [importlib.import_module(module) for module in modules]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"reading {kind} files needs {' and '.join(modules)}: pip install 'gibbsnet[app]'"
        ) from error
