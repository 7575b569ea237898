"""Tables and figure of a study."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pandas as pd

from eval.accuracy import Interval
from eval.app.shared.formats import as_text, flat, markdown, write_files
from eval.app.shared.plots import save_figure
from eval.app.study.config import STUDY, StudyConfig
from eval.app.study.drawing import draw

__all__ = ["content", "rate_table", "table", "write"]


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a margin and size, as texts."""
    return pd.DataFrame(
        {
            "tau/M": f"{row['margin']:g}",
            "n": str(row["n"]),
            "test error % [95 %]": as_text(row["test_error"], "{:.3f}", 100),
            "NC1 test [95 %]": as_text(row["nc1_test"], "{:.4f}"),
            "NC1 train [95 %]": as_text(row["nc1_train"], "{:.4f}"),
        }
        for row in rows
    )


def rate_table(rates: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a fit, as texts."""
    return pd.DataFrame(
        {
            "quantity": rate["quantity"].replace("_", " "),
            "tau/M": f"{rate['margin']:g}",
            "r of n^-r [95 %]": as_text(rate["rate"], "{:.2f}"),
            "fitted on n": ", ".join(map(str, rate["sizes"])) or "-",
            "note": rate["note"],
        }
        for rate in rates
    )


def content(
    config: StudyConfig, rows: list[dict[str, Any]], rates: list[dict[str, Any]]
) -> dict[str, Any]:
    """The content that `--json` prints."""
    return {
        "study": STUDY,
        "config": dataclasses.asdict(config),
        "rows": [flat(row) for row in rows],
        "rates": [flat(rate) for rate in rates],
    }


def write(
    config: StudyConfig,
    results: pd.DataFrame,
    rows: list[dict[str, Any]],
    rates: list[dict[str, Any]],
    folder: Path,
) -> None:
    """Write tables and figure into the folder of the study, each file completely or not at all."""
    files = {
        "results.csv": results,
        "study.csv": pd.DataFrame(flat(row) for row in rows),
        "rates.csv": pd.DataFrame(_flat_rate(rate) for rate in rates),
        "study.md": f"{markdown(table(rows))}\n\n{markdown(rate_table(rates))}\n",
    }
    write_files(folder, files)
    save_figure(draw(config, results, train=True), folder / "study.png")


def _flat_rate(rate: dict[str, Any]) -> dict[str, Any]:
    none = Interval(math.nan, math.nan, math.nan)
    sizes = " ".join(map(str, rate["sizes"]))
    return flat(rate | {"rate": rate["rate"] or none, "sizes": sizes})
