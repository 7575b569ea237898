"""Which of the paper's assumptions a problem meets, whole and in parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs import Activation, Problem

__all__ = [
    "AssumptionCheck",
    "activation_constant",
    "balanced_classes",
    "bounded_activation",
    "check_assumptions",
    "dependent_inputs",
    "distinct_inputs",
    "need",
    "one_hot",
    "pairwise_inputs",
]

_CONSTANTS = {"sigmoid": 1.0, "tanh": 2.0, "erf": 4 / math.sqrt(math.pi)}


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


def need(name: str, statement: str, met: bool, reason: str) -> AssumptionCheck:
    """An assumption of one statement; the reason counts where it is not met."""
    return AssumptionCheck(name, statement, bool(met), "" if met else reason)


def activation_constant(sigma: Activation) -> float:
    r"""C_1 of (A3): the largest of sup |sigma|, |sigma'|, |sigma''|, |sigma'''|, |(z sigma')'|.

    Of tanh and erf it is |sigma'''(0)|. Of an activation that is not known by name the third
    derivative is not looked at.

    Examples
    --------
    >>> from gibbs import get_activation
    >>> activation_constant(get_activation("tanh"))
    2.0
    """
    known = max(sigma.max_value, sigma.max_slope, sigma.max_curvature)
    return _CONSTANTS.get(sigma.name, known)


def bounded_activation(problem: Problem) -> AssumptionCheck:
    """(A3) as Theorem 4.2 uses it: sigma is bounded. Of (A1) and (A2) it uses nothing."""
    sigma = problem.sigma
    return need("Assumption 1 (A3)", "sigma bounded", sigma.bounded, f"{sigma.name} is unbounded")


def one_hot(problem: Problem) -> AssumptionCheck:
    """Whether the targets are classes."""
    y = problem.y
    met = bool(((y == 0) | (y == 1)).all() and (y.sum(dim=1) == 1).all())
    return need("classes", "one-hot targets", met, "the targets are not one-hot")


def balanced_classes(problem: Problem) -> AssumptionCheck:
    """Whether they are, and of equal size."""
    met = one_hot(problem).met and _balanced(problem.y)
    return need("balance", "classes of equal size", met, "the classes are not balanced")


def distinct_inputs(problem: Problem, *, mirrored: bool) -> AssumptionCheck:
    """Assumption 2: as printed, or with the squares distinct where sigma is symmetric."""
    smooth, mirrored = problem.sigma.smooth_and_bounded, mirrored and problem.sigma.symmetric
    name = "Assumption 2" + (", up to sign" if mirrored else "")
    if not smooth:
        return need(name, "smooth sigma", False, f"{problem.sigma.name} is not smooth and bounded")
    reason = "in no coordinate are all inputs non-zero and pairwise distinct"
    met = _separating_coordinate(problem.x, mirrored)
    return need(name, "distinct inputs", met, reason + (" up to sign" if mirrored else ""))


def pairwise_inputs(problem: Problem) -> AssumptionCheck:
    """Inputs distinct as vectors: :func:`dependent_inputs` finds nothing.

    That is enough for sigmoid, tanh and erf. Take u in a direction where all |u.x_i| differ: the
    largest has the pole nearest to 0 (of erf, the fastest growth along the imaginary axis),
    which no other function cancels; drop it, and go on.
    """
    reason = dependent_inputs(problem)
    if problem.sigma.name not in _CONSTANTS:
        reason = f"not known of {problem.sigma.name}"
    return need("independent inputs", "no x, x; x, -x; 0 too many", not reason, reason)


def dependent_inputs(problem: Problem) -> str:
    """Why the functions sigma(u . x_i) of u are linearly dependent; "" where no reason is known.

    Two equal inputs are. Of an odd sigma so are x, -x, and 0. Of a sigma that is odd up to a
    constant, each pair x, -x spans the constant, and so does 0: one is allowed, two are not.
    """
    x, sigma = problem.x, problem.sigma
    if len(torch.unique(x, dim=0)) < len(x):
        return "two inputs are equal"
    if not sigma.symmetric:
        return ""
    both = torch.unique(torch.cat([x + 0.0, 0.0 - x]), dim=0)
    zeros = int((x == 0).all(dim=1).sum())
    pairs = (2 * len(x) - len(both) - zeros) // 2
    odd = float(sigma(x.new_zeros(1))) == 0
    if pairs + zeros > (0 if odd else 1):
        return f"{pairs} pairs x, -x and {zeros} zero inputs have dependent rows"
    return ""


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
