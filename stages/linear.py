"""Stage two, in closed form: the linear layer as a ridge regression on the features."""

from __future__ import annotations

import torch
from torch import Tensor

from gibbs.model.checks import row_major

__all__ = ["fit_linear"]


def fit_linear(
    features: Tensor,
    y: Tensor,
    *,
    gamma: float,
    lambda_w: float,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Exact minimizer over W of the regularised loss (Eq. 4) at fixed features.

    .. math:: W = \gamma\,(\gamma^2 H^T S H + \lambda_W I)^{-1} H^T S Y,
        \qquad S = \mathrm{diag}(s_i / \textstyle\sum_k s_k)

    with S = I/n where all weights s_i are equal, the root of
    grad_W = gamma H^T S (gamma H W - Y) + lambda_w W. It is scikit-learn's
    ``Ridge(alpha=lambda_w * sum(s), fit_intercept=False)`` on gamma H, with these weights.

    Parameters
    ----------
    features : Tensor (n, p)
        H.
    y : Tensor (n, q)
    gamma : float
        Output scale.
    lambda_w : float
        L2 weight of W, > 0.
    sample_weight : Tensor (n,), optional
        s, >= 0 and not all 0; None means all equal. Only ratios matter.

    Returns
    -------
    Tensor (p, q)
        Solved in float64, returned in the dtype of `features`.

    Raises
    ------
    ValueError
        If lambda_w is not positive, the numbers of rows differ, or the weights do not fit.

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
    shares = _shares(sample_weight, len(features))
    # By singular values, which squares no condition number: any lambda_w > 0 has a solution.
    roots = shares.sqrt().to(features.device)[:, None]
    h = row_major(features.double())
    left, sizes, right = torch.linalg.svd(gamma * roots * h, full_matrices=False)
    shrunk = sizes / (sizes.square() + lambda_w)
    w: Tensor = right.T @ (shrunk[:, None] * (left.T @ (roots * row_major(y.double()))))
    return w.to(features.dtype)


def _shares(sample_weight: Tensor | None, n: int) -> Tensor:
    """Weights that add up to 1, float64 (n,)."""
    if sample_weight is None:
        return torch.full((n,), 1 / n, dtype=torch.float64)
    if sample_weight.shape != (n,):
        raise ValueError(
            f"sample_weight must have one number per row of features, ({n},), "
            f"got shape {tuple(sample_weight.shape)}"
        )
    weight = sample_weight.double()
    if not bool(((weight >= 0) & torch.isfinite(weight)).all()) or not bool(weight.any()):
        raise ValueError("sample_weight must be finite, >= 0 and not 0 in every row")
    scaled = weight / weight.max()
    return scaled / scaled.sum()
