"""How a classifier did on one split, measured alike everywhere, and on several together."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.neural_network import MLPClassifier

from eval.accuracy import Interval, mean_interval, mismatch_error, mismatch_interval
from eval.collapse.metrics import nc1
from stages import TwoStageClassifier

__all__ = [
    "FoldRecord",
    "MethodSummary",
    "Parts",
    "Record",
    "hidden_activations",
    "hidden_features",
    "measure",
    "measure_fold",
    "network_features",
    "summarize",
]

Parts = tuple[NDArray[np.float64], NDArray[Any], NDArray[np.float64], NDArray[Any]]
"""Training samples and labels, test samples and labels."""

_ACTIVATIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One classifier on one split. Errors are mismatch errors (balanced by class).

    Attributes
    ----------
    train_error, test_error : float
        NaN where nothing was classified.
    test_error_low, test_error_high : float
        95 % interval of the test error for this one classifier, from the test samples alone.
    fit_seconds, predict_seconds : float
        The latter for the test samples.
    nc1_train, nc1_test : float or None
        NC1 of the classifier's features. None for one without features, and where NC1 is not
        defined because all features are equal.
    """

    train_error: float = math.nan
    test_error: float = math.nan
    test_error_low: float = math.nan
    test_error_high: float = math.nan
    fit_seconds: float = math.nan
    predict_seconds: float = math.nan
    nc1_train: float | None
    nc1_test: float | None


_FIRST = ("method", "fold", "n_train", "n_test", "train_error", "test_error", "test_error_low") + (
    *("test_error_high", "fit_seconds", "predict_seconds", "nc1_inputs"),
)


@dataclass(frozen=True, kw_only=True)
class FoldRecord(Record):
    """One method on one fold.

    Attributes
    ----------
    method : str
    fold : int
        From 0.
    n_train, n_test : int
    nc1_inputs : float or None
        NC1 of the test samples as the method sees them.
    """

    method: str
    fold: int
    n_train: int
    n_test: int
    nc1_inputs: float | None

    def row(self) -> dict[str, Any]:
        """All fields, in the order of tables and files."""
        return dict.fromkeys(_FIRST) | dataclasses.asdict(self)


@dataclass(frozen=True)
class MethodSummary:
    """One method over all folds: means with 95 % intervals, NaN for one fold and for equal values.

    `test_error` has its interval for one fold too, see :func:`eval.accuracy.error_interval`.
    `difference` is the test error minus that of the two-stage network, paired by fold, see
    :func:`eval.mean_interval` with the overlap of the folds; None for the network itself.
    NC1 is None as in :class:`Record`, an error where nothing was classified.
    """

    method: str
    train_error: Interval | None
    test_error: Interval | None
    difference: Interval | None
    nc1_inputs: Interval | None
    nc1_train: Interval | None
    nc1_test: Interval | None
    fit_seconds: float
    predict_seconds: float


def measure(
    model: Any,
    parts: Parts,
    *,
    features: Callable[[Any, NDArray[np.float64]], NDArray[np.float64] | None] | None = None,
    **options: Any,
) -> tuple[Record, NDArray[Any]]:
    """Fit `model` on the training part; return what was measured, and the test predictions.

    `features` says which features of a model NC1 is measured of, :func:`hidden_features` by
    default; `options` are those of the fit.
    """
    x, y, x_test, y_test = parts
    shown = features or hidden_features
    start = time.perf_counter()
    model.fit(x, y, **options)
    fitted = time.perf_counter()
    predicted = model.predict(x_test)
    done = time.perf_counter()
    error, low, high = mismatch_interval(y_test, predicted)
    record = Record(
        train_error=mismatch_error(y, model.predict(x)),
        test_error=error,
        test_error_low=low,
        test_error_high=high,
        fit_seconds=fitted - start,
        predict_seconds=done - fitted,
        nc1_train=_nc1_where_defined(shown(model, x), y),
        nc1_test=_nc1_where_defined(shown(model, x_test), y_test),
    )
    return record, predicted


def measure_fold(
    method: str, model: Any, fold: int, parts: Parts
) -> tuple[FoldRecord, NDArray[Any]]:
    """Measure a method on a fold, see :func:`measure`."""
    x, _, x_test, y_test = parts
    measured, predicted = measure(model, parts)
    record = FoldRecord(
        **vars(measured),
        method=method,
        fold=fold,
        n_train=len(x),
        n_test=len(x_test),
        nc1_inputs=_nc1_where_defined(x_test, y_test),
    )
    return record, predicted


def summarize(
    method: str,
    records: Sequence[Record],
    overlap: float,
    *,
    test_error: Interval | None,
    difference: Interval | None,
) -> MethodSummary:
    """Means over the splits of one method, see :func:`eval.mean_interval`."""

    def mean(name: str) -> Interval | None:
        values = [getattr(record, name, None) for record in records]
        known = [value for value in values if value is not None and not math.isnan(value)]
        return mean_interval(known, overlap=overlap, within=(0, 1)) if known else None

    return MethodSummary(
        method,
        train_error=mean("train_error"),
        test_error=test_error,
        difference=difference,
        nc1_inputs=mean("nc1_inputs"),
        nc1_train=mean("nc1_train"),
        nc1_test=mean("nc1_test"),
        fit_seconds=float(np.mean([record.fit_seconds for record in records])),
        predict_seconds=float(np.mean([record.predict_seconds for record in records])),
    )


def network_features(model: Any, x: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Features h(x) of the two-stage network; None for other classifiers."""
    return model.transform(x) if isinstance(model, TwoStageClassifier) else None


def hidden_features(model: Any, x: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Features of the two-stage network, and the last hidden layer of an MLP."""
    if isinstance(model, MLPClassifier):
        return hidden_activations(model, x)
    return network_features(model, x)


def hidden_activations(mlp: MLPClassifier, X: ArrayLike) -> NDArray[np.float64]:
    """Activations (n, width) of the last hidden layer of a fitted multilayer perceptron."""
    hidden = np.asarray(X, dtype=np.float64)
    activation = _ACTIVATIONS[mlp.activation]
    for weights, bias in zip(mlp.coefs_[:-1], mlp.intercepts_[:-1], strict=True):
        hidden = activation(hidden @ weights + bias)
    return hidden


def _nc1_where_defined(features: NDArray[np.float64] | None, y: NDArray[Any]) -> float | None:
    if features is None or not np.ptp(features, axis=0).any():
        return None
    return nc1(features, y)
