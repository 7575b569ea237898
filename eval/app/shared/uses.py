"""Where each option is used: stated once, shown by --help, and compared with the options given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

__all__ = [
    "DRAWN",
    "TABLES",
    "Facts",
    "Use",
    "Uses",
    "given",
    "recorded",
    "refuse_unused",
    "with_uses_in_help",
]

Facts = Mapping[str, Any]
"""Facts about a command once its data are known: the values of its options, and more."""


@dataclass(frozen=True)
class Use:
    """Where an option has an effect.

    Attributes
    ----------
    words : str
        Follow the name of the option in a sentence, such as "is for --solver gibbs".
    holds : callable
        Whether that is the case, from the facts.
    shown : str, optional
        Name of the fact that a refusal mentions, if it depends on one.
    """

    words: str
    holds: Callable[[Facts], bool]
    shown: str | None = None


Uses = Mapping[str, Use]
"""Uses by parameter; a parameter without an entry is always used."""

DRAWN = Use(
    "is for distributions, of which samples are drawn", lambda facts: facts["drawn"], "data"
)

_COLUMNS = "is for the columns of CSV, TSV and Parquet files and of OpenML"

TABLES: Uses = {
    "target": Use(_COLUMNS, lambda facts: "target" in facts["tables"], "data"),
    "index": Use(_COLUMNS, lambda facts: "index" in facts["tables"], "data"),
    "separator": Use(
        "is for text files such as CSV", lambda facts: "separator" in facts["tables"], "data"
    ),
}
"""Options of a table; "tables" among the facts are those of them that the source takes."""

Command = Callable[..., Any]


def with_uses_in_help(uses: Uses) -> Callable[[click.Command], click.Command]:
    """Add to the --help of each option of a command where it is used."""

    def with_uses(command: click.Command) -> click.Command:
        for parameter in command.params:
            use = uses.get(parameter.name or "")
            if use is not None and isinstance(parameter, click.Option):
                words = f"[{use.words.removeprefix('is ')}]"
                parameter.help = f"{parameter.help} {words}" if parameter.help else words
        return command

    return with_uses


def given(context: click.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def refuse_unused(context: click.Context, uses: Uses, facts: Facts) -> None:
    """Refuse an option that was given and has no effect.

    Raises
    ------
    ValueError
        With the name of the option, and where it is used.
    """
    for parameter in context.command.params:
        name = parameter.name or ""
        use = uses.get(name)
        if use is not None and given(context, name) and not use.holds(facts):
            where = "here" if use.shown is None else f"with {facts[use.shown]}"
            raise ValueError(f"{parameter.opts[0]} {use.words}: it has no effect {where}")


def recorded(config: Any, uses: Uses, facts: Facts) -> dict[str, Any]:
    """The fields of a configuration that are used, for config.json."""
    return {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if value is not None and (name not in uses or uses[name].holds(facts))
    }
