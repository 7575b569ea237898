"""Predictions of a stored network for the rows of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.app.model_store import SavedModel

__all__ = ["feature_matrix", "predictions"]


def feature_matrix(
    frame: pd.DataFrame, names: tuple[str, ...], source: Path
) -> NDArray[np.float64]:
    """Take the features of these names from a frame, encoding categories as in training.

    A feature "column=level" is 1 where the column holds that level, else 0. Columns that
    no feature needs are left aside.

    Raises
    ------
    ValueError
        If a column is missing, a value is missing or not a number, or a level is new.
    """
    columns = []
    for name in names:
        column, sign, level = name.partition("=")
        if name in frame.columns or not sign:
            columns.append(_numbers(frame, name, source))
        else:
            columns.append(_indicator(frame, column, level, names, source))
    return np.column_stack(columns)


def predictions(model: SavedModel, x: NDArray[np.float64]) -> pd.DataFrame:
    """One row a sample: the predicted class, and the output of the network for every class."""
    scores = model.decision_function(x)
    classes = model.classifier.classes_
    if scores.ndim == 1:  # two classes: their difference, second minus first
        return pd.DataFrame({"prediction": classes[(scores > 0).astype(int)], "score": scores})
    frame = pd.DataFrame(scores, columns=[f"score {name}" for name in classes])
    frame.insert(0, "prediction", classes[scores.argmax(axis=1)])
    return frame


def _column(frame: pd.DataFrame, name: str, source: Path) -> pd.Series:
    if name not in frame.columns:
        raise ValueError(f"{source}: no column {name!r}, which the model was trained with")
    values = frame[name]
    missing = np.flatnonzero(values.isna())
    if len(missing):
        raise ValueError(f"{source}: row {missing[0] + 1}, column {name!r}: missing value")
    return values


def _numbers(frame: pd.DataFrame, name: str, source: Path) -> NDArray[np.float64]:
    values = _column(frame, name, source)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise ValueError(
            f"{source}: row {bad[0] + 1}, column {name!r}: features must be finite numbers, "
            f"got {values.iloc[bad[0]]!r}"
        )
    return numbers


def _indicator(
    frame: pd.DataFrame, column: str, level: str, names: tuple[str, ...], source: Path
) -> NDArray[np.float64]:
    values = _column(frame, column, source).astype(str).to_numpy()
    known = [name.partition("=")[2] for name in names if name.startswith(f"{column}=")]
    new = np.flatnonzero(~np.isin(values, known))
    if len(new):
        raise ValueError(
            f"{source}: row {new[0] + 1}, column {column!r}: level {values[new[0]]!r} was not in "
            f"the training data; known are {', '.join(known)}"
        )
    return np.asarray(values == level, dtype=np.float64)
