"""How far apart two laws of neurons are.

`transport` holds Wasserstein distances, `stein` the kernelised Stein discrepancy and
`function_space` the error of the features; `clouds` reads weighted points and makes pairs of
clouds of one law to compare with.
"""

from eval.distances.function_space import FeatureError, feature_error
from eval.distances.stein import SteinDiscrepancy, gibbs_stein_discrepancy, stein_discrepancy
from eval.distances.transport import Distance, sliced_wasserstein, wasserstein

__all__ = [
    "Distance",
    "FeatureError",
    "SteinDiscrepancy",
    "feature_error",
    "gibbs_stein_discrepancy",
    "sliced_wasserstein",
    "stein_discrepancy",
    "wasserstein",
]
