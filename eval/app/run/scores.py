"""Scores of methods, one each repetition, and their table with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.accuracy import Interval, mean_interval, repeated_error
from eval.app.shared.formats import as_text, number
from eval.comparison.folds import OURS

__all__ = ["Score", "paired_difference", "summarize", "summarize_error", "table"]


@dataclass(frozen=True)
class Score:
    """How one method did on one split. Errors are mismatch errors (balanced by class)."""

    train_error: float | None
    test_error: float | None
    interval: tuple[float, float] | None
    nc1_train: float | None
    nc1_test: float | None
    seconds: float | None


def summarize(values: list[float | None], overlap: float) -> Interval | None:
    """Mean share over the repetitions, with its interval; None for a method without it."""
    numbers = [value for value in values if value is not None]
    return mean_interval(numbers, overlap=overlap, within=(0, 1)) if numbers else None


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
    difference = np.array(other, dtype=float) - np.array(ours, dtype=float)
    return mean_interval(difference, overlap=overlap, within=(-1, 1))


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
    return "-" if interval is None else number(100 * interval.estimate, "{:.2f}")
