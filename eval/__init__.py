"""Evaluation: data, test error, neural collapse, statements of the theory, distances, baselines.

Every public name is imported from here, but for those of tuned comparisons, which are imported
from `eval.comparison`. Below are one package for each subject, and modules that all of them use.

- `data`: data sets and distributions, by name, from files and from code.
- `collapse`: NC1 to NC4, the balance of the layers. `theory`: the paper's statements, checked.
- `separability`: margins and proofs. `distances`: of clouds of neurons to a law.
- `comparison`: other classifiers on the same folds. `app`: the command line.
- `accuracy`: the mismatch error, and intervals.
- `reading`: arrays and labels of a user. `extras`: optional dependencies.
"""

from eval.accuracy import (
    Interval,
    mean_interval,
    mismatch_error,
    mismatch_interval,
    repeated_error,
)
from eval.collapse.accumulator import CollapseAccumulator
from eval.collapse.fitted import collapse_of
from eval.collapse.formulas import (
    COLLAPSE_DEFINITIONS,
    CollapseDefinition,
    CollapseMetrics,
    CollapseValue,
)
from eval.collapse.geometry import CollapseStatus
from eval.collapse.metrics import balancedness, collapse_metrics, nc1
from eval.collapse.observers import collapse_observers
from eval.collapse.tracking import track_collapse
from eval.comparison import Comparison, baseline_models, compare_baselines, comparison_models
from eval.data.dataset import Dataset, describe
from eval.data.file_formats import read_table
from eval.data.laws import draw_samples
from eval.data.loading import load_dataset, load_distribution, load_source
from eval.data.plugins import load_plugin
from eval.data.registry import register_dataset, registered_datasets
from eval.data.synthetic import SeparableDistribution, make_linearly_separable
from eval.data.torch_data import from_torch
from eval.distances.function_space import FeatureError, feature_error
from eval.distances.stein import SteinDiscrepancy, gibbs_stein_discrepancy, stein_discrepancy
from eval.distances.transport import Distance, sliced_wasserstein, wasserstein
from eval.separability.farkas import FarkasCertificate, exact_certificate, verify_farkas
from eval.separability.margins import (
    ClassSeparability,
    Separability,
    SeparabilityStatus,
    largest_margin,
    separability,
)
from eval.theory.assumptions import AssumptionCheck, check_assumptions
from eval.theory.check import check_theory
from eval.theory.flow import check_flow, check_sequence
from eval.theory.joint import JointStationaryPoint, JointStatus, joint_stationary_point
from eval.theory.law import Law, Stationarity, law_of
from eval.theory.rate import RateFit, fit_rate
from eval.theory.table import BoundCheck, TheoryTable

__all__ = [
    "COLLAPSE_DEFINITIONS",
    "AssumptionCheck",
    "BoundCheck",
    "ClassSeparability",
    "CollapseAccumulator",
    "CollapseDefinition",
    "CollapseMetrics",
    "CollapseStatus",
    "CollapseValue",
    "Comparison",
    "Dataset",
    "Distance",
    "FarkasCertificate",
    "FeatureError",
    "Interval",
    "JointStationaryPoint",
    "JointStatus",
    "Law",
    "RateFit",
    "Separability",
    "SeparabilityStatus",
    "SeparableDistribution",
    "Stationarity",
    "SteinDiscrepancy",
    "TheoryTable",
    "balancedness",
    "baseline_models",
    "check_assumptions",
    "check_flow",
    "check_sequence",
    "check_theory",
    "collapse_metrics",
    "collapse_observers",
    "collapse_of",
    "compare_baselines",
    "comparison_models",
    "describe",
    "draw_samples",
    "exact_certificate",
    "feature_error",
    "fit_rate",
    "from_torch",
    "gibbs_stein_discrepancy",
    "joint_stationary_point",
    "largest_margin",
    "law_of",
    "load_dataset",
    "load_distribution",
    "load_plugin",
    "load_source",
    "make_linearly_separable",
    "mean_interval",
    "mismatch_error",
    "mismatch_interval",
    "nc1",
    "read_table",
    "register_dataset",
    "registered_datasets",
    "repeated_error",
    "separability",
    "sliced_wasserstein",
    "stein_discrepancy",
    "track_collapse",
    "verify_farkas",
    "wasserstein",
]
