"""Which method is best, and which differences the folds can tell apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from eval.accuracy import Interval, mean_interval
from eval.comparison.folds import OURS, Comparison

__all__ = ["Ranking", "corrected_test", "describe_ranking", "holm", "rank_methods"]


@dataclass(frozen=True)
class Ranking:
    """One method against the one with the smallest mean test error.

    Attributes
    ----------
    method : str
    rank : int
        1 for the smallest mean test error; equal errors share the smaller rank.
    difference : Interval
        Mean test error minus that of the first, paired by fold, with the 95 % interval of
        :func:`eval.mean_interval`, which goes with the p-value; without ends for the first itself.
    stderr : float
        Standard error of the difference, see :func:`corrected_test`.
    p_value, p_holm : float
        Of the two-sided test that the difference is 0; the latter by Holm's method over
        all comparisons with the first. NaN for the first itself.
    """

    method: str
    rank: int
    difference: Interval
    stderr: float
    p_value: float
    p_holm: float


def rank_methods(comparison: Comparison) -> tuple[Ranking, ...]:
    """Rank the methods of a comparison with at least two folds, the best first.

    Of equal means the network comes first, then the order of the methods. The first was
    chosen for its small error on these folds, so differences from it are a little too large,
    and the p-values a little too small.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from eval import compare_baselines
    >>> from eval.comparison import rank_methods
    >>> from stages import TwoStageClassifier
    >>> result = compare_baselines(
    ...     *load_iris(return_X_y=True),
    ...     models={"most frequent": DummyClassifier()},
    ...     network=TwoStageClassifier(n_neurons=20, max_iter=20, random_state=0),
    ... )
    >>> [(row.rank, row.method) for row in rank_methods(result)]
    [(1, 'two-stage network'), (2, 'most frequent')]
    """
    errors = {name: _errors(comparison, name) for name in comparison.methods}
    # Rounding makes means of the same errors in another order equal.
    means = {name: round(float(values.mean()), 12) for name, values in errors.items()}
    ordered = sorted(errors, key=means.__getitem__)
    first = ordered[0]
    differences = {name: errors[name] - errors[first] for name in ordered}
    tests = {
        name: corrected_test(differences[name], comparison.overlap) for name in ordered[1:]
    } | {first: (0.0, math.nan)}
    adjusted = dict(zip(ordered[1:], holm([tests[name][1] for name in ordered[1:]]), strict=True))
    return tuple(
        Ranking(
            name,
            rank=1 + sum(other < means[name] for other in means.values()),
            difference=mean_interval(differences[name], overlap=comparison.overlap),
            stderr=tests[name][0],
            p_value=tests[name][1],
            p_holm=adjusted.get(name, math.nan),
        )
        for name in ordered
    )


def _errors(comparison: Comparison, method: str) -> NDArray[np.float64]:
    return np.array([record.test_error for record in comparison.of(method)])


def corrected_test(differences: ArrayLike, overlap: float) -> tuple[float, float]:
    r"""Standard error of the mean of R paired differences, and the p-value of mean 0.

    .. math:: \text{se} = \sqrt{(1/R + \text{overlap})\, s^2}, \qquad
        p = 2\, P(t_{R-1} > |\bar d| / \text{se}),

    s^2 the variance of the differences and `overlap` n_test / n_train (Nadeau & Bengio,
    Inference for the generalization error, 2003). Where all differences are equal, p is 1 if
    they are 0, else 0.

    Examples
    --------
    >>> se, p = corrected_test([1.0, 2.0, 3.0], overlap=0.0)
    >>> round(se, 4), round(p, 4)
    (0.5774, 0.0742)
    """
    d = np.asarray(differences, dtype=np.float64)
    mean = float(d.mean())
    stderr = float(d.std(ddof=1)) * math.sqrt(1 / len(d) + overlap)
    if stderr == 0:
        return 0.0, float(mean == 0)
    return stderr, float(2 * student.sf(abs(mean) / stderr, len(d) - 1))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    r"""p-values adjusted by Holm's method for m tests, in the order given.

    .. math:: \tilde p_{(i)} = \min\bigl(1, \max_{j \le i} (m - j + 1)\, p_{(j)}\bigr).

    Examples
    --------
    >>> holm([0.04, 0.01, 0.5]).round(3).tolist()
    [0.08, 0.03, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def describe_ranking(rankings: tuple[Ranking, ...]) -> str:
    """The rank of the two-stage network, in one line.

    With a method behind it, a first place also says how far the next one is.
    """
    row = next(each for each in rankings if each.method == OURS)
    place = f"{OURS}: rank {row.rank} of {len(rankings)}"
    if row.rank == 1:
        others = [each for each in rankings if each.method != OURS]
        if not others:
            return f"{place}, first"
        return f"{place}, first; {_behind(others[0])}"
    first = rankings[0].method
    size = f"{100 * row.difference.estimate:.2f} % (standard error {100 * row.stderr:.2f} %)"
    within = row.difference.estimate <= row.stderr
    where = "within one standard error of first" if within else "more than one standard error"
    return f"{place}, {size} behind {first}: {where}" + ("" if within else " behind")


def _behind(other: Ranking) -> str:
    return (
        f"next is {other.method}, {100 * other.difference.estimate:z.2f} % "
        f"(standard error {100 * other.stderr:.2f} %) behind"
    )
