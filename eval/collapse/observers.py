"""Neural collapse along the training of the two-stage network."""

from __future__ import annotations

from dataclasses import dataclass

from eval.collapse.formulas import COLLAPSE_DEFINITIONS, measure
from eval.collapse.geometry import CollapseStatus, Geometry
from eval.collapse.metrics import geometry_of
from gibbs.dynamics.langevin import LangevinState, Observer

__all__ = ["collapse_observers"]


def collapse_observers(*names: str) -> dict[str, Observer]:
    """Observers that put metrics of neural collapse into the histories of a training.

    For the `observers` of :meth:`stages.TwoStageClassifier.fit`, :func:`stages.train_two_stage` and
    :func:`gibbs.run_langevin`. Each value is that of :func:`eval.collapse_metrics` on all training
    samples, with the linear layer of the moment: W_0 along stage one. It is NaN where the metric
    is undefined. The features are measured once for all observers. The solver "gibbs" has no steps
    to observe: there they are in the history of stage two alone.

    Parameters
    ----------
    *names : str
        Metrics of :data:`eval.COLLAPSE_DEFINITIONS`; none means all.

    Returns
    -------
    dict of str to callable
        By the name of the metric. The class of a sample is the largest entry of its target.

    Raises
    ------
    ValueError
        If there is no metric of that name.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from stages import TwoStageClassifier
    >>> model = TwoStageClassifier(n_neurons=200, max_iter=300, random_state=0)
    >>> model = model.fit(*load_iris(return_X_y=True), observers=collapse_observers("nc1", "nc3"))
    >>> bool(model.history_["nc1"][-1] < model.history_["nc1"][0])
    True
    >>> model.stage_two_history_["nc3"].shape  # before and after the fit of W
    (2,)
    """
    wanted = names or tuple(COLLAPSE_DEFINITIONS)
    for name in wanted:
        if name not in COLLAPSE_DEFINITIONS:
            raise ValueError(f"names must be among {', '.join(COLLAPSE_DEFINITIONS)}, got {name!r}")
    needs_layer = any(
        CollapseStatus.NO_LAYER in COLLAPSE_DEFINITIONS[name].undefined_under for name in wanted
    )
    shared = _LastGeometry("papyan" in wanted, needs_layer)
    return {name: _CollapseObserver(name, shared) for name in wanted}


class _LastGeometry:
    """The geometry of a state, kept until the next state comes."""

    def __init__(self, whiten: bool, needs_layer: bool) -> None:
        self._whiten = whiten
        self._needs_layer = needs_layer
        self._last: tuple[LangevinState, Geometry] | None = None

    def of(self, state: LangevinState) -> Geometry:
        if self._last is None or self._last[0] is not state:
            self._last = (state, self._measure(state))
        return self._last[1]

    def _measure(self, state: LangevinState) -> Geometry:
        targets, w = state.problem.y, state.problem.w
        return geometry_of(
            state.features,
            targets.argmax(dim=1),
            w if self._needs_layer else None,
            classes=targets.shape[1],
            whiten=self._whiten,
        )


@dataclass(frozen=True)
class _CollapseObserver:
    name: str
    shared: _LastGeometry

    def __call__(self, state: LangevinState) -> float:
        return measure(self.shared.of(state), self.name).value
