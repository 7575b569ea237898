r"""Lemma 4.3 (Eqs. 14, 15): singular values of W. Lemma 4.5 (Eqs. 19, 25, 26): balanced layers."""

from __future__ import annotations

import math

import torch

from eval.theory.assumptions import (
    AssumptionCheck,
    activation_constant,
    balanced_classes,
    bounded_activation,
    need,
    one_hot,
)
from eval.theory.features import IDENTITY, density, eps_doubt, stationary, untruncated
from eval.theory.law import Law
from eval.theory.table import BoundCheck

__all__ = ["balance_rows", "layer_rows"]

BALANCE = 1e-6
"""Of 1/beta: Lemma 4.5 holds to this at a stationary point that is solved."""


def layer_rows(law: Law, *, epsilon: float = 0.5) -> list[BoundCheck]:
    r"""Lemma 4.3 at alpha = 0 and B = beta L_{lambda,n}, the least B with Eq. 15.

    Of the right singular vector v to s_q: |Z v| >= |Y v| - |Z - Y|_F and
    |Z v| = gamma s_q |H w|, |H w|^2 <= n max|sigma|^2 E (a.w)^2 <= n max|sigma|^2 2 L_lambda /
    lambda_rho, hence the sharp form

    .. math:: s_q \ge \sqrt{\lambda_\rho / (2 L_{\lambda,n})}\;
        \frac{\sqrt{\min_k \pi_k} - \sqrt{2 L_n}}{\gamma \max|\sigma|}.

    The printed one has no gamma. (rho, W/t, t gamma) has the outputs of (rho, W, gamma), no larger
    a loss, and s_q/t: for gamma > 1 it is gamma s_q that is bounded from below.
    """
    problem, sizes = law.problem, torch.linalg.svdvals(law.w)
    total, least = law.regularized_loss, float(sizes[-1])
    rows = [
        BoundCheck.compare(
            "Lemma 4.3: |W|_F^2",
            "15",
            "printed",
            float(law.w.square().sum()),
            2 * total / law.lambda_w,
            any_points=True,
        )
    ]
    classes, name = one_hot(problem), "Lemma 4.3: beta^-1/2 <= s_q"
    if math.isfinite(problem.beta):
        floor = problem.beta**-epsilon
        needs = (balanced_classes(problem), _eq_14(law, epsilon), bounded_activation(problem))
        factor = max(1.0, problem.gamma)
        rows += [
            BoundCheck.compare(name, "14", "printed", floor, least, needs),
            BoundCheck.compare(
                name, "14", "corrected", floor, factor * least, needs, "right: max(1, gamma) s_q"
            ),
        ]
    if classes.met and problem.sigma.bounded and problem.truncation is None:
        share = math.sqrt(float(problem.y.mean(dim=0).min())) - math.sqrt(2 * law.loss)
        largest = problem.gamma * problem.sigma.max_value * math.sqrt(2 * total / problem.decay)
        rows.append(
            BoundCheck.compare(
                "Lemma 4.3: s_q from below",
                "",
                "sharp",
                max(0.0, share) / largest,
                least,
                (classes,),
                any_points=True,
            )
        )
    return rows


def _eq_14(law: Law, epsilon: float) -> AssumptionCheck:
    problem, beta = law.problem, law.problem.beta
    b, c1, q = beta * law.regularized_loss, activation_constant(problem.sigma), problem.n_outputs
    n = problem.n_samples
    needed = max(
        (2 * c1**2 * n * b / (beta * problem.decay)) ** (2 / epsilon),
        (4 * q / n) ** (1 / epsilon),
        64 * (q * b) ** 2,
    )
    reason = f"beta is {beta:.3g}, and Eq. 14 asks for {needed:.3g}"
    return need("Eq. 14", "beta large", beta >= needed, reason)


def balance_rows(law: Law, tol: float) -> list[BoundCheck]:
    r"""Lemma 4.5 and the imbalance that follows from it.

    For any law with a density, with M = E[a a^T] and the gradients Delta_a and grad_W,

    .. math:: \lambda_\rho M - \lambda_w W W^T - I/\beta = E[\Delta_a a^T] - W (\nabla_W)^T.

    For any c, |M - c W W^T|_op >= x^T M x for a unit x orthogonal to the columns of W.
    """
    free, dense = untruncated(law), density(law)
    name = "Lemma 4.5: balance"
    if law.moment is None or not free.met:
        return [BoundCheck.left_out(name, "19", (free,), "stated for tau = identity")]
    problem, w, moment = law.problem, law.w, law.moment
    temperature = problem.temperature
    identity = torch.eye(len(w), dtype=w.dtype)
    gap = problem.decay * moment - law.lambda_w * w @ w.T - temperature * identity
    distance = float(torch.linalg.matrix_norm(gap, 2))
    eps, slope = law.stationarity.in_a, float(law.gradient_w.norm())
    both = (free, dense, stationary(law, tol), _ridge(law))
    spread = math.sqrt(float(torch.linalg.eigvalsh(moment)[-1]))
    bound = eps * spread + float(torch.linalg.matrix_norm(w, 2)) * slope
    note = "" if law.stationarity.exact else f"; eps_S {law.stationarity.how}"
    note, small = "right: by eps_a and grad_W" + note, BALANCE * temperature
    noise = 1e-12 * problem.decay * float(moment.norm())
    rows = [
        BoundCheck.compare(
            name,
            "19",
            "printed",
            distance,
            small,
            both,
            "operator norm",
            doubt=bound if all(check.met for check in both) else 0.0,
        ),
        BoundCheck.compare(
            name,
            "19",
            "sharp",
            distance,
            bound,
            (free, dense),
            note,
            noise=noise,
            doubt=eps_doubt(law),
            any_points=True,
        ),
    ]
    if law.mismatch is not None:
        cause = law.mismatch.T @ law.features - w @ law.gradient_w.T
        residual = float((gap - cause).norm() / (problem.decay * moment.norm()))
        rows.append(
            BoundCheck.compare(
                "Lemma 4.5: identity off stationarity",
                "",
                "sharp",
                residual,
                IDENTITY,
                (free, dense),
                "residual over lambda |E[aa^T]|_F",
                any_points=True,
            )
        )
    return [*rows, *_imbalance(law, both)]


def _imbalance(law: Law, both: tuple[AssumptionCheck, ...]) -> list[BoundCheck]:
    """NB |M|_op = |M - c* W W^T|_op, against 1/(beta lambda_rho) (stated) and max x^T M x."""
    assert law.moment is not None
    w, moment, problem = law.w, law.moment, law.problem
    target = w @ w.T
    square = target.square().sum()
    c = (moment * target).sum() / square if square > 0 else square
    right = float(torch.linalg.matrix_norm(moment - c * target, 2))
    name = "Lemma 4.5: no balance"
    wide = need("p > q", "p > q", problem.n_features > problem.n_outputs, "p = q")
    if not wide.met:
        note = "W W^T can have full rank"
        return [BoundCheck.compare(name, "25-26", "printed", math.nan, right, (wide,), note)]
    beside = torch.linalg.qr(w, mode="complete")[0][:, w.shape[1] :]
    least = float(torch.linalg.eigvalsh(beside.T @ moment @ beside)[-1])
    norm = float(torch.linalg.matrix_norm(moment, 2))
    nb = f"{right / norm:.4g}" if norm > 0 else "undefined, a = 0"
    note = f"right: |E[aa^T] - c* WW^T|_op; NB = {nb}"
    floor = problem.temperature / problem.decay if problem.decay > 0 else math.nan
    return [
        BoundCheck.compare(name, "25-26", "printed", floor, right, (*both, wide), note),
        BoundCheck.compare(
            name, "25-26", "sharp", least, right, (wide,), "of any law", any_points=True
        ),
    ]


def _ridge(law: Law) -> AssumptionCheck:
    """W is stationary: ridge regression on the features."""
    size = float(torch.linalg.matrix_norm(law.w, 2) * law.gradient_w.norm())
    met = size <= BALANCE * law.problem.temperature
    return need("stationary in W", "grad_W = 0", met, f"|W| |grad_W| is {size:.3g}")
