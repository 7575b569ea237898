"""A run: train the network, baselines and controls on the same data, and measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from eval.app.run.config import RunConfig
from eval.app.run.model_store import SavedModel
from eval.app.run.recorder import FrameRecorder, Stopper
from eval.app.run.splits import Split, draw_split, load
from eval.collapse.metrics import nc1
from eval.collapse.observers import collapse_observers
from eval.comparison.baselines import baseline_models
from eval.comparison.folds import OURS
from eval.comparison.records import Record, measure, network_features
from eval.data.dataset import Dataset, Distribution
from eval.theory.assumptions import AssumptionCheck, check_assumptions
from gibbs import Certificate, SolverReport, StopRun, describe_report
from gibbs.solver.progress import Progress
from stages import Checkpoint, TwoStageClassifier

__all__ = ["Outcome", "execute", "history", "network"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Results of a run.

    Attributes
    ----------
    complete : bool
        False for a run that was stopped early; it holds the results so far.
    scores : dict of str to list of Record
        By method, one a repetition.
    losses : list of dict
        Loss after both stages, one entry a repetition.
    certificates : list of Certificate
        Of the solver "gibbs", one a repetition; empty for the dynamics, which have none.
    model, split, frames, confusion, assumptions
        Of the first repetition: the fitted network, its data, its recorded features, the
        test confusion matrix (true class by row), and the paper's assumptions.
    """

    config: RunConfig
    complete: bool
    scores: dict[str, list[Record]]
    losses: list[dict[str, float]]
    certificates: list[Certificate]
    assumptions: tuple[AssumptionCheck, ...]
    model: TwoStageClassifier
    split: Split
    frames: FrameRecorder
    confusion: NDArray[np.int64]

    @property
    def saved_model(self) -> SavedModel:
        """The network of the first repetition with its column scaling."""
        split = self.split
        return SavedModel(self.model, split.shift, split.scale, split.feature_names)


def execute(
    config: RunConfig,
    *,
    source: Dataset | Distribution | None = None,
    progress: bool = True,
    say: Callable[[str], None] | None = None,
    stopper: Stopper | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Train and measure every method on every repetition.

    `source` is what :func:`eval.app.run.splits.load` gave; None loads it again.

    `say` is called with what is being done. Once `stopper` is raised, the current training ends
    early and no other begins. An unfinished solver has nothing to measure: its repetition is
    dropped. With a `checkpoint` the network continues where it was stopped; the others, which take
    seconds, start again.

    Raises
    ------
    ValueError, FileNotFoundError
        If data or parameters are not usable.
    KeyboardInterrupt
        If the run was stopped before there was any result.
    """
    if config.repeats < 1:
        raise ValueError(f"repeats must be >= 1, got {config.repeats}")
    stopper = stopper or Stopper()
    source = source or load(config)
    scores: dict[str, list[Record]] = {}
    losses: list[dict[str, float]] = []
    certificates: list[Certificate] = []
    # Where a display shows the reports of the solver, they are not said a second time.
    watch = _watch(stopper, None if progress else say)
    first: tuple[TwoStageClassifier, Split, FrameRecorder] | None = None
    for repeat in range(config.repeats):
        if stopper.raised:
            break
        if say is not None and config.repeats > 1:
            say(f"repetition {repeat + 1} of {config.repeats}")
        split = draw_split(config, repeat, source)
        model = network(config, repeat, verbose=progress)
        frames = FrameRecorder(len(split.y), 0 if model.solver == "gibbs" else model.max_iter)
        observers = {**collapse_observers("nc1"), "frames": frames, "stop": stopper}
        try:
            score = _score(
                model,
                split,
                observers=observers,
                checkpoint=checkpoint and checkpoint.part(f"repetition-{repeat}"),
                on_newton_step=watch,
            )
        except StopRun:
            break
        scores.setdefault(OURS, []).append(score)
        if model.certificate_ is not None:
            certificates.append(model.certificate_)
        loss = model.stage_two_history_["loss"]
        losses.append({"stage one": float(loss[0]), "stage two": float(loss[-1])})
        for name, score in _others(config, repeat, split, progress, stopper, say, watch):
            scores.setdefault(name, []).append(score)
        first = first or (model, split, frames)
    if first is None:
        raise KeyboardInterrupt
    model, split, frames = first
    return Outcome(
        config,
        not stopper.raised,
        scores,
        losses,
        certificates,
        check_assumptions(model.problem(split.x, split.y)),
        model,
        split,
        frames,
        confusion_matrix(split.y_test, model.predict(split.x_test), labels=model.classes_),
    )


def network(config: RunConfig, repeat: int, **changes: Any) -> TwoStageClassifier:
    """The network that a run trains in this repetition, with these parameters changed."""
    parameters = {"random_state": config.seed + repeat, **config.model, **changes}
    return TwoStageClassifier(**parameters)


def _watch(stopper: Stopper, say: Callable[[str], None] | None) -> Progress:
    """A callback of the solver, which prints reports, and ends it once the stopper is raised."""

    def watch(report: SolverReport) -> None:
        if stopper.raised:
            raise StopRun
        if say is not None:
            say(describe_report(report))

    return watch


def _score(model: Any, split: Split, **options: Any) -> Record:
    parts = (split.x, split.y, split.x_test, split.y_test)
    return measure(model, parts, features=network_features, **options)[0]


def _others(
    config: RunConfig,
    repeat: int,
    split: Split,
    progress: bool,
    stopper: Stopper,
    say: Callable[[str], None] | None,
    watch: Progress,
) -> Iterator[tuple[str, Record]]:
    """Baselines and controls, until the stopper is raised."""
    for name, baseline in baseline_models(config.seed + repeat).items():
        if stopper.raised:
            return
        yield name, _score(baseline, split)
    if not config.controls or stopper.raised:
        return
    inputs = Record(nc1_train=nc1(split.x, split.y), nc1_test=nc1(split.x_test, split.y_test))
    yield "control: raw inputs", inputs
    untrained = network(config, repeat, solver="langevin", stage_two="linear", max_iter=0)
    yield "control: untrained neurons", _score(untrained, split)
    rng = np.random.default_rng(config.seed + repeat)
    shuffled = dataclasses.replace(split, y=rng.permutation(split.y))
    if say is not None:
        say("control: shuffled labels")
    model = network(config, repeat, verbose=progress)
    try:
        score = _score(model, shuffled, observers={"stop": stopper}, on_newton_step=watch)
    except StopRun:
        return
    except ArithmeticError as error:  # the run continues without a control that cannot be solved
        if say is not None:
            say(f"control: shuffled labels left out: {error}")
        return
    if not stopper.raised:
        yield "control: shuffled labels", score


def history(model: TwoStageClassifier) -> pd.DataFrame:
    """Both histories of a fitted network as one tidy table.

    Each stage has the columns that it has. "step" is the number of the step; the fraction of a
    Newton step that the solver took is "fraction". Where the solver took none, the columns of
    stage one are empty.
    """
    one = dict(model.history_)
    if model.measure_ is not None:
        fraction = one.pop("step")
        one = {"step": np.arange(1.0, len(fraction) + 1), "fraction": fraction, **one}
    stages = {"one": pd.DataFrame(one), "two": pd.DataFrame(model.stage_two_history_)}
    whole = pd.concat(stages, names=["stage"]).reset_index("stage").reset_index(drop=True)
    return whole.drop(columns=["frames", "stop"], errors="ignore")
