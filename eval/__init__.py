"""Evaluation: data, test error, neural collapse, assumptions of the theory, baselines."""

from eval.accuracy import Interval, mean_interval, mismatch_error, mismatch_interval
from eval.baselines import baseline_models
from eval.collapse import balancedness, nc1
from eval.loading import Dataset, load_dataset
from eval.synthetic import SeparableDistribution, largest_margin, make_linearly_separable
from eval.theory import AssumptionCheck, check_assumptions

__all__ = [
    "AssumptionCheck",
    "Dataset",
    "Interval",
    "SeparableDistribution",
    "balancedness",
    "baseline_models",
    "check_assumptions",
    "largest_margin",
    "load_dataset",
    "make_linearly_separable",
    "mean_interval",
    "mismatch_error",
    "mismatch_interval",
    "nc1",
]
