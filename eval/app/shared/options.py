"""Options that several commands share: stated once, and handed over as one object."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eval.app.shared.endings import explained

if TYPE_CHECKING:
    from eval.app.shared.workspace import Workspace

__all__ = [
    "Output",
    "config_options",
    "data_option",
    "file_options",
    "folder_argument",
    "job_options",
    "output_options",
    "separator_option",
    "setting",
]

Command = Callable[..., Any]


def setting(
    default: Any,
    help: str | None = None,  # noqa: A002
    least: int | None = None,
    kind: click.ParamType[Any] | None = None,
) -> Any:
    """A field of a configuration that is an option of the command, too.

    The default says of what type it is: a flag, a number, text, or numbers with commas between.
    `least` is the smallest value of an integer. An option without a default needs its `kind`.
    """
    return field(default=default, metadata={"help": help, "least": least, "kind": kind})


def config_options(config: type) -> Callable[[Command], Command]:
    """Add one option for each :func:`setting` of a configuration, with its default."""
    options = [_option(each) for each in dataclasses.fields(config) if "help" in each.metadata]
    return functools.partial(_add, options)


def _option(each: dataclasses.Field[Any]) -> Callable[[Command], Command]:
    name, default, about = f"--{each.name.replace('_', '-')}", each.default, each.metadata
    if isinstance(default, bool):
        return click.option(name, is_flag=True, help=about["help"])
    kind: Any = about["kind"] or type(default)
    callback = None
    if isinstance(default, tuple):
        callback = functools.partial(_numbers, type(default[0]))
        default, kind = ",".join(f"{value:g}" for value in default), str
    elif kind is int:
        kind = click.IntRange(about["least"])
    shown = default is not None
    return click.option(
        name, type=kind, default=default, show_default=shown, callback=callback, help=about["help"]
    )


def _numbers(
    kind: type, _context: click.Context, _parameter: click.Parameter, text: str
) -> tuple[Any, ...]:
    """Different positive numbers with commas between."""
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) <= 0 or len(set(values)) < len(values):
        what = "integers" if kind is int else "numbers"
        raise click.BadParameter(f"must be different {what} > 0 with commas between, got {text!r}")
    return values


def data_option(
    help: str,  # noqa: A002
    default: str | None = None,
    more: str = "",
) -> Callable[[Command], Command]:
    """The option --data; `more` follows its metavar."""
    shown = default is not None
    metavar = f"NAME|FILE{more}"
    return click.option("--data", default=default, show_default=shown, metavar=metavar, help=help)


separator_option = click.option(
    "--separator", metavar="CHAR", help="Separator of a text file [default: found]."
)

folder_argument = click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))


def file_options(command: Command) -> Command:
    """Add --target, --index and --separator, which say how to read a file."""
    target = "Label column of a file [default: last] or of OpenML [default: its own]."
    options = (
        click.option("--target", metavar="COLUMN", help=target),
        click.option("--index", metavar="COLUMN", help="Column of a file to leave out."),
        separator_option,
    )
    return _add(options, command)


@dataclass(frozen=True)
class Output:
    """Where a command writes, and how it speaks: the options --out to --json.

    Its text goes to standard output, what it says on the way to standard error.
    """

    out: Path | None = None
    force: bool = False
    resume: bool = False
    workers: int | None = None
    quiet: bool = False
    as_json: bool = False
    start: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.resume and self.force:
            raise ValueError("--resume and --force exclude each other")
        for option, given in (("--resume", self.resume), ("--force", self.force)):
            if given and self.out is None:
                raise ValueError(f"{option} needs --out")

    @property
    def progress(self) -> bool:
        """Whether to show bars."""
        return not self.quiet and sys.stderr.isatty()

    @property
    def seconds(self) -> float:
        """Time since the command began."""
        return time.perf_counter() - self.start

    def say(self, text: str) -> None:
        """Say something on the way."""
        if not self.quiet:
            click.echo(text, err=True)

    def workspace(self, name: str) -> Workspace:
        """The folder --out, or a free one of this name."""
        from eval.app.shared.workspace import Workspace, free_folder

        out = self.out or free_folder(name)
        return Workspace(out, self.force, self.resume, self.workers, self.progress)

    def text(self, content: Any, text: str) -> str:
        """What is printed in the end: the content as JSON, or the text."""
        return json.dumps(content, indent=2) if self.as_json else text


_KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "workers": (("--workers",), {"type": click.IntRange(1)}),
    "out": (("--out",), {"type": click.Path(path_type=Path)}),
    "resume": (("--resume",), {"is_flag": True}),
    "force": (("--force",), {"is_flag": True}),
    "quiet": (("--quiet",), {"is_flag": True}),
    "as_json": (("--json", "as_json"), {"is_flag": True}),
}


def output_options(**helps: str) -> Callable[[Command], Command]:
    """Add these options of :class:`Output`, by their help; the command gets them as `output`.

    Errors of the command are :func:`explained`, and the text that it returns is printed.
    """

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def explain_and_print(*arguments: Any, **given: Any) -> None:
            chosen = {name: given.pop(name) for name in helps}
            with explained():
                text = command(*arguments, output=Output(**chosen), **given)
            if text is not None:
                click.echo(text)

        options = []
        for name, words in helps.items():
            needs = " [needs --out]" if name == "force" else ""
            options.append(click.option(*_KINDS[name][0], **_KINDS[name][1], help=words + needs))
        return _add(options, explain_and_print)

    return add


def job_options(what: str, out: str = "Folder to write.") -> Callable[[Command], Command]:
    """Options of a command whose jobs run in parallel, and which can be continued."""
    return output_options(
        workers="Processes [default: one a core].",
        out=out,
        resume=f"Continue the {what} in --out, if there is one.",
        force=f"Replace the folder of an earlier {what}.",
        quiet="No progress bar.",
        as_json="Print JSON in place of tables.",
    )


def _add(options: Any, command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
