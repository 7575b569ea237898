"""The configuration of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from eval.app.shared.network_options import NETWORK, STEPS, network_facts
from eval.app.shared.options import setting
from eval.app.shared.uses import DRAWN, TABLES, Facts, Use, Uses, recorded

__all__ = ["USES", "Kind", "RunConfig", "facts_of"]

Kind = Literal["separable", "distribution", "data set"]
"""Kinds of data: our law, built from its parameters; a user's law; or samples."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that is needed to repeat a run.

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
    seed: int = setting(0, least=0)
    repeats: int = setting(
        1, "Repeat with seeds seed, seed+1, ...: fresh data or another split, another start.", 1
    )
    test_size: float = setting(0.4, "Held-out share.")
    n_samples: int = setting(400, "n, to train on.", least=2)
    n_features: int = setting(20, "d.", least=1)
    n_classes: int = setting(4, "q.", least=2)
    margin: float = setting(0.05, "tau/M.")
    n_test: int = setting(20_000, "To test on.", least=1)
    controls: bool = setting(False, "Add raw inputs, untrained neurons and shuffled labels.")
    model: dict[str, Any] = field(default_factory=dict)

    def recorded(self, kind: Kind) -> dict[str, Any]:
        """The content of config.json: all options that are used with data of this kind."""
        return recorded(self, USES, facts_of(self, kind))


def facts_of(config: RunConfig, kind: Kind) -> Facts:
    """All that decides which options of a run are used."""
    from eval.data.loading import options_of

    return {
        "data": config.data,
        "separable": kind == "separable",
        "drawn": kind != "data set",
        "tables": options_of(config.data),
        **network_facts(config.model),
    }


_SEPARABLE = Use("is for --data separable", lambda facts: facts["separable"], "data")
USES: Uses = {
    **TABLES,
    "test_size": Use(
        "is for data sets, of which a share is held out", lambda facts: not facts["drawn"], "data"
    ),
    **dict.fromkeys(("n_features", "n_classes", "margin"), _SEPARABLE),
    **dict.fromkeys(("n_samples", "n_test"), DRAWN),
    "checkpoint": STEPS,
    **NETWORK,
}
"""Which option of `gibbsnet run` is used where; the others always are."""
