"""The two-stage network beside other classifiers on the same folds, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_X_y
from sklearn.utils.multiclass import check_classification_targets

from eval.accuracy import (
    Interval,
    error_interval,
    mean_interval,
    mismatch_interval,
)
from eval.comparison.baselines import comparison_models
from eval.comparison.records import FoldRecord, MethodSummary, Parts, measure_fold, summarize
from stages import TwoStageClassifier

__all__ = [
    "OURS",
    "RANDOM_FEATURES",
    "Comparison",
    "compare_baselines",
    "gather",
    "stratified_splits",
]

OURS = "two-stage network"
RANDOM_FEATURES = "random features + ridge"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What :func:`compare_baselines` measured.

    Attributes
    ----------
    records : tuple of FoldRecord
        Method by method in the order of the tables, within it fold by fold.
    labels : ndarray (m,)
        Labels of all test samples, fold by fold: with folds, every sample once a repeat.
    predictions : dict of str to ndarray (m,)
        By method, what it predicted of them.
    samples : ndarray (m,)
        Their places among all samples.
    repeats : int
        How often the data were cut into folds. The folds of one repeat follow each other.
    """

    records: tuple[FoldRecord, ...]
    labels: NDArray[Any]
    predictions: dict[str, NDArray[Any]]
    samples: NDArray[np.intp]
    repeats: int = 1

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, ours first."""
        return tuple(dict.fromkeys(record.method for record in self.records))

    @property
    def folds(self) -> int:
        """Folds of one repeat; 1 for one split."""
        return len(self.of(self.methods[0])) // self.repeats

    def of(self, method: str) -> tuple[FoldRecord, ...]:
        """Records of one method, fold by fold.

        Raises
        ------
        KeyError
            If there is no such method.
        """
        if method not in self.methods:
            raise KeyError(f"method must be one of {', '.join(self.methods)}, got {method!r}")
        return tuple(record for record in self.records if record.method == method)

    def test_error(self, method: str) -> Interval:
        """Test error with its 95 % interval, see :func:`eval.accuracy.error_interval`.

        Repeats test the same samples again: the binomial interval is the mean of theirs.
        """
        pairs = zip(
            np.split(self.labels, self.repeats),
            np.split(self.predictions[method], self.repeats),
            strict=True,
        )
        ends = np.mean([mismatch_interval(labels, predicted) for labels, predicted in pairs], 0)
        pooled = Interval(*(float(end) for end in ends))
        errors = [record.test_error for record in self.of(method)]
        return error_interval(errors, pooled, self.overlap)

    def difference(self, method: str) -> Interval:
        """Test error of a method minus that of the two-stage network, paired by fold.

        See :func:`eval.mean_interval` with the overlap of the folds.
        """
        pairs = list(zip(self.of(method), self.of(OURS), strict=True))
        differences = [other.test_error - ours.test_error for other, ours in pairs]
        return mean_interval(differences, overlap=self.overlap, within=(-1, 1))

    @property
    def overlap(self) -> float:
        """n_test / n_train of the folds, which share training samples."""
        rows = self.of(OURS)
        return sum(row.n_test for row in rows) / sum(row.n_train for row in rows)

    def summary(self) -> tuple[MethodSummary, ...]:
        """One row a method, in the order of `methods`."""
        return tuple(self._summarize(method) for method in self.methods)

    def _summarize(self, method: str) -> MethodSummary:
        return summarize(
            method,
            self.of(method),
            self.overlap,
            test_error=self.test_error(method),
            difference=None if method == OURS else self.difference(method),
        )


def compare_baselines(
    X: ArrayLike,
    y: ArrayLike,
    *,
    folds: int = 5,
    test_size: float | None = None,
    standardize: bool = True,
    random_state: int = 0,
    models: Mapping[str, Any] | None = None,
    network: TwoStageClassifier | None = None,
    controls: bool = False,
    on_record: Callable[[FoldRecord], None] | None = None,
) -> Comparison:
    """Fit and measure the two-stage network and other classifiers on the same folds.

    Nothing is tuned: all settings are fixed before the data are seen, and equal on all folds.

    Parameters
    ----------
    X : array-like (n, d)
    y : array-like (n,)
        Class labels of any type.
    folds : int, default 5
        Stratified, shuffled folds; at most the size of the smallest class.
    test_size : float, optional
        Share of the samples to hold out in one stratified split, in place of folds.
    standardize : bool, default True
        Whether to give every column mean 0 and variance 1 on the training part of the fold.
    random_state : int, default 0
        Decides the folds and the default models.
    models : mapping of str to scikit-learn classifier, optional
        What to put beside the network, by name; None means
        :func:`eval.comparison.baselines.comparison_models`. They are cloned, not fitted.
    network : TwoStageClassifier, optional
        None means its defaults with this `random_state`. It is cloned, not fitted.
    controls : bool, default False
        Whether to add "random features + ridge", the network with `max_iter=0`: the same
        linear layer on neurons that were never trained. On separable data it shows what
        the trained features add; an SVC or an MLP there, that the test error can be small
        without collapse.
    on_record : callable, optional
        Called with every record when it is measured.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If X, y, folds or test_size is not usable, or a model has the name of the network.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from eval import compare_baselines
    >>> result = compare_baselines(
    ...     *load_iris(return_X_y=True),
    ...     folds=3,
    ...     models={"1-NN": KNeighborsClassifier(1)},
    ...     network=TwoStageClassifier(n_neurons=100, max_iter=100, random_state=0),
    ... )
    >>> result.methods, len(result.records)
    (('two-stage network', '1-NN'), 6)
    >>> [round(v, 2) for v in result.test_error("1-NN")]
    [0.06, 0.02, 0.21]
    """
    x, labels = check_X_y(X, y, dtype=np.float64, order="C")
    check_classification_targets(labels)
    methods = _methods(random_state, models, network, controls)
    results: list[tuple[FoldRecord, NDArray[Any]]] = []
    tests = []
    for fold, (train, test) in enumerate(stratified_splits(labels, folds, test_size, random_state)):
        parts = _prepare(x[train], labels[train], x[test], labels[test], standardize)
        tests.append(test)
        for method, model in methods.items():
            results.append(measure_fold(method, clone(model), fold, parts))
            if on_record is not None:
                on_record(results[-1][0])
    return gather(labels, tests, results)


def gather(
    labels: NDArray[Any],
    tests: Sequence[NDArray[np.intp]],
    results: Iterable[tuple[FoldRecord, NDArray[Any]]],
    repeats: int = 1,
) -> Comparison:
    """Put records and predictions together, ours first and fold by fold, in any order given.

    `tests` holds the places of the test samples among the `labels`, fold by fold, those of
    one repeat together.
    """
    by_method: dict[str, list[tuple[FoldRecord, NDArray[Any]]]] = {}
    for record, predicted in sorted(results, key=lambda result: result[0].fold):
        by_method.setdefault(record.method, []).append((record, predicted))
    names = sorted(by_method, key=lambda name: name != OURS)
    return Comparison(
        tuple(record for name in names for record, _ in by_method[name]),
        labels[np.concatenate(tests)],
        {name: np.concatenate([each for _, each in by_method[name]]) for name in names},
        np.concatenate(tests),
        repeats,
    )


def _methods(
    random_state: int,
    models: Mapping[str, Any] | None,
    network: TwoStageClassifier | None,
    controls: bool,
) -> dict[str, Any]:
    """All classifiers by name, ours first."""
    ours = TwoStageClassifier(random_state=random_state) if network is None else network
    methods: dict[str, Any] = {OURS: ours}
    if controls:
        methods[RANDOM_FEATURES] = clone(ours).set_params(max_iter=0)
    others = comparison_models(random_state) if models is None else models
    taken = set(methods) & set(others)
    if taken:
        raise ValueError(f"models must not be named {taken.pop()!r}, which is a name of ours")
    return methods | dict(others)


def stratified_splits(
    labels: NDArray[Any], folds: int, test_size: float | None, random_state: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield training and test indices of stratified folds, or of one split.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or `folds` or `test_size` is not usable.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            f"y must hold at least 2 classes, got the one class {labels.tolist()[0]!r}"
        )
    if test_size is not None:
        if not 0 < test_size < 1:
            raise ValueError(f"test_size must be between 0 and 1, got {test_size}")
        yield tuple(
            train_test_split(
                np.arange(len(labels)),
                test_size=test_size,
                stratify=labels,
                random_state=random_state,
            )
        )
        return
    if not 2 <= folds <= counts.min():
        raise ValueError(
            f"folds must be between 2 and the size of the smallest class, {counts.min()} of "
            f"{classes.tolist()[counts.argmin()]!r}, got {folds}"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=random_state)
    yield from splitter.split(np.zeros(len(labels)), labels)


def _prepare(
    x: NDArray[np.float64],
    y: NDArray[Any],
    x_test: NDArray[np.float64],
    y_test: NDArray[Any],
    standardize: bool,
) -> Parts:
    if standardize:
        scaler = StandardScaler().fit(x)
        x, x_test = scaler.transform(x), scaler.transform(x_test)
    return x, y, x_test, y_test
