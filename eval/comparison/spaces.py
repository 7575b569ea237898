"""Search spaces of one size: what every method may be tuned over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

from eval.comparison.folds import OURS
from stages import TwoStageClassifier

__all__ = ["N_CANDIDATES", "Method", "tuned_methods"]

N_CANDIDATES = 9
"""Candidates of every method."""

FULL_BATCH = 2000
"""Training samples up to which the two-stage network takes all of them in every step."""

BATCH_SIZE = 256
"""Its samples a step beyond that."""

STEPS, BATCH_STEPS = 1500, 4000
"""Its steps with all samples, and with batches."""

FORMS: tuple[dict[str, Any], ...] = (
    {"activation": "tanh", "gamma": 1.0},
    {"activation": "tanh", "gamma": 10.0},
    {"activation": "relu", "gamma": 1.0},
)
"""Its functions, each with every beta."""


@dataclass(frozen=True)
class Method:
    """A classifier with its search space.

    Attributes
    ----------
    name : str
    build : callable
        Takes n and d of the training samples, a seed and the settings of one candidate as
        keywords; returns a fresh classifier. Inputs have mean 0 and variance 1 over all
        columns.
    candidates : tuple of dict
        Settings, the simplest first: the most regularised one, or the smallest model.
    """

    name: str
    build: Callable[..., Any]
    candidates: tuple[dict[str, Any], ...]


def tuned_methods(n_neurons: int = 1000, n_steps: int | None = None) -> dict[str, Method]:
    """All methods by name, ours first, each with :data:`N_CANDIDATES` candidates.

    Parameters
    ----------
    n_neurons : int
        Size of the two-stage network, the same in all of its candidates.
    n_steps : int, optional
        Its steps; None means 1,500 with all samples, up to 2,000 of a fit, then 4,000 of 256.

    Examples
    --------
    >>> methods = tuned_methods()
    >>> len(methods), {len(method.candidates) for method in methods.values()}
    (9, {9})
    >>> methods["two-stage network"].candidates[0]
    {'beta': 100.0, 'activation': 'tanh', 'gamma': 1.0}
    """
    ours = partial(_two_stage, n_neurons=n_neurons, n_steps=n_steps)
    candidates = tuple({"beta": beta, **form} for beta in (1e2, 1e4, 1e6) for form in FORMS)
    methods = (
        Method(OURS, ours, candidates),
        Method("logistic regression", _logistic, _grid(C=_powers(-4, 4))),
        Method("ridge", _ridge, _grid(alpha=_powers(-3, 5)[::-1])),
        Method("linear SVC", _linear_svc, _grid(C=_powers(-5, 3))),
        Method("RBF SVC", _rbf_svc, _grid(C=(1.0, 10.0, 100.0), scaled_gamma=(0.3, 1.0, 3.0))),
        Method("MLP", _mlp, _grid(width=(50, 100, 200), alpha=(1.0, 1e-2, 1e-4))),
        Method("k-NN", _neighbours, _grid(n_neighbors=(31, 21, 15, 11, 9, 7, 5, 3, 1))),
        Method(
            "random forest",
            _forest,
            _grid(min_samples_leaf=(5, 2, 1), max_features=("sqrt", 0.1, 0.3)),
        ),
        Method(
            "gradient boosting",
            _boosting,
            _grid(max_leaf_nodes=(7, 15, 31), learning_rate=(0.05, 0.1, 0.2)),
        ),
    )
    return {method.name: method for method in methods}


def _grid(**values: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
    """All combinations, the last name running fastest."""
    return tuple(dict(zip(values, cell, strict=True)) for cell in product(*values.values()))


def _powers(low: int, high: int) -> tuple[float, ...]:
    return tuple(float(f"1e{k}") for k in range(low, high + 1))


def _two_stage(
    n: int, _: int, seed: int, *, n_steps: int | None, **settings: Any
) -> TwoStageClassifier:
    batch_size, steps = (None, STEPS) if n <= FULL_BATCH else (BATCH_SIZE, BATCH_STEPS)
    return TwoStageClassifier(
        batch_size=batch_size,
        max_iter=steps if n_steps is None else n_steps,
        random_state=seed,
        **settings,
    )


def _logistic(_: int, __: int, ___: int, **settings: Any) -> LogisticRegression:
    return LogisticRegression(max_iter=1000, **settings)


def _ridge(_: int, __: int, ___: int, **settings: Any) -> RidgeClassifier:
    return RidgeClassifier(**settings)


def _linear_svc(_: int, __: int, seed: int, **settings: Any) -> LinearSVC:
    return LinearSVC(dual=False, max_iter=300, random_state=seed, **settings)


def _rbf_svc(_: int, d: int, __: int, *, scaled_gamma: float, **settings: Any) -> SVC:
    """Kernel exp(-scaled_gamma |x - x'|^2 / d)."""
    return SVC(gamma=scaled_gamma / d, **settings)


def _mlp(_: int, __: int, seed: int, *, width: int, **settings: Any) -> MLPClassifier:
    return MLPClassifier((width,), max_iter=1000, random_state=seed, **settings)


def _neighbours(n: int, _: int, __: int, *, n_neighbors: int) -> KNeighborsClassifier:
    return KNeighborsClassifier(min(n_neighbors, n))


def _forest(_: int, __: int, seed: int, **settings: Any) -> RandomForestClassifier:
    return RandomForestClassifier(200, random_state=seed, **settings)


def _boosting(_: int, __: int, seed: int, **settings: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=100, early_stopping=False, random_state=seed, **settings
    )
