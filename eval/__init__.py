"""Evaluation: data, test error, neural collapse, assumptions of the theory, baselines."""

from eval.accuracy import Interval, mean_interval, mismatch_error, mismatch_interval
from eval.baselines import baseline_models, comparison_models
from eval.collapse import balancedness, collapse_metrics, nc1
from eval.collapse_accumulator import CollapseAccumulator
from eval.collapse_formulas import (
    COLLAPSE_DEFINITIONS,
    CollapseDefinition,
    CollapseMetrics,
    CollapseValue,
)
from eval.collapse_geometry import CollapseStatus
from eval.collapse_tracking import track_collapse
from eval.comparison import Comparison, compare_baselines
from eval.loading import (
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
from eval.synthetic import SeparableDistribution, largest_margin, make_linearly_separable
from eval.theory import AssumptionCheck, check_assumptions

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
    "Interval",
    "SeparableDistribution",
    "balancedness",
    "baseline_models",
    "check_assumptions",
    "collapse_metrics",
    "compare_baselines",
    "comparison_models",
    "describe",
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
    "track_collapse",
]
