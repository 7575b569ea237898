r"""Lemma A.3, Theorem 4.8 (Eq. 22) and Corollary 4.9 at one law: loss, energy and NC1 by beta.

With D = p + d, L = L_n + lambda_w/2 |W|^2, and E the free energy as printed, with its entropy,
E = L + KL/beta - D/(2 beta) log(2 pi/(beta lambda)). For 0 < s < 1, by Donsker and Varadhan,

.. math:: s \tfrac{\beta\lambda}{2} E|\theta|^2 \le KL(\rho|\rho_0) - \tfrac D2 \log(1 - s).
"""

from __future__ import annotations

import math

import torch

from eval.theory.assumptions import (
    AssumptionCheck,
    activation_constant,
    balanced_classes,
    bounded_activation,
    default_weights,
    need,
)
from eval.theory.features import nc1_of, stationary, untruncated
from eval.theory.kernel import MOST_SAMPLES, prior_kernel
from eval.theory.law import Law
from eval.theory.table import BoundCheck
from gibbs.solver.dual import solve_ridge

__all__ = [
    "collapse_by_beta",
    "descent_rows",
    "energy_rows",
    "explicit_loss_bound",
    "flow_hypotheses",
    "minimizer_rows",
    "second_moment_bound",
]


def energy_rows(law: Law) -> list[BoundCheck]:
    """Lemma A.3: loss, divergence and second moment by the free energy.

    As printed the bounds of the second moment fail for beta lambda well above 1: the prior has
    E|theta|^2 = D/(beta lambda), and they are negative there. Donsker and Varadhan at s = 1/2 gives
    E|theta|^2 <= 4/(beta lambda) (KL + D/2 log 2); the best s gives the sharp bound.

    Of a Monte Carlo law KL is an estimate. A negative one is shown as 0 in its own row, with a
    note; in sums it is not changed, and the error of the row includes its noise.
    """
    if law.kl_estimate is None or math.isinf(law.problem.beta):
        note = "left out: a cloud has no entropy, hence no free energy"
        lacks = need("density", "rho has a density", False, "a cloud has no density")
        return [BoundCheck.left_out("Lemma A.3", "", (lacks,), note)]
    assert law.kl is not None
    problem, kl, shown = law.problem, law.kl_estimate, law.kl
    beta, decay, size = problem.beta, problem.decay, problem.n_features + problem.n_inputs
    loss = law.loss + law.lambda_w / 2 * float(law.w.square().sum())
    constant = size / 2 * math.log(2 * math.pi / (decay * beta)) / beta
    energy = loss + kl / beta - constant
    wide = 1 + size * math.log(8 * math.pi / (decay * beta))
    square = law.mean_square
    third, fourth = "Lemma A.3: E|theta|^2", "Lemma A.3: L + lambda/2 E|theta|^2"
    both = loss + decay / 2 * square
    simple = 4 / (decay * beta) * (kl + size / 2 * math.log(2))
    sharp = second_moment_bound(kl, size) / (decay * beta)
    compare, note = BoundCheck.compare, ""
    if kl < 0:
        note = f"KL is estimated as {kl:.2g} +- {law.kl_stderr:.2g}, and 0 stands for it"
    return [
        compare("Lemma A.3: L", "", "printed", loss, energy + constant),
        compare("Lemma A.3: KL", "", "printed", shown, beta * loss + shown, (), note),
        compare(third, "", "printed", square, 4 / decay * (energy + wide / beta)),
        compare(third, "", "corrected", square, simple),
        compare(third, "", "sharp", square, sharp),
        compare(fourth, "", "printed", both, 3 * energy + constant + 2 * wide / beta),
        compare(fourth, "", "corrected", both, loss + decay / 2 * simple),
    ]


def second_moment_bound(kl: float, size: int) -> float:
    """Most E|z|^2 of a law on R^size with a divergence of kl from N(0, I).

    The least of 2 (kl - size/2 log(1 - s)) / s: size v at v > 1 with
    size/2 (v - 1 - log v) = kl, attained by N(0, v I). NaN where kl is; an estimate of kl below 0
    counts as 0.

    Examples
    --------
    >>> second_moment_bound(0.0, 3)
    3.0
    """
    if math.isnan(kl):
        return math.nan
    low, high = 1.0, 2.0 + 4 * max(kl, 0.0) / size
    for _ in range(200):
        middle = (low + high) / 2
        if size / 2 * (middle - 1 - math.log(middle)) < kl:
            low = middle
        else:
            high = middle
    return size * low


def explicit_loss_bound(law: Law) -> tuple[float, float]:
    r"""Bounds of min_rho (L_n + KL/beta) at this W: F_0 = 1/2 <Y, A_0^-1 Y>, and C/beta.

    F_0 is the energy of the law whose u are the prior's: min E = min F <= F(prior). A_0 has
    the prior's kernel, and A_0 >= (gamma^2/lambda) lambda_* s_q^2 gives

    .. math:: F_0 \le C/\beta, \qquad C = \frac{\beta\lambda_\rho |Y|_F^2}
        {2 \gamma^2 \lambda_* s_q^2}.

    Inf where lambda_* is not above round-off, or W singular; NaN where the kernel of the prior is
    not integrated here: sigma with kinks or unbounded, or too many samples.
    """
    problem = law.problem
    if not problem.sigma.smooth_and_bounded or problem.n_samples > MOST_SAMPLES:
        return math.nan, math.nan
    k = prior_kernel(problem)
    first = 0.5 * float((problem.y * solve_ridge(problem, k, problem.y)).sum())
    values = torch.linalg.eigvalsh(k)
    noise = 8 * problem.n_samples * torch.finfo(torch.float64).eps * float(values[-1])
    least = float(values[0]) * float(torch.linalg.svdvals(law.w)[-1]) ** 2
    if values[0] <= noise or least == 0:
        return first, math.inf
    squares = float(problem.y.square().sum())
    return first, problem.decay * squares / (2 * problem.gamma**2 * least)


def descent_rows(law: Law, tol: float, assumed: tuple[AssumptionCheck, ...]) -> list[BoundCheck]:
    """Theorem 4.8 and Corollary 4.9, at one law; `assumed` are Assumptions 1 and 2."""
    beta = law.problem.beta
    if math.isinf(beta):
        return []
    scaled = beta * law.regularized_loss
    note = "left: beta L_lambda; right: C_4, not explicit in n, see check_flow and check_sequence"
    needs = (*assumed, *flow_hypotheses(law))
    rows = [BoundCheck.compare("Theorem 4.8", "22", "printed", scaled, math.nan, needs, note)]
    if law.kl_estimate is not None and untruncated(law).met:
        rows += minimizer_rows(law, tol, "Theorem 4.8 at the minimizer")
    return [*rows, *collapse_by_beta(law, tol, scaled, assumed, "Corollary 4.9: NC1")]


def flow_hypotheses(law: Law) -> tuple[AssumptionCheck, ...]:
    """What Theorem 4.8 asks for beside Assumptions 1 and 2: of one law, two are not known."""
    gamma = f"gamma is {law.problem.gamma:g}, and C_3 is not explicit"
    return (
        default_weights(law.problem, law.lambda_w),
        need("gamma", "gamma > C_3", None, gamma),
        need("time", "t >= t_0 of the flow", None, "one law has no time"),
    )


def minimizer_rows(law: Law, tol: float, name: str) -> list[BoundCheck]:
    """L_n + KL/beta <= F_0 <= C/beta at the minimizer, by :func:`explicit_loss_bound`.

    Off the minimizer the left side is larger by E(rho) - min E <= E(rho) - D(G), and only what
    exceeds that too contradicts the statement.
    """
    beta, (first, second) = law.problem.beta, explicit_loss_bound(law)
    energy, needs = law.free_energy, (untruncated(law), stationary(law, tol))
    above = "L_n + KL/beta <= F_0" + (
        "" if first < math.inf else ": left out, sigma is not smooth or n is too large"
    )
    why = "" if second < math.inf else ": lambda_* is round-off, or W is singular"
    return [
        BoundCheck.compare(name, "", "sharp", energy, first, needs, above, doubt=law.excess),
        BoundCheck.compare(
            f"{name}, C/beta",
            "",
            "sharp",
            energy,
            second,
            needs,
            f"C = {beta * second:.4g}{why}",
            doubt=law.excess,
        ),
    ]


def collapse_by_beta(
    law: Law, tol: float, c4: float, assumed: tuple[AssumptionCheck, ...], name: str
) -> list[BoundCheck]:
    r"""Corollary 4.9 at one law with C_4 >= beta L_lambda and, as it cannot be larger, C_3 = gamma.

    As printed: NC1 <= delta_0 = 640 C_4^3 / (gamma^2 beta^(1/3)). Corrected, by
    NC1 <= kappa(W)^2 2 L_n q/(q-1), s_1^2 <= 2 C_4 and max(1, gamma) s_q >= beta^(-1/3):
    4 max(1, gamma)^2 C_4^2 q/(q-1) / beta^(1/3). Both ask for lambda_rho = lambda_w = 1/beta. Not
    decided is what eps_S may add, (gamma s_1)^2 lambda_max(K) eps_a^2 / (lambda^2 n (1 - 1/q)).
    """
    problem, beta = law.problem, law.problem.beta
    balanced = balanced_classes(problem)
    n, q = problem.y.shape
    if not balanced.met or q < 2:
        return []
    c1 = activation_constant(problem.sigma)
    value = nc1_of(law, problem.y.argmax(dim=1))
    if math.isnan(value):
        return []
    needed = max((2 * c1**2 * n * c4) ** 6, (4 * q / n) ** 3, 64 * (q * c4) ** 2)
    cold = need("beta", "beta large", beta >= needed, f"beta is {beta:.3g}, not {needed:.3g}")
    same = default_weights(problem, law.lambda_w)
    printed = 640 * c4**3 / problem.gamma**2 * beta ** (-1 / 3)
    corrected = 4 * max(1, problem.gamma) ** 2 * c4**2 * q / (q - 1) * beta ** (-1 / 3)
    still = stationary(law, tol)
    moved = problem.gamma * float(torch.linalg.svdvals(law.w)[0]) * law.stationarity.in_a
    moved = (moved / problem.decay) ** 2 * float(torch.linalg.eigvalsh(law.kernel)[-1])
    doubt = moved / (n * (1 - 1 / q)) if still.met else 0.0
    needs = (still, balanced, cold, same, bounded_activation(problem), untruncated(law))
    note = "right: the least delta_0 that it allows"
    return [
        BoundCheck.compare(
            name,
            "",
            "printed",
            value,
            printed,
            (*assumed, *needs),
            note + ", C_3 = gamma",
            doubt=doubt,
        ),
        BoundCheck.compare(name, "", "corrected", value, corrected, needs, note, doubt=doubt),
    ]
