"""How to read a file: options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["file_options"]


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --target, --index and --separator to a command."""
    options = (
        click.option(
            "--target",
            metavar="COLUMN",
            help="Label column of a file [default: last] or of OpenML [default: its own].",
        ),
        click.option("--index", metavar="COLUMN", help="Column of a file to leave out."),
        click.option(
            "--separator", metavar="CHAR", help="Separator of a text file [default: found]."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
