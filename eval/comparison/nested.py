"""Nested cross-validation: settings are chosen by inner folds, tested on outer ones."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_X_y
from sklearn.utils.multiclass import check_classification_targets

from eval.accuracy import mismatch_error
from eval.comparison.folds import (
    OURS,
    Comparison,
    gather,
    stratified_splits,
)
from eval.comparison.memory import peak_memory, reset_peak
from eval.comparison.records import FoldRecord, Parts, measure_fold
from eval.comparison.spaces import Method, tuned_methods

__all__ = [
    "INNER_FOLDS",
    "LARGE",
    "REPEATS",
    "SMALL",
    "TunedRecord",
    "compare_tuned",
    "default_repeats",
    "inner_splits",
    "outer_splits",
    "tune_fold",
]

SMALL = 1000
"""Samples below which the outer folds are drawn REPEATS times."""

REPEATS = 3
"""Folds of few samples say little; drawing them again averages over the random cut."""

INNER_FOLDS = 3
"""Inner folds of an outer training set of fewer than LARGE samples."""

LARGE = 3000
"""Training samples from which one inner split stands in place of the inner folds."""

HELD_OUT = 1000
"""Samples that it holds out."""

_Split = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, kw_only=True)
class TunedRecord(FoldRecord):
    """One tuned method on one outer fold; `fit_seconds` is that of the final fit.

    Attributes
    ----------
    n_candidates : int
    chosen : int
        Place of the chosen candidate, from 0.
    settings : str
        What was chosen, in words.
    inner_errors : tuple of float
        Mean mismatch error of every candidate over the inner folds.
    converged : bool
        Whether the final fit ended before its largest number of iterations, as far as the
        method tells.
    search_seconds : float
        Fits and predictions of all candidates on the inner folds.
    start_mib, peak_mib : float or None
        Memory of the process before, and the largest while it searched, fitted and
        predicted; None where the system does not tell.
    """

    n_candidates: int
    chosen: int
    settings: str
    inner_errors: tuple[float, ...]
    converged: bool
    search_seconds: float
    start_mib: float | None
    peak_mib: float | None


def compare_tuned(
    X: ArrayLike,
    y: ArrayLike,
    *,
    folds: int = 5,
    repeats: int | None = None,
    standardize: bool = True,
    random_state: int = 0,
    methods: Mapping[str, Method] | None = None,
    on_record: Callable[[TunedRecord], None] | None = None,
) -> Comparison:
    """Tune, fit and measure every method on the same outer folds.

    The candidates of a method are compared by their mean mismatch error over inner folds of
    the outer training samples: 3 stratified folds, or one split with 1,000 held out from
    3,000 training samples on. Inner folds are the same for all methods. The best one, the
    first of equals, is fitted again on all outer training samples. Outer test samples
    take no part in that.

    Parameters
    ----------
    X : array-like (n, d)
    y : array-like (n,)
        Class labels of any type.
    folds : int, default 5
        Stratified, shuffled outer folds, those of :func:`eval.compare_baselines`.
    repeats : int, optional
        How often to draw them; None means 3 for fewer than 1,000 samples, else 1.
    standardize : bool, default True
        Whether to divide every column by its own standard deviation; otherwise all columns
        by one number. Means and deviations are those of the training samples of each fit.
    random_state : int, default 0
        Decides folds and fits.
    methods : mapping of str to Method, optional
        None means :func:`eval.comparison.tuned_methods`. The two-stage network must be among them.
    on_record : callable, optional
        Called with every record when it is measured.

    Returns
    -------
    Comparison
        Its records are :class:`TunedRecord`.

    Raises
    ------
    ValueError
        If X, y, folds, repeats or methods are not usable.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from eval.comparison import compare_tuned, tuned_methods
    >>> spaces = tuned_methods(n_neurons=20, n_steps=20)
    >>> few = {name: spaces[name] for name in ("two-stage network", "ridge")}
    >>> result = compare_tuned(*load_iris(return_X_y=True), folds=3, methods=few)
    >>> result.of("ridge")[0].n_candidates, len(result.of("ridge")[0].inner_errors)
    (9, 9)
    """
    x, labels = check_X_y(X, y, dtype=np.float64, order="C")
    check_classification_targets(labels)
    chosen = tuned_methods() if methods is None else methods
    if OURS not in chosen:
        raise ValueError(f"methods must hold {OURS!r}, got {', '.join(chosen) or 'none'}")
    results = []
    splits = outer_splits(labels, folds, random_state, repeats)
    for fold, (train, test) in enumerate(splits):
        for method in chosen.values():
            record, predicted = tune_fold(
                x,
                labels,
                train,
                test,
                method,
                fold=fold,
                standardize=standardize,
                random_state=random_state,
            )
            results.append((record, predicted))
            if on_record is not None:
                on_record(record)
    return gather(labels, [test for _, test in splits], results, len(splits) // folds)


def default_repeats(n: int) -> int:
    """How often to draw the outer folds of n samples."""
    return REPEATS if n < SMALL else 1


def outer_splits(
    labels: NDArray[Any], folds: int, random_state: int, repeats: int | None = 1
) -> list[_Split]:
    """Training and test indices of the outer folds, repeat by repeat.

    `repeats` None means :func:`default_repeats`.

    Raises
    ------
    ValueError
        If `repeats` is below 1, or a class too small for the outer folds or for the inner
        ones within them.
    """
    if repeats is None:
        repeats = default_repeats(len(labels))
    if repeats < 1:
        raise ValueError(f"repeats must be >= 1, got {repeats}")
    seeds = [random_state] + [_seed(random_state, 0, again) for again in range(1, repeats)]
    splits = [split for seed in seeds for split in stratified_splits(labels, folds, None, seed)]
    classes, counts = np.unique(labels, return_counts=True)
    smallest = counts.min() - math.ceil(counts.min() / folds)
    if smallest < INNER_FOLDS:
        raise ValueError(
            f"y must have at least {INNER_FOLDS} samples of every class in the training part of "
            f"{folds} folds, got {smallest} of {classes.tolist()[counts.argmin()]!r}"
        )
    return splits


def inner_splits(labels: NDArray[Any], fold: int, random_state: int) -> Iterator[_Split]:
    """Yield indices, within one outer training set, to fit candidates and to compare them."""
    seed = _seed(random_state, fold)
    if len(labels) >= LARGE:
        yield tuple(
            train_test_split(
                np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=seed
            )
        )
        return
    yield from stratified_splits(labels, INNER_FOLDS, None, seed)


def _seed(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def tune_fold(
    x: NDArray[np.float64],
    labels: NDArray[Any],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    method: Method,
    *,
    fold: int,
    standardize: bool,
    random_state: int,
) -> tuple[TunedRecord, NDArray[Any]]:
    """Tune one method on one outer fold; return its record, and what it predicts of `test`."""
    reset_peak()
    memory = peak_memory()
    start = time.perf_counter()
    x_train, y_train = x[train], labels[train]
    inner = [
        _scaled(x_train[fit], y_train[fit], x_train[judge], y_train[judge], standardize)
        for fit, judge in inner_splits(y_train, fold, random_state)
    ]
    errors = tuple(
        float(np.mean([_inner_error(method, settings, parts, random_state) for parts in inner]))
        for settings in method.candidates
    )
    searched = time.perf_counter() - start
    # Rounding makes equal what differs by the order of a sum.
    chosen = int(np.argmin(np.round(errors, 12)))
    parts = _scaled(x_train, y_train, x[test], labels[test], standardize)
    model = method.build(*parts[0].shape, random_state, **method.candidates[chosen])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        record, predicted = measure_fold(method.name, model, fold, parts)
    tuned = TunedRecord(
        **vars(record),
        n_candidates=len(errors),
        chosen=chosen,
        settings=", ".join(f"{name}={value}" for name, value in method.candidates[chosen].items()),
        inner_errors=errors,
        converged=not any(issubclass(each.category, ConvergenceWarning) for each in caught),
        search_seconds=searched,
        start_mib=memory,
        peak_mib=peak_memory(),
    )
    return tuned, predicted


def _inner_error(method: Method, settings: dict[str, Any], parts: Parts, seed: int) -> float:
    """Mismatch error of one candidate; 1 for one that cannot be trained."""
    x, y, x_judge, y_judge = parts
    model = method.build(*x.shape, seed, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(x, y)
        except ValueError:
            return 1.0
    return mismatch_error(y_judge, model.predict(x_judge))


def _scaled(
    x: NDArray[np.float64],
    y: NDArray[Any],
    x_test: NDArray[np.float64],
    y_test: NDArray[Any],
    standardize: bool,
) -> Parts:
    """Subtract the training means; divide by deviations, or by their root mean square."""
    scaler = StandardScaler(with_std=standardize).fit(x)
    x, x_test = scaler.transform(x), scaler.transform(x_test)
    scale = 1.0 if standardize else float(np.sqrt((x**2).mean())) or 1.0
    return x / scale, y, x_test / scale, y_test
