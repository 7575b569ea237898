"""The command `gibbsnet figure`: the paper's figures, and those of its theorems, redrawn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eval.app.shared.options import Output, job_options
from eval.app.shared.uses import TABLES, Facts, Use, Uses, refuse_unused, with_uses_in_help

if TYPE_CHECKING:
    from eval.app.figure.recipe import Recipe

__all__ = ["NAMES", "figure"]

NAMES = ("fig1a", "fig2a", "fig1b", "fig2b", "beta", "generalization", "two-stage") + (
    *("balance", "collapse"),
)
"""All figures; :data:`eval.app.figure.recipes.RECIPES` has how each is made."""

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


def _has_full(facts: Facts) -> bool:
    from eval.app.figure.recipes import RECIPES

    return bool(RECIPES[facts["name"]].full)


_ON_FILES = Use(f"is for {' and '.join(FILE_FIGURES)}", lambda facts: facts["name"] in FILE_FIGURES)

USES: Uses = {
    "full": Use("is for figures on MNIST", _has_full),
    "features": _ON_FILES,
    "target": _ON_FILES,
}


@with_uses_in_help(USES)
@click.command()
@click.argument("name", type=click.Choice(NAMES), metavar="NAME")
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
@job_options("figure", out="Folder [default: runs/figure-NAME].")
@click.pass_context
def figure(context: click.Context, /, name: str, output: Output, **options: Any) -> str:
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
    from eval.app.figure.production import produce, table
    from eval.app.figure.recipes import RECIPES
    from eval.app.shared.formats import flat
    from eval.data.loading import options_of

    recipe = RECIPES[name]
    refuse_unused(context, USES, context.params)
    if features := options["features"]:
        facts = {"data": features, "tables": options_of(features)}
        refuse_unused(context, {"target": TABLES["target"]}, facts)
    settings = _settings(recipe, **options)
    space = output.workspace(f"figure-{name}")
    measured = produce(recipe, settings, space)
    content = {
        "figure": name,
        "config": dataclasses.asdict(settings),
        "measured": [flat({"quantity": m.quantity, "value": m.value}) for m in measured],
        "folder": str(space.out),
    }
    text = f"{table(measured).to_string(index=False)}\n\n{output.seconds:.1f} s; "
    return output.text(content, f"{text}written to {space.out}")


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
    from eval.app.figure.recipe import changed

    if quick and full:
        raise ValueError("--quick and --full exclude each other")
    settings = recipe.sized(recipe.full if full else recipe.quick if quick else "")
    if recipe.name in FILE_FIGURES:
        changes = {"source": str(features or ""), "target": target or "", "per_class": 0}
        for option, name in (("--features", "source"), ("--target", "target")):
            if changes[name] and name in assignments:
                raise ValueError(f"{option} and --set {name} are the same setting: give one")
        settings = dataclasses.replace(settings, **changes)
    return changed(settings, assignments)
