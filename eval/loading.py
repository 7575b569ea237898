"""Data sets by name or from a file, checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.utils.multiclass import type_of_target

__all__ = ["BUILTIN", "Dataset", "load_dataset"]

BUILTIN = ("digits", "wine", "breast_cancer", "iris")
"""Data sets that scikit-learn carries."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with labels.

    Attributes
    ----------
    name : str
    x : ndarray (n, d)
    y : ndarray (n,)
        Labels of any type.
    standardize : bool
        Whether columns come in unlike units and want a common scale.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[Any]
    standardize: bool


def load_dataset(source: str, target: str | None = None) -> Dataset:
    """Load a built-in data set, or a CSV file with a header line.

    Parameters
    ----------
    source : str
        "digits", "wine", "breast_cancer", "iris", or the path of a CSV file.
    target : str, optional
        The column of the labels in a CSV file; None means the last one.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If a column or value is not usable; the message names it.
    ModuleNotFoundError
        If a CSV file is asked for without pandas.
    """
    if source in BUILTIN:
        bunch = getattr(datasets, f"load_{source}")()
        return Dataset(source, bunch.data, bunch.target_names[bunch.target], source != "digits")
    return _load_csv(Path(source), target)


def _load_csv(path: Path, target: str | None) -> Dataset:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file, and not one of the built-in {', '.join(BUILTIN)}, separable"
        )
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading CSV files needs pandas: pip install 'gibbsnet[app]'"
        ) from error
    try:
        frame = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as CSV: {str(error).strip()}") from error
    column = frame.columns[-1] if target is None else target
    if column not in frame.columns:
        raise ValueError(f"{path}: no column {column!r}; there are {', '.join(frame.columns)}")
    if len(frame.columns) < 2:
        raise ValueError(f"{path}: there must be feature columns beside {column!r}, got none")
    for name in frame.columns:
        missing = np.flatnonzero(frame[name].isna())
        if len(missing):
            raise ValueError(f"{path}: line {missing[0] + 2}, column {name!r}: missing value")
    features = frame.drop(columns=column)
    for name in features.columns:
        _check_numeric(path, name, features[name], pd.to_numeric(features[name], errors="coerce"))
    return Dataset(
        path.stem,
        features.to_numpy(np.float64),
        _check_labels(path, column, frame[column].to_numpy()),
        standardize=True,
    )


def _check_numeric(path: Path, name: str, values: Any, numbers: Any) -> None:
    bad = np.flatnonzero(~np.isfinite(numbers.to_numpy(np.float64)))
    if len(bad):
        raise ValueError(
            f"{path}: line {bad[0] + 2}, column {name!r}: features must be finite numbers, "
            f"got {values.iloc[bad[0]]!r}"
        )


def _check_labels(path: Path, column: str, labels: NDArray[Any]) -> NDArray[Any]:
    if type_of_target(labels) == "continuous":
        raise ValueError(
            f"{path}: column {column!r} looks continuous; class labels must be text or integers"
        )
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"{path}: column {column!r} holds one class only, {classes.tolist()[0]!r}")
    if counts.min() < 2:
        raise ValueError(
            f"{path}: class {classes.tolist()[counts.argmin()]!r} in column {column!r} has one "
            "sample; at least 2 are needed to split it"
        )
    return labels
