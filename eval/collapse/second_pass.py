"""Metrics that need the final class means, from a second pass over the samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eval.collapse.batch import Batch, shifted
from eval.collapse.formulas import CollapseMetrics, measure_all
from eval.collapse.geometry import Geometry
from eval.collapse.moments import ClassMoments, widen
from eval.reading import (
    Array,
    Values,
    check_entries,
    check_finite,
    check_known,
    read_matrix,
    read_numbers,
)

__all__ = ["SecondPass", "fit_layer"]


class SecondPass:
    r"""Every metric from a second pass over the same samples, whose class means are known.

    No p x p matrix: each sample is projected on the r <= K - 1 directions of the class means. For
    NC4, with m_k the mean of its class and m_j each of the means less their centre,

    .. math:: W^T h + b = W^T (h - m_k) + W^T m_k + b, \qquad
        \arg\min_j |h - m_j| = \arg\max_j\; m_j \cdot (h - m_k) + m_j \cdot m_k - |m_j|^2 / 2,

    so that one product with the deviations h - m_k serves all.

    Made by :meth:`CollapseAccumulator.second_pass`.
    """

    def __init__(
        self,
        first: ClassMoments,
        w: Values | None = None,
        bias: Values | None = None,
        *,
        whiten: bool = True,
    ) -> None:
        self._first, self._w = known, layer = fit_layer(first, w)
        shift = _read_bias(bias, layer) / known.unit
        geometry = Geometry(known, layer)
        self._resolution = geometry.resolution
        self._whitens = whiten
        directions = [geometry.whitening().T] if whiten else []
        if layer is not None:
            means = known.means - geometry.centre
            half_norms = np.square(means).sum(axis=1, keepdims=True) / 2
            self._outputs = layer.T @ (known.origin / known.unit + known.means).T + shift[:, None]
            self._nearness = means @ means.T - half_norms
            directions += [layer.T, means]
        self._directions = np.concatenate(directions) if directions else None
        self._counts = np.zeros_like(self._first.counts)
        self._squares = np.zeros(len(self._counts))
        self._whitened = 0.0
        self._agreements = 0

    def update(self, features: Values, labels: Values) -> None:
        """Add a batch of the samples that the first pass saw, of any size.

        Parameters
        ----------
        features : array-like or Tensor (n, p)
        labels : array-like or Tensor (n,)

        Raises
        ------
        ValueError
            If shapes do not fit, a feature is not finite, or a label is unknown.
        """
        batch = Batch.of(features, labels)
        batch.check_finite()
        check_known(batch.classes, self._first.classes, "those of the first pass")
        if batch.features.shape[1] != len(self._first.origin):
            raise ValueError(
                f"features must have {len(self._first.origin)} columns as in the first pass, "
                f"got {batch.features.shape[1]}"
            )
        self.add(batch)

    def add(self, batch: Batch) -> None:
        """Add a batch, without checks."""
        origin, unit, means = self._first.origin, self._first.unit, self._first.means
        q = 0 if self._w is None else self._w.shape[1]
        places = np.searchsorted(self._first.classes, batch.classes)
        buffer = np.empty((batch.rows, len(origin)))
        for member, rows in batch.class_runs():
            k = places[member]
            deviations = shifted(rows, origin + unit * means[k], unit, buffer)
            self._counts[k] += len(rows)
            self._squares[k] += np.vdot(deviations, deviations)
            if self._directions is None:
                continue
            along = self._directions @ deviations.T  # one product for all that is asked for
            whitened = along[: len(along) - 2 * q]
            self._whitened += float(np.vdot(whitened, whitened))
            if q > 0:
                chosen = (along[-2 * q : -q] + self._outputs[:, k, None]).argmax(axis=0)
                nearest = (along[-q:] + self._nearness[:, k, None]).argmax(axis=0)
                self._agreements += int((chosen == nearest).sum())

    def merge(self, other: SecondPass) -> None:
        """Add the batches of another second pass that follows the same first one."""
        if not np.array_equal(self._first.means, other._first.means):
            raise ValueError("other must come from the same first pass, got other class means")
        self._counts += other._counts
        self._squares += other._squares
        self._whitened += other._whitened
        self._agreements += other._agreements

    def compute(self) -> CollapseMetrics:
        """Compute every metric.

        Raises
        ------
        ValueError
            If the second pass did not see the samples of the first one.
        """
        first = self._first
        if not np.array_equal(self._counts, first.counts):
            raise ValueError(
                "the second pass must see the samples of the first one, got "
                f"{self._counts.tolist()} instead of {first.counts.tolist()} by class"
            )
        slack = first.counts * (8 * self._resolution) ** 2
        if (np.abs(self._squares - first.squares) > 1e-3 * first.squares + slack).any():
            raise ValueError("the second pass must see the features of the first one, got others")
        return measure_all(self.geometry())

    def geometry(self) -> Geometry:
        """The input of the formulas."""
        n = int(self._counts.sum())
        moments = replace(
            self._first,
            squares=self._squares.copy(),
            whitened=self._whitened / n if self._whitens else None,
            agreement=None if self._w is None else self._agreements / n,
        )
        return Geometry(moments, self._w)


def fit_layer(moments: ClassMoments, w: Values | None) -> tuple[ClassMoments, Array | None]:
    """The linear layer (p, q), checked, and the moments of its q classes.

    More columns than classes with samples: the classes are 0 to q - 1 where labels allow it.
    """
    if w is None:
        return moments, None
    layer = read_matrix(w, "w")
    p, q = layer.shape
    if p != len(moments.origin):
        raise ValueError(
            f"w must have one row per column of features, ({len(moments.origin)}, q), "
            f"got shape {layer.shape}"
        )
    known = moments.classes
    if q > len(known) and np.isin(known, np.arange(q)).all():
        return widen(moments, np.arange(q)), layer
    if q != len(known):
        raise ValueError(f"w must have one column per class, {len(known)}, got {q}")
    return moments, layer


def _read_bias(bias: Values | None, w: Array | None) -> Array:
    q = 0 if w is None else w.shape[1]
    if bias is None:
        return np.zeros(q)
    values = read_numbers(bias, "bias")
    check_entries(values, "bias", q, "column of w")
    check_finite("bias", values)
    return values
