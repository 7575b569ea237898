"""The command `gibbsnet check`: whether the classes of a data set are linearly separable."""

from __future__ import annotations

from typing import Any

import click

from eval.app.check.config import USES, CheckConfig
from eval.app.shared.options import (
    Output,
    config_options,
    data_option,
    file_options,
    output_options,
)
from eval.app.shared.uses import TABLES, recorded, refuse_unused, with_uses_in_help

__all__ = ["check"]


@with_uses_in_help(USES)
@click.command()
@click.argument("file", metavar="[FILE]", required=False)
@data_option(
    "In place of FILE: separable, a data set such as digits, or MODULE:OBJECT for your own "
    "Python loader or distribution."
)
@file_options
@click.option(
    "--standardize/--raw",
    default=None,
    help="Scale columns to mean 0 and variance 1, or not [default: as gibbsnet run does].",
)
@config_options(CheckConfig)
@output_options(
    out="Folder to write.",
    force="Replace the folder of an earlier check.",
    as_json="Print check.json, not the table.",
)
@click.pass_context
def check(
    context: click.Context,
    /,
    file: str | None,
    data: str | None,
    output: Output,
    **options: Any,
) -> str:
    """Say whether every class of FILE is linearly separable from the others, and how far.

    One line a class, through the origin (Definition 5.2 of the paper) and with an intercept.
    Margins are tau/M for inputs scaled into the unit ball, and largest ones. "Not separable" is
    proved by weights on the support points; "undecided" means that round-off is too large.

    With --out, writes check.json (directions, support points, multipliers), check.csv,
    config.json, and each class on its direction as PNG and SVG.

    \b
    gibbsnet check my.csv --target species
    gibbsnet check --data digits --out runs/digits-check
    """  # noqa: D301
    from eval.app.check import checking
    from eval.app.shared.workspace import check_folder
    from eval.data.dataset import Dataset
    from eval.data.loading import options_of

    if (file is None) == (data is None):
        raise ValueError("give either FILE or --data")
    if output.out is not None:
        check_folder(output.out, force=output.force)
    config = CheckConfig(data=file or data or "", **options)
    tables = {"data": config.data, "tables": options_of(config.data)}
    refuse_unused(context, TABLES, tables)
    source = checking.load(config)
    facts = {"drawn": not isinstance(source, Dataset), **tables}
    refuse_unused(context, USES, facts)
    checked = checking.execute(config, source)
    text = checking.describe(checked)
    if output.out is not None:
        with output.workspace("check").staged() as scratch:
            checking.write(recorded(config, USES, facts), checked, scratch)
        text += f"\nwritten to {output.out}"
    return output.text(checking.content(checked), text)
