"""A comparison in which every method is tuned alike, by nested cross-validation.

`spaces` says which candidates a method has, `nested` chooses among them without the outer
test samples, `ranking` says which differences the folds can tell apart, and `memory` reads
the peak of the process.
"""

from eval.tuned.nested import (
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
from eval.tuned.ranking import Ranking, rank_methods, verdict
from eval.tuned.spaces import N_CANDIDATES, Method, tuned_methods

__all__ = [
    "INNER_FOLDS",
    "LARGE",
    "N_CANDIDATES",
    "REPEATS",
    "SMALL",
    "Method",
    "Ranking",
    "TunedRecord",
    "compare_tuned",
    "default_repeats",
    "inner_splits",
    "outer_splits",
    "rank_methods",
    "tune_fold",
    "tuned_methods",
    "verdict",
]
