"""The production of a figure: its runs, its table, its numbers, its picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from eval.app.figure.recipe import Measured, Recipe, Rows
from eval.app.shared.formats import as_text, flat, markdown, versions
from eval.app.shared.job_folder import job_folder
from eval.app.shared.parallel import run_jobs
from stages.files import whole_file

__all__ = ["produce", "table"]


def produce(
    recipe: Recipe,
    settings: Any,
    out: Path,
    *,
    workers: int,
    progress: bool = False,
    resume: bool = False,
    force: bool = False,
) -> list[Measured]:
    """Make a figure in the folder `out`; return what was measured.

    The folder holds config.json, the table behind the figure as NAME.csv, the numbers as
    measured.csv, the figure as PNG and SVG, and the finished runs in jobs.
    """
    from eval.app.figure.drawing import draw

    jobs = {f"{name}.json": partial(_content, job) for name, job in recipe.jobs(settings).items()}
    config = dataclasses.asdict(settings)
    made_with = versions() | {"matplotlib": version("matplotlib")}
    with job_folder(
        "figure", recipe.name, config, made_with, out, resume=resume, force=force
    ) as folder:
        runs = run_jobs(jobs, _rows, folder, workers=workers, progress=progress, label=recipe.name)
        frame = pd.DataFrame(row for rows in runs for row in rows)
        measured = recipe.measure(settings, frame)
        cells = [flat(dataclasses.asdict(each) | {"value": each.value}) for each in measured]
        for name, shown in ((recipe.name, frame), ("measured", pd.DataFrame(cells))):
            with whole_file(out / f"{name}.csv") as scratch:
                shown.to_csv(scratch, index=False)
        with whole_file(out / "measured.md") as scratch:
            scratch.write_text(markdown(table(measured)) + "\n", encoding="utf-8")
        draw(recipe, settings, frame, out)
    return measured


def table(measured: list[Measured]) -> pd.DataFrame:
    """One row a number, as texts."""
    return pd.DataFrame(
        {
            "quantity": each.quantity,
            "measured [95 %]": as_text(each.value, "{:.4g}"),
            "paper": each.paper or "-",
        }
        for each in measured
    )


def _content(job: Callable[[], Rows]) -> dict[str, Any]:
    """The rows of a run as JSON, which has no infinity and no NaN."""
    return {"rows": [{name: _finite(value) for name, value in row.items()} for row in job()]}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rows(content: dict[str, Any]) -> Rows:
    rows: Rows = content["rows"]
    return rows
