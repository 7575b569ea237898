"""The command `gibbsnet compare`: the network beside other classifiers on several data sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from tqdm import tqdm

from eval.app.compare.config import USES, CompareConfig, load_used
from eval.app.compare.tables import Result, content, report, write
from eval.app.compare.tuned import execute_tuned
from eval.app.shared.formats import versions
from eval.app.shared.options import Output, config_options, data_option, job_options
from eval.app.shared.uses import recorded, with_uses_in_help
from eval.comparison.baselines import comparison_models
from eval.comparison.folds import Comparison
from eval.comparison.folds import compare_baselines as measure
from eval.comparison.records import FoldRecord
from eval.data.dataset import Dataset

__all__ = ["compare", "execute"]


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
