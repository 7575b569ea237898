"""Other classifiers, at fixed settings, to put beside the two-stage network."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

__all__ = ["baseline_models"]


def baseline_models(random_state: int | None = None) -> dict[str, Any]:
    """Fresh scikit-learn classifiers by name, at scikit-learn's defaults with enough steps."""
    return {
        "logistic regression": LogisticRegression(max_iter=5000),
        "RBF SVC": SVC(),
        "MLP": MLPClassifier(max_iter=1000, random_state=random_state),
    }
