"""What was measured on one data set, and its rows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.app.shared.formats import flat
from eval.comparison.folds import Comparison
from eval.data.dataset import Dataset

__all__ = ["Result", "summary_rows"]


@dataclass(frozen=True, eq=False)
class Result:
    """One data set and what was measured on it."""

    data: Dataset
    comparison: Comparison

    @property
    def title(self) -> str:
        """Name, size and split in words."""
        n, d = self.data.x.shape
        records = self.comparison.records
        repeats, folds = self.comparison.repeats, self.comparison.folds
        cut = f"{repeats} x {folds}" if repeats > 1 else f"{folds}"
        split = (
            f"mean of {cut} stratified folds"
            if folds > 1
            else f"one split, {records[0].n_test} held out"
        )
        return f"{self.data.name}, n={n}, d={d}, q={len(np.unique(self.data.y))}; {split}"


def summary_rows(result: Result) -> list[dict[str, Any]]:
    """One row a method, for :func:`eval.app.shared.formats.flat`."""
    return [
        {"data": result.data.name, **flat(dataclasses.asdict(row))}
        for row in result.comparison.summary()
    ]
