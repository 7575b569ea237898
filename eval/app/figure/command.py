"""The command `gibbsnet figure`: the paper's figures, and those of its theorems, redrawn."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from eval.app.figure.production import produce, table
from eval.app.figure.recipe import Recipe, changed
from eval.app.figure.recipes import RECIPES
from eval.app.folders import explained, free_folder
from eval.app.formats import flat
from eval.app.job_folder import check_resume
from eval.app.parallel import available_cores

__all__ = ["figure"]

FILE_FIGURES = ("fig1b", "fig2b")


def _assignments(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise click.BadParameter(f"must be NAME=VALUE, got {text!r}")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


@click.command()
@click.argument("name", type=click.Choice(list(RECIPES)), metavar="NAME")
@click.option("--out", type=click.Path(path_type=Path), help="Folder [default: runs/figure-NAME].")
@click.option("--quick", is_flag=True, help="A small version, of seconds, to see that it works.")
@click.option("--full", is_flag=True, help="fig1a, fig2a, collapse: all of MNIST, from openml.org.")
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    help="fig1b, fig2b: NPZ, Parquet or CSV file of features with labels.",
)
@click.option("--target", metavar="COLUMN", help="Label column of that file [default: last].")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_assignments,
    help="Another value of a setting of config.json, such as seeds=8.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes [default: one a core].")
@click.option("--resume", is_flag=True, help="Go on with the figure in --out, if there is one.")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier figure.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of a table.")
def figure(
    name: str,
    out: Path | None,
    workers: int | None,
    resume: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw a figure of the gallery from runs made here, and print the numbers in it.

    \b
    fig1a           loss, NC1 and gradient norm on MNIST modulo 3
    fig2a           balancedness of the same runs
    fig1b, fig2b    the same on your own file of features, with noise
    beta            loss and NC1 of the solved Gibbs minimizer against beta
    generalization  test error and NC1 against the number of samples
    two-stage       loss, NC1 and test error through both stages
    balance         balance of the layers along their joint flow
    collapse        animation of the features while they collapse

    Every finished run is kept at once: what was killed goes on with --resume and the same
    options. Writes the figure as PNG and SVG, its table as NAME.csv, the numbers as
    measured.csv, and config.json.

    \b
    gibbsnet figure fig1a
    gibbsnet figure fig1b --features resnet50.npz --out runs/fig1b
    gibbsnet figure beta --set betas=10,100,1000 --set seeds=2
    """  # noqa: D301
    start = time.perf_counter()
    recipe = RECIPES[name]
    with explained():
        check_resume(out, resume=resume, force=force)
        settings = _settings(recipe, **options)
        folder = out or free_folder(f"figure-{name}")
        measured = produce(
            recipe,
            settings,
            folder,
            workers=workers or available_cores(),
            progress=not quiet and sys.stderr.isatty(),
            resume=resume,
            force=force,
        )
    if as_json:
        content = {
            "figure": name,
            "config": dataclasses.asdict(settings),
            "measured": [flat({"quantity": m.quantity, "value": m.value}) for m in measured],
            "folder": str(folder),
        }
        click.echo(json.dumps(content, indent=2))
        return
    seconds = time.perf_counter() - start
    click.echo(f"{table(measured).to_string(index=False)}\n\n{seconds:.1f} s; written to {folder}")


def _settings(
    recipe: Recipe,
    *,
    quick: bool,
    full: bool,
    features: Path | None,
    target: str | None,
    assignments: dict[str, str],
) -> Any:
    """The settings of the recipe with what the options say."""
    if quick and full:
        raise ValueError("--quick and --full exclude each other")
    if full and not recipe.full:
        raise ValueError(f"--full is for figures on MNIST, not for {recipe.name}")
    changes = dict(recipe.full if full else recipe.quick if quick else {})
    if recipe.name in FILE_FIGURES:
        changes |= {"source": str(features or ""), "target": target or "", "per_class": 0}
    elif features is not None or target is not None:
        raise ValueError(f"--features and --target are for {' and '.join(FILE_FIGURES)}")
    return changed(dataclasses.replace(recipe.settings, **changes), assignments)
