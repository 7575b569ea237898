r"""What is said of times and of betas: Lemma 4.6, Theorem 4.8, Corollary 4.9.

Along the flow dE/dt = -eps_S(t)^2 - |grad_W|^2 (the latter 0 where W is fixed), hence

.. math:: \int_0^T \epsilon_S^2\,dt \le E(0) - E(T), \qquad
    |\{t : \epsilon_S(t) > \epsilon\}| \le (E(0) - \inf E) / \epsilon^2.

The second is Lemma 4.6 with a number; as printed, with T(eps) free, it says no more than this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.collapse import nc1
from eval.theory.assumptions import AssumptionCheck, need
from eval.theory.energy import explicit_loss_bound
from eval.theory.features import stationary, untruncated
from eval.theory.law import Law, law_of
from eval.theory.table import BoundCheck, TheoryTable
from gibbs import GibbsMeasure

__all__ = ["check_flow", "check_sequence"]

Array = NDArray[np.float64]


def check_flow(
    history: Mapping[str, ArrayLike],
    *,
    beta: float,
    epsilon: float | None = None,
    delta: float | None = None,
    c4: float | None = None,
    t0: float | None = None,
) -> TheoryTable:
    r"""Check Lemma 4.6, Theorem 4.8 and Corollary 4.9 along a run, as far as it went.

    Parameters
    ----------
    history : mapping of str to array-like (k,)
        "t" (steps times step size, rising) and any of "eps_S", "loss" (L_lambda, Eq. 4), "nc1",
        and "free_energy" (relative to the prior or not; with lambda_w/2 |W|^2 if W moves).
    beta : float
    epsilon : float, optional
        For Lemma 4.6; None means the last eps_S.
    delta : float, optional
        delta_0 of Corollary 4.9; None means the last NC1.
    c4, t0 : float, optional
        Of Theorem 4.8. The paper's are not explicit in n: None means beta L_lambda at t0, and
        half of the time. Then the row says that beta L_lambda does not rise after t0.

    Returns
    -------
    TheoryTable

    Raises
    ------
    ValueError
        If the columns do not fit.

    Examples
    --------
    >>> t = np.linspace(0, 4, 401)
    >>> energy = 0.5 * np.exp(-2 * t)
    >>> table = check_flow({"t": t, "eps_S": np.exp(-t), "free_energy": energy}, beta=100.0)
    >>> [row.holds for row in table]
    [True, True, True]
    """
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in history.items()}
    t = columns["t"]
    if any(column.shape != t.shape for column in columns.values()) or t.ndim != 1 or len(t) < 2:
        raise ValueError("history must have columns (k,) of one length k >= 2, 't' among them")
    if not (np.diff(t) > 0).all():
        raise ValueError("history['t'] must rise")
    t0 = float(t[-1] + t[0]) / 2 if t0 is None else t0
    late = t >= t0
    rows: list[BoundCheck] = []
    if "eps_S" in columns:
        rows += _lemma_4_6(t, columns["eps_S"], columns.get("free_energy"), epsilon)
    if "loss" in columns:
        rows.append(_theorem_4_8(beta * columns["loss"], late, c4, t0))
    if "nc1" in columns:
        rows += _corollary_4_9(t, columns["nc1"], late, delta)
    return TheoryTable(tuple(rows))


def _lemma_4_6(
    t: Array, eps: Array, energy: Array | None, epsilon: float | None
) -> list[BoundCheck]:
    epsilon = float(eps[-1]) if epsilon is None else epsilon
    name, note = "Lemma 4.6: eps_S", "left: the least eps_S so far; the limit needs t = inf"
    rows = [BoundCheck.compare(name, "", "printed", float(eps.min()), epsilon, (), note)]
    if energy is None:
        lacks = need("free energy", "known along the flow", False, "no free energy was recorded")
        note = "left out: a cloud has no free energy"
        name = "Lemma 4.6: dissipation"
        return [*rows, BoundCheck.compare(name, "", "sharp", math.nan, math.nan, (lacks,), note)]
    fall = float(energy[0] - energy.min())
    falling = need(
        "gradient flow",
        "the free energy falls",
        bool((np.diff(energy) <= 1e-9 * np.abs(energy[:-1])).all()),
        "the free energy rises somewhere",
    )
    spent = float(np.trapezoid(eps**2, t))
    error = _trapezoid_error(t, eps**2)
    above = float(np.trapezoid((eps > epsilon).astype(float), t))
    return [
        *rows,
        BoundCheck.compare(
            "Lemma 4.6: dissipation",
            "",
            "sharp",
            spent - error,
            fall,
            (falling,),
            f"integral of eps_S^2 = {spent:.4g} +- {error:.2g} by the trapezoidal rule",
        ),
        BoundCheck.compare(
            "Lemma 4.6: time with eps_S > eps",
            "",
            "sharp",
            above,
            fall / epsilon**2 if epsilon > 0 else math.nan,
            (falling,),
            f"eps = {epsilon:.4g}; right: (E(0) - E(T))/eps^2",
        ),
    ]


def _trapezoid_error(t: Array, values: Array) -> float:
    """Twice the difference to the rule with every other point."""
    coarse = np.unique(np.append(np.arange(0, len(t), 2), len(t) - 1))
    fine, rough = np.trapezoid(values, t), np.trapezoid(values[coarse], t[coarse])
    return float(2 * abs(fine - rough))


def _theorem_4_8(scaled: Array, late: NDArray[np.bool_], c4: float | None, t0: float) -> BoundCheck:
    note = f"left: max of beta L_lambda over t >= {t0:.4g}; right: C_4"
    if c4 is None:
        c4, note = float(scaled[late][0]), note + ", taken as beta L_lambda at t0"
    left = float(scaled[late].max())
    return BoundCheck.compare("Theorem 4.8: beta L_lambda", "22", "printed", left, c4, (), note)


def _corollary_4_9(
    t: Array, values: Array, late: NDArray[np.bool_], delta: float | None
) -> list[BoundCheck]:
    delta = float(values[-1]) if delta is None else delta
    above = float(np.trapezoid((values > delta).astype(float)[late], t[late]))
    note = f"over t >= {t[late][0]:.4g}; above delta_0 for a time of {above:.4g}"
    name = "Corollary 4.9: NC1"
    least, most = float(values[late].min()), float(values[late].max())
    return [
        BoundCheck.compare(
            name + " (lim inf)", "", "printed", least, delta, (), "left: the least NC1 " + note
        ),
        BoundCheck.compare(
            name + " (all times)", "", "printed", most, delta, (), "left: the " + note
        ),
    ]


def check_sequence(
    points: Sequence[tuple[float, GibbsMeasure]],
    *,
    lambda_w: float | None = None,
    tol: float = 1e-6,
) -> TheoryTable:
    """Check Theorem 4.8 and Corollary 4.9 over minimizers at rising beta.

    At each beta the energy is held against the explicit C/beta of
    :func:`eval.theory.energy.explicit_loss_bound`. Then, over the whole sequence, beta L_lambda
    against the largest C_4 = 2 C + D log 2 + beta lambda_w/2 |W|^2 that follows from it (Lemma A.3
    at s = 1/2), and NC1 at the last beta against NC1 at the first.

    Parameters
    ----------
    points : sequence of (beta, measure)
        In order of beta.
    lambda_w : float, optional
        None means 1/beta.
    tol : float, default 1e-6
        eps_S below this counts as stationary.

    Raises
    ------
    TypeError, ValueError
        If a beta is not that of its measure, they do not rise, or an entry is a cloud.
    """
    laws = []
    for beta, measure in points:
        if not isinstance(measure, GibbsMeasure):
            raise TypeError("check_sequence needs measures: a cloud does not know its problem")
        if not math.isclose(beta, measure.problem.beta):
            raise ValueError(f"beta is {beta}, that of its measure {measure.problem.beta}")
        laws.append(law_of(measure.problem, measure, lambda_w=lambda_w))
    betas = [beta for beta, _ in points]
    if len(betas) < 2 or any(b <= a for a, b in pairwise(betas)):
        raise ValueError("at least 2 betas are needed, and they must rise")
    rows = [row for law in laws for row in _at_beta(law, tol)]
    return TheoryTable((*rows, _over_betas(laws, tol), _collapse(laws, tol)))


def _at_beta(law: Law, tol: float) -> list[BoundCheck]:
    beta = law.problem.beta
    needs = (stationary(law, tol), untruncated(law))
    assert law.kl is not None
    energy, (first, second) = law.loss + law.kl / beta, explicit_loss_bound(law)
    name, note = f"Theorem 4.8 at beta = {beta:g}", "left: L_n + KL/beta; right: "
    return [
        BoundCheck.compare(name, "22", "sharp", energy, first, needs, note + "F_0"),
        BoundCheck.compare(
            name + ", C/beta", "22", "sharp", energy, second, needs, note + "C/beta"
        ),
    ]


def _over_betas(laws: list[Law], tol: float) -> BoundCheck:
    """Max of beta L_lambda, against the largest 2 C + D log 2 + beta lambda_w/2 |W|^2."""
    scaled = [law.problem.beta * law.regularized_loss for law in laws]
    bounds = []
    for law in laws:
        problem, (_, second) = law.problem, explicit_loss_bound(law)
        ridge = law.lambda_w / 2 * float(law.w.square().sum())
        size = problem.n_features + problem.n_inputs
        bounds.append(problem.beta * (2 * second + ridge) + size * math.log(2))
    note = "beta L_lambda by beta: " + ", ".join(f"{value:.4g}" for value in scaled)
    name, needs = "Theorem 4.8: beta L_lambda", _all_stationary(laws, tol)
    return BoundCheck.compare(name, "22", "sharp", max(scaled), max(bounds), needs, note)


def _collapse(laws: list[Law], tol: float) -> BoundCheck:
    """NC1 at the last beta, against the first."""
    values = [nc1(law.features, law.problem.y.argmax(dim=1)) for law in laws]
    note = "NC1 by beta: " + ", ".join(f"{value:.4g}" for value in values)
    needs = _all_stationary(laws, tol)
    name = "Corollary 4.9: NC1 falls with beta"
    return BoundCheck.compare(name, "", "printed", values[-1], values[0], needs, note)


def _all_stationary(laws: list[Law], tol: float) -> tuple[AssumptionCheck, ...]:
    checks = [stationary(law, tol) for law in laws]
    return (next((check for check in checks if not check.met), checks[0]),)
