"""Neural collapse of features in memory, and balancedness of the layers."""

from __future__ import annotations

import numpy as np

from eval.collapse.batch import Batch, declared_classes
from eval.collapse.formulas import CollapseMetrics, measure, measure_all
from eval.collapse.geometry import CollapseStatus, Geometry
from eval.collapse.moments import mean_moments, widen
from eval.collapse.second_pass import SecondPass
from eval.reading import Values, read_matrix
from gibbs import Particles

__all__ = ["balancedness", "collapse_metrics", "geometry_of", "nc1"]


def nc1(features: Values, labels: Values) -> float:
    """NC1 of the paper: the share of the variability of the features that is within classes.

    Within-class over total sum of squares, about the global mean of the samples; formula and
    source in :func:`eval.collapse.formulas.within_total`. In [0, 1]: 0 is collapse, 1 means equal
    class means. Computed in float64 for any input type, in two passes.

    Parameters
    ----------
    features : array-like or Tensor (n, p)
    labels : array-like or Tensor (n,)

    Raises
    ------
    ValueError
        If NC1 is undefined or meaningless (total variance 0; one sample in every class; classes
        with equal means where no class varies), shapes do not fit, or a feature is not finite.

    Examples
    --------
    >>> nc1([[0.0], [2.0], [10.0], [12.0]], [0, 0, 1, 1])
    0.038461538461538464
    """
    result = measure(geometry_of(features, labels, whiten=False), "nc1")
    if result.status is not CollapseStatus.OK:
        raise ValueError(f"NC1 is undefined: {result.reason}")
    return result.value


def collapse_metrics(
    features: Values,
    labels: Values,
    w: Values | None = None,
    *,
    classes: int | Values | None = None,
    bias: Values | None = None,
) -> CollapseMetrics:
    """Every metric of neural collapse, each with its value and a status.

    In float64 for any input type, in two passes: class means, then distances to them. Of the
    within-class scatter only its projection on the span of the class means is formed, block by
    block, so there is neither a p x p matrix nor a copy of the features.

    Parameters
    ----------
    features : array-like or Tensor (n, p)
    labels : array-like or Tensor (n,)
        Of any type that sorts.
    w : array-like or Tensor (p, q), optional
        The linear layer: one column per class, in the order of the sorted classes. Without it
        its metrics, NC3 and NC4 have the status "no_layer".
    classes : int or array-like, optional
        Declared classes, 0 to classes - 1 or the labels themselves; one without samples is
        reported as absent. None: those among the labels, or 0 to q - 1 where w has more columns.
    bias : array-like or Tensor (q,), optional
        Of the linear layer; NC4 alone uses it.

    Returns
    -------
    CollapseMetrics
        `.nc1`, `.papyan`, `.nc2_simplex` ... each with `.value` (NaN where undefined), `.status`
        and `.reason`. :data:`eval.COLLAPSE_DEFINITIONS` has title and formula of each.

    Raises
    ------
    ValueError
        If shapes do not fit, a feature is not finite, or a label was not declared.

    Examples
    --------
    >>> metrics = collapse_metrics([[0.0], [2.0], [10.0], [12.0]], [0, 0, 1, 1])
    >>> metrics.trace_ratio.value
    0.04
    >>> collapse_metrics([[1.0], [3.0], [1.0], [3.0]], [0, 0, 1, 1]).papyan.reason
    'all class means are equal'
    """
    return measure_all(geometry_of(features, labels, w, classes=classes, bias=bias))


def geometry_of(
    features: Values,
    labels: Values,
    w: Values | None = None,
    *,
    classes: int | Values | None = None,
    bias: Values | None = None,
    whiten: bool = True,
) -> Geometry:
    """Both passes over features in memory, see :func:`collapse_metrics`.

    Without `whiten`, `papyan` is not computed; without `w`, nothing of the linear layer is.
    """
    batch = Batch.of(features, labels)
    moments = mean_moments(batch)
    if classes is not None:
        moments = widen(moments, declared_classes(classes))
    second = SecondPass(moments, w, bias, whiten=whiten)
    second.add(batch)
    return second.geometry()


def balancedness(particles_or_a: Particles | Values, w: Values) -> float:
    r"""Normalised balancedness of the two layers (Equations 25 and 26).

    .. math:: NB = \frac{\|E[aa^T] - c\,WW^T\|_{op}}{\|E[aa^T]\|_{op}}, \qquad
        c = \frac{\langle E[aa^T], WW^T \rangle}{\|WW^T\|_F^2}.

    0 means that the second moment of the outgoing weights is proportional to W W^T.

    Parameters
    ----------
    particles_or_a : Particles or array-like (N, p)
        The neurons, or their outgoing weights a.
    w : array-like or Tensor (p, q)

    Raises
    ------
    ValueError
        If the widths differ, or a or w is 0.

    Examples
    --------
    >>> balancedness(np.eye(2), np.eye(2))
    0.0
    """
    source = particles_or_a.a if isinstance(particles_or_a, Particles) else particles_or_a
    a, layer = read_matrix(source, "a"), read_matrix(w, "w")
    if a.shape[1] != layer.shape[0]:
        raise ValueError(
            f"w must have one row per column of a, ({a.shape[1]}, q), got shape {layer.shape}"
        )
    moment = a.T @ a / len(a)
    target = layer @ layer.T
    if not (moment.any() and target.any()):
        raise ValueError("a and w must not be 0 for the balancedness to be defined")
    c = np.vdot(moment, target) / np.vdot(target, target)
    return float(np.linalg.norm(moment - c * target, 2) / np.linalg.norm(moment, 2))
