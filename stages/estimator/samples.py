"""Sample weights, and the map of samples into the unit ball."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from gibbs.model.repeats import distinct_rows

__all__ = ["map_inputs", "total_weights", "unit_ball"]


def total_weights(
    sample_weight: ArrayLike | None,
    class_weight: Mapping[Any, float] | Literal["balanced"] | None,
    targets: NDArray[Any],
) -> NDArray[np.float64] | None:
    r"""Weight of each sample: its own times that of its class; None where all are equal.

    "balanced" gives each class the same total weight: class k of the classes with weight > 0
    gets, with :math:`s_i` the samples' own weights,

    .. math:: c_k = \sum_i s_i \,/\, (q \textstyle\sum_{i \in k} s_i).

    Parameters
    ----------
    sample_weight : array-like (n,), optional
        >= 0, and not all 0.
    class_weight : dict of class to float, "balanced" or None
        Classes that the dict does not hold have weight 1.
    targets : ndarray (n,)

    Returns
    -------
    ndarray (n,) or None

    Raises
    ------
    ValueError
        If weights do not fit; the message names the argument.
    """
    own = np.ones(len(targets))
    if sample_weight is not None:
        own = _checked_weights(sample_weight, len(targets))
    classes, members = np.unique(targets, return_inverse=True)
    weights = own * _class_weights(class_weight, classes, members, own)[members]
    if not weights.any():
        raise ValueError(
            "class_weight must leave some sample a weight > 0, got zero for each that has one"
        )
    return None if (weights == weights[0]).all() else weights


def _checked_weights(sample_weight: ArrayLike, n: int) -> NDArray[np.float64]:
    try:
        weights = np.array(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weight must hold numbers: {error}") from error
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight must have one number per sample, shape ({n},), got {weights.shape}"
        )
    for row in np.flatnonzero(~np.isfinite(weights) | (weights < 0))[:1]:
        raise ValueError(
            f"sample_weight must be finite and >= 0, got {weights[row].item()} in row {row}"
        )
    if not weights.any():
        raise ValueError("sample_weight must not be zero in every row")
    return weights


def _class_weights(
    class_weight: Mapping[Any, float] | Literal["balanced"] | None,
    classes: NDArray[Any],
    members: NDArray[np.intp],
    own: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weight of each class, (q,)."""
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(members, own)
        present = totals > 0
        shares = np.zeros(len(classes))
        shares[present] = own.sum() / (present.sum() * totals[present])
        return shares
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"class_weight must be a dict, 'balanced' or None, got {class_weight!r}")
    names = classes.tolist()
    for name, value in class_weight.items():
        if not isinstance(value, (int, float, np.number)) or not 0 <= value < math.inf:
            raise ValueError(
                f"class_weight must hold finite numbers >= 0, got {value!r} for class {name!r}"
            )
    strangers = [name for name in class_weight if name not in names]
    if strangers and not set(names) <= set(class_weight):
        raise ValueError(
            f"class_weight must have its keys among the classes {names}, got {strangers[0]!r}"
        )
    return np.array([float(class_weight.get(name, 1.0)) for name in names])


def unit_ball(
    X: NDArray[Any], center: bool, weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], float]:
    """The shift and the largest norm that map the training samples into the unit ball.

    Of samples that occur several times each is counted with that weight, see
    :func:`gibbs.model.repeats.distinct_rows`: weights and copies give the same bits.
    """
    if (X[0] == X).all():
        raise ValueError("X must not be constant, got the same sample in every row")
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.zeros(X.shape[1])
        if center:
            masses = None if weights is None else torch.from_numpy(weights)
            first, total, _ = distinct_rows(torch.tensor(X), masses)
            few = X[first.numpy()].astype(np.float64)
            mean = np.average(few, axis=0, weights=None if total is None else total.numpy())
        scale = float(np.linalg.norm(X - mean, axis=1).max())
    if not np.isfinite(scale):
        raise ValueError(
            f"X must have norms below the largest float, got up to {np.abs(X).max():g}"
        )
    return mean, scale


def map_inputs(
    X: NDArray[Any], mean: NDArray[np.float64], scale: float, intercept: float
) -> NDArray[np.float64]:
    """Shift and scale samples, and give them the constant coordinate: (n, d) or (n, d + 1)."""
    x = (X - mean) / scale
    if intercept:
        x = np.column_stack([x, np.full(len(x), intercept)]) / math.hypot(1, intercept)
    return np.asarray(x, dtype=np.float64)
