"""The plane onto which features are projected in figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["class_mean_axes"]


def class_mean_axes(
    features: NDArray[np.float64], members: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Two orthonormal directions (p, 2) that hold most of the spread of the class means.

    Parameters
    ----------
    features : ndarray (n, p)
    members : ndarray (n,)
        The class of each row.
    """
    centred = features - features.mean(axis=0)
    means = np.stack([centred[members == k].mean(axis=0) for k in np.unique(members)])
    _, _, axes = np.linalg.svd(means - means.mean(axis=0), full_matrices=True)
    plane = np.zeros((features.shape[1], 2))
    plane[:, : min(2, len(axes))] = axes[:2].T
    return plane
