"""The command `gibbsnet`."""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from eval.app import runs
from eval.app.folders import explained, free_folder, staged_folder
from eval.app.runs import RunConfig

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("gibbsnet"), prog_name="gibbsnet")
def main() -> None:
    """Mean-field networks trained in two stages, and the collapse of their features."""


@main.command()
@click.option(
    "--data",
    default="separable",
    show_default=True,
    metavar="NAME|FILE.csv",
    help="separable, digits, wine, breast_cancer, iris, or a CSV file with a header line.",
)
@click.option("--target", metavar="COLUMN", help="Label column of a CSV file [default: last].")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier run.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Repeat with seeds seed, seed+1, ...: fresh data or another split, another start.",
)
@click.option(
    "--controls",
    is_flag=True,
    help="Add raw inputs, untrained neurons and shuffled labels.",
)
@click.option("--test-size", type=float, default=0.4, show_default=True, help="Held-out share.")
@click.option("--n-samples", type=click.IntRange(2), default=400, show_default=True)
@click.option("--n-features", type=click.IntRange(1), default=20, show_default=True)
@click.option("--n-classes", type=click.IntRange(2), default=4, show_default=True)
@click.option("--margin", type=float, default=0.05, show_default=True, help="tau/M.")
@click.option("--n-test", type=click.IntRange(1), default=20_000, show_default=True)
@click.option("--neurons", "n_neurons", type=int, help="N.")
@click.option("--hidden-features", "n_hidden_features", type=int, help="p.")
@click.option("--beta", type=float, help="Inverse temperature; inf for no noise.")
@click.option("--gamma", type=float, help="Output scale.")
@click.option("--lambda-rho", type=float, help="L2 weight of the neurons [default: 1/beta].")
@click.option("--lambda-w", type=float, help="L2 weight of the linear layer [default: 1/beta].")
@click.option("--activation", help="sigmoid, tanh, erf, softplus or relu.")
@click.option("--truncation", type=float, help="Radius of the truncation of a.")
@click.option("--steps", "max_iter", type=int, help="Steps of stage one.")
@click.option("--step-size", type=float, help="[default: from the curvature]")
@click.option("--batch-size", type=int, help="[default: all samples]")
@click.option("--intercept", type=float, help="Constant coordinate of the inputs; 0 for none.")
@click.option("--center/--no-center", default=None, help="Subtract the training mean.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
def run(
    data: str,
    target: str | None,
    out: Path | None,
    force: bool,
    seed: int,
    repeats: int,
    controls: bool,
    test_size: float,
    n_samples: int,
    n_features: int,
    n_classes: int,
    margin: float,
    n_test: int,
    quiet: bool,
    **model: Any,
) -> None:
    """Train the two-stage network beside three baselines; print a table, write a folder.

    Options of the network that are left out take the defaults of TwoStageClassifier.

    \b
    gibbsnet run                                     # separable data
    gibbsnet run --data digits --repeats 10          # ten splits, with intervals
    gibbsnet run --data my.csv --target species --out runs/mine
    """  # noqa: D301
    config = RunConfig(
        data=data,
        target=target,
        seed=seed,
        repeats=repeats,
        test_size=test_size,
        n_samples=n_samples,
        n_features=n_features,
        n_classes=n_classes,
        margin=margin,
        n_test=n_test,
        controls=controls,
        model={name: value for name, value in model.items() if value is not None},
    )
    start = time.perf_counter()
    with explained():
        if not 0 < test_size < 1:
            raise ValueError(f"--test-size must be between 0 and 1, got {test_size}")
        folder = out or free_folder(Path(data).stem)
        with staged_folder(folder, force=force) as scratch:
            say = None if quiet else lambda text: click.echo(text, err=True)
            outcome = runs.execute(config, progress=not quiet and sys.stderr.isatty(), say=say)
            runs.write(outcome, scratch)
    click.echo(_report(outcome, time.perf_counter() - start))
    click.echo(f"written to {folder}")


def _report(outcome: runs.Outcome, seconds: float) -> str:
    repeats = outcome.config.repeats
    what = f"mean of {repeats} repetitions" if repeats > 1 else "one repetition"
    losses = ", ".join(
        f"after {name} {sum(row[name] for row in outcome.losses) / len(outcome.losses):.3e}"
        for name in outcome.losses[0]
    )
    lines = [
        f"{outcome.split.name} ({what}; mismatch error, balanced by class)",
        "",
        runs.table(outcome).to_string(index=False),
        "",
        f"loss {losses}; {seconds:.1f} s in all",
    ]
    for check in outcome.assumptions:
        verdict = "met" if check.met else f"not met: {check.reason}"
        lines.append(f"{check.name} of the paper ({check.statement}): {verdict}")
    return "\n".join(lines)
