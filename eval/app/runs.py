"""A run: train the network and its company on the same data, and measure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from eval.accuracy import (
    Interval,
    mean_interval,
    mismatch_error,
    mismatch_interval,
    repeated_error,
)
from eval.app.formats import as_text
from eval.app.model_store import SavedModel
from eval.app.recorder import FrameRecorder, Stopper
from eval.baselines import baseline_models
from eval.collapse import collapse_observers, nc1
from eval.comparison import OURS
from eval.data import Dataset, Distribution, load_source
from eval.synthetic import SeparableDistribution
from eval.theory import AssumptionCheck, check_assumptions
from stages import TwoStageClassifier

__all__ = ["OURS", "Outcome", "RunConfig", "Score", "Split", "draw_split", "execute", "table"]


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


@dataclass(frozen=True, eq=False)
class Split:
    """Training and test samples, as every method sees them: (raw - shift) / scale."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[Any]
    x_test: NDArray[np.float64]
    y_test: NDArray[Any]
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    feature_names: tuple[str, ...]
    fresh: bool

    @property
    def overlap(self) -> float:
        """n_test / n_train for splits of one data set, 0 for a fresh draw."""
        return 0.0 if self.fresh else len(self.y_test) / len(self.y)


@dataclass(frozen=True)
class Score:
    """How one method did on one split. Errors are mismatch errors (balanced by class)."""

    train_error: float | None
    test_error: float | None
    interval: tuple[float, float] | None
    nc1_train: float | None
    nc1_test: float | None
    seconds: float | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run gives.

    Attributes
    ----------
    complete : bool
        False for a run that was stopped early; it holds what there was.
    scores : dict of str to list of Score
        By method, one score a repetition.
    losses : list of dict
        Loss after both stages, one entry a repetition.
    model, split, frames, confusion, assumptions
        Of the first repetition: the fitted network, its data, its features on the way, the
        test confusion matrix (true class by row), and the paper's assumptions.
    """

    config: RunConfig
    complete: bool
    scores: dict[str, list[Score]]
    losses: list[dict[str, float]]
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


def load(config: RunConfig) -> Dataset | Distribution | None:
    """Load what the data option names; None for "separable", drawn anew in each repetition."""
    if config.data == "separable":
        return None
    return load_source(config.data, config.target, index=config.index, separator=config.separator)


def draw_split(
    config: RunConfig, repeat: int, source: Dataset | Distribution | None = None
) -> Split:
    """Draw the data, or the stratified split, of one repetition.

    `source` is what :func:`load` gave; None loads it again.
    """
    source = source or load(config)
    if isinstance(source, Dataset):
        return _split_dataset(source, config, config.seed + repeat)
    return _draw_fresh(source, config, config.seed + repeat)


def _split_dataset(data: Dataset, config: RunConfig, seed: int) -> Split:
    x, x_test, y, y_test = train_test_split(
        data.x, data.y, test_size=config.test_size, stratify=data.y, random_state=seed
    )
    shift, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    if data.standardize:
        scaler = StandardScaler().fit(x)
        shift, scale = scaler.mean_, scaler.scale_
    return Split(
        name=f"{data.name}, n={len(x)}, {len(x_test)} held out",
        x=(x - shift) / scale,
        y=y,
        x_test=(x_test - shift) / scale,
        y_test=y_test,
        shift=shift,
        scale=scale,
        feature_names=data.feature_names or _default_names(x.shape[1]),
        fresh=False,
    )


def _draw_fresh(law: Distribution | None, config: RunConfig, seed: int) -> Split:
    name = f"{config.data}, n={config.n_samples}, {config.n_test} fresh test points"
    if law is None:
        law = SeparableDistribution(
            config.n_features, config.n_classes, margin=config.margin, random_state=seed
        )
        name = (
            f"separable, q={config.n_classes}, d={config.n_features}, tau/M={config.margin:g}, "
            f"n={config.n_samples}, {config.n_test} fresh test points"
        )
    train, test = np.random.SeedSequence(seed).generate_state(2)
    x, y = law.sample(config.n_samples, int(train))
    x_test, y_test = law.sample(config.n_test, int(test))
    for option, labels in (("--n-samples", y), ("--n-test", y_test)):
        classes, counts = np.unique(labels, return_counts=True)
        if len(classes) < len(np.unique(y_test)) or counts.min() < 2:
            raise ValueError(
                f"{option}={len(labels)} is too small: every class needs at least 2 samples"
            )
    d = x.shape[1]
    return Split(name, x, y, x_test, y_test, np.zeros(d), np.ones(d), _default_names(d), fresh=True)


def _default_names(d: int) -> tuple[str, ...]:
    return tuple(f"x{k}" for k in range(d))


def execute(
    config: RunConfig,
    *,
    progress: bool = True,
    say: Callable[[str], None] | None = None,
    stopper: Stopper | None = None,
) -> Outcome:
    """Train and measure every method on every repetition.

    `say` is told what is done; once `stopper` is raised, the training in hand ends early and
    nothing more is begun.

    Raises
    ------
    ValueError, FileNotFoundError
        If data or parameters are not usable.
    """
    if config.repeats < 1:
        raise ValueError(f"repeats must be >= 1, got {config.repeats}")
    stopper = stopper or Stopper()
    source = load(config)
    scores: dict[str, list[Score]] = {}
    losses: list[dict[str, float]] = []
    first: tuple[TwoStageClassifier, Split, FrameRecorder] | None = None
    for repeat in range(config.repeats):
        if stopper.raised:
            break
        if say is not None and config.repeats > 1:
            say(f"repetition {repeat + 1} of {config.repeats}")
        split = draw_split(config, repeat, source)
        model = _network(config, repeat, verbose=progress)
        frames = FrameRecorder(len(split.y), model.max_iter)
        observers = {**collapse_observers("nc1"), "frames": frames, "stop": stopper}
        scores.setdefault(OURS, []).append(_score(model, split, observers))
        stage_one, stage_two = (float(v) for v in model.stage_two_history_["loss"])
        losses.append({"stage one": stage_one, "stage two": stage_two})
        for name, score in _company(config, repeat, split, progress, stopper):
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
        check_assumptions(model.problem(split.x, split.y)),
        model,
        split,
        frames,
        confusion_matrix(split.y_test, model.predict(split.x_test), labels=model.classes_),
    )


def _network(config: RunConfig, repeat: int, **changes: Any) -> TwoStageClassifier:
    parameters = {"random_state": config.seed + repeat, **config.model, **changes}
    return TwoStageClassifier(**parameters)


def _score(model: Any, split: Split, observers: dict[str, Any] | None = None) -> Score:
    start = time.perf_counter()
    model.fit(split.x, split.y, **({"observers": observers} if observers else {}))
    seconds = time.perf_counter() - start
    collapse: tuple[float | None, float | None] = (None, None)
    if isinstance(model, TwoStageClassifier):
        collapse = (
            nc1(model.transform(split.x), split.y),
            nc1(model.transform(split.x_test), split.y_test),
        )
    estimate, low, high = mismatch_interval(split.y_test, model.predict(split.x_test))
    train = mismatch_error(split.y, model.predict(split.x))
    return Score(train, estimate, (low, high), *collapse, seconds)


def _company(
    config: RunConfig, repeat: int, split: Split, progress: bool, stopper: Stopper
) -> Iterator[tuple[str, Score]]:
    """Baselines and controls, until the stopper is raised."""
    for name, baseline in baseline_models(config.seed + repeat).items():
        if stopper.raised:
            return
        yield name, _score(baseline, split)
    if not config.controls or stopper.raised:
        return
    inputs = (nc1(split.x, split.y), nc1(split.x_test, split.y_test))
    yield "control: raw inputs", Score(None, None, None, *inputs, None)
    yield "control: untrained neurons", _score(_network(config, repeat, max_iter=0), split)
    rng = np.random.default_rng(config.seed + repeat)
    shuffled = dataclasses.replace(split, y=rng.permutation(split.y))
    network = _network(config, repeat, verbose=progress)
    score = _score(network, shuffled, {"stop": stopper})
    if not stopper.raised:
        yield "control: shuffled labels", score


def summarize(values: list[float | None], overlap: float) -> Interval | None:
    """Mean over the repetitions with its t interval; None for a method without that number."""
    numbers = [value for value in values if value is not None]
    return mean_interval(numbers, overlap=overlap) if numbers else None


def summarize_error(scores: list[Score], overlap: float) -> Interval | None:
    """Test error with its interval, see :func:`repeated_error`; None for a method without one."""
    runs = [
        Interval(score.test_error, *score.interval)
        for score in scores
        if score.interval and score.test_error is not None
    ]
    return repeated_error(runs, overlap) if runs else None


def paired_difference(scores: dict[str, list[Score]], name: str, overlap: float) -> Interval | None:
    """Test error of another method minus ours, paired by repetition; None without pairs."""
    other = [score.test_error for score in scores[name]]
    ours = [score.test_error for score in scores[OURS]][: len(other)]
    if name == OURS or len(ours) < 2 or None in other:
        return None
    return mean_interval(
        np.array(other, dtype=float) - np.array(ours, dtype=float), overlap=overlap
    )


def table(scores: dict[str, list[Score]], overlap: float) -> pd.DataFrame:
    """One row a method: errors in percent with 95 % intervals, NC1, seconds.

    `overlap` is that of :func:`eval.mean_interval`: n_test / n_train for splits of one data
    set, 0 for fresh data in every repetition.
    """
    rows = []
    for name, runs in scores.items():
        row = {
            "method": name,
            "train error %": _percent(summarize([s.train_error for s in runs], overlap)),
            "test error % [95 %]": as_text(summarize_error(runs, overlap), "{:.2f}", 100),
            "NC1 train": as_text(summarize([s.nc1_train for s in runs], overlap), "{:.4f}"),
            "NC1 test": as_text(summarize([s.nc1_test for s in runs], overlap), "{:.4f}"),
            "fit s": "-" if runs[0].seconds is None else f"{_mean_seconds(runs):.2f}",
        }
        if len(scores[OURS]) > 1:
            difference = paired_difference(scores, name, overlap)
            row["error minus ours % [95 %]"] = as_text(difference, "{:.2f}", 100)
        rows.append(row)
    return pd.DataFrame(rows)


def _mean_seconds(scores: list[Score]) -> float:
    return float(np.mean([score.seconds or 0.0 for score in scores]))


def _percent(interval: Interval | None) -> str:
    return "-" if interval is None else f"{100 * interval.estimate:.2f}"


def history(model: TwoStageClassifier) -> pd.DataFrame:
    """Both histories of a fitted network as one tidy table."""
    stages = []
    for name, columns in (("one", model.history_), ("two", model.stage_two_history_)):
        frame = pd.DataFrame(columns).drop(columns=["frames", "stop"], errors="ignore")
        frame.insert(0, "stage", name)
        stages.append(frame)
    return pd.concat(stages, ignore_index=True)
