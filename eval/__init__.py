"""Evaluation: data, test error, neural collapse, assumptions of the theory, baselines."""

from eval.accuracy import Interval, mean_interval, mismatch_error, mismatch_interval
from eval.baselines import baseline_models, comparison_models
from eval.collapse import (
    COLLAPSE_DEFINITIONS,
    CollapseAccumulator,
    CollapseDefinition,
    CollapseMetrics,
    CollapseStatus,
    CollapseValue,
    balancedness,
    collapse_metrics,
    collapse_observers,
    collapse_of,
    nc1,
    track_collapse,
)
from eval.comparison import Comparison, compare_baselines
from eval.data import (
    Dataset,
    describe,
    load_dataset,
    load_distribution,
    load_plugin,
    load_source,
    read_table,
    register_dataset,
    registered_datasets,
)
from eval.function_space import FeatureError, feature_error
from eval.stein import SteinDiscrepancy, gibbs_stein_discrepancy, stein_discrepancy
from eval.synthetic import SeparableDistribution, largest_margin, make_linearly_separable
from eval.theory import AssumptionCheck, check_assumptions
from eval.transport import Distance, sliced_wasserstein, wasserstein

__all__ = [
    "COLLAPSE_DEFINITIONS",
    "AssumptionCheck",
    "CollapseAccumulator",
    "CollapseDefinition",
    "CollapseMetrics",
    "CollapseStatus",
    "CollapseValue",
    "Comparison",
    "Dataset",
    "Distance",
    "FeatureError",
    "Interval",
    "SeparableDistribution",
    "SteinDiscrepancy",
    "balancedness",
    "baseline_models",
    "check_assumptions",
    "collapse_metrics",
    "collapse_observers",
    "collapse_of",
    "compare_baselines",
    "comparison_models",
    "describe",
    "feature_error",
    "gibbs_stein_discrepancy",
    "largest_margin",
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
    "sliced_wasserstein",
    "stein_discrepancy",
    "track_collapse",
    "wasserstein",
]
