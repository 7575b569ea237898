"""Moments of the classes over batches and shards: exact, whatever the batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.collapse.batch import Batch, declared_classes, shifted
from eval.collapse.formulas import CollapseMetrics, measure_all
from eval.collapse.geometry import Geometry
from eval.collapse.moments import ClassMoments, spread
from eval.collapse.second_pass import SecondPass, fit_layer
from eval.reading import Array, Values, check_known, is_numeric

__all__ = ["CollapseAccumulator"]


class CollapseAccumulator:
    r"""Every metric of neural collapse from features that come in batches, or in shards.

    Per class it keeps count, mean and sum of squares about the mean, in float64, relative to the
    first sample seen. A batch enters by its own two-pass moments, and they are joined by

    .. math:: M \mathrel{+}= \frac{n_b}{n + n_b} \delta, \qquad
        S \mathrel{+}= S_b + \frac{n n_b}{n + n_b} \delta \delta^T, \qquad \delta = M_b - M,

    with n, M, S the count, mean and scatter of a class (Chan, Golub, LeVeque 1983): nothing large
    is subtracted, so the result is that of all samples at once, whatever the batches.

    tr(S_W pinv(S_B)) needs S_W on the span of the class means alone, but that span is known only
    at the end, and any direction may turn out to lie in it: in one pass the p x p matrix S_W
    cannot be avoided (8 p^2 bytes). With ``scatter=False`` it is not kept, memory is 8 (K + 1) p
    bytes, and :meth:`second_pass` finds tr(S_W pinv(S_B)) by projecting on the K - 1 directions.
    NC4 compares each sample to the final class means and needs the second pass in any case.

    Parameters
    ----------
    classes : int or array-like, optional
        Declared classes, 0 to classes - 1 or the labels themselves: one that never comes is
        reported as absent. None: the classes are those that come.
    scatter : bool, default True
        Whether to keep S_W.

    Examples
    --------
    >>> first, second = CollapseAccumulator(), CollapseAccumulator()
    >>> first.update([[0.0], [2.0]], [0, 0])
    >>> second.update([[10.0], [12.0]], [1, 1])
    >>> first.merge(second)
    >>> first.compute().nc1.value
    0.038461538461538464
    """

    def __init__(self, classes: int | Values | None = None, *, scatter: bool = True) -> None:
        self._declared = classes is not None
        self._keeps_scatter = scatter
        self._classes = np.arange(0) if classes is None else declared_classes(classes)
        self._counts = np.zeros(len(self._classes), np.int64)
        self._squares = np.zeros(len(self._classes))
        self._means = np.zeros((len(self._classes), 0))
        self._origin = np.zeros(0)
        self._unit = 0.0
        self._precision = 0.0
        self._scatter: Array | None = None

    def update(self, features: Values, labels: Values) -> None:
        """Add a batch, of any size and type.

        Parameters
        ----------
        features : array-like or Tensor (n, p)
        labels : array-like or Tensor (n,)

        Raises
        ------
        ValueError
            If shapes do not fit, a feature is not finite, or a label is none of the declared
            classes. Nothing of the batch is then added.
        """
        batch = Batch.of(features, labels)
        batch.check_finite()
        origin = np.array(batch.features[0], np.float64)
        self._prepare(batch.classes, origin, batch.unit, batch.precision)
        places = np.searchsorted(self._classes, batch.classes)[batch.members]
        start = 0
        for block in batch.blocks():
            self._add(block, places[start : start + len(block)])
            start += len(block)

    def merge(self, other: CollapseAccumulator) -> None:
        """Add all that another accumulator has seen; the other is left as it is."""
        if not other._counts.any():
            return
        if self._keeps_scatter and other._scatter is None:
            raise ValueError("other must keep its scatter, got scatter=False")
        seen = other._counts > 0
        classes = other._classes[seen]
        self._prepare(classes, other._origin, other._unit, other._precision)
        ratio = other._unit / self._unit
        shift = (other._origin - self._origin) / self._unit
        scatter = None if other._scatter is None else ratio**2 * other._scatter
        self._absorb(
            np.searchsorted(self._classes, classes),
            other._counts[seen],
            ratio * other._means[seen] + shift,
            ratio**2 * other._squares[seen],
            scatter,
        )

    def compute(self, w: Values | None = None) -> CollapseMetrics:
        """Compute the metrics of all samples so far.

        Parameters
        ----------
        w : array-like or Tensor (p, q), optional
            The linear layer: one column per class, in the order of the sorted classes.

        Raises
        ------
        ValueError
            If nothing has come, or w has another shape.
        """
        moments, layer = fit_layer(self.moments(), w)
        if self._scatter is not None:
            basis = Geometry(moments).whitening()
            whitened = np.vdot(basis, self._scatter @ basis) / self._counts.sum()
            moments = replace(moments, whitened=float(whitened))
        return measure_all(Geometry(moments, layer))

    def second_pass(self, w: Values | None = None, bias: Values | None = None) -> SecondPass:
        """Go through the same samples again, for what needs the final class means.

        Parameters
        ----------
        w : array-like or Tensor (p, q), optional
        bias : array-like or Tensor (q,), optional
            Of the linear layer; for NC4 alone.
        """
        return SecondPass(self.moments(), w, bias)

    def moments(self) -> ClassMoments:
        """The moments of all samples so far."""
        if not self._counts.any():
            raise ValueError("at least one batch must be added first, got none")
        return ClassMoments(
            self._classes,
            self._counts.copy(),
            self._origin,
            self._unit,
            self._means.copy(),
            self._precision,
            self._squares.copy(),
        )

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """All there is, as arrays that ``numpy.savez`` or ``torch.save`` can store."""
        state = {
            "declared": np.array(self._declared),
            "keeps_scatter": np.array(self._keeps_scatter),
            "classes": self._classes.copy(),
            "counts": self._counts.copy(),
            "squares": self._squares.copy(),
            "means": self._means.copy(),
            "origin": self._origin.copy(),
            "unit": np.array(self._unit),
            "precision": np.array(self._precision),
        }
        return state if self._scatter is None else state | {"scatter": self._scatter.copy()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what :meth:`state_dict` gave, in place of all there was."""
        self._declared = bool(state["declared"])
        self._keeps_scatter = bool(state["keeps_scatter"])
        self._classes = np.array(state["classes"])
        self._counts = np.array(state["counts"])
        self._squares = np.array(state["squares"])
        self._means = np.array(state["means"])
        self._origin = np.array(state["origin"])
        self._unit = float(state["unit"])
        self._precision = float(state["precision"])
        self._scatter = np.array(state["scatter"]) if "scatter" in state else None

    def _prepare(self, classes: NDArray[Any], origin: Array, unit: float, precision: float) -> None:
        """Make room for these classes, and raise the unit if these features are larger."""
        seen = self._counts.any()
        if seen and len(self._origin) != len(origin):
            raise ValueError(
                f"features must have {len(self._origin)} columns like those before, "
                f"got {len(origin)}"
            )
        joined = self._join(classes)
        if not seen:
            self._origin = origin
            self._means = np.zeros((len(self._classes), len(origin)))
            self._scatter = np.zeros((len(origin),) * 2) if self._keeps_scatter else None
        if len(joined) > len(self._classes):
            places = np.searchsorted(joined, self._classes)
            self._counts = spread(self._counts, places, len(joined))
            self._squares = spread(self._squares, places, len(joined))
            self._means = spread(self._means, places, len(joined))
            self._classes = joined
        if unit > self._unit:
            self._rescale(unit)
        self._precision = max(self._precision, precision)

    def _rescale(self, unit: float) -> None:
        ratio = self._unit / unit
        self._means *= ratio
        self._squares *= ratio**2
        if self._scatter is not None:
            self._scatter *= ratio**2
        self._unit = unit

    def _join(self, classes: NDArray[Any]) -> NDArray[Any]:
        """All classes, the known and these, sorted."""
        if self._declared:
            check_known(classes, self._classes, "the declared classes")
            return self._classes
        if not len(self._classes):
            return classes
        if is_numeric(classes) != is_numeric(self._classes):
            raise ValueError(
                f"labels must be of one type, got {classes.dtype} after {self._classes.dtype}"
            )
        return np.union1d(self._classes, classes)

    def _add(self, rows: NDArray[Any], places: NDArray[np.intp]) -> None:
        order = np.argsort(places, kind="stable")
        centred = shifted(rows[order], self._origin, self._unit)
        present, starts, counts = np.unique(places[order], return_index=True, return_counts=True)
        means = np.add.reduceat(centred, starts, axis=0) / counts[:, None]
        centred -= np.repeat(means, counts, axis=0)
        squares = np.add.reduceat(np.einsum("ij,ij->i", centred, centred), starts)
        scatter = centred.T @ centred if self._keeps_scatter else None
        self._absorb(present, counts, means, squares, scatter)

    def _absorb(
        self,
        places: NDArray[np.intp],
        counts: NDArray[np.int64],
        means: Array,
        squares: Array,
        scatter: Array | None,
    ) -> None:
        """Join moments about other means, see the formula above."""
        total = self._counts[places] + counts
        shift = means - self._means[places]
        weights = self._counts[places] * (counts / total)
        self._squares[places] += squares + weights * np.square(shift).sum(axis=1)
        if self._scatter is not None and scatter is not None:
            self._scatter += scatter
            self._scatter += (weights[:, None] * shift).T @ shift
        self._means[places] += shift * (counts / total)[:, None]
        self._counts[places] = total
