"""A run: train the network and its company on the same data, measure, keep everything."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from eval.accuracy import Interval, mean_interval, mismatch_error, mismatch_interval
from eval.baselines import baseline_models
from eval.collapse import nc1
from eval.loading import load_dataset
from eval.synthetic import SeparableDistribution
from eval.theory import AssumptionCheck, check_assumptions
from gibbs.langevin import LangevinState
from stages import TwoStageClassifier

__all__ = ["Outcome", "RunConfig", "Score", "Split", "draw_split", "execute", "table", "write"]

OURS = "two-stage network"


@dataclass(frozen=True)
class RunConfig:
    """All that is needed to repeat a run.

    Attributes
    ----------
    data : str
        "separable", a built-in data set, or a CSV file.
    target : str or None
        Label column of a CSV file.
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
    """Training and test samples, as every method sees them."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[Any]
    x_test: NDArray[np.float64]
    y_test: NDArray[Any]


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
    """What a run gives; `model`, `split`, and the features belong to its first repetition."""

    config: RunConfig
    scores: dict[str, list[Score]]
    losses: list[dict[str, float]]
    assumptions: tuple[AssumptionCheck, ...]
    model: TwoStageClassifier
    split: Split
    features_before: NDArray[np.float64]
    features_after: NDArray[np.float64]


def draw_split(config: RunConfig, repeat: int) -> Split:
    """Draw the data, or the stratified split, of one repetition."""
    seed = config.seed + repeat
    if config.data == "separable":
        law = SeparableDistribution(
            config.n_features, config.n_classes, margin=config.margin, random_state=seed
        )
        train, test = np.random.SeedSequence(seed).generate_state(2)
        name = (
            f"separable, q={config.n_classes}, d={config.n_features}, tau/M={config.margin:g}, "
            f"n={config.n_samples}, {config.n_test} fresh test points"
        )
        drawn = (*law.sample(config.n_samples, int(train)), *law.sample(config.n_test, int(test)))
        return Split(name, *drawn)
    data = load_dataset(config.data, config.target)
    x, x_test, y, y_test = train_test_split(
        data.x, data.y, test_size=config.test_size, stratify=data.y, random_state=seed
    )
    if data.standardize:
        scaler = StandardScaler().fit(x)
        x, x_test = scaler.transform(x), scaler.transform(x_test)
    return Split(f"{data.name}, n={len(x)}, {len(x_test)} held out", x, y, x_test, y_test)


def execute(
    config: RunConfig, *, progress: bool = True, say: Callable[[str], None] | None = None
) -> Outcome:
    """Train and measure every method on every repetition.

    Raises
    ------
    ValueError, FileNotFoundError
        If data or parameters are not usable.
    """
    scores: dict[str, list[Score]] = {}
    losses: list[dict[str, float]] = []
    first: tuple[Any, ...] | None = None
    for repeat in range(config.repeats):
        if say is not None and config.repeats > 1:
            say(f"repetition {repeat + 1} of {config.repeats}")
        split = draw_split(config, repeat)
        model = _network(config, repeat, verbose=progress)
        snapshots: list[NDArray[np.float64]] = []
        score = _score(
            model, split, {"nc1": _nc1_observer(split.y), "snapshot": _snapshot(snapshots)}
        )
        scores.setdefault(OURS, []).append(score)
        losses.append(
            {
                "stage one": float(model.stage_two_history_["loss"][0]),
                "stage two": float(model.stage_two_history_["loss"][1]),
            }
        )
        for name, other in baseline_models(config.seed + repeat).items():
            scores.setdefault(name, []).append(_score(other, split))
        if config.controls:
            for name, control in _controls(config, repeat, split, progress):
                scores.setdefault(name, []).append(control)
        if first is None:
            checks = check_assumptions(model.problem(split.x, split.y))
            first = (checks, model, split, snapshots[0], snapshots[-1])
    if first is None:
        raise ValueError(f"repeats must be >= 1, got {config.repeats}")
    return Outcome(config, scores, losses, *first)


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
    _, low, high = interval = mismatch_interval(split.y_test, model.predict(split.x_test))
    train = mismatch_error(split.y, model.predict(split.x))
    return Score(train, interval.estimate, (low, high), *collapse, seconds)


def _controls(
    config: RunConfig, repeat: int, split: Split, progress: bool
) -> Iterator[tuple[str, Score]]:
    inputs = (nc1(split.x, split.y), nc1(split.x_test, split.y_test))
    yield "control: raw inputs", Score(None, None, None, *inputs, None)
    untrained = _network(config, repeat, max_iter=0)
    yield "control: untrained neurons", _score(untrained, split)
    rng = np.random.default_rng(config.seed + repeat)
    shuffled = dataclasses.replace(split, y=rng.permutation(split.y))
    network = _network(config, repeat, verbose=progress)
    yield "control: shuffled labels", _score(network, shuffled)


def _nc1_observer(labels: NDArray[Any]) -> Callable[[LangevinState], float]:
    return lambda state: nc1(state.features, labels)


def _snapshot(kept: list[NDArray[np.float64]]) -> Callable[[LangevinState], float]:
    def observe(state: LangevinState) -> float:
        del kept[1:]
        kept.append(state.features.double().numpy())
        return float(state.step)

    return observe


def summarize(values: list[float | None]) -> Interval | None:
    """Mean over the repetitions with its t interval; None for a method without that number."""
    numbers = [value for value in values if value is not None]
    return mean_interval(numbers) if numbers else None


def error_interval(scores: list[Score]) -> Interval | None:
    """Test error with its 95 % interval; None for a method without one.

    One repetition: the binomial interval of its test samples. Several: Student's interval of
    their mean, but never narrower than R of those binomial intervals allow their mean to be:
    five runs without an error do not prove that the error is 0.
    """
    runs = [(s.test_error, *s.interval) for s in scores if s.interval and s.test_error is not None]
    if not runs:
        return None
    estimate, low, high = (float(v) for v in np.mean(runs, axis=0))
    if len(runs) == 1:
        return Interval(estimate, low, high)
    _, t_low, t_high = mean_interval([run[0] for run in runs])
    shrink = math.sqrt(len(runs))
    low = min(t_low, estimate - (estimate - low) / shrink)
    return Interval(estimate, max(0.0, low), max(t_high, estimate + (high - estimate) / shrink))


def paired_difference(outcome: Outcome, name: str) -> Interval | None:
    """Test error of another method minus ours, paired by repetition; None without pairs."""
    other = [score.test_error for score in outcome.scores[name]]
    ours = [score.test_error for score in outcome.scores[OURS]]
    if name == OURS or len(ours) < 2 or None in other:
        return None
    return mean_interval(np.array(other, dtype=float) - np.array(ours, dtype=float))


def table(outcome: Outcome) -> pd.DataFrame:
    """One row a method: errors in percent with 95 % intervals, NC1, seconds."""
    rows = []
    for name, scores in outcome.scores.items():
        row = {
            "method": name,
            "train error %": _percent(summarize([s.train_error for s in scores]), ends=False),
            "test error % [95 %]": _percent(error_interval(scores)),
            "NC1 train": _number(summarize([s.nc1_train for s in scores])),
            "NC1 test": _number(summarize([s.nc1_test for s in scores])),
            "fit s": "-" if scores[0].seconds is None else f"{_mean_seconds(scores):.2f}",
        }
        if outcome.config.repeats > 1:
            row["error minus ours % [95 %]"] = _percent(paired_difference(outcome, name))
        rows.append(row)
    return pd.DataFrame(rows)


def _mean_seconds(scores: list[Score]) -> float:
    return float(np.mean([score.seconds or 0.0 for score in scores]))


def _percent(interval: Interval | None, ends: bool = True) -> str:
    if interval is None:
        return "-"
    estimate, low, high = (100 * value for value in interval)
    return f"{estimate:.2f} [{low:.2f}, {high:.2f}]" if ends else f"{estimate:.2f}"


def _number(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    ends = f" [{interval.low:.4f}, {interval.high:.4f}]" if math.isfinite(interval.low) else ""
    return f"{interval.estimate:.4f}{ends}"


def history(model: TwoStageClassifier) -> pd.DataFrame:
    """Both histories of a fitted network as one tidy table."""
    stages = []
    for name, columns in (
        ("one", model.history_),
        ("two", model.stage_two_history_),
    ):
        frame = pd.DataFrame(columns).drop(columns="snapshot", errors="ignore")
        frame.insert(0, "stage", name)
        stages.append(frame)
    return pd.concat(stages, ignore_index=True)


def write(outcome: Outcome, folder: Path) -> None:
    """Write config.json, metrics.json, history.csv and the figure into an existing folder."""
    from eval.app.figures import draw_run

    versions = {name: version(name) for name in ("gibbsnet", "torch", "numpy", "scikit-learn")}
    machine = {"python": platform.python_version(), "threads": torch.get_num_threads()}
    config = dataclasses.asdict(outcome.config) | {"versions": versions | machine}
    _dump(folder / "config.json", config)
    metrics = {
        "data": outcome.split.name,
        "scores": {
            name: [dataclasses.asdict(score) for score in scores]
            for name, scores in outcome.scores.items()
        },
        "losses": outcome.losses,
        "assumptions": [dataclasses.asdict(check) for check in outcome.assumptions],
    }
    _dump(folder / "metrics.json", metrics)
    history(outcome.model).to_csv(folder / "history.csv", index=False)
    draw_run(
        history(outcome.model),
        outcome.features_before,
        outcome.features_after,
        outcome.split.y,
        folder / "run.png",
    )


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
