"""How methods did, summed up in one table with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from eval.accuracy import Interval, mean_interval, repeated_error
from eval.app.shared.formats import as_text, finite
from eval.comparison.folds import OURS
from eval.comparison.records import MethodSummary, Record, summarize

__all__ = [
    "COLUMNS",
    "Scores",
    "method_table",
    "record_fields",
    "run_table",
    "stored_record",
    "test_error",
]

Scores = Mapping[str, Sequence[Record]]
"""By method, one record a repetition."""

COLUMNS = ["method", "train error %", "test error % [95 %]", "NC1 train", "NC1 test", "fit s"]
DIFFERENCE = "error minus ours % [95 %]"


def method_table(rows: Iterable[MethodSummary]) -> pd.DataFrame:
    """One row a method, as texts: errors in percent with 95 % intervals, NC1, seconds."""
    return pd.DataFrame(
        {
            "method": row.method,
            "train error %": as_text(row.train_error, "{:.2f}", 100).partition(" ")[0],
            "test error % [95 %]": as_text(row.test_error, "{:.2f}", 100),
            DIFFERENCE: as_text(row.difference, "{:.2f}", 100),
            "NC1 train": as_text(row.nc1_train, "{:.4f}"),
            "NC1 test": as_text(row.nc1_test, "{:.4f}"),
            "fit s": "-" if math.isnan(row.fit_seconds) else f"{row.fit_seconds:.2f}",
            "predict s": f"{row.predict_seconds:.4f}",
        }
        for row in rows
    )


def run_table(scores: Scores, overlap: float) -> pd.DataFrame:
    """The table of a run.

    `overlap` is that of :func:`eval.mean_interval`: n_test / n_train for splits of one data
    set, 0 for fresh data in every repetition.
    """
    rows = [
        summarize(
            name,
            runs,
            overlap,
            test_error=test_error(runs, overlap),
            difference=paired_difference(scores, name, overlap),
        )
        for name, runs in scores.items()
    ]
    return method_table(rows)[COLUMNS + [DIFFERENCE] * (len(scores[OURS]) > 1)]


def test_error(runs: Sequence[Record], overlap: float) -> Interval | None:
    """Test error with its interval, see :func:`repeated_error`; None for a method without one."""
    known = [
        Interval(run.test_error, run.test_error_low, run.test_error_high)
        for run in runs
        if not math.isnan(run.test_error)
    ]
    return repeated_error(known, overlap) if known else None


def paired_difference(scores: Scores, name: str, overlap: float) -> Interval | None:
    """Test error of another method minus ours, paired by repetition; None without pairs."""
    other = np.array([run.test_error for run in scores[name]])
    ours = np.array([run.test_error for run in scores[OURS]])[: len(other)]
    if name == OURS or len(ours) < 2 or np.isnan(other).any():
        return None
    return mean_interval(other - ours, overlap=overlap, within=(-1, 1))


def record_fields(run: Record) -> dict[str, Any]:
    """What metrics.json holds of a record; None for what was not measured."""
    measured: dict[str, Any] = finite(vars(run))
    ends = [measured["test_error_low"], measured["test_error_high"]]
    return {
        "train_error": measured["train_error"],
        "test_error": measured["test_error"],
        "interval": None if None in ends else ends,
        "nc1_train": measured["nc1_train"],
        "nc1_test": measured["nc1_test"],
        "seconds": measured["fit_seconds"],
    }


def stored_record(row: Mapping[str, Any]) -> Record:
    """The record of :func:`record_fields`."""
    low, high = row["interval"] or (None, None)
    values = {
        "train_error": row["train_error"],
        "test_error": row["test_error"],
        "test_error_low": low,
        "test_error_high": high,
        "fit_seconds": row["seconds"],
    }
    known = {name: value for name, value in values.items() if value is not None}
    return Record(**known, nc1_train=row["nc1_train"], nc1_test=row["nc1_test"])
