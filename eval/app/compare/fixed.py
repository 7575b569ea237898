"""A comparison with fixed settings, on the same folds for all methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from eval.app.compare.config import CompareConfig
from eval.app.compare.tables import Result
from eval.comparison.baselines import comparison_models
from eval.comparison.folds import Comparison
from eval.comparison.folds import compare_baselines as measure
from eval.comparison.records import FoldRecord
from eval.data.dataset import Dataset

__all__ = ["execute"]


def execute(
    config: CompareConfig, loaded: list[Dataset], *, progress: bool = False
) -> list[Result]:
    """Compare on each data set.

    Raises
    ------
    ValueError
        If one is not usable; the message names it.
    """
    splits = config.folds if config.test_size is None else 1
    methods = 1 + config.controls + len(comparison_models())
    with tqdm(total=len(loaded) * splits * methods, unit="fit", disable=not progress) as bar:
        return [Result(data, _compare(config, data, _mover(bar, data.name))) for data in loaded]


def _compare(
    config: CompareConfig, data: Dataset, on_record: Callable[[FoldRecord], None]
) -> Comparison:
    try:
        return measure(
            data.x,
            data.y,
            folds=config.folds,
            test_size=config.test_size,
            standardize=data.standardize,
            random_state=config.seed,
            controls=config.controls,
            on_record=on_record,
        )
    except ValueError as error:
        raise ValueError(f"--data {data.name}: {error}") from error


def _mover(bar: Any, name: str) -> Callable[[FoldRecord], None]:
    bar.set_description(name)

    def move(record: FoldRecord) -> None:
        bar.set_postfix_str(f"{record.method}, fold {record.fold + 1}", refresh=False)
        bar.update()

    return move
