"""Mean-field networks: the model, its energies and the noisy dynamics of stage one.

Tensors in and out; float32 or float64, on any device; rows are samples. Imports torch and the
standard library alone.
"""

from gibbs.activations import ACTIVATIONS, Activation, get_activation
from gibbs.energy import data_loss, first_variation, potential_gradient, regularized_loss
from gibbs.langevin import LangevinResult, LangevinState, LangevinStatus, StopRun, run_langevin
from gibbs.network import features, kernel, outputs
from gibbs.particles import Particles, sample_normal, sample_prior
from gibbs.problem import Problem
from gibbs.truncation import truncate, truncate_slope

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "LangevinResult",
    "LangevinState",
    "LangevinStatus",
    "Particles",
    "Problem",
    "StopRun",
    "data_loss",
    "features",
    "first_variation",
    "get_activation",
    "kernel",
    "outputs",
    "potential_gradient",
    "regularized_loss",
    "run_langevin",
    "sample_normal",
    "sample_prior",
    "truncate",
    "truncate_slope",
]
