"""Cross-validation of the network beside other classifiers.

`records` measures a classifier on one split, `folds` runs every method on the same folds, and
`baselines` lists the methods. In a tuned comparison `spaces` says which candidates a method has,
`nested` chooses among them without the outer test samples, `ranking` says which differences the
folds can tell apart, and `memory` reads the peak of the process.
"""

from eval.comparison.baselines import baseline_models, comparison_models
from eval.comparison.folds import Comparison, compare_baselines
from eval.comparison.nested import (
    INNER_FOLDS,
    LARGE,
    REPEATS,
    SMALL,
    TunedRecord,
    compare_tuned,
    default_repeats,
    inner_splits,
    outer_splits,
    tune_fold,
)
from eval.comparison.ranking import Ranking, describe_ranking, rank_methods
from eval.comparison.spaces import N_CANDIDATES, Method, tuned_methods

__all__ = [
    "INNER_FOLDS",
    "LARGE",
    "N_CANDIDATES",
    "REPEATS",
    "SMALL",
    "Comparison",
    "Method",
    "Ranking",
    "TunedRecord",
    "baseline_models",
    "compare_baselines",
    "compare_tuned",
    "comparison_models",
    "default_repeats",
    "describe_ranking",
    "inner_splits",
    "outer_splits",
    "rank_methods",
    "tune_fold",
    "tuned_methods",
]
