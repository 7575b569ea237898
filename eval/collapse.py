"""Neural collapse: within-class variability, and balancedness of the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gibbs import Particles

__all__ = ["balancedness", "class_means", "nc1"]


def nc1(features: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> float:
    r"""NC1 of the paper: the share of the variability of the features that is within classes.

    .. math:: NC1(H) = \|\tilde H - \tilde M_c\|_F^2 \,/\, \|\tilde H\|_F^2,

    with the features centred at their global mean, and each row of M_c the mean of its
    class: within-class over total sum of squares. 0 is perfect collapse, 1 means equal class
    means. Computed in float64 whatever comes in, in two passes.

    Parameters
    ----------
    features : array-like or Tensor (n, p)
    labels : array-like or Tensor (n,)

    Raises
    ------
    ValueError
        If the total variance is 0 (NC1 is then undefined), shapes do not fit, or a feature
        is not finite.

    Examples
    --------
    >>> nc1([[0.0], [2.0], [10.0], [12.0]], [0, 0, 1, 1])
    0.038461538461538464
    """
    h, y = _checked(features, labels)
    # A constant column minus its first entry is exactly 0; its mean need not be exact.
    shifted = h - h[0]
    size = np.abs(shifted).max()
    if not size > 0:
        raise ValueError("features must vary for NC1 to be defined, got total variance 0")
    centred = shifted / size
    centred -= centred.mean(axis=0)
    means, members = class_means(centred, y)
    return float(np.square(centred - means[members]).sum() / np.square(centred).sum())


def class_means(
    features: NDArray[np.float64], labels: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Mean feature of each class (K, p), classes sorted, and the class of each row (n,)."""
    classes, members = np.unique(labels, return_inverse=True)
    means = np.stack([features[members == k].mean(axis=0) for k in range(len(classes))])
    return means, members


def balancedness(particles_or_a: Particles | ArrayLike | Tensor, w: ArrayLike | Tensor) -> float:
    r"""Normalised balancedness of the two layers, Eqs. 25 and 26.

    .. math:: NB = \frac{\|E[aa^T] - c\,WW^T\|_{op}}{\|E[aa^T]\|_{op}}, \qquad
        c = \frac{\langle E[aa^T], WW^T \rangle}{\|WW^T\|_F^2}.

    0 means that the second moment of the outgoing weights is proportional to W W^T.

    Parameters
    ----------
    particles_or_a : Particles or array-like (N, p)
        The neurons, or their outgoing weights a.
    w : array-like or Tensor (p, q)

    Raises
    ------
    ValueError
        If the widths differ, or a or w is 0.

    Examples
    --------
    >>> balancedness(np.eye(2), np.eye(2))
    0.0
    """
    source = particles_or_a.a if isinstance(particles_or_a, Particles) else particles_or_a
    a, layer = _float64(source, "a"), _float64(w, "w")
    if a.shape[1] != layer.shape[0]:
        raise ValueError(
            f"w must have one row per column of a, ({a.shape[1]}, q), got shape {layer.shape}"
        )
    moment = a.T @ a / len(a)
    target = layer @ layer.T
    if not (moment.any() and target.any()):
        raise ValueError("a and w must not be 0 for the balancedness to be defined")
    c = np.vdot(moment, target) / np.vdot(target, target)
    return float(np.linalg.norm(moment - c * target, 2) / np.linalg.norm(moment, 2))


def _float64(values: ArrayLike | Tensor, name: str) -> NDArray[np.float64]:
    """A finite float64 matrix from an array or a tensor on any device."""
    if isinstance(values, Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"{name} must be a matrix that is not empty, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} must be finite, got NaN or inf")
    return matrix


def _checked(
    features: ArrayLike | Tensor, labels: ArrayLike | Tensor
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    h = _float64(features, "features")
    y = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if y.shape != (len(h),):
        raise ValueError(
            f"labels must have one entry per row of features, ({len(h)},), got shape {y.shape}"
        )
    return h, y
