"""The command `gibbsnet run`: train, compare, write a folder with a report."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from eval.app.run.config import USES, RunConfig, facts_of
from eval.app.shared.network_options import named_as_options, network_options
from eval.app.shared.options import (
    Output,
    config_options,
    data_option,
    file_options,
    output_options,
)
from eval.app.shared.uses import TABLES, given, refuse_unused, with_uses_in_help

if TYPE_CHECKING:
    from eval.app.run.recorder import Stopper
    from eval.app.run.runs import Outcome
    from eval.data.dataset import Dataset, Distribution

__all__ = ["run"]


@with_uses_in_help(USES)
@click.command()
@data_option(
    "separable, a data set such as digits, a CSV, TSV, Parquet or NPZ file, openml:NUMBER, "
    "or MODULE:OBJECT for your own Python loader or distribution.",
    default=RunConfig.data,
)
@file_options
@config_options(RunConfig)
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
    "resumed",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue a run that was killed or stopped, with its own settings.",
)
@output_options(
    out="Folder [default: runs/NAME].",
    force="Replace the folder of an earlier run.",
    quiet="Nothing on standard error but errors.",
    as_json="Print metrics.json, not the table.",
)
@click.pass_context
def run(
    context: click.Context,
    /,
    output: Output,
    checkpoint: float,
    resumed: Path | None,
    **options: Any,
) -> str:
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
    from eval.app.report.report import write_report
    from eval.app.run import runs
    from eval.app.run.resumable import take_up
    from eval.app.run.run_files import write_run
    from eval.app.run.splits import kind_of
    from eval.app.shared.workspace import Workspace
    from eval.data.dataset import Dataset, describe

    with ExitStack() as held:
        config = _config(options)
        if resumed is not None:
            _refuse_others(context)
            config = held.enter_context(take_up(Workspace(resumed)))
        if not 0 < config.test_size < 1:
            raise ValueError(f"--test-size must be between 0 and 1, got {config.test_size}")
        source = _source(context, config)
        space = output.workspace(Path(config.data.partition(":")[0]).stem)
        if resumed is not None:
            space = Workspace(resumed, force=True, resume=True)
        recorded = config.recorded(kind_of(source))
        with (
            space.staged() as scratch,
            space.checkpoints(recorded, seconds=checkpoint) as checkpoints,
            _stop_on_interrupt(output.say) as stopper,
            named_as_options(),
        ):
            if isinstance(source, Dataset):
                output.say(describe(source))
            outcome = runs.execute(
                config,
                source=source,
                progress=output.progress,
                say=output.say,
                stopper=stopper,
                checkpoint=checkpoints,
            )
            write_run(outcome, scratch)
            write_report(scratch)
            metrics = (scratch / "metrics.json").read_text(encoding="utf-8")
        if outcome.complete:
            space.forget()
        else:
            output.say(f"continue with: gibbsnet run --resume {space.out}")
    if output.as_json:
        return metrics.rstrip("\n")
    written = f"written to {space.out}; open {space.out / 'report.html'}"
    return f"{_report(outcome, output.seconds, space.out)}\n{written}"


def _source(context: click.Context, config: RunConfig) -> Dataset | Distribution | None:
    """Load the data, and refuse options without effect on them, before anything is written."""
    from eval.app.run.splits import kind_of, load
    from eval.data.loading import options_of

    # The options of a table first: loading refuses them too, by their names in Python.
    refuse_unused(context, TABLES, {"data": config.data, "tables": options_of(config.data)})
    source = load(config)
    refuse_unused(context, USES, facts_of(config, kind_of(source)))
    return source


def _refuse_others(context: click.Context) -> None:
    """Refuse options beside --resume: the run has its settings already."""
    free = {"resumed", "checkpoint", "quiet", "as_json"}
    for parameter in context.command.params:
        name = parameter.name or ""
        if given(context, name) and name not in free:
            raise ValueError(
                f"--resume continues with the run's own settings: no {parameter.opts[0]}"
            )


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
    from eval.app.run.recorder import Stopper

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


def _report(outcome: Outcome, seconds: float, folder: Path) -> str:
    from eval.app.shared.certificates import advice_for, describe_certificates
    from eval.app.shared.scores import run_table
    from gibbs import describe_bounds

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
        run_table(outcome.scores, outcome.split.overlap).to_string(index=False),
        "",
        f"loss {losses}; {seconds:.1f} s in all",
    ]
    if outcome.certificates:
        first = outcome.certificates[0]
        lines.append(f"stage one {describe_certificates(outcome.certificates)}")
        lines.append(f"stage one has its {describe_bounds(first)}")
        if unhelpful := advice_for(first):
            lines.append(f"{unhelpful}: gibbsnet certify {folder} looks for such a beta")
    lines += [
        f"{each.name} of the paper ({each.statement}): {each.outcome}"
        for each in outcome.assumptions
    ]
    return "\n".join(lines)
