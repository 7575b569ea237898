"""Neural collapse of a fitted classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from eval.collapse.formulas import CollapseMetrics
from eval.collapse.metrics import collapse_metrics
from eval.reading import Values, check_entries, check_known, read_labels

__all__ = ["collapse_of"]


def collapse_of(model: Any, X: ArrayLike, y: Values) -> CollapseMetrics:
    """Every metric of neural collapse of a fitted classifier, on these samples.

    The features are ``model.transform(X)``, the linear layer is W = ``model.coef_.T``, with the
    bias ``model.intercept_`` where there is one (NC4 alone uses it). The classes are
    ``model.classes_``: one without samples in `y` is reported as absent. Of a pipeline:
    ``collapse_of(pipeline[-1], pipeline[:-1].transform(X), y)``.

    Parameters
    ----------
    model : fitted scikit-learn classifier
        With ``transform``, ``classes_`` (q,) and ``coef_`` (q, p), also for two classes; such as
        :class:`stages.TwoStageClassifier`.
    X : array-like (n, d)
    y : array-like (n,)
        Labels among ``model.classes_``.

    Returns
    -------
    CollapseMetrics
        As of :func:`eval.collapse_metrics`.

    Raises
    ------
    TypeError
        If the model has no ``transform``.
    sklearn.exceptions.NotFittedError
        If it has no ``classes_`` or ``coef_``.
    ValueError
        If a label is none of the model's, or shapes do not fit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from stages import TwoStageClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = TwoStageClassifier(n_neurons=200, max_iter=300, random_state=0).fit(X, y)
    >>> metrics = collapse_of(model, X, y)
    >>> bool(metrics.nc1.value < 0.2), bool(metrics.nc4.value > 0.9)
    (True, True)
    """
    _check_model(model)
    classes, labels = read_labels(model.classes_, "model.classes_"), read_labels(y, "y")
    features = np.asarray(model.transform(X))
    check_entries(labels, "y", len(features), "row of X")
    check_known(labels, classes, "model.classes_", "y")
    w = np.asarray(model.coef_).T
    expected = (len(classes), *features.shape[1:])
    if w.T.shape != expected:
        raise ValueError(
            "model.coef_ must have a row per class and a column per feature of transform(X), "
            f"{expected}, got shape {w.T.shape}"
        )
    bias = np.broadcast_to(getattr(model, "intercept_", 0.0), len(classes))
    order = np.argsort(classes)
    return collapse_metrics(features, labels, w[:, order], classes=classes, bias=bias[order])


def _check_model(model: Any) -> None:
    kind = type(model).__name__
    if not hasattr(model, "transform"):
        raise TypeError(f"model must have the method transform, got a {kind} without it")
    missing = [name for name in ("classes_", "coef_") if not hasattr(model, name)]
    if missing:
        raise NotFittedError(
            "model must be a fitted classifier with classes_ and coef_, "
            f"got a {kind} without {' and '.join(missing)}"
        )
