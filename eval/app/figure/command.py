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
from eval.app.shared.folders import explained, free_folder
from eval.app.shared.formats import flat
from eval.app.shared.job_folder import check_resume
from eval.app.shared.options import TABLES, Use, Uses, only_where_used, refuse_unused
from eval.app.shared.parallel import available_cores
from eval.data.loading import options_of

__all__ = ["figure"]

FILE_FIGURES = ("fig1b", "fig2b")


def _assignments(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"must be NAME=VALUE, got {text!r}")
        if name in found:
            raise click.BadParameter(f"must be given once for each setting, got {name!r} twice")
        found[name] = value
    return found


_ON_FILES = Use(f"is for {' and '.join(FILE_FIGURES)}", lambda facts: facts["name"] in FILE_FIGURES)

USES: Uses = {
    "full": Use("is for figures on MNIST", lambda facts: bool(RECIPES[facts["name"]].full)),
    "features": _ON_FILES,
    "target": _ON_FILES,
}


@only_where_used(USES)
@click.command()
@click.argument("name", type=click.Choice(list(RECIPES)), metavar="NAME")
@click.option("--out", type=click.Path(path_type=Path), help="Folder [default: runs/figure-NAME].")
@click.option("--quick", is_flag=True, help="A small version, of seconds, to see that it works.")
@click.option("--full", is_flag=True, help="All of MNIST, from openml.org.")
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    help="NPZ, Parquet or CSV file of features with labels.",
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
@click.option("--resume", is_flag=True, help="Continue the figure in --out, if there is one.")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier figure.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of a table.")
@click.pass_context
def figure(
    context: click.Context,
    /,
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

    Every finished run is kept at once: after a kill it continues with --resume and the same
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
        refuse_unused(context, USES, context.params)
        if features := options["features"]:
            refuse_unused(
                context,
                {"target": TABLES["target"]},
                {"data": features, "tables": options_of(features)},
            )
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
    changes = dict(recipe.full if full else recipe.quick if quick else {})
    if recipe.name in FILE_FIGURES:
        changes |= {"source": str(features or ""), "target": target or "", "per_class": 0}
        for option, name in (("--features", "source"), ("--target", "target")):
            if changes[name] and name in assignments:
                raise ValueError(f"{option} and --set {name} are the same setting: give one")
    return changed(dataclasses.replace(recipe.settings, **changes), assignments)
