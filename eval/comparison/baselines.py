"""Other classifiers, at fixed settings, to put beside the two-stage network."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

__all__ = ["baseline_models", "comparison_models"]


def baseline_models(random_state: int | None = None) -> dict[str, Any]:
    """Fresh scikit-learn classifiers by name, at scikit-learn's defaults with enough steps."""
    return {
        "logistic regression": LogisticRegression(max_iter=5000),
        "RBF SVC": SVC(),
        "MLP": MLPClassifier(max_iter=1000, random_state=random_state),
    }


def comparison_models(random_state: int | None = None) -> dict[str, Any]:
    """The three of :func:`baseline_models` and five more, on the same terms, in one order.

    "ridge" is RidgeClassifier, least squares as in stage two but on the inputs; "gradient
    boosting" is HistGradientBoostingClassifier.
    """
    few = baseline_models(random_state)
    return {
        "logistic regression": few["logistic regression"],
        "ridge": RidgeClassifier(),
        "linear SVC": LinearSVC(max_iter=20_000, random_state=random_state),
        "RBF SVC": few["RBF SVC"],
        "MLP": few["MLP"],
        "k-NN": KNeighborsClassifier(),
        "random forest": RandomForestClassifier(random_state=random_state),
        "gradient boosting": HistGradientBoostingClassifier(random_state=random_state),
    }
