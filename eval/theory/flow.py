r"""Statements about times and about betas: Lemma 4.6, Theorem 4.8 (Eq. 22), Corollary 4.9.

Along the flow dE/dt = -eps_S(t)^2 - |grad_W|^2 (the latter 0 where W is fixed), hence

.. math:: \int_0^T \epsilon_S^2\,dt \le E(0) - E(T), \qquad
    |\{t \le T : \epsilon_S(t) > \epsilon\}| \le (E(0) - E(T)) / \epsilon^2.

The second is Lemma 4.6 with a number. As printed Lemma 4.6 and Corollary 4.9 leave the time T(eps)
free, and except times of finite measure: no run that ends can contradict them. It can show that a
level is reached, and it can contradict a level that you claim from a time on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid

from eval.reading import Array
from eval.theory.assumptions import AssumptionCheck, check_assumptions, need
from eval.theory.check import with_errors
from eval.theory.energy import collapse_by_beta, explicit_loss_bound, minimizer_rows
from eval.theory.features import nc1_of, stationary, untruncated
from eval.theory.law import Law, law_of
from eval.theory.table import BoundCheck, TheoryTable
from gibbs import GibbsMeasure, Problem

__all__ = ["check_flow", "check_sequence"]

RESOLVED = 0.1
"""An integral known to so large a share of the energy that fell is known well enough to confirm."""


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

    The statements name levels that the paper does not make explicit. Without yours a row shows its
    numbers and stays undecided. With them a row "holds" where the run shows it:

    - eps_S <= epsilon, and NC1 <= delta, are reached at some time: shown, or undecided, as a
      longer run may reach them;
    - the time spent above epsilon, against (E(0) - E(T))/epsilon^2: shown or contradicted;
    - beta L_lambda <= c4 at the recorded t >= t0: shown as far as the run went, or contradicted;
    - Corollary 4.9 for all times but a set of finite measure: never decided.

    It is not known whether a run is the gradient flow: steps of finite length follow the flow to
    an error of their own order. So no row is among the `contradictions` of the table.

    Parameters
    ----------
    history : mapping of str to array-like (k,)
        "t" (steps times step size, rising) and any of "eps_S", "loss" (L_lambda, Eq. 4), "nc1",
        and "free_energy" (relative to the prior or not; with lambda_w/2 |W|^2 if W moves).
    beta : float
    epsilon : float, optional
        For Lemma 4.6.
    delta : float, optional
        delta_0 of Corollary 4.9.
    c4, t0 : float, optional
        Of Theorem 4.8; both, or the row is undecided.

    Returns
    -------
    TheoryTable

    Raises
    ------
    ValueError
        If the columns do not fit, or a level has no column that it is for.

    Examples
    --------
    >>> t = np.linspace(0, 4, 401)
    >>> history = {"t": t, "eps_S": np.exp(-t), "free_energy": 0.5 * np.exp(-2 * t)}
    >>> [row.holds for row in check_flow(history, beta=100.0)]
    [None, True, None]
    >>> [row.holds for row in check_flow(history, beta=100.0, epsilon=0.1)]
    [True, True, True]
    """
    columns = _read(history, beta)
    for name, level, column in (
        ("epsilon", epsilon, "eps_S"),
        ("delta", delta, "nc1"),
        ("c4", c4, "loss"),
        ("t0", t0, "loss"),
    ):
        if level is not None and column not in columns:
            raise ValueError(f"history must have a column {column!r} for {name}, got none")
    t = columns["t"]
    rows: list[BoundCheck] = []
    if "eps_S" in columns:
        rows += _lemma_4_6(t, columns["eps_S"], columns.get("free_energy"), epsilon)
    if "loss" in columns:
        rows.append(_theorem_4_8(t, beta * columns["loss"], c4, t0))
    if "nc1" in columns:
        rows += _corollary_4_9(t, columns["nc1"], delta)
    return TheoryTable(tuple(rows))


def _read(history: Mapping[str, ArrayLike], beta: float) -> dict[str, Array]:
    if not beta > 0:
        raise ValueError(f"beta must be > 0, got {beta}")
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in history.items()}
    if "t" not in columns or not {"eps_S", "loss", "nc1"} & columns.keys():
        raise ValueError(
            "history must have a column 't' and any of 'eps_S', 'loss', 'nc1', "
            f"got {', '.join(columns) or 'none'}"
        )
    t = columns["t"]
    if any(column.shape != t.shape for column in columns.values()) or t.ndim != 1 or len(t) < 2:
        raise ValueError("history must have columns (k,) of one length k >= 2, 't' among them")
    if not (np.diff(t) > 0).all():
        raise ValueError("history['t'] must rise")
    for name in columns.keys() & {"eps_S", "loss", "nc1"}:
        if (columns[name] < 0).any():
            raise ValueError(f"history[{name!r}] must be >= 0, got {columns[name].min():g}")
    return columns


def _flow(energy: Array | None = None) -> AssumptionCheck:
    """Whether the run is the gradient flow; a rising energy shows that it is not."""
    rises = energy is not None and bool((np.diff(energy) > 1e-9 * np.abs(energy[:-1])).any())
    reason = "the free energy rises somewhere" if rises else "steps have a length, a flow has not"
    return need("gradient flow", "the run is the flow", False if rises else None, reason)


def _lemma_4_6(
    t: Array, eps: Array, energy: Array | None, epsilon: float | None
) -> list[BoundCheck]:
    level, say = (math.nan, "undecided without your epsilon") if epsilon is None else (epsilon, "")
    note = say or "left: the least eps_S of the run; a longer run may reach what this did not"
    needs = (_flow(energy),)
    rows = [
        BoundCheck.compare(
            "Lemma 4.6: eps_S", "", "printed", float(eps.min()), level, needs, note, doubt=math.inf
        )
    ]
    name = "Lemma 4.6: dissipation"
    if energy is None:
        lacks = need("free energy", "known along the flow", False, "no free energy was recorded")
        note = "left out: a cloud has no free energy"
        return [*rows, BoundCheck.compare(name, "", "sharp", math.nan, math.nan, (lacks,), note)]
    fall = float(energy[0] - energy[-1])
    spent, error = float(trapezoid(eps**2, t)), _trapezoid_error(t, eps**2)
    note = f"integral of eps_S^2 = {spent:.4g} +- {error:.2g} by the trapezoidal rule"
    row = BoundCheck.compare(name, "", "sharp", spent, fall, needs, note, noise=error)
    if row.holds and error > RESOLVED * abs(fall):
        row = replace(row, holds=None, note=f"{note}: too few records to tell")
    rows.append(row)
    above, doubt = _time_above(t, eps, level)
    right = fall / level**2 if level > 0 else math.nan
    note = say or (
        f"eps = {level:.4g}; right: (E(0) - E(T))/eps^2; eps_S taken as monotone between records"
    )
    name = "Lemma 4.6: time with eps_S > eps"
    return [
        *rows,
        BoundCheck.compare(name, "", "sharp", above, right, needs, note, doubt=doubt),
    ]


def _trapezoid_error(t: Array, values: Array) -> float:
    """How far the integral may be from the rule, for values monotone between two records.

    It lies between the sums of the smaller and of the larger ends of the intervals.
    """
    return float(np.diff(t) @ np.abs(np.diff(values)) / 2)


def _time_above(t: Array, values: Array, level: float) -> tuple[float, float]:
    """Time with a value above the level, and how much of it lies between records on two sides."""
    if math.isnan(level) or np.isnan(values).any():
        return math.nan, 0.0
    above, steps = (values > level).astype(float), np.diff(t)
    total = float(trapezoid(above, t))
    return total, total - float(steps @ (above[1:] * above[:-1]))


def _theorem_4_8(t: Array, scaled: Array, c4: float | None, t0: float | None) -> BoundCheck:
    name = "Theorem 4.8: beta L_lambda"
    needs = (
        _flow(),
        need("hypotheses", "Assumptions 1, 2", None, "a history does not know its problem"),
        need("weights", "lambda_rho = lambda_w = 1/beta", None, "nor its lambdas"),
        need("gamma", "gamma > C_3", None, "nor its gamma, and C_3 is not explicit"),
    )
    if c4 is None or t0 is None:
        note = "undecided without your C_4 and t_0; left: the last beta L_lambda"
        return BoundCheck.compare(name, "22", "printed", float(scaled[-1]), math.nan, needs, note)
    late = t >= t0
    if not late.any():
        note = f"undecided: the run ends at t = {t[-1]:.4g}, before t_0 = {t0:.4g}"
        return BoundCheck.compare(name, "22", "printed", math.nan, c4, needs, note)
    note = f"left: max of beta L_lambda over {t0:.4g} <= t <= {t[-1]:.4g}; later times are open"
    left = float(scaled[late].max())
    return BoundCheck.compare(name, "22", "printed", left, c4, needs, note)


def _corollary_4_9(t: Array, values: Array, delta: float | None) -> list[BoundCheck]:
    level, say = (math.nan, "undecided without your delta_0") if delta is None else (delta, "")
    above, _ = _time_above(t, values, level)
    least = float(values.min())
    reached = say or "left: the least NC1 of the run; a longer run may reach what this did not"
    exempt = say or (
        f"left: in a run of {t[-1] - t[0]:.4g}; no finite run decides whether the time is finite"
    )
    name, needs = "Corollary 4.9", (_flow(),)
    return [
        BoundCheck.compare(
            f"{name}: NC1 reaches delta_0",
            "",
            "printed",
            least,
            level,
            needs,
            reached,
            doubt=math.inf,
        ),
        BoundCheck.compare(
            f"{name}: time with NC1 > delta_0", "", "printed", above, math.inf, needs, exempt
        ),
    ]


def check_sequence(
    points: Sequence[tuple[float, GibbsMeasure]],
    *,
    lambda_w: float | None = None,
    tol: float = 1e-6,
) -> TheoryTable:
    """Check Theorem 4.8 and Corollary 4.9 over minimizers of one problem at rising beta.

    At each beta: the energy against F_0 and the explicit C/beta of
    :func:`eval.theory.energy.explicit_loss_bound`; beta L_lambda against the C_4 that follows from
    it, 2 C + D log 2 + beta lambda_w/2 |W|^2 (Lemma A.3 at s = 1/2); and NC1 against the bounds of
    Corollary 4.9, of order beta^(-1/3), with the largest beta L_lambda of the sequence for C_4,
    which must not depend on beta. The paper's claim itself, NC1 -> 0 as beta grows, is a limit:
    finitely many betas do not decide it, and it does not say that NC1 falls from one to the next.

    Parameters
    ----------
    points : sequence of (beta, measure)
        In order of beta. The problems may differ in beta alone, and in lambda_rho where that is
        1/beta throughout.
    lambda_w : float, optional
        None means 1/beta.
    tol : float, default 1e-6
        eps_S below this counts as stationary.

    Raises
    ------
    TypeError, ValueError
        If a beta is not that of its measure, they do not rise, an entry is a cloud, or the
        measures are of different problems.
    """
    for beta, measure in points:
        if not isinstance(measure, GibbsMeasure):
            raise TypeError("check_sequence needs measures: a cloud does not know its problem")
        if not math.isclose(beta, measure.problem.beta):
            raise ValueError(f"beta is {beta}, that of its measure {measure.problem.beta}")
    betas = [beta for beta, _ in points]
    if len(betas) < 2 or any(b <= a for a, b in pairwise(betas)):
        raise ValueError("at least 2 betas are needed, and they must rise")
    problems = [measure.problem for _, measure in points]
    for problem in problems[1:]:
        _check_one_problem(problems[0], problem)
    laws = [law_of(measure.problem, measure, lambda_w=lambda_w) for _, measure in points]
    c4 = max(law.problem.beta * law.regularized_loss for law in laws)
    rows: list[BoundCheck] = []
    for law, (_, measure) in zip(laws, points, strict=True):
        rows += with_errors(lambda part: _at_beta(part, tol, c4), law, measure)
    return TheoryTable((*rows, _limit(laws)))


def _check_one_problem(first: Problem, other: Problem) -> None:
    """They may differ in beta, and in lambda_rho where both have 1/beta."""
    names = ("gamma", "activation", "truncation")
    differ = [name for name in names if getattr(first, name) != getattr(other, name)]
    tensors = ((getattr(p, name) for p in (first, other)) for name in ("x", "y", "w"))
    differ += [name for name, (a, b) in zip("xyw", tensors, strict=True) if not torch.equal(a, b)]
    default = all(math.isclose(p.decay * p.beta, 1) for p in (first, other))
    if first.decay != other.decay and not default:
        differ.append("lambda_rho")
    if differ:
        raise ValueError(
            "points must be of one problem but for beta, and lambda_rho where it is 1/beta: "
            f"{', '.join(differ)} differ"
        )


def _at_beta(law: Law, tol: float, c4: float) -> list[BoundCheck]:
    problem, at = law.problem, f"at beta = {law.problem.beta:g}"
    beta, (_, second) = problem.beta, explicit_loss_bound(law)
    ridge = law.lambda_w / 2 * float(law.w.square().sum())
    size = problem.n_features + problem.n_inputs
    bound = beta * (2 * second + ridge) + size * math.log(2)
    needs = (untruncated(law), stationary(law, tol))
    # At the minimizer E|theta|^2 follows from the energy; off it, from no more than that and D(G).
    row = BoundCheck.compare(
        f"Theorem 4.8 {at}, beta L_lambda",
        "22",
        "sharp",
        beta * law.regularized_loss,
        bound,
        needs,
        "right: C_4",
        doubt=2 * beta * law.excess,
    )
    assumed = check_assumptions(problem)[:2]
    return [
        *minimizer_rows(law, tol, f"Theorem 4.8 {at}"),
        row,
        *collapse_by_beta(law, tol, c4, assumed, f"Corollary 4.9 {at}: NC1"),
    ]


def _limit(laws: list[Law]) -> BoundCheck:
    values = [nc1_of(law, law.problem.y.argmax(dim=1)) for law in laws]
    note = (
        "NC1 by beta: "
        + ", ".join(f"{value:.4g}" for value in values)
        + "; a limit, which finitely many betas do not decide"
    )
    name = "Corollary 4.9: NC1 -> 0 as beta grows"
    return BoundCheck.compare(name, "", "printed", values[-1], math.nan, (), note)
