"""Predictions of a stored network for the rows of a file."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.app.run.model_store import SavedModel
from eval.data.arrays import Origin, not_finite
from eval.data.frames import refuse_missing
from stages.estimator.reading import plain

__all__ = ["column_of", "feature_matrix", "predictions"]


TRAINED = ", which the model was trained with"


def feature_matrix(
    frame: pd.DataFrame, names: tuple[str, ...], origin: Origin
) -> NDArray[np.float64]:
    """Take the features of these names from a frame, encoding categories as in training.

    A feature "column=level" is 1 where the column holds that level, else 0. Columns that
    no feature needs are ignored.

    Raises
    ------
    ValueError
        If a column is missing, a value is missing or not a number, or a level is new.
    """
    columns = []
    for name in names:
        column, sign, level = name.partition("=")
        if name in frame.columns or not sign:
            columns.append(_numbers(frame, name, origin))
        else:
            columns.append(_indicator(frame, column, level, names, origin))
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


def column_of(frame: pd.DataFrame, name: str, origin: Origin, why: str = "") -> pd.Series:
    """Take a column without missing values; `why` says what it is needed for.

    Raises
    ------
    ValueError
        If there is none of that name, or a value is missing.
    """
    if name not in frame.columns:
        raise ValueError(f"{origin.name}: no column {name!r}{why}")
    values = frame[name]
    refuse_missing(origin, name, values)
    return values


def _numbers(frame: pd.DataFrame, name: str, origin: Origin) -> NDArray[np.float64]:
    values = column_of(frame, name, origin, TRAINED)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise origin.error(bad[0], name, not_finite(plain(values.iloc[bad[0]])))
    return numbers


def _indicator(
    frame: pd.DataFrame, column: str, level: str, names: tuple[str, ...], origin: Origin
) -> NDArray[np.float64]:
    values = column_of(frame, column, origin, TRAINED).astype(str).to_numpy()
    known = [name.partition("=")[2] for name in names if name.startswith(f"{column}=")]
    new = np.flatnonzero(~np.isin(values, known))
    if len(new):
        raise origin.error(
            new[0],
            column,
            f"level {values[new[0]]!r} was not in the training data; known are {', '.join(known)}",
        )
    return np.asarray(values == level, dtype=np.float64)
