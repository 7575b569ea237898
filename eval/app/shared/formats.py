"""Formats of results: JSON, tables of texts, intervals as three columns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from eval.accuracy import Interval
from stages.files import whole_file

__all__ = ["as_text", "dump", "finite", "flat", "markdown", "number", "versions", "write_files"]


def number(value: float, form: str) -> str:
    """Write a number; what rounds to zero has no sign.

    Examples
    --------
    >>> number(-0.0, "{:.4g}"), number(-1e-9, "{:.2f}"), number(-0.5, "{:.4g}")
    ('0', '0.00', '-0.5')
    """
    return form.replace(":", ":z", 1).format(float(value))


def as_text(interval: Interval | None, form: str, factor: float = 1) -> str:
    """Write an estimate with its ends, if it has any; "-" for None."""
    if interval is None:
        return "-"
    estimate, low, high = (number(factor * value, form) for value in interval)
    return f"{estimate} [{low}, {high}]" if math.isfinite(interval.low) else estimate


def markdown(frame: pd.DataFrame) -> str:
    """Turn a table of texts into Markdown."""
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Write every interval as three columns, name, name_low and name_high; NaN as None."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Interval):
            ends = [end if math.isfinite(end) else None for end in value]
            cells |= zip((name, f"{name}_low", f"{name}_high"), ends, strict=True)
        else:
            cells[name] = value
    return cells


def versions() -> dict[str, str]:
    """Versions of the packages that the numbers depend on."""
    return {name: version(name) for name in ("gibbsnet", "torch", "numpy", "scipy", "scikit-learn")}


def finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON has not, by None; inside of lists and dicts too."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(entry) for name, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, list | tuple) else value


def dump(path: Path, content: Mapping[str, Any], **options: Any) -> None:
    """Write JSON in one line a value, with a newline at the end; infinities need `allow_nan`."""
    text = json.dumps(content, **{"indent": 2, "allow_nan": False} | options)
    path.write_text(f"{text}\n", encoding="utf-8")


def write_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Write tables as CSV, dictionaries as JSON and texts into a folder, each file whole."""
    for name, content in files.items():
        with whole_file(folder / name) as scratch:
            if isinstance(content, pd.DataFrame):
                content.to_csv(scratch, index=False)
            elif isinstance(content, str):
                scratch.write_text(content, encoding="utf-8")
            else:
                dump(scratch, content)
