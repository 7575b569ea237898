"""Neural collapse: every definition once, in the function that computes it, with its source.

Features h are rows; class k of K has n_k of the n samples, mean m_k and weight pi_k = n_k / n. Two
global means are in use. The *weighted* one, m = sum_k pi_k m_k, is the mean of the samples; with
it total = within + between, S_T = S_W + S_B:

    S_W = (1/n) sum_i (h_i - m_k(i)) (h_i - m_k(i))^T,    S_B = sum_k pi_k (m_k - m) (m_k - m)^T.

The *unweighted* one, c = (1/K) sum_k m_k, counts every class once: only about it are K means of
unequal classes a simplex. The two are equal for balanced classes. M has the rows m_k - c.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from eval.collapse.geometry import CollapseStatus, Geometry
from eval.reading import Array

__all__ = [
    "COLLAPSE_DEFINITIONS",
    "CollapseDefinition",
    "CollapseMetrics",
    "CollapseValue",
    "measure",
    "measure_all",
]


@dataclass(frozen=True)
class CollapseValue:
    """A metric: its value (NaN where undefined), a status, and in words why it is undefined."""

    value: float
    status: CollapseStatus = CollapseStatus.OK
    reason: str = ""


@dataclass(frozen=True)
class CollapseMetrics:
    """Every metric by name; :data:`COLLAPSE_DEFINITIONS` says what each is.

    The ending `_w` marks those of the columns of the linear layer.
    """

    nc1: CollapseValue
    papyan: CollapseValue
    trace_ratio: CollapseValue
    cdnv: CollapseValue
    nc2_equinorm: CollapseValue
    nc2_equiangular: CollapseValue
    nc2_cosine_gap: CollapseValue
    nc2_simplex: CollapseValue
    nc2_orthogonal: CollapseValue
    nc2_equinorm_w: CollapseValue
    nc2_equiangular_w: CollapseValue
    nc2_cosine_gap_w: CollapseValue
    nc2_simplex_w: CollapseValue
    nc2_orthogonal_w: CollapseValue
    nc3: CollapseValue
    nc4: CollapseValue

    def as_dict(self) -> dict[str, CollapseValue]:
        """The metrics by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class CollapseDefinition:
    """A metric: how to compute it, when it is undefined, and how to read it.

    Attributes
    ----------
    formula : callable
        The function whose docstring has formula and source; it returns None where a second pass
        over the samples is needed.
    title : str
    ideal : float
        Value at exact collapse with the columns of W a simplex too, for `nc2_orthogonal_w` an
        orthogonal frame.
    orthonormal_ideal : callable or None
        Of K: the value at exact collapse on an orthonormal W, as W_0 is; None where it is
        `ideal`.
    global_mean : str
        "weighted", "unweighted", or "none" where no global mean enters.
    undefined_under : tuple of CollapseStatus
        In the order in which they are reported.
    """

    formula: Callable[[Geometry], float | None]
    title: str
    ideal: float
    global_mean: Literal["weighted", "unweighted", "none"]
    undefined_under: tuple[CollapseStatus, ...]
    orthonormal_ideal: Callable[[int], float] | None = None


def measure(geometry: Geometry, name: str) -> CollapseValue:
    """Compute one metric, or say why it is undefined."""
    definition = COLLAPSE_DEFINITIONS[name]
    for status in definition.undefined_under:
        if reason := geometry.problem(status):
            return CollapseValue(math.nan, status, reason)
    value = definition.formula(geometry)
    if value is None:
        reason = "needs a second pass over the samples, see CollapseAccumulator.second_pass"
        return CollapseValue(math.nan, CollapseStatus.SECOND_PASS, reason)
    return CollapseValue(float(value))


def measure_all(geometry: Geometry) -> CollapseMetrics:
    """Compute every metric."""
    return CollapseMetrics(**{name: measure(geometry, name) for name in COLLAPSE_DEFINITIONS})


def within_total(g: Geometry) -> float:
    r"""NC1 of the paper: the share of the variability of the features that is within classes.

    .. math:: NC1(H) = \frac{\|\tilde H - \tilde M_c\|_F^2}{\|\tilde H\|_F^2}
        = \frac{\mathrm{tr}\, S_W}{\mathrm{tr}\, S_W + \mathrm{tr}\, S_B},

    with the features centred at their weighted global mean, and each row of M_c the mean of its
    class. Source: Wu and Mondelli, ICML 2025, section 3.
    """
    return g.within / g.total


def papyan(g: Geometry) -> float | None:
    r"""Within-class variability in units of the between-class one: tr(S_W pinv(S_B)) / K.

    Sees only the span of the class means, of dimension r <= min(K - 1, p), and weighs each of
    its directions by its own between-class variance. S_B is about the weighted global mean, with
    weights pi_k, so that S_W and S_B are those of the trace ratio. Source: Papyan, Han, Donoho,
    PNAS 2020, for balanced classes.
    """
    whitened = g.moments.whitened
    return None if whitened is None else whitened / g.n_classes


def trace_ratio(g: Geometry) -> float:
    """Within-class over between-class variance: r = tr S_W / tr S_B = NC1 / (1 - NC1).

    About the weighted global mean. Source: the exact relation to NC1; Tirer and Bruna, ICML
    2022, measure it for balanced classes.
    """
    return g.within / g.between


def cdnv(g: Geometry) -> float:
    r"""Class-distance normalised variance, averaged over the pairs of classes.

    .. math:: \frac{2}{K(K-1)} \sum_{k<l} \frac{v_k + v_l}{2 \|m_k - m_l\|^2}, \qquad
        v_k = \frac{1}{n_k} \sum_{i \in k} \|h_i - m_k\|^2.

    No global mean; every pair counts once. Source: Galanti, György, Hutter, ICLR 2022.
    """
    variances = g.squares / g.counts
    first, second = np.triu_indices(g.n_classes, 1)
    return float(np.mean((variances[first] + variances[second]) / (2 * g.squared_gaps)))


def equinorm(vectors: Array) -> float:
    """Coefficient of variation of the norms: standard deviation over mean.

    Of the class means centred at the unweighted global mean, or of the columns of W. Source:
    Papyan, Han, Donoho, PNAS 2020 (NC2).
    """
    norms = np.linalg.norm(vectors, axis=1)
    return float(norms.std() / norms.mean())


def equiangular(vectors: Array) -> float:
    """Standard deviation over the pairs of the cosines between the vectors.

    Of the class means centred at the unweighted global mean, or of the columns of W. Source:
    Papyan, Han, Donoho, PNAS 2020 (NC2).
    """
    return float(_cosines(vectors).std())


def cosine_gap(vectors: Array) -> float:
    """Mean over the pairs of |cos + 1/(K-1)|: K vectors cannot all be further apart.

    Of the class means centred at the unweighted global mean, or of the columns of W. Source:
    Papyan, Han, Donoho, PNAS 2020 (NC2).
    """
    return float(np.abs(_cosines(vectors) + 1 / (len(vectors) - 1)).mean())


def simplex_distance(vectors: Array) -> float:
    r"""Distance of the normalised Gram matrix to that of the simplex equiangular tight frame.

    .. math:: \| G / \|G\|_F - (I - 11^T/K) / \sqrt{K - 1} \|_F, \qquad G = V V^T,

    V the class means centred at the unweighted global mean, or the columns of W, as rows.
    Source: Zhu et al., NeurIPS 2021.
    """
    k = len(vectors)
    return _gram_distance(vectors, (np.eye(k) - 1 / k) / math.sqrt(k - 1))


def frame_distance(k: int) -> float:
    r"""Distance of K orthonormal vectors to the simplex, by :func:`simplex_distance`.

    With G = I the inner product of the two unit matrices is tr(I - 11^T/K) / sqrt(K (K-1)) =
    sqrt(1 - 1/K), so the distance is

    .. math:: \sqrt{2 - 2 \sqrt{1 - 1/K}},

    whatever the vectors. It is also :func:`self_duality` of features that have collapsed onto
    an orthonormal W: the class means are its columns up to a factor, M is W^T less its mean row,
    and <W^T, M> = |M|^2 = K - 1.

    Examples
    --------
    >>> round(frame_distance(4), 4)
    0.5176
    """
    return math.sqrt(2 - 2 * math.sqrt(1 - 1 / k))


def orthogonal_distance(vectors: Array) -> float:
    r"""Distance of the normalised Gram matrix to that of an orthogonal frame.

    .. math:: \| G / \|G\|_F - I / \sqrt{K} \|_F, \qquad G = V V^T,

    V the class means *not* centred (K centred means are never orthogonal: their sum is 0), or
    the columns of W, as rows. The geometry of non-negative features. Source: Súkeník, Mondelli,
    Lampert, NeurIPS 2023.
    """
    k = len(vectors)
    return _gram_distance(vectors, np.eye(k) / math.sqrt(k))


def self_duality(g: Geometry) -> float:
    r"""NC3, how far the linear layer is from the class means: \|W^T/\|W\|_F - M/\|M\|_F\|_F.

    M the class means centred at the unweighted global mean; W as it is, its columns in the order
    of the sorted classes. In [0, 2]. Source: Papyan, Han, Donoho, PNAS 2020 (NC3).
    """
    difference = _unit(g.columns) - _unit(g.centred_means)
    return float(np.linalg.norm(difference))


def nearest_mean_agreement(g: Geometry) -> float | None:
    """NC4: share of the samples with argmax_k (W^T h + b)_k = argmin_k |h - m_k|.

    No global mean; b is 0 unless it is given, and a positive factor gamma changes nothing.
    Undefined without W. Source: Papyan, Han, Donoho, PNAS 2020 (NC4), who report 1 minus it.
    """
    return g.moments.agreement


def _cosines(vectors: Array) -> Array:
    directions = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    pairs = np.triu_indices(len(vectors), 1)
    return np.asarray((directions @ directions.T)[pairs])


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors))


def _gram_distance(vectors: Array, target: Array) -> float:
    scaled = _unit(vectors)
    gram = scaled @ scaled.T
    return float(np.linalg.norm(_unit(gram) - target))


_S = CollapseStatus
_WITHIN = (_S.CONSTANT_FEATURES, _S.SINGLE_SAMPLES_ONLY, _S.MERGED_AND_COLLAPSED)
_MEANS = (
    *(_S.CONSTANT_FEATURES, _S.ONE_CLASS, _S.ABSENT_CLASS),
    *(_S.EQUAL_MEANS, _S.MERGED_CLASSES),
)
_LAYER = (_S.NO_LAYER, _S.ONE_COLUMN, _S.ZERO_LAYER)
_CENTRED = "the centred class means"
_COLUMNS = "the columns of W"


def _geometric(
    formula: Callable[[Array], float],
    title: str,
    *extra: CollapseStatus,
    centred: bool = True,
    orthonormal: Callable[[int], float] | None = None,
) -> tuple[CollapseDefinition, CollapseDefinition]:
    """An NC2 metric: of the class means, and of the columns of W."""
    means = CollapseDefinition(
        lambda g: formula(g.centred_means if centred else g.raw_means),
        f"NC2, {title}, {_CENTRED if centred else 'the class means'}",
        0.0,
        "unweighted" if centred else "none",
        (*_MEANS, *extra),
    )
    of_layer = tuple(_S.ZERO_COLUMN if s is _S.MEAN_AT_CENTRE else s for s in extra)
    columns = CollapseDefinition(
        lambda g: formula(g.columns),
        f"NC2, {title}, {_COLUMNS}",
        0.0,
        "none",
        (*_LAYER, *of_layer),
        orthonormal,
    )
    return means, columns


_NC2 = {
    "equinorm": _geometric(equinorm, "variation of the norms"),
    "equiangular": _geometric(equiangular, "deviation of the cosines", _S.MEAN_AT_CENTRE),
    "cosine_gap": _geometric(
        cosine_gap,
        "mean |cos + 1/(K-1)|",
        _S.NO_SIMPLEX,
        _S.MEAN_AT_CENTRE,
        orthonormal=lambda k: 1 / (k - 1),
    ),
    "simplex": _geometric(
        simplex_distance,
        "distance to the simplex ETF",
        _S.NO_SIMPLEX,
        orthonormal=frame_distance,
    ),
    "orthogonal": _geometric(
        orthogonal_distance,
        "distance to an orthogonal frame",
        _S.NO_ORTHOGONAL_FRAME,
        centred=False,
    ),
}

COLLAPSE_DEFINITIONS: dict[str, CollapseDefinition] = {
    "nc1": CollapseDefinition(within_total, "NC1, within / total", 0.0, "weighted", _WITHIN),
    "papyan": CollapseDefinition(
        papyan,
        "tr(S_W pinv(S_B)) / K",
        0.0,
        "weighted",
        (*_MEANS, _S.SINGLE_SAMPLES_ONLY),
    ),
    "trace_ratio": CollapseDefinition(
        trace_ratio,
        "tr S_W / tr S_B",
        0.0,
        "weighted",
        (_S.CONSTANT_FEATURES, _S.ONE_CLASS, _S.EQUAL_MEANS, *_WITHIN[1:]),
    ),
    "cdnv": CollapseDefinition(
        cdnv,
        "CDNV, mean over the pairs",
        0.0,
        "none",
        (*_MEANS, _S.SINGLE_SAMPLE),
    ),
    **{f"nc2_{name}": means for name, (means, _) in _NC2.items()},
    **{f"nc2_{name}_w": columns for name, (_, columns) in _NC2.items()},
    "nc3": CollapseDefinition(
        self_duality,
        "NC3, distance of W to the centred class means",
        0.0,
        "unweighted",
        (*_LAYER, *_MEANS),
        frame_distance,
    ),
    "nc4": CollapseDefinition(
        nearest_mean_agreement,
        "NC4, agreement with the nearest class mean",
        1.0,
        "none",
        (*_LAYER, *_MEANS),
    ),
}
"""Every metric of collapse by name, with its formula and its value at exact collapse."""
