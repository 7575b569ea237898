"""What a run is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["RunConfig"]


@dataclass(frozen=True)
class RunConfig:
    """All that is needed to repeat a run.

    Attributes
    ----------
    data : str
        "separable", a registered data set, or a file.
    target, index, separator : str or None
        Columns and separator of a file, see :func:`eval.load_dataset`.
    seed : int
        Repetition r draws its data or split, and trains, with seed + r.
    repeats : int
    test_size : float
        Share of a real data set that is held out, stratified by class.
    n_samples, n_features, n_classes, margin, n_test
        The separable distribution: training samples, d, q, tau/M and fresh test samples.
    controls : bool
        Whether to run raw inputs, untrained neurons and shuffled labels beside.
    model : dict
        Parameters of :class:`stages.TwoStageClassifier` that differ from its defaults.
    """

    data: str = "separable"
    target: str | None = None
    index: str | None = None
    separator: str | None = None
    seed: int = 0
    repeats: int = 1
    test_size: float = 0.4
    n_samples: int = 400
    n_features: int = 20
    n_classes: int = 4
    margin: float = 0.05
    n_test: int = 20_000
    controls: bool = False
    model: dict[str, Any] = field(default_factory=dict)
