"""The command `gibbsnet`."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import click
from click.shell_completion import get_completion_class

from eval.accuracy import mismatch_interval
from eval.app.certify.certify import certify
from eval.app.check.command import check
from eval.app.compare.command import compare
from eval.app.figure import figure
from eval.app.report.report import refresh
from eval.app.run import runs
from eval.app.run.config import USES, RunConfig, facts_of
from eval.app.run.model_store import read_model
from eval.app.run.network_options import network_options
from eval.app.run.predict import column_of, feature_matrix, predictions
from eval.app.run.recorder import Stopper
from eval.app.run.resumable import forget, resumable, take_up
from eval.app.run.run_folder import read_manifest, read_run, write_run
from eval.app.run.scores import table
from eval.app.run.splits import kind_of, load
from eval.app.shared.certificates import describe_certificates, help_for
from eval.app.shared.file_options import file_options
from eval.app.shared.folders import InputError, explained, free_folder, staged_folder, written_to
from eval.app.shared.options import OUT, TABLES, Uses, given, only_where_used, refuse_unused
from eval.app.study import study
from eval.data.dataset import Dataset, Distribution, describe
from eval.data.file_formats import read_file
from eval.data.loading import options_of
from gibbs import describe_bounds
from stages.files import whole_file

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


main.add_command(certify)
main.add_command(check)
main.add_command(compare)
main.add_command(figure)
main.add_command(study)


@only_where_used(USES)
@main.command()
@click.option(
    "--data",
    default=RunConfig.data,
    show_default=True,
    metavar="NAME|FILE",
    help="separable, a data set such as digits, a CSV, TSV, Parquet or NPZ file, openml:NUMBER, "
    "or MODULE:OBJECT for your own Python loader or distribution.",
)
@file_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder [default: runs/NAME].")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier run.")
@click.option("--seed", type=click.IntRange(0), default=RunConfig.seed, show_default=True)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=RunConfig.repeats,
    show_default=True,
    help="Repeat with seeds seed, seed+1, ...: fresh data or another split, another start.",
)
@click.option(
    "--controls",
    is_flag=True,
    help="Add raw inputs, untrained neurons and shuffled labels.",
)
@click.option(
    "--test-size",
    type=float,
    default=RunConfig.test_size,
    show_default=True,
    help="Held-out share.",
)
@click.option(
    "--n-samples",
    type=click.IntRange(2),
    default=RunConfig.n_samples,
    show_default=True,
    help="n, to train on.",
)
@click.option(
    "--n-features",
    type=click.IntRange(1),
    default=RunConfig.n_features,
    show_default=True,
    help="d.",
)
@click.option(
    "--n-classes", type=click.IntRange(2), default=RunConfig.n_classes, show_default=True, help="q."
)
@click.option("--margin", type=float, default=RunConfig.margin, show_default=True, help="tau/M.")
@click.option(
    "--n-test",
    type=click.IntRange(1),
    default=RunConfig.n_test,
    show_default=True,
    help="To test on.",
)
@network_options
@click.option(
    "--checkpoint",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two checkpoints of the dynamics.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue a run that was killed or stopped, with its own settings.",
)
@click.option("--quiet", is_flag=True, help="Nothing on standard error but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json, not the table.")
@click.pass_context
def run(
    context: click.Context,
    /,
    out: Path | None,
    force: bool,
    checkpoint: float,
    resume: Path | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train the two-stage network beside three baselines; write a folder with a report.

    Options of the network that are left out take the defaults of TwoStageClassifier. Ctrl-C
    ends the training early and keeps the result so far, marked as partial; pressed twice, it
    keeps nothing. A solver that was stopped has no result to keep. After a kill or Ctrl-C, --resume
    continues from the last checkpoint, with the result of an uninterrupted run.

    \b
    gibbsnet run                                     # separable data
    gibbsnet run --data digits --repeats 10          # ten splits, with intervals
    gibbsnet run --data my.csv --target species --out runs/mine
    gibbsnet run --data rings.py:TwoRings            # your own distribution
    gibbsnet run --solver gibbs --beta 100 --gamma 1 # the minimizer, certified
    gibbsnet run --resume runs/mine                  # after a kill
    """  # noqa: D301
    start = time.perf_counter()
    say = _silent if quiet else _say
    with explained(), ExitStack() as held:
        config = _config(options)
        if resume is not None:
            _refuse_others(context)
            config = held.enter_context(take_up(resume))
        if not 0 < config.test_size < 1:
            raise ValueError(f"--test-size must be between 0 and 1, got {config.test_size}")
        folder = resume or out or free_folder(Path(config.data.partition(":")[0]).stem)
        source = _source(context, config)
        force = force or resume is not None
        with (
            staged_folder(folder, force=force) as scratch,
            resumable(
                folder,
                config.recorded(kind_of(source)),
                seconds=checkpoint,
                resume=resume is not None,
                force=force,
            ) as checkpoints,
            _stop_on_interrupt(say) as stopper,
        ):
            if isinstance(source, Dataset):
                say(describe(source))
            progress = not quiet and sys.stderr.isatty()
            outcome = runs.execute(
                config,
                source=source,
                progress=progress,
                say=say,
                stopper=stopper,
                checkpoint=checkpoints,
            )
            write_run(outcome, scratch)
            refresh(scratch)
            metrics = (scratch / "metrics.json").read_text(encoding="utf-8")
        if outcome.complete:
            forget(folder)
        else:
            say(f"continue with: gibbsnet run --resume {folder}")
    if as_json:
        click.echo(metrics, nl=False)
        return
    click.echo(_report(outcome, time.perf_counter() - start, folder))
    click.echo(f"written to {folder}; open {folder / 'report.html'}")


def _source(context: click.Context, config: RunConfig) -> Dataset | Distribution | None:
    """Load the data, and refuse options without effect on them, before anything is written."""
    out = context.params["out"]
    # The options of a table first: loading refuses them too, by their names in Python.
    refuse_unused(context, TABLES, {"data": config.data, "tables": options_of(config.data)})
    source = load(config)
    refuse_unused(context, USES, facts_of(config, kind_of(source), out=out))
    return source


def _refuse_others(context: click.Context) -> None:
    """Refuse options beside --resume: the run has its settings already."""
    free = {"resume", "checkpoint", "quiet", "as_json"}
    for parameter in context.command.params:
        name = parameter.name or ""
        if given(context, name) and name not in free:
            raise ValueError(
                f"--resume continues with the run's own settings: no {parameter.opts[0]}"
            )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _silent(_text: str) -> None:
    """Print nothing."""


def _config(options: dict[str, Any]) -> RunConfig:
    """Divide the options into those of the run and those of the network."""
    of_the_run = {name for name in RunConfig.__dataclass_fields__ if name != "model"}
    network = {
        name: value
        for name, value in options.items()
        if name not in of_the_run and value is not None
    }
    return RunConfig(**{name: options[name] for name in of_the_run}, model=network)


@contextmanager
def _stop_on_interrupt(say: Callable[[str], None]) -> Iterator[Stopper]:
    """Yield a stopper that the first Ctrl-C raises; the second one interrupts as usual."""
    stopper = Stopper()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stopper.raised:
            raise KeyboardInterrupt
        stopper.raised = True
        say("stopping; the result so far will be kept (press Ctrl-C again to keep nothing)")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stopper
    finally:
        signal.signal(signal.SIGINT, before)


_PREDICT_USES: Uses = {"separator": TABLES["separator"], "force": OUT}


@only_where_used(_PREDICT_USES)
@main.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="A column of true labels: adds the test error.")
@click.option("--separator", metavar="CHAR", help="Separator of a text file [default: found].")
@click.option("--out", type=click.Path(path_type=Path), help="CSV file to write, not stdout.")
@click.option("--force", is_flag=True, help="Replace the file.")
@click.option("--json", "as_json", is_flag=True, help="JSON records in place of CSV.")
@click.pass_context
def predict(
    context: click.Context,
    /,
    run_folder: Path,
    file: Path,
    target: str | None,
    separator: str | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Predict the class of every row of FILE with the network stored in RUN.

    Columns are found by name, categories encoded as in training; other columns are ignored.

    \b
    gibbsnet predict runs/wine new.csv
    gibbsnet predict runs/wine labelled.csv --target cultivar --out predicted.csv
    """  # noqa: D301
    with explained():
        refuse_unused(
            context, _PREDICT_USES, {"data": file, "tables": options_of(file), "out": out}
        )
        if out is not None and out.exists() and not force:
            raise FileExistsError(f"{out} exists already: choose another --out, or --force")
        read_manifest(run_folder)
        model = read_model(run_folder)
        table = read_file(file, separator)
        predicted = predictions(
            model, feature_matrix(table.frame, model.feature_names, table.origin)
        )
        if target is not None:
            truth = column_of(table.frame, target, table.origin)
            _say_error(truth.to_numpy(), predicted["prediction"].to_numpy())
        text = (
            predicted.to_json(orient="records", indent=1) + "\n"
            if as_json
            else predicted.to_csv(index=False)
        )
        if out is not None:
            with written_to(out), whole_file(out) as scratch:
                scratch.write_text(text, encoding="utf-8")
    if out is None:
        click.echo(text, nl=False)


def _say_error(truth: Any, predicted: Any) -> None:
    estimate, low, high = (100 * value for value in mismatch_interval(truth, predicted))
    click.echo(f"mismatch error {estimate:.2f} % [{low:.2f}, {high:.2f}]", err=True)


@main.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json, not the table.")
def report(run_folder: Path, as_json: bool) -> None:
    """Check the folder of a run, write its figures and report again, and print its table.

    \b
    gibbsnet report runs/digits
    """  # noqa: D301
    with explained():
        refresh(run_folder)
        stored = read_run(run_folder)
    if as_json:
        click.echo(json.dumps(stored.metrics, indent=2))
        return
    click.echo(table(stored.scores, stored.metrics["overlap"]).to_string(index=False))
    click.echo(f"report: {run_folder / 'report.html'}")


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


def _report(outcome: runs.Outcome, seconds: float, folder: Path) -> str:
    repeats = len(outcome.losses)
    what = f"mean of {repeats} repetitions" if repeats > 1 else "one repetition"
    if not outcome.complete:
        what = f"partial, stopped early; {what}"
    losses = ", ".join(
        f"after {name} {sum(row[name] for row in outcome.losses) / repeats:.3e}"
        for name in outcome.losses[0]
    )
    lines = [
        f"{outcome.split.name} ({what}; mismatch error, balanced by class)",
        "",
        table(outcome.scores, outcome.split.overlap).to_string(index=False),
        "",
        f"loss {losses}; {seconds:.1f} s in all",
    ]
    if outcome.certificates:
        first = outcome.certificates[0]
        lines.append(f"stage one {describe_certificates(outcome.certificates)}")
        lines.append(f"stage one has its {describe_bounds(first)}")
        if unhelpful := help_for(first):
            lines.append(f"{unhelpful}: gibbsnet certify {folder} looks for such a beta")
    lines += [
        f"{each.name} of the paper ({each.statement}): {each.outcome}"
        for each in outcome.assumptions
    ]
    return "\n".join(lines)
