"""Training: stage one (neurons), stage two (linear layer), both, and the classifier.

`mean_field` is stage one; `linear` (ridge regression) and `flow` (noisy steps of both layers) are
stage two; `two_stage` runs both, and the package `estimator` is the scikit-learn classifier.
`noisy_steps` holds the settings of the dynamics, `checkpoint` stores what they need to continue,
`files` writes whole files, and `progress` shows how far a training is.
"""

from stages.checkpoint import Checkpoint
from stages.estimator.classifier import TwoStageClassifier
from stages.estimator.storage import load_model, save_model
from stages.flow import Flow
from stages.linear import Ridge, RidgeResult, fit_linear
from stages.mean_field import Gibbs, Langevin, orthonormal_layer, train_mean_field
from stages.progress import progress
from stages.two_stage import TwoStageResult, train_two_stage

__all__ = [
    "Checkpoint",
    "Flow",
    "Gibbs",
    "Langevin",
    "Ridge",
    "RidgeResult",
    "TwoStageClassifier",
    "TwoStageResult",
    "fit_linear",
    "load_model",
    "orthonormal_layer",
    "progress",
    "save_model",
    "train_mean_field",
    "train_two_stage",
]
