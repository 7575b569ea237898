"""The command `gibbsnet certify`: how far a trained network is from the Gibbs minimizer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from eval.app.shared.options import Output, folder_argument, output_options

__all__ = ["certify"]


@click.command()
@folder_argument
@click.option(
    "--n-particles",
    type=click.IntRange(100),
    help="Points of each sample [default: that of the run's classifier, 20000 unless set].",
)
@click.option(
    "--tol",
    type=click.FloatRange(0, min_open=True),
    help="Relative gap to certify to [default: that of the run's classifier, 0.01 unless set].",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--solve", is_flag=True, help="Solve for the minimizer too, and compare with it.")
@output_options(
    quiet="Nothing on standard error but errors.",
    as_json="Print certificate.json, not sentences.",
)
def certify(run_folder: Path, output: Output, **options: Any) -> str:
    """Certify the neurons of a finished run by a duality gap.

    Stage one, with W fixed at W_0, has one minimizer of Gibbs form. The neurons' incoming
    weights give a dual point; its value is a lower bound on the least free energy, and its gap
    says how far the law behind the neurons is from the minimizer. With --solve the minimizer is
    solved for, and the neurons' features and law are compared with it.

    Writes certificate.json, figures and a new report into RUN, all of them or nothing.

    \b
    gibbsnet certify runs/digits
    gibbsnet certify runs/separable --solve --n-particles 5000 --tol 0.05
    """  # noqa: D301
    from eval.app.certify.certification import certify_run
    from eval.app.report.findings import findings
    from eval.app.report.report import write_report
    from eval.app.shared.run_folder import read_run, write_certification
    from eval.app.shared.workspace import Workspace

    folder = run_folder.resolve()
    run = read_run(folder)
    _check_replaceable(folder)
    certification = certify_run(run, output.say, **options)
    content = certification.content()
    with Workspace(folder, force=True).staged() as scratch:
        shutil.copytree(folder, scratch, dirs_exist_ok=True)
        write_certification(scratch, content, certification.arrays())
        write_report(scratch)
    found = "\n".join(f"{name}: {sentence}" for name, sentence in findings(content))
    return output.text(
        content, f"{found}\nwritten to {run_folder}; open {run_folder / 'report.html'}"
    )


def _check_replaceable(folder: Path) -> None:
    """Refuse, before any work, a folder that could not be replaced as a whole at the end."""
    from eval.app.shared.workspace import check_folder

    if folder == Path.cwd() or folder in Path.cwd().parents:
        raise ValueError(f"{folder} is or holds the working directory: call certify from above it")
    check_folder(folder, force=True)
