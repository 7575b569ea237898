r"""Theorem 4.2 and Corollary 4.4: what the features are where the gradient is small.

Checked are Definition 4.1, Theorem 4.2 (Eqs. 6, 7, 9, 10, 12) and Corollary 4.4 (Eqs. 16, 17).

With S = E[s(u) grad_a^T] (n, p), K the kernel, B = W^T W and s_1 >= ... >= s_q the singular
values of W, the stationarity condition in a, integrated by parts, is exact:

.. math:: \lambda H + \tfrac\gamma n K (Z - Y) W^T = S. \tag{12, 29}

Hence, with H_6 the features that solve it at S = 0 and E_1 = H - H_6,

.. math:: \lambda E_1 + \tfrac{\gamma^2}{n} K E_1 W W^T = S, \qquad |E_1|_F \le |S|_F / \lambda,

.. math:: E_2 = H - \tfrac1\gamma Y B^{-1} W^T
    = \tfrac1\gamma (Z - Y) B^{-1} W^T + \tfrac1\lambda S (I - W B^{-1} W^T),

whose two terms are orthogonal. |S|_F^2 <= lambda_max(K) eps_a^2 <= n C_1^2 eps_S^2, with eps_a the
part of eps_S in a.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from eval.collapse.metrics import nc1
from eval.theory.assumptions import (
    AssumptionCheck,
    activation_constant,
    balanced_classes,
    bounded_activation,
    need,
)
from eval.theory.law import Known, Law
from eval.theory.table import BoundCheck
from gibbs.solver.dual import solve_ridge

__all__ = [
    "collapse_rows",
    "density",
    "eps_doubt",
    "feature_rows",
    "full_rank",
    "nc1_of",
    "remainder",
    "stationary",
    "untruncated",
]

IDENTITY = 1e-8
"""Relative; what is equal is equal to this."""

ROUND_OFF = 1e-12
"""Of |H|_F, in the norm of a difference of features."""


def untruncated(law: Law) -> AssumptionCheck:
    """Theorem 4.2 is about tau = identity."""
    return need("no truncation", "tau(a) = a", law.problem.truncation is None, "a is truncated")


def density(law: Law) -> AssumptionCheck:
    """Parts are integrated against a density (none is needed at beta = inf)."""
    met = law.kl_estimate is not None or math.isinf(law.problem.beta)
    return need("density", "rho has a density", met, "a cloud has no density")


def stationary(law: Law, tol: float) -> AssumptionCheck:
    """(rho, W) is stationary in rho, to `tol`: what it leaves undecided is the row's doubt."""
    eps, met = law.stationarity, law.stationarity.within(tol)
    words = "eps_S is" if eps.exact else f"eps_S, of which this is {_ARTICLE[eps.known]}, is"
    reason = f"{words} {eps.value:.3g}"
    return need("stationary in rho", f"eps_S <= {tol:g}", met, reason)


_ARTICLE = {
    Known.UPPER: "an upper bound",
    Known.LOWER: "a lower bound",
    Known.NEITHER: "an estimate",
}


def eps_doubt(law: Law) -> float:
    """Infinite where eps_a is only known from below: a right side with it can confirm, not refute.

    Of a measure without truncation it is that of its points, whatever their noise.
    """
    return 0.0 if law.mismatch is not None or law.stationarity.exact else math.inf


def full_rank(law: Law) -> AssumptionCheck:
    """W has rank q."""
    sizes = torch.linalg.svdvals(law.w)
    met = bool(sizes[-1] > 1e-12 * sizes[0])
    return need("rank of W", "W non-singular", met, "W is singular")


def remainder(law: Law) -> Tensor:
    """E_2 (n, p) of Eq. 9."""
    collapsed: Tensor = law.problem.y @ torch.linalg.pinv(law.w) / law.problem.gamma
    return law.features - collapsed


def feature_rows(law: Law, tol: float) -> list[BoundCheck]:
    """Definition 4.1 and Theorem 4.2."""
    eps, how = law.stationarity, law.stationarity.how
    name, asked = "Definition 4.1: eps_S", (stationary(law, tol),)
    row = BoundCheck.compare(name, "", "printed", eps.value, tol, asked, how)
    rows = [replace(row, holds=eps.within(tol))]
    free, dense, rank = untruncated(law), density(law), full_rank(law)
    bounded = bounded_activation(law.problem)
    if not free.met:
        name = "Theorem 4.2"
        return [*rows, BoundCheck.left_out(name, "6-10", (free,), "stated for tau = identity")]
    note = "" if eps.exact else f"eps_S {how}"
    return [
        *rows,
        *_first_decomposition(law, tol, (free, dense), bounded, note),
        *_second_decomposition(law, (free, dense, rank), bounded, note),
    ]


def _first_decomposition(
    law: Law,
    tol: float,
    common: tuple[AssumptionCheck, ...],
    bounded: AssumptionCheck,
    note: str,
) -> list[BoundCheck]:
    decay, eps = law.problem.decay, law.stationarity.in_a
    resolvent = _resolvent(law)
    error = float((law.features - resolvent).norm())
    square, size = error**2, max(float(law.features.norm()), float(resolvent.norm()))
    noise, whole = _noise(error, size), stationary(law, tol)
    moved = math.sqrt(_top(law.kernel)) * eps / (decay * size) if size else 0.0
    rows = [
        BoundCheck.compare(
            "Theorem 4.2: H is the resolvent's",
            "6",
            "printed",
            error / size if size else 0.0,
            IDENTITY,
            (*common, whole),
            "|E_1|_F over the larger of |H|_F and |H_6|_F",
            doubt=moved if whole.met else 0.0,
        )
    ]
    if law.mismatch is not None:
        s = law.kernel @ law.mismatch
        scale = max(decay * float(law.features.norm()), float(s.norm()))
        gap = float((law.correlations - s).norm()) / scale
        note_12 = "residual over the larger of lambda |H|_F and |S|_F; S from the gradient itself"
        rows.append(
            BoundCheck.compare(
                "Theorem 4.2: identity with S",
                "12",
                "sharp",
                gap,
                IDENTITY,
                common,
                note_12,
                any_points=True,
            )
        )
    decide = partial(BoundCheck.compare, noise=noise, doubt=eps_doubt(law), any_points=True)
    name, all_of = "Theorem 4.2: |E_1|^2", (*common, bounded)
    rows += [
        decide(name, "7", version, square, bound, needs, note)
        for version, bound, needs in (
            ("printed", _eq_7(law, 2), all_of),
            ("corrected", _eq_7(law, 4), all_of),
            ("sharp", _top(law.kernel) * (eps / decay) ** 2, common),
        )
    ]
    return rows


def _second_decomposition(
    law: Law, common: tuple[AssumptionCheck, ...], bounded: AssumptionCheck, note: str
) -> list[BoundCheck]:
    if not common[-1].met:
        return [BoundCheck.left_out("Theorem 4.2: |E_2|^2", "9-10", common, "W^T W has no inverse")]
    problem, decay = law.problem, law.problem.decay
    error, eps = float(remainder(law).norm()), law.stationarity.in_a
    square, noise = error**2, _noise(error, float(law.features.norm()))
    least = float(torch.linalg.svdvals(law.w)[-1])
    inverse = torch.linalg.pinv(law.w)
    outputs = float((law.residual @ inverse).square().sum()) / problem.gamma**2
    rest = _top(law.kernel) * (eps / decay) ** 2
    loss = 2 * problem.n_samples * law.loss / (problem.gamma * least) ** 2
    decide = partial(BoundCheck.compare, noise=noise, doubt=eps_doubt(law), any_points=True)
    name = "Theorem 4.2: |E_2|^2"
    rows = [
        decide(name, "10", version, square, bound, needs, note)
        for version, bound, needs in (
            ("printed", _eq_10(law), (*common, bounded)),
            ("sharp", loss + rest, common),
        )
    ]
    if law.mismatch is None:
        return rows
    s = law.kernel @ law.mismatch
    beside = float((s - s @ law.w @ inverse).square().sum()) / decay**2
    gap = abs(square - outputs - beside) / max(square, noise)
    name, note = "Theorem 4.2: E_2 is an orthogonal sum", "|left - right| / |E_2|^2"
    row = BoundCheck.compare(name, "9", "sharp", gap, IDENTITY, common, note, any_points=True)
    return [row, *rows]


def collapse_rows(law: Law, labels: Tensor | None = None) -> list[BoundCheck]:
    """Corollary 4.4; E_2 is measured, so nothing but the last row depends on eps_S.

    M = Y B^-1 W^T / gamma has no variability within classes, and |M~|_F >= |Y~|_F / (gamma s_1);
    ~ centres, |Y~|_F^2 = n (1 - sum pi_k^2). With e = |E_2|_F, t its part between classes, and
    m = |M~|_F,

        NC1 <= (e^2 - t^2) / (e^2 - t^2 + (m - t)^2) <= e^2 / m^2,

    as (e^2 - m t)^2 >= 0: the sharp form. The printed one has no gamma in |M~|_F.
    """
    rank, name = full_rank(law), "Corollary 4.4: NC1"
    labels = law.problem.y.argmax(dim=1) if labels is None else labels
    classes = _class_targets(law, labels)
    value = nc1_of(law, labels)
    if not (rank.met and classes.met) or math.isnan(value):
        note = "needs classes, W of full rank, and features whose NC1 is defined"
        return [BoundCheck.left_out(name, "17", (rank, classes), note)]
    problem = law.problem
    square, top = float(remainder(law).square().sum()), float(torch.linalg.svdvals(law.w)[0])
    spread = centred_square(problem.y)
    exact = centred_square(problem.y @ torch.linalg.pinv(law.w) / problem.gamma)
    balanced, noise = balanced_classes(problem), _noise(math.sqrt(value), 1.0)
    first, small = _eq_17(square, spread / top**2)
    second, smaller = _eq_17(square, spread / (problem.gamma * top) ** 2)
    third = (problem.gamma * top) ** 2 * square / spread
    rows = [
        BoundCheck.compare(
            label,
            number,
            version,
            value,
            bound,
            needs,
            noise=noise,
            any_points=version != "printed",
        )
        for label, number, version, bound, needs in (
            (name, "17", "printed", first, (rank, balanced, small)),
            (name, "17", "corrected", second, (rank, classes, smaller)),
            (name, "17", "sharp", third, (rank, classes)),
            (name + " from M itself", "", "sharp", square / exact, (rank, classes)),
        )
    ]
    return [*rows, _from_loss(law, value, spread, classes)]


def _eq_17(square: float, total: float) -> tuple[float, AssumptionCheck]:
    """Right side of Eq. 17 for |M~|_F^2 >= total, and Eq. 16."""
    reason = f"|E_2|_F^2 is {square:.3g}, above {total / 8:.3g}"
    small = need("Eq. 16", "|E_2|_F^2 small", square <= total / 8, reason)
    rest = total / 2 - 4 * square
    return 16 * square / rest if rest > 0 else math.inf, small


def _class_targets(law: Law, labels: Tensor) -> AssumptionCheck:
    """Whether all samples of a class have one target, and not all classes the same."""
    y = law.problem.y
    found = [y[labels == k] for k in torch.unique(labels)]
    met = all(bool((part == part[0]).all()) for part in found)
    met = met and not bool((y == y[0]).all())
    return need("classes", "one target a class", met, "no classes of one target each")


def _from_loss(law: Law, value: float, spread: float, classes: AssumptionCheck) -> BoundCheck:
    """The sharp form with Eq. 10: gamma cancels, and kappa(W)^2 2 L_n q/(q-1) is left at eps_S = 0.

    For classes of any size n/|Y~|^2 stands for q/(q-1); eps_S adds
    gamma^2 s_1^2 lambda_max(K) eps_a^2 / (lambda^2 |Y~|^2).
    """
    problem, sizes = law.problem, torch.linalg.svdvals(law.w)
    kappa = float(sizes[0] / sizes[-1])
    bound = kappa**2 * 2 * problem.n_samples * law.loss
    eps = problem.gamma * float(sizes[0]) * law.stationarity.in_a / problem.decay
    bound += _top(law.kernel) * eps**2
    needs = (full_rank(law), classes, untruncated(law), density(law))
    note = "" if law.stationarity.exact else f"eps_S {law.stationarity.how}"
    name = "Corollary 4.4: NC1 by loss and eps_S"
    noise = _noise(math.sqrt(value), 1.0)
    return BoundCheck.compare(
        name,
        "",
        "sharp",
        value,
        bound / spread,
        needs,
        note,
        noise=noise,
        doubt=eps_doubt(law),
        any_points=True,
    )


def _noise(distance: float, size: float) -> float:
    """Round-off in the square of a distance between matrices of this size."""
    return ROUND_OFF * size * (2 * distance + ROUND_OFF * size)


def centred_square(rows: Tensor) -> float:
    """|R - mean|_F^2 over the rows: n (1 - sum pi_k^2) of one-hot ones."""
    return float((rows - rows.mean(dim=0)).square().sum())


def nc1_of(law: Law, labels: Tensor) -> float:
    """NC1 of its features; NaN where that is undefined."""
    try:
        return nc1(law.features, labels)
    except ValueError:
        return math.nan


def _resolvent(law: Law) -> Tensor:
    r"""H_6 = (gamma/lambda) K V W^T, V = A^-1 Y, A = n I + (gamma^2/lambda) K (x) W^T W."""
    problem = law.problem
    solved = solve_ridge(problem, law.kernel, problem.y)
    return problem.gamma / problem.decay * law.kernel @ solved @ law.w.T


def _eq_7(law: Law, power: int) -> float:
    """Right side of Eq. 7; its first term has C_1^2 as printed, and C_1^4 by its proof."""
    problem, c1 = law.problem, activation_constant(law.problem.sigma)
    top = float(torch.linalg.svdvals(law.w)[0])
    bracket = problem.gamma**4 * c1**power * top**4 / problem.decay**4 + 1 / problem.decay**2
    return _times(2 * bracket * c1**2 * problem.n_samples, law.stationarity.value**2)


def _eq_10(law: Law) -> float:
    """Right side of Eq. 10."""
    problem, c1 = law.problem, activation_constant(law.problem.sigma)
    sizes = torch.linalg.svdvals(law.w)
    top, least = float(sizes[0]), float(sizes[-1])
    n, eps = problem.n_samples, law.stationarity.value
    second = 2 * n * law.loss / problem.gamma**2
    second += _times(2 * (top * c1 / problem.decay) ** 2 * n, eps**2)
    return _eq_7(law, 2) + second / least**2


def _times(factor: float, square: float) -> float:
    """Their product; inf where C_1 is."""
    return math.inf if math.isinf(factor) else factor * square


def _top(matrix: Tensor) -> float:
    return float(torch.linalg.eigvalsh(matrix)[-1])
