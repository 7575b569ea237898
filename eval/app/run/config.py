"""The configuration of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from eval.app.shared.options import DRAWN, OUT, TABLES, Facts, Use, Uses, recorded
from eval.data.loading import options_of
from stages import TwoStageClassifier
from stages.noisy_steps import NoisySteps

__all__ = ["DYNAMICS", "USES", "Kind", "RunConfig", "facts_of"]

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

    def recorded(self, kind: Kind) -> dict[str, Any]:
        """The content of config.json: all options that are used with data of this kind."""
        return recorded(self, USES, facts_of(self, kind))


def facts_of(config: RunConfig, kind: Kind, **others: Any) -> Facts:
    """Facts that decide which options of a run are used, and those of the command, `others`."""
    network = TwoStageClassifier(**config.model)
    sampled, flow = network.solver != "gibbs", network.stage_two == "flow"
    flow_steps = network.max_iter if network.flow_max_iter is None else network.flow_max_iter
    return {
        "data": config.data,
        "separable": kind == "separable",
        "drawn": kind != "data set",
        "tables": options_of(config.data),
        "solved": not sampled,
        "flow": flow,
        "steps": sampled or (flow and network.flow_max_iter is None),
        "dynamics": (sampled and network.max_iter != 0) or (flow and flow_steps != 0),
        "noise": network.beta != math.inf,
        **others,
    }


DYNAMICS = tuple(f.name for f in fields(NoisySteps) if f.name in TwoStageClassifier().get_params())
"""Parameters of the network that are options of the dynamics, beside the numbers of steps."""

_SEPARABLE = Use("is for --data separable", lambda facts: facts["separable"], "data")
_DYNAMICS = Use(
    "is for steps of the dynamics, with --solver langevin or --stage-two flow",
    lambda facts: facts["dynamics"],
)
_SOLVER = Use("is for --solver gibbs", lambda facts: facts["solved"])

USES: Uses = {
    **TABLES,
    "force": OUT,
    "test_size": Use(
        "is for data sets, of which a share is held out", lambda facts: not facts["drawn"], "data"
    ),
    **dict.fromkeys(("n_features", "n_classes", "margin"), _SEPARABLE),
    **dict.fromkeys(("n_samples", "n_test"), DRAWN),
    "max_iter": Use(
        "is for --solver langevin, or --stage-two flow without --flow-steps",
        lambda facts: facts["steps"],
    ),
    "flow_max_iter": Use("is for --stage-two flow", lambda facts: facts["flow"]),
    **dict.fromkeys((*DYNAMICS, "checkpoint"), _DYNAMICS),
    "scheme": Use(
        "is for noisy steps of the dynamics, with --solver langevin or --stage-two flow and a "
        "finite --beta",
        lambda facts: facts["dynamics"] and facts["noise"],
    ),
    **dict.fromkeys(("n_particles", "tol"), _SOLVER),
}
"""Which option of `gibbsnet run` is used where; the others always are."""
