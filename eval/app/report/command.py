"""The command `gibbsnet report`: the figures and the page of a run, drawn again."""

from __future__ import annotations

from pathlib import Path

import click

from eval.app.shared.options import Output, folder_argument, output_options

__all__ = ["report"]


@click.command()
@folder_argument
@output_options(as_json="Print metrics.json, not the table.")
def report(run_folder: Path, output: Output) -> str:
    """Check the folder of a run, write its figures and report again, and print its table.

    \b
    gibbsnet report runs/digits
    """  # noqa: D301
    from eval.app.report.report import write_report
    from eval.app.shared.run_folder import read_run
    from eval.app.shared.scores import run_table

    write_report(run_folder)
    stored = read_run(run_folder)
    rows = run_table(stored.scores, stored.metrics["overlap"]).to_string(index=False)
    return output.text(stored.metrics, f"{rows}\nreport: {run_folder / 'report.html'}")
