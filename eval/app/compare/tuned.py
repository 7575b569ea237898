"""`gibbsnet compare --tuned`: every method tuned alike, in parallel, resumable after a kill."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from eval.app.compare.inputs import load_used
from eval.app.compare.results import Result
from eval.app.compare.tuned_jobs import fingerprint, measure, plan
from eval.app.compare.tuned_tables import content, report, write
from eval.app.shared.folders import explained, free_folder
from eval.app.shared.formats import versions
from eval.app.shared.job_folder import check_resume, job_folder
from eval.app.shared.parallel import available_cores
from eval.comparison import Method, tuned_methods
from eval.comparison.folds import OURS
from eval.data.dataset import Dataset

__all__ = ["TunedConfig", "execute", "run"]

METHODS = tuple(name for name in tuned_methods() if name != OURS)


@dataclass(frozen=True)
class TunedConfig:
    """Everything that the numbers of a tuned comparison depend on; options by their names.

    `n_samples` is for distributions, None without one. `methods` are those beside the two-stage
    network, `neurons` and `steps` its size and its steps of stage one. For `repeats` None see
    :func:`eval.comparison.default_repeats`, for `steps` None :func:`eval.comparison.tuned_methods`.
    """

    data: tuple[str, ...]
    target: str | None = None
    n_samples: int | None = None
    folds: int = 5
    repeats: int | None = None
    seed: int = 0
    methods: tuple[str, ...] = METHODS
    neurons: int = 1000
    steps: int | None = None

    def spaces(self) -> dict[str, Method]:
        """Methods by name with their candidates, ours first.

        Raises
        ------
        ValueError
            If `methods` are not different known ones.
        """
        if not set(self.methods) <= set(METHODS) or len(set(self.methods)) < len(self.methods):
            raise ValueError(
                f"--methods must be different ones of {', '.join(METHODS)}, with commas between, "
                f"got {','.join(self.methods)!r}"
            )
        known = tuned_methods(self.neurons, self.steps)
        return {name: known[name] for name in known if name in (OURS, *self.methods)}


def run(context: click.Context, data: tuple[str, ...]) -> None:
    """Run the comparison with the options of the command line."""
    start = time.perf_counter()
    options = context.params
    out, resume, force = (options[name] for name in ("out", "resume", "force"))
    with explained():
        check_resume(out, resume=resume, force=force)
        loaded, facts = load_used(context, data)
        config = _config(data, options, drawn=facts["drawn"])
        folder = out or free_folder("compare-tuned")
        results = execute(
            config,
            loaded,
            folder,
            workers=options["workers"] or available_cores(),
            resume=resume,
            force=force,
            progress=not options["quiet"] and sys.stderr.isatty(),
        )
    if options["as_json"]:
        printed = content(dataclasses.asdict(config), results) | {"folder": str(folder)}
        click.echo(json.dumps(printed, indent=2))
    else:
        click.echo("\n\n".join(report(result) for result in results))
        click.echo(f"\n{time.perf_counter() - start:.1f} s in all; written to {folder}")


def _config(data: tuple[str, ...], options: dict[str, Any], *, drawn: bool) -> TunedConfig:
    """The configuration from the options that were given."""
    names = ("target", "folds", "repeats", "seed", "neurons", "steps")
    wanted = {name: options[name] for name in (*names, *(["n_samples"] if drawn else []))}
    if options["methods"] is not None:
        wanted["methods"] = tuple(name.strip() for name in options["methods"].split(","))
    return TunedConfig(data, **{name: v for name, v in wanted.items() if v is not None})


def execute(
    config: TunedConfig,
    loaded: list[Dataset],
    out: Path,
    *,
    workers: int,
    resume: bool = False,
    force: bool = False,
    progress: bool = False,
) -> list[Result]:
    """Run the jobs that `out` does not hold yet, and write tables and figure there.

    Raises
    ------
    ValueError, FileNotFoundError, FileExistsError
        If an option, a data set or the folder is not usable; nothing is written then.
    InputError
        If a worker was killed. What is finished is kept.
    """
    spaces = config.spaces()
    jobs = [
        job
        for place, data in enumerate(loaded)
        for job in plan(data, place, spaces, config.folds, config.repeats, config.seed)
    ]
    # Like a version of a package: a folder is not continued where one has changed.
    sources = {f"data {data.name}": fingerprint(data) for data in loaded}
    sources["search spaces"] = _checksum(spaces)
    with job_folder(
        "comparison",
        "tuned",
        dataclasses.asdict(config),
        versions() | sources,
        out,
        resume=resume,
        force=force,
    ) as folder:
        measured = measure(
            jobs, loaded, folder, folds=config.folds, workers=workers, progress=progress
        )
        results = [Result(data, measured[data.name]) for data in loaded]
        write(results, {name: list(each.candidates) for name, each in spaces.items()}, out)
    return results


def _checksum(spaces: dict[str, Method]) -> str:
    """Checksum of all candidates with their fixed settings, for few samples and for many."""
    described = {
        f"{name}, {n} samples": [
            method.build(n, 10, 0, **settings).get_params() for settings in method.candidates
        ]
        for name, method in spaces.items()
        for n in (100, 100_000)
    }
    return hashlib.sha256(json.dumps(described, default=repr).encode()).hexdigest()[:16]
