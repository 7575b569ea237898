from .accuracy import (
    Interval,
    mean_interval,
    mismatch_error,
    mismatch_interval,
    repeated_error,
)
from .collapse.accumulator import CollapseAccumulator
from .collapse.fitted import collapse_of
from .collapse.formulas import (
    COLLAPSE_DEFINITIONS,
    CollapseDefinition,
    CollapseMetrics,
    CollapseValue,
)
from .collapse.geometry import CollapseStatus
from .collapse.metrics import balancedness, collapse_metrics, nc1
from .collapse.observers import collapse_observers
from .collapse.tracking import track_collapse
from .comparison import Comparison, baseline_models, compare_baselines, comparison_models
from .data.dataset import Dataset, describe
from .data.file_formats import read_table
from .data.laws import draw_samples
from .data.loading import load_dataset, load_distribution, load_source
from .data.plugins import load_plugin
from .data.registry import register_dataset, registered_datasets
from .data.synthetic import SeparableDistribution, make_linearly_separable
from .data.torch_data import from_torch
from .distances.function_space import FeatureError, feature_error
from .distances.stein import SteinDiscrepancy, gibbs_stein_discrepancy, stein_discrepancy
from .distances.transport import Distance, sliced_wasserstein, wasserstein
from .separation.farkas import FarkasCertificate, exact_certificate, verify_farkas
from .separation.margins import (
    ClassSeparability,
    Separability,
    SeparabilityStatus,
    largest_margin,
    separability,
)
from .theory.assumptions import AssumptionCheck, check_assumptions
from .theory.check import check_theory
from .theory.flow import check_flow, check_sequence
from .theory.joint import JointStationaryPoint, JointStatus, joint_stationary_point
from .theory.law import Law, Stationarity, law_of
from .theory.rate import RateFit, fit_rate
from .theory.table import BoundCheck, TheoryTable

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
