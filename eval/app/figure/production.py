"""The production of a figure: its runs, its table, its numbers, its picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import pandas as pd

from eval.app.figure.recipe import Measured, Recipe, Rows
from eval.app.shared.formats import as_text, finite, flat, markdown, write_files
from eval.app.shared.plots import save_figure
from eval.app.shared.workspace import Workspace
from stages.files import whole_file

__all__ = ["produce", "table"]


def produce(recipe: Recipe, settings: Any, space: Workspace) -> list[Measured]:
    """Make a figure in a folder; return what was measured.

    The folder holds config.json, the table behind the figure as NAME.csv, the numbers as
    measured.csv, the figure as PNG and SVG, and the finished runs in jobs.
    """
    jobs = {f"{name}.json": partial(_content, job) for name, job in recipe.jobs(settings).items()}
    config = dataclasses.asdict(settings)
    with space.jobs("figure", recipe.name, config, {"matplotlib": version("matplotlib")}):
        runs = space.run(jobs, _rows, recipe.name)
        frame = pd.DataFrame(row for rows in runs for row in rows)
        measured = recipe.measure(settings, frame)
        cells = [flat(dataclasses.asdict(each) | {"value": each.value}) for each in measured]
        files = {
            f"{recipe.name}.csv": frame,
            "measured.csv": pd.DataFrame(cells),
            "measured.md": markdown(table(measured)) + "\n",
        }
        write_files(space.out, files)
        save_figure(recipe.draw(settings, frame), space.out / f"{recipe.name}.png")
        if recipe.animate is not None:
            with whole_file(space.out / f"{recipe.name}.gif") as scratch:
                recipe.animate(frame, scratch)
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
    return {"rows": finite(job())}


def _rows(content: dict[str, Any]) -> Rows:
    rows: Rows = content["rows"]
    return rows
