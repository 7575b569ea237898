"""Samples with labels, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eval.distances.clouds import Array, read_points

__all__ = ["class_signs", "read_labelled"]


def read_labelled(
    X: ArrayLike | Tensor, y: ArrayLike | Tensor
) -> tuple[Array, NDArray[np.int64], NDArray[Any]]:
    """Samples (n, d) in float64, the class of each as 0..q-1, and the sorted labels (q,).

    Raises
    ------
    ValueError
        If X is not a finite matrix, or y not n labels of one type and two classes or more.
    """
    x = read_points(X, "X")
    labels = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if labels.shape != (len(x),):
        raise ValueError(f"y must have shape ({len(x)},), got {labels.shape}")
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels):
        labels = labels.astype(str)
    if labels.dtype.kind in "fc" and not np.isfinite(labels).all():
        raise ValueError("y must be finite, got NaN or inf")
    try:
        classes, members = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"y must hold labels of one type that sorts: {error}") from error
    if len(classes) < 2:
        raise ValueError(f"y must hold at least 2 classes, got {classes.tolist()}")
    return x, members.astype(np.int64), classes


def class_signs(members: NDArray[np.int64], classes: NDArray[Any], k: Any) -> Array:
    """s_i = 1 in the class of label k, -1 outside.

    Raises
    ------
    ValueError
        If there is no such label.
    """
    found = np.flatnonzero(classes == k)
    if len(found) != 1:
        raise ValueError(f"k must be one of the labels {classes.tolist()}, got {k!r}")
    return np.where(members == found[0], 1.0, -1.0)
