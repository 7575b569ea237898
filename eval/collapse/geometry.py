"""Class means, their scatter and a linear layer, and the reasons why a metric is undefined."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from eval.collapse.moments import ClassMoments
from eval.reading import Array

__all__ = ["CollapseStatus", "Geometry"]

# Means of a class, summed in float64 in blocks, are exact to far less than this share of the
# spread of the features.
ROUND_OFF = 2.0**-36


class CollapseStatus(StrEnum):
    """Why a metric is undefined; OK where it is defined."""

    OK = "ok"
    CONSTANT_FEATURES = "constant_features"
    ONE_CLASS = "one_class"
    ABSENT_CLASS = "absent_class"
    SINGLE_SAMPLE = "single_sample"
    SINGLE_SAMPLES_ONLY = "single_samples_only"
    EQUAL_MEANS = "equal_means"
    MERGED_CLASSES = "merged_classes"
    MERGED_AND_COLLAPSED = "merged_and_collapsed"
    MEAN_AT_CENTRE = "mean_at_centre"
    NO_SIMPLEX = "no_simplex"
    NO_ORTHOGONAL_FRAME = "no_orthogonal_frame"
    NO_LAYER = "no_layer"
    ZERO_LAYER = "zero_layer"
    ZERO_COLUMN = "zero_column"
    ONE_COLUMN = "one_column"
    SECOND_PASS = "second_pass"


class Geometry:
    """Class means, scatter and linear layer `w` (p, q), with the reasons for every status."""

    def __init__(self, moments: ClassMoments, w: Array | None = None) -> None:
        self.moments = moments
        self.w = w
        self.present = moments.counts > 0
        self.counts = moments.counts[self.present]
        self.means = moments.means[self.present]
        self.squares = moments.squares[self.present]
        self.n = int(self.counts.sum())
        self.weights = self.counts / self.n
        self.centre = self.weights @ self.means
        self.deviations = self.means - self.centre
        self.within = float(self.squares.sum() / self.n)
        self.between = float(self.weights @ np.square(self.deviations).sum(axis=1))
        self.total = self.within + self.between

    @property
    def n_classes(self) -> int:
        """K: the classes with samples."""
        return len(self.counts)

    @cached_property
    def round_off(self) -> float:
        """Bound on the rounding of a class mean, in the unit of the moments."""
        return ROUND_OFF * math.sqrt(self.total + float(self.centre @ self.centre))

    @cached_property
    def resolution(self) -> float:
        """Rounding of a feature vector in the type that it came in."""
        mean = self.centre + self.moments.origin / self.moments.unit
        return self.moments.precision * math.sqrt(self.total + float(mean @ mean))

    @cached_property
    def squared_gaps(self) -> Array:
        """Squared distances of the class means, pair by pair, without cancellation."""
        return np.asarray(pdist(self.means, "sqeuclidean"))

    @cached_property
    def merged(self) -> NDArray[np.bool_]:
        """Pairs of class means that round-off alone may separate.

        The rounding of the input averages out where samples spread by more than it, and is
        therefore compared with pairs without such spread only.
        """
        spread = np.sqrt(self.squares / self.counts)
        first, second = np.triu_indices(self.n_classes, 1)
        exact = np.maximum(spread[first], spread[second]) <= self.resolution
        gaps = np.sqrt(self.squared_gaps)
        return (gaps <= self.round_off) | (exact & (gaps <= self.resolution))

    @cached_property
    def centred_means(self) -> Array:
        """Class means minus their unweighted mean (K, p)."""
        return np.asarray(self.means - self.means.mean(axis=0))

    @cached_property
    def raw_means(self) -> Array:
        """Class means as they are, not centred (K, p)."""
        return np.asarray(self.means + self.moments.origin / self.moments.unit)

    @property
    def columns(self) -> Array:
        """Columns of the linear layer, as rows (q, p)."""
        if self.w is None:
            raise RuntimeError("there is no linear layer")
        return self.w.T

    def whitening(self) -> Array:
        """V / sigma (p, r) with S_B = V sigma^2 V^T: pinv(S_B) = whitening whitening^T.

        The rank r is at most K - 1. Directions in which the class means differ by round-off
        alone are left out.
        """
        scaled = np.sqrt(self.weights)[:, None] * self.deviations
        _, sigma, directions = np.linalg.svd(scaled, full_matrices=False)
        kept = sigma > self.round_off * math.sqrt(self.weights.min())
        kept[self.n_classes - 1 :] = False
        return np.ascontiguousarray(directions[kept].T / sigma[kept])

    def problem(self, status: CollapseStatus) -> str:
        """The reason for this status; "" if it does not apply."""
        return _PROBLEMS[status](self)


def _constant(g: Geometry) -> str:
    if not g.total > 0:
        return "features must vary, got total variance 0"
    if math.sqrt(g.total) <= g.resolution:
        return "features must vary, got total variance 0 within the rounding of their type"
    return ""


def _one_class(g: Geometry) -> str:
    return "" if g.n_classes > 1 else "at least 2 classes must have samples, got 1"


def _absent(g: Geometry) -> str:
    absent = g.moments.classes[~g.present]
    return f"every class must have samples, got none of {_listed(absent)}" if len(absent) else ""


def _single(g: Geometry) -> str:
    single = g.moments.classes[g.moments.counts == 1]
    if not len(single):
        return ""
    return f"every class must have 2 samples to show its variance, got 1 of {_listed(single)}"


def _singles_only(g: Geometry) -> str:
    return "" if g.n > g.n_classes else "no class has 2 samples to show its variance"


def _equal(g: Geometry) -> str:
    return "all class means are equal" if g.n_classes > 1 and g.merged.all() else ""


def _merged(g: Geometry) -> str:
    if not g.merged.any():
        return ""
    a, b = (side[g.merged][0] for side in np.triu_indices(g.n_classes, 1))
    pair = g.moments.classes[g.present][[a, b]]
    return f"the means of classes {_listed(pair)} are equal within round-off"


def _merged_and_collapsed(g: Geometry) -> str:
    flat = math.sqrt(g.within) <= max(g.resolution, g.round_off)
    reason = _merged(g) if flat else ""
    return f"{reason}, and no class varies: this is no collapse" if reason else ""


def _mean_at_centre(g: Geometry) -> str:
    at_centre = np.linalg.norm(g.centred_means, axis=1) <= g.round_off
    classes = g.moments.classes[g.present][at_centre]
    return f"the mean of class {_listed(classes)} is the global mean" if len(classes) else ""


def _no_simplex(g: Geometry) -> str:
    k, p = _corners(g)
    return f"no simplex of {k} classes fits into {p} features: K - 1 > p" if k - 1 > p else ""


def _no_frame(g: Geometry) -> str:
    k, p = _corners(g)
    return f"no {k} vectors are orthogonal in {p} features: K > p" if k > p else ""


def _no_layer(g: Geometry) -> str:
    return "needs the linear layer w" if g.w is None else ""


def _zero_layer(g: Geometry) -> str:
    return "" if g.columns.any() else "w is 0"


def _zero_column(g: Geometry) -> str:
    zero = np.flatnonzero(~g.columns.any(axis=1))
    return f"column {_listed(zero)} of w is 0" if len(zero) else ""


def _one_column(g: Geometry) -> str:
    return "" if len(g.columns) > 1 else "w must have at least 2 columns, got 1"


def _corners(g: Geometry) -> tuple[int, int]:
    return len(g.moments.classes), g.means.shape[1]


def _listed(labels: NDArray[Any]) -> str:
    names = [str(label) for label in labels[:3]]
    return " and ".join(names) if len(labels) <= 3 else f"{', '.join(names)}, ..."


_PROBLEMS: dict[CollapseStatus, Callable[[Geometry], str]] = {
    CollapseStatus.CONSTANT_FEATURES: _constant,
    CollapseStatus.ONE_CLASS: _one_class,
    CollapseStatus.ABSENT_CLASS: _absent,
    CollapseStatus.SINGLE_SAMPLE: _single,
    CollapseStatus.SINGLE_SAMPLES_ONLY: _singles_only,
    CollapseStatus.EQUAL_MEANS: _equal,
    CollapseStatus.MERGED_CLASSES: _merged,
    CollapseStatus.MERGED_AND_COLLAPSED: _merged_and_collapsed,
    CollapseStatus.MEAN_AT_CENTRE: _mean_at_centre,
    CollapseStatus.NO_SIMPLEX: _no_simplex,
    CollapseStatus.NO_ORTHOGONAL_FRAME: _no_frame,
    CollapseStatus.NO_LAYER: _no_layer,
    CollapseStatus.ZERO_LAYER: _zero_layer,
    CollapseStatus.ZERO_COLUMN: _zero_column,
    CollapseStatus.ONE_COLUMN: _one_column,
}
