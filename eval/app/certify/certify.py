"""The command `gibbsnet certify`: how far a trained network is from the Gibbs minimizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from eval.app.certify.certification import certify_run
from eval.app.report.findings import findings
from eval.app.report.report import refresh
from eval.app.run.run_folder import read_run, write_certification
from eval.app.shared.folders import check_folder, explained, staged_folder

__all__ = ["certify"]


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
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
@click.option("--quiet", is_flag=True, help="Nothing on standard error but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print certificate.json, not sentences.")
def certify(run_folder: Path, quiet: bool, as_json: bool, **options: Any) -> None:
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
    with explained():
        folder = run_folder.resolve()
        run = read_run(folder)
        _check_replaceable(folder)
        certification = certify_run(run, _speaker(quiet), **options)
        content = certification.content()
        with staged_folder(folder, force=True) as scratch:
            shutil.copytree(folder, scratch, dirs_exist_ok=True)
            write_certification(scratch, content, certification.arrays())
            refresh(scratch)
    if as_json:
        click.echo(json.dumps(content, indent=2, allow_nan=False))
        return
    click.echo("\n".join(f"{name}: {sentence}" for name, sentence in findings(content)))
    click.echo(f"written to {run_folder}; open {run_folder / 'report.html'}")


def _speaker(quiet: bool) -> Callable[[str], None]:
    return (lambda _: None) if quiet else (lambda text: click.echo(text, err=True))


def _check_replaceable(folder: Path) -> None:
    """Refuse, before any work, a folder that could not be replaced as a whole at the end."""
    if folder == Path.cwd() or folder in Path.cwd().parents:
        raise ValueError(f"{folder} is or holds the working directory: call certify from above it")
    check_folder(folder, force=True)
