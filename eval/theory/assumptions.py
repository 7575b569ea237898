"""Which of the paper's assumptions a problem meets: Assumptions 1, 2 and 3, whole and in parts.

The parts are what single statements need: sigma bounded (A3), lambda_rho = lambda_w = 1/beta,
one-hot targets, balanced classes, and inputs distinct in a coordinate or as vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs import Activation, Problem, truncate

__all__ = [
    "AssumptionCheck",
    "activation_constant",
    "balanced_classes",
    "bounded_activation",
    "check_assumptions",
    "default_weights",
    "dependent_inputs",
    "distinct_inputs",
    "first_of",
    "need",
    "one_hot",
    "pairwise_inputs",
]

_CONSTANTS = {"sigmoid": 1.0, "tanh": 2.0, "erf": 4 / math.sqrt(math.pi)}


@dataclass(frozen=True)
class AssumptionCheck:
    """One assumption of the paper, and why it is not met, or not known ("" where it is met).

    `met` is None where nothing contradicts it, and the information to decide it is missing.
    """

    name: str
    statement: str
    met: bool | None
    reason: str

    @property
    def outcome(self) -> str:
        """Whether it is met, in words."""
        if self.met:
            return "met"
        return ("not known: " if self.met is None else "not met: ") + self.reason


def first_of(checks: Sequence[AssumptionCheck]) -> AssumptionCheck:
    """The first that is not met; else the first that is not known; else the first."""
    order = {False: 0, None: 1, True: 2}
    return min(checks, key=lambda check: order[check.met])


def check_assumptions(problem: Problem, *, iid: bool | None = None) -> tuple[AssumptionCheck, ...]:
    """Check Assumptions 1 to 3 of the paper on a problem that starts from theta ~ N(0, I).

    1. |x_i| <= 1; sigma bounded with its derivatives; W_0^T W_0 = I; rho_0 = N(0, I).
    2. No even derivative of sigma vanishes identically (true of sigmoid and tanh), and in some
       coordinate all inputs are non-zero and pairwise distinct. By Lemma 4.7 the kernel of
       the initial neurons is then positive definite. For a sigma that is odd up to a
       constant, as both are, that also needs the squares of that coordinate distinct: two
       pairs x, -x (of tanh one) give dependent rows, whatever the statement of the paper.
    3. Samples drawn i.i.d., gamma = 1, sigmoid, balanced classes; and section 5 truncates a,
       at a large R. That samples are i.i.d. cannot be checked on them, it is known only where
       they come from a distribution. How large R must be is no number here: R is refuted where
       gamma |w_k|_1 sup|tau_R| sup|sigma|, the most that output k can be, is below 1.

    The paper weighs all samples alike: sample weights that differ fail 1 and 3.

    Parameters
    ----------
    problem : Problem
        With W_0 as its `w`.
    iid : bool, optional
        What you know of the samples; None: nothing.

    Returns
    -------
    tuple of AssumptionCheck

    Examples
    --------
    >>> x = torch.tensor([[0.3, 0.4], [0.6, -0.2]])
    >>> problem = Problem(x, torch.eye(2), torch.eye(2), beta=1e4, truncation=10.0)
    >>> for check in check_assumptions(problem, iid=True):
    ...     print(check.outcome)
    met
    met
    not known: R = 10 must be large, and how large is not explicit
    """
    weighted = (_equal_weights(problem), "the samples have different weights")
    first = [
        weighted,
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
        weighted,
        (iid, "i.i.d. sampling cannot be checked on data" if iid is None else "not i.i.d. samples"),
        _radius(problem),
    ]
    return (
        _check("Assumption 1", "inputs in the unit ball, regular sigma, W_0, rho_0", first),
        _check("Assumption 2", "positive definite initial kernel", second),
        _check(
            "Assumption 3",
            "i.i.d. samples, gamma = 1, sigmoid, balanced classes, truncation at a large R",
            third,
        ),
    )


def need(name: str, statement: str, met: bool | None, reason: str) -> AssumptionCheck:
    """An assumption of one statement; the reason counts where it is not met, or not known."""
    return AssumptionCheck(name, statement, met, "" if met else reason)


def default_weights(problem: Problem, lambda_w: float) -> AssumptionCheck:
    """Theorem 4.8 and Corollary 4.9 are for lambda_rho = lambda_w = 1/beta."""
    scaled = [problem.decay * problem.beta, lambda_w * problem.beta]
    return need(
        "weights",
        "lambda_rho = lambda_w = 1/beta",
        all(abs(weight - 1) < 1e-6 for weight in scaled),
        f"beta lambda_rho is {scaled[0]:.4g} and beta lambda_w is {scaled[1]:.4g}, not 1",
    )


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
    which no other function cancels; leave it out, and repeat.
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


def _check(name: str, statement: str, parts: Sequence[tuple[bool | None, str]]) -> AssumptionCheck:
    failed = [reason for holds, reason in parts if holds is False]
    unknown = [reason for holds, reason in parts if holds is None]
    met = False if failed else (None if unknown else True)
    return AssumptionCheck(name, statement, met, "; ".join(failed or unknown))


def _equal_weights(problem: Problem) -> bool:
    weight = problem.sample_weight
    return weight is None or bool((weight == weight[0]).all())


def _radius(problem: Problem) -> tuple[bool | None, str]:
    """Whether R is large enough, and why not."""
    radius = problem.truncation
    if radius is None:
        return False, "a is not truncated"
    edge = truncate(problem.w.new_tensor([2 * radius]), radius)
    largest = problem.gamma * float(problem.w.abs().sum(0).min() * edge) * problem.sigma.max_value
    if largest < 1:
        return False, f"R = {radius:g} is too small: an output is at most {largest:.3g}"
    return None, f"R = {radius:g} must be large, and how large is not explicit"


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
