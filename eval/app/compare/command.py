"""The command `gibbsnet compare`: the network beside other classifiers on several data sets."""

from __future__ import annotations

from typing import Any

import click

from eval.app.compare.config import USES, CompareConfig, load_used
from eval.app.shared.options import Output, config_options, data_option, job_options
from eval.app.shared.uses import recorded, with_uses_in_help

__all__ = ["compare"]


@with_uses_in_help(USES)
@click.command()
@data_option(
    "separable, its variants -student, -planar, -imbalanced and -noisy, built-in data "
    "sets, files, openml:NUMBER, or MODULE:OBJECT for your own Python loader or distribution, "
    "with commas between.",
    default="wine,breast_cancer,digits",
    more=",...",
)
@click.option("--target", metavar="COLUMN", help="Label column of the files [default: last].")
@click.option(
    "--tuned",
    is_flag=True,
    help="Tune every method alike by inner folds, and test it on the outer ones.",
)
@config_options(CompareConfig)
@click.option(
    "--methods",
    metavar="NAME,...",
    help="Methods beside the network [default: all eight].",
)
@job_options("comparison")
@click.pass_context
def compare(
    context: click.Context, /, data: str, tuned: bool, output: Output, **options: Any
) -> str:
    """Compare the two-stage network with eight classifiers.

    Settings are fixed; with --tuned they are chosen, from as many candidates for every method,
    by cross-validation inside the training part of each fold. Prints one table a data set
    and writes compare.csv (one line a method and fold), summary.csv, compare.md, config.json,
    and a figure as PNG and SVG; with --tuned also predictions.csv and spaces.json. Every
    finished job of --tuned is kept at once: after a kill, --resume continues.

    \b
    gibbsnet compare                                  # wine, breast_cancer, digits
    gibbsnet compare --data my.csv,separable --controls
    gibbsnet compare --tuned --out runs/tuned
    gibbsnet compare --tuned --out runs/tuned --resume   # after a kill
    """  # noqa: D301
    from eval.app.compare.fixed import execute
    from eval.app.compare.tables import content, report, write
    from eval.app.compare.tuned import execute_tuned
    from eval.app.shared.formats import versions

    names = tuple(name.strip() for name in data.split(","))
    loaded, facts = load_used(context, names)
    methods = options.pop("methods")
    if methods is not None:
        options["methods"] = tuple(name.strip() for name in methods.split(","))
    config = CompareConfig(names, **options)
    space = output.workspace("compare-tuned" if tuned else "compare")
    if tuned:
        used = config.tuned(drawn=facts["drawn"])
        results = execute_tuned(config, used, loaded, space)
    else:
        used = recorded(config, USES, facts)
        with space.staged() as scratch:
            results = execute(config, loaded, progress=output.progress)
            write(results, scratch, {"config.json": used | {"versions": versions()}})
    text = "\n\n".join(report(result) for result in results)
    return output.text(
        {"config": used, "data": content(results), "folder": str(space.out)},
        f"{text}\n\n{output.seconds:.1f} s in all; written to {space.out}",
    )
