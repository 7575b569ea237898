"""Stage two, in closed form: the linear layer as a ridge regression on the features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["fit_linear"]


def fit_linear(features: Tensor, y: Tensor, *, gamma: float, lambda_w: float) -> Tensor:
    r"""Exact minimizer over W of the regularised loss (Eq. 4) at fixed features.

    .. math:: W = \gamma\,(\gamma^2 H^T H / n + \lambda_W I)^{-1} H^T Y / n,

    the root of grad_W = (gamma/n) H^T (gamma H W - Y) + lambda_w W. It is scikit-learn's
    ``Ridge(alpha=n * lambda_w, fit_intercept=False)`` on gamma H.

    Parameters
    ----------
    features : Tensor (n, p)
        H.
    y : Tensor (n, q)
    gamma : float
        Output scale.
    lambda_w : float
        L2 weight of W, > 0.

    Returns
    -------
    Tensor (p, q)
        Solved in float64, returned in the dtype of `features`.

    Raises
    ------
    ValueError
        If lambda_w is not positive, or the numbers of rows differ.

    Examples
    --------
    >>> fit_linear(torch.eye(2), torch.eye(2), gamma=1.0, lambda_w=0.5)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    if not lambda_w > 0:
        raise ValueError(f"lambda_w must be > 0, got {lambda_w}")
    if len(features) != len(y):
        raise ValueError(
            f"features and y must have the same number of rows, got {len(features)} and {len(y)}"
        )
    n = len(features)
    # By singular values, which squares no condition number: any lambda_w > 0 has a solution.
    left, sizes, right = torch.linalg.svd(
        gamma / math.sqrt(n) * features.double(), full_matrices=False
    )
    shrunk = sizes / (sizes.square() + lambda_w)
    w: Tensor = right.T @ (shrunk[:, None] * (left.T @ (y.double() / math.sqrt(n))))
    return w.to(features.dtype)
