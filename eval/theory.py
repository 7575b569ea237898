"""Which of the paper's assumptions a problem meets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs import Problem

__all__ = ["AssumptionCheck", "check_assumptions"]


@dataclass(frozen=True)
class AssumptionCheck:
    """One assumption of the paper, and the first reason why it is not met ("" where it is)."""

    name: str
    statement: str
    met: bool
    reason: str


def check_assumptions(problem: Problem) -> tuple[AssumptionCheck, ...]:
    """Check Assumptions 1 to 3 of the paper on a problem that starts from theta ~ N(0, I).

    1. |x_i| <= 1; sigma bounded with its derivatives; W_0^T W_0 = I; rho_0 = N(0, I).
    2. No even derivative of sigma vanishes identically (true of sigmoid and tanh), and in some
       coordinate all inputs are non-zero and pairwise distinct. By Lemma 4.7 the kernel of
       the initial neurons is then positive definite. For a sigma that is odd up to a
       constant, as both are, that also needs the squares of that coordinate distinct: two
       pairs x, -x (of tanh one) give dependent rows, whatever the statement of the paper.
    3. gamma = 1, sigmoid, balanced classes; and section 5 truncates a.

    Parameters
    ----------
    problem : Problem
        With W_0 as its `w`.

    Returns
    -------
    tuple of AssumptionCheck

    Examples
    --------
    >>> x = torch.tensor([[0.3, 0.4], [0.6, -0.2]])
    >>> problem = Problem(x, torch.eye(2), torch.eye(2), beta=1e4, truncation=10.0)
    >>> [check.met for check in check_assumptions(problem)]
    [True, True, True]
    """
    first = [
        (_in_unit_ball(problem.x), "an input has norm > 1"),
        (problem.sigma.smooth_and_bounded, f"{problem.sigma.name} is not smooth and bounded"),
        (_orthonormal(problem.w), "W_0^T W_0 is not the identity"),
    ]
    second = [
        (problem.sigma.smooth_and_bounded, f"{problem.sigma.name} is not smooth and bounded"),
        (
            _separating_coordinate(problem.x, mirrored=problem.sigma.symmetric),
            "in no coordinate are all inputs non-zero and pairwise distinct"
            + (" up to sign" if problem.sigma.symmetric else ""),
        ),
    ]
    third = [
        (problem.gamma == 1, f"gamma is {problem.gamma:g}, not 1"),
        (problem.sigma.name == "sigmoid", f"the activation is {problem.sigma.name}"),
        (_balanced(problem.y), "the classes are not balanced"),
        (problem.truncation is not None, "a is not truncated"),
    ]
    return (
        _check("Assumption 1", "inputs in the unit ball, regular sigma, W_0, rho_0", first),
        _check("Assumption 2", "positive definite initial kernel", second),
        _check("Assumption 3", "gamma = 1, sigmoid, balanced classes, truncation", third),
    )


def _check(name: str, statement: str, parts: list[tuple[bool, str]]) -> AssumptionCheck:
    failed = [reason for holds, reason in parts if not holds]
    return AssumptionCheck(name, statement, not failed, "; ".join(failed))


def _in_unit_ball(x: Tensor) -> bool:
    slack = 8 * torch.finfo(x.dtype).eps
    return bool(x.norm(dim=1).max() <= 1 + slack)


def _orthonormal(w: Tensor) -> bool:
    identity = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    return bool((w.T @ w - identity).abs().max() < 100 * torch.finfo(w.dtype).eps)


def _separating_coordinate(x: Tensor, mirrored: bool) -> bool:
    """Whether some column of x is free of zeros and of repeated values."""
    values = torch.sort(x.abs() if mirrored else x, dim=0).values
    distinct = (values.diff(dim=0) > 0).all(dim=0)
    return bool((distinct & (x != 0).all(dim=0)).any())


def _balanced(y: Tensor) -> bool:
    counts = y.sum(dim=0)
    return bool(counts.max() == counts.min())
