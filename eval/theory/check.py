"""All statements about one law, in one table.

Definition 4.1, Theorem 4.2 (Eqs. 6, 7, 9, 10, 12), Lemma 4.3 (14, 15), Corollary 4.4 (16, 17),
Lemma 4.5 (19, 25, 26), Lemma 4.7, Theorem 4.8 (22), Corollary 4.9 and Lemma A.3.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from eval.reading import Values, read_classes
from eval.theory.assumptions import check_assumptions
from eval.theory.energy import descent_rows, energy_rows
from eval.theory.features import collapse_rows, feature_rows
from eval.theory.kernel import kernel_rows
from eval.theory.law import Law, each_left_out, law_of, of_measure
from eval.theory.table import BoundCheck, TheoryTable
from eval.theory.weights import balance_rows, layer_rows
from gibbs import GibbsMeasure, Particles, Problem
from gibbs.solver.replays import jackknife

__all__ = ["check_theory", "with_errors"]


def check_theory(
    problem: Problem,
    measure_or_particles: GibbsMeasure | Particles,
    *,
    w: Tensor | None = None,
    lambda_w: float | None = None,
    labels: Values | None = None,
    tol: float = 1e-6,
) -> TheoryTable:
    """Check the paper's statements about a law of neurons and a linear layer.

    Definition 4.1, Theorem 4.2, Lemma 4.3, Corollary 4.4, Lemmas 4.5 and 4.7, Theorem 4.8 and
    Corollary 4.9 as far as one law decides them, and Lemma A.3. A statement that does not hold as
    printed has rows for the printed, the corrected and the best known form;
    ``docs/mathematics/theory.md`` derives them. Under a measure all numbers are sums over its
    points. Of a Monte Carlo measure they are estimates: every row carries the standard error of
    its slack, by the jackknife over the independent replays, and is decided only where noise alone
    would do so once in 10,000 times (:meth:`BoundCheck.with_error`). Mass that all replays have
    missed is not in that error. A cloud has no density: its eps_S is known from below, and what
    needs a free energy is left out.

    Parameters
    ----------
    problem : Problem
        With W_0 as its `w`.
    measure_or_particles : GibbsMeasure or Particles
    w : Tensor (p, q), optional
        The current layer, such as that of stage two; None means W_0.
    lambda_w : float, optional
        None means 1/beta, or lambda_rho at beta = inf.
    labels : array-like (n,), optional
        Classes for NC1; None reads them off one-hot targets.
    tol : float, default 1e-6
        eps_S below this counts as stationary.

    Returns
    -------
    TheoryTable
        Prints as a table; `.markdown()`, `.csv()`, `.as_dicts()`, `.contradictions`.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not belong together.

    Examples
    --------
    >>> from gibbs import solve_gibbs
    >>> x = torch.tensor([[1.0], [0.7], [-0.3], [-0.9]], dtype=torch.float64)
    >>> y = torch.eye(2, dtype=torch.float64)[[0, 0, 1, 1]]
    >>> problem = Problem(x, y, torch.eye(2, dtype=torch.float64), beta=100.0)
    >>> measure = solve_gibbs(problem, generator=torch.Generator().manual_seed(0)).measure
    >>> table = check_theory(problem, measure)
    >>> row = table.row("Theorem 4.2: H is the resolvent's")
    >>> row.holds, row.assumptions_met, table.contradictions
    (True, True, ())
    """
    classes = None
    if labels is not None:
        _, members = read_classes(labels, "labels", problem.n_samples, "sample of the problem")
        classes = torch.from_numpy(members)
    assumed = check_assumptions(problem)[:2]

    def rows(law: Law) -> list[BoundCheck]:
        return [
            *feature_rows(law, tol),
            *layer_rows(law),
            *collapse_rows(law, classes),
            *balance_rows(law, tol),
            *descent_rows(law, tol, assumed),
            *energy_rows(law),
        ]

    whole = law_of(problem, measure_or_particles, w=w, lambda_w=lambda_w)
    found = with_errors(rows, whole, measure_or_particles)
    return TheoryTable((*found, *kernel_rows(whole)))


def with_errors(
    rows: Callable[[Law], list[BoundCheck]], law: Law, source: GibbsMeasure | Particles
) -> list[BoundCheck]:
    """The rows of a law; of a Monte Carlo one with the error of their slacks.

    The points of a marginal descent are not independent: its errors are not known.
    """
    found = rows(law)
    if not isinstance(source, GibbsMeasure):
        return found
    if source.replays is None:
        unknown = math.isnan(source.log_z)
        return [row.with_error(math.nan, 2) for row in found] if unknown else found
    slacks, count = defaultdict(list), 0
    for measure in each_left_out(source):
        count += 1
        for row in rows(of_measure(law.problem, measure, law.lambda_w)):
            slacks[row.name, row.version].append(row.slack)
    errors = {key: jackknife(values) for key, values in slacks.items() if len(values) == count}
    return [row.with_error(errors.get((row.name, row.version), math.nan), count) for row in found]
