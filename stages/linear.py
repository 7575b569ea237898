"""Stage two, in closed form: the linear layer as a ridge regression on the features."""

from __future__ import annotations

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
    n, p = features.shape
    h = features.double() * gamma
    gram = h.T @ h / n + lambda_w * torch.eye(p, dtype=h.dtype, device=h.device)
    w = torch.cholesky_solve(h.T @ y.double() / n, torch.linalg.cholesky(gram))
    return w.to(features.dtype)
