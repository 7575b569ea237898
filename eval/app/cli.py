"""The command `gibbsnet`."""

from __future__ import annotations

from importlib.metadata import version

import click
from click.shell_completion import get_completion_class

from eval.app.certify.command import certify
from eval.app.check.command import check
from eval.app.compare.command import compare
from eval.app.figure.command import figure
from eval.app.predict.command import predict
from eval.app.report.command import report
from eval.app.run.command import run
from eval.app.shared.endings import InputError
from eval.app.study.command import study

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("gibbsnet"), prog_name="gibbsnet")
def main() -> None:
    """Mean-field networks trained in two stages, and the collapse of their features.

    \b
    gibbsnet run --data digits          train, compare, write a folder with a report
    gibbsnet predict runs/digits FILE   predict with what was trained
    gibbsnet certify runs/digits        bound its distance to the Gibbs minimizer
    gibbsnet check --data digits        linear separability of every class, with margins
    gibbsnet compare --data wine,iris   cross-validate beside eight other methods
    gibbsnet figure fig1a               redraw a figure of the paper
    gibbsnet study generalization       test error and NC1 against the sample size
    """  # noqa: D301


for command in (run, predict, report, certify, check, compare, figure, study):
    main.add_command(command)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    gibbsnet completion bash >> ~/.bashrc
    """  # noqa: D301
    found = get_completion_class(shell)
    if found is None:
        raise InputError(f"no completion for {shell}")
    click.echo(found(main, {}, "gibbsnet", "_GIBBSNET_COMPLETE").source())
