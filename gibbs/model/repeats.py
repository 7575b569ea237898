"""Samples that occur several times, as one sample each with that weight."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gibbs.model.problem import Problem

__all__ = ["Distinct", "distinct", "distinct_rows"]


@dataclass(frozen=True, eq=False)
class Distinct:
    """A problem in which each sample occurs once, and where each sample of the full one is in it.

    Attributes
    ----------
    problem : Problem
    places : Tensor (n,) or None
        The row there of each of the n samples; None where no sample occurs twice.
    """

    problem: Problem
    places: Tensor | None = None

    def spread(self, rows: Tensor) -> Tensor:
        """Rows (n, ...) for all samples, from rows for the distinct ones."""
        return rows if self.places is None else rows[self.places]


def distinct(problem: Problem) -> Distinct:
    """The same problem with each sample once, weighted by how often it occurs.

    The energies are the same numbers up to round-off, but a step costs less. Weights and copies
    give bitwise equal results: both become the same samples in the same order, see
    :func:`distinct_rows`, with the same weights. (Where copies themselves have weights, these are
    added up in the dtype of the problem, which rounds.)

    Without weights and copies the problem itself is returned.
    """
    weight = problem.sample_weight
    first, total, places = distinct_rows(torch.cat((problem.x, problem.y), 1), weight)
    if weight is None and len(first) == problem.n_samples:
        return Distinct(problem)
    first, places = first.to(problem.device), places.to(problem.device)
    merged = replace(
        problem,
        x=problem.x[first],
        y=problem.y[first],
        sample_weight=None if total is None else total.to(problem.device, problem.dtype),
    )
    return Distinct(merged, places)


def distinct_rows(rows: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
    """Find the distinct rows, the total weight of each, and the distinct row of every row.

    They are in the order in which they first appear if their weights are all equal, and in
    ascending order otherwise, which does not depend on the order of `rows`.

    Parameters
    ----------
    rows : Tensor (n, k)
        Finite.
    weight : Tensor (n,) or None
        None means 1 for each.

    Returns
    -------
    first : Tensor (m,)
        Index of the first occurrence of each distinct row.
    total : Tensor (m,) or None
        In float64; None where all are equal.
    places : Tensor (n,)
        rows[first][places] are the rows. All three are on the CPU.

    Examples
    --------
    >>> rows = torch.tensor([[3.0], [1.0], [2.0], [1.0]])
    >>> first, total, places = distinct_rows(rows, None)
    >>> first.tolist(), total.tolist(), places.tolist()
    ([1, 2, 0], [2.0, 1.0, 1.0], [2, 0, 1, 0])
    """
    found, places = torch.unique(rows.cpu(), dim=0, return_inverse=True)
    weights = None if weight is None else weight.cpu().double()
    total = torch.bincount(places, weights).double()
    first = torch.full((len(found),), len(rows))
    first.scatter_reduce_(0, places, torch.arange(len(rows)), "amin")
    if bool((total != total[0]).any()):
        return first, total, places
    first, order = first.sort()
    return first, None, order.argsort()[places]
