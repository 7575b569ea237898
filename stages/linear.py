"""Stage two, in closed form: the linear layer as a ridge regression on the features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gibbs import Particles, Problem, data_loss, features, outputs
from gibbs.dynamics.langevin import LangevinState, Observer, default_lambda_w, observe
from gibbs.model.checks import is_number, row_major
from gibbs.model.energy import add_ridge, mean_square
from gibbs.model.repeats import distinct

__all__ = ["Ridge", "RidgeResult", "check_layer_weight", "fit_linear"]


@dataclass(frozen=True, eq=False)
class RidgeResult:
    """Result of the ridge solution.

    Attributes
    ----------
    particles : Particles
        The neurons of stage one, unchanged.
    w : Tensor (p, q)
        The linear layer.
    history : dict of str to 1-D Tensor
        "step" (0 before, 1 after), "loss", "regularized_loss" (Eq. 4, the term of W included),
        "gradient_norm" (Frobenius norm of its gradient in W), and one entry an observer.
    """

    particles: Particles
    w: Tensor
    history: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """Stage two in closed form: W by ridge regression on the features, see :func:`fit_linear`.

    Parameters
    ----------
    lambda_w : float, optional
        L2 weight of W, > 0. None means 1/beta, or lambda_rho at beta = inf.

    Raises
    ------
    ValueError
        If lambda_w is out of range.
    """

    lambda_w: float | None = None

    def __post_init__(self) -> None:
        check_layer_weight(self.lambda_w)

    def resolved(self, problem: Problem) -> Ridge:
        """The same, with the L2 weight that None means for this problem."""
        return self if self.lambda_w is not None else Ridge(lambda_w=default_lambda_w(problem))

    def run(
        self,
        problem: Problem,
        particles: Particles,
        *,
        observers: Mapping[str, Observer] | None = None,
        **_: Any,
    ) -> RidgeResult:
        """Solve for W; observers see the network before and after.

        It uses no random numbers, and has no steps for a checkpoint.
        """
        lambda_w = self.resolved(problem).lambda_w
        assert lambda_w is not None
        samples = distinct(problem)
        few = samples.problem
        h = features(few.x, particles, problem.sigma, problem.truncation)
        w = fit_linear(
            h, few.y, gamma=problem.gamma, lambda_w=lambda_w, sample_weight=few.sample_weight
        )
        rows = []
        for step, layer in enumerate((problem.w, w)):
            z = outputs(h, layer, problem.gamma)
            row = _measure(step, replace(few, w=layer), particles, h, z, lambda_w)
            now, every_h, every_z = replace(problem, w=layer), samples.spread(h), samples.spread(z)
            state = LangevinState(step, 1, now, particles, every_h, every_z, step_size=0.0)
            observe(state, observers or {}, row)
            rows.append(row)
        history = {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]
        }
        return RidgeResult(particles, w, history)


def check_layer_weight(lambda_w: float | None) -> None:
    """Refuse an L2 weight of W that is not > 0; None stands for the default."""
    if lambda_w is not None and not (is_number(lambda_w) and 0 < lambda_w < math.inf):
        raise ValueError(f"lambda_w must be > 0 and finite, got {lambda_w!r}")


def fit_linear(
    features: Tensor,
    y: Tensor,
    *,
    gamma: float,
    lambda_w: float,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Exact minimizer over W of the regularised loss (Equation 4) at fixed features.

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
    # By singular values, which do not square the condition number, for any lambda_w > 0.
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


def _measure(
    step: int, problem: Problem, particles: Particles, h: Tensor, z: Tensor, lambda_w: float
) -> dict[str, float]:
    """The row of the history for the layer of `problem`, from features and outputs."""
    loss = data_loss(z, problem.y, problem.sample_weight)
    neurons, layer = (problem.decay, mean_square(particles)), (lambda_w, problem.w.square().sum())
    residual = z - problem.y
    if problem.sample_weight is not None:
        residual = problem.sample_weight[:, None] * residual
    gradient = problem.gamma / problem.n_samples * h.T @ residual + lambda_w * problem.w
    return {
        "step": float(step),
        "loss": float(loss),
        "regularized_loss": float(add_ridge(loss, neurons, layer)),
        "gradient_norm": float(gradient.norm()),
    }
