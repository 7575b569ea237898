"""Moments of the classes over batches and shards: exact, whatever the batches."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.collapse.batch import Batch, declared_classes, shifted
from eval.collapse.formulas import CollapseMetrics, measure_all
from eval.collapse.geometry import Geometry
from eval.collapse.moments import ClassMoments, no_moments, widen
from eval.collapse.second_pass import SecondPass, fit_layer
from eval.reading import Array, Values, check_known, is_numeric

__all__ = ["CollapseAccumulator"]

_STATE = ("classes", "counts", "squares", "means", "origin", "unit", "precision")


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
        self._scatter: Array | None = None
        self._moments = no_moments(np.arange(0) if classes is None else declared_classes(classes))

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
        places = np.searchsorted(self._moments.classes, batch.classes)[batch.members]
        start = 0
        for block in batch.blocks():
            self._add(block, places[start : start + len(block)])
            start += len(block)

    def merge(self, other: CollapseAccumulator) -> None:
        """Add all that another accumulator has seen; the other is left as it is."""
        new, seen = other._moments, other._moments.counts > 0
        if not seen.any():
            return
        if self._keeps_scatter and other._scatter is None:
            raise ValueError("other must keep its scatter, got scatter=False")
        classes = new.classes[seen]
        self._prepare(classes, new.origin, new.unit, new.precision)
        known = self._moments
        ratio = new.unit / known.unit
        shift = (new.origin - known.origin) / known.unit
        scatter = None if other._scatter is None else ratio**2 * other._scatter
        self._absorb(
            np.searchsorted(known.classes, classes),
            new.counts[seen],
            ratio * new.means[seen] + shift,
            ratio**2 * new.squares[seen],
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
            If there were no samples, or w has another shape.
        """
        moments, layer = fit_layer(self.moments(), w)
        if self._scatter is not None:
            basis = Geometry(moments).whitening()
            whitened = np.vdot(basis, self._scatter @ basis) / self._moments.counts.sum()
            moments = replace(moments, whitened=float(whitened))
        return measure_all(Geometry(moments, layer))

    def second_pass(self, w: Values | None = None, bias: Values | None = None) -> SecondPass:
        """Start a second pass over the same samples, for metrics that need the final class means.

        Parameters
        ----------
        w : array-like or Tensor (p, q), optional
        bias : array-like or Tensor (q,), optional
            Of the linear layer; for NC4 alone.
        """
        return SecondPass(self.moments(), w, bias)

    def moments(self) -> ClassMoments:
        """The moments of all samples so far."""
        if not self._moments.counts.any():
            raise ValueError("at least one batch must be added first, got none")
        return deepcopy(self._moments)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """The whole state, as arrays that ``numpy.savez`` or ``torch.save`` can store."""
        state = {name: np.array(getattr(self._moments, name)) for name in _STATE}
        state["declared"] = np.array(self._declared)
        state["keeps_scatter"] = np.array(self._keeps_scatter)
        return state if self._scatter is None else state | {"scatter": self._scatter.copy()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Replace the state by one of :meth:`state_dict`."""
        self._declared = bool(state["declared"])
        self._keeps_scatter = bool(state["keeps_scatter"])
        held: dict[str, Any] = {name: np.array(state[name]) for name in _STATE}
        held |= {name: float(held[name]) for name in ("unit", "precision")}
        self._moments = ClassMoments(**held)
        self._scatter = np.array(state["scatter"]) if "scatter" in state else None

    def _prepare(self, classes: NDArray[Any], origin: Array, unit: float, precision: float) -> None:
        """Make room for these classes, and raise the unit if these features are larger."""
        known = self._moments
        seen = known.counts.any()
        if seen and len(known.origin) != len(origin):
            raise ValueError(
                f"features must have {len(known.origin)} columns like those before, "
                f"got {len(origin)}"
            )
        joined = self._join(classes)
        if not seen:
            known = replace(known, origin=origin, means=np.zeros((len(known.classes), len(origin))))
            self._scatter = np.zeros((len(origin),) * 2) if self._keeps_scatter else None
        if len(joined) > len(known.classes):
            known = widen(known, joined)
        if unit > known.unit:
            ratio = known.unit / unit
            known.means[:] *= ratio
            known.squares[:] *= ratio**2
            if self._scatter is not None:
                self._scatter *= ratio**2
            known = replace(known, unit=unit)
        self._moments = replace(known, precision=max(known.precision, precision))

    def _join(self, classes: NDArray[Any]) -> NDArray[Any]:
        """All classes, the known and these, sorted."""
        known = self._moments.classes
        if self._declared:
            check_known(classes, known, "the declared classes")
            return known
        if not len(known):
            return classes
        if is_numeric(classes) != is_numeric(known):
            raise ValueError(f"labels must be of one type, got {classes.dtype} after {known.dtype}")
        return np.union1d(known, classes)

    def _add(self, rows: NDArray[Any], places: NDArray[np.intp]) -> None:
        order = np.argsort(places, kind="stable")
        centred = shifted(rows[order], self._moments.origin, self._moments.unit)
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
        known = self._moments
        total = known.counts[places] + counts
        shift = means - known.means[places]
        weights = known.counts[places] * (counts / total)
        known.squares[places] += squares + weights * np.square(shift).sum(axis=1)
        if self._scatter is not None and scatter is not None:
            self._scatter += scatter
            self._scatter += (weights[:, None] * shift).T @ shift
        known.means[places] += shift * (counts / total)[:, None]
        known.counts[places] = total
