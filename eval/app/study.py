"""The command `gibbsnet study`: many small runs in parallel, which survive a kill."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.stats import linregress
from scipy.stats import t as student
from tqdm import tqdm

from eval.accuracy import Interval, mean_interval, mismatch_error, mismatch_interval
from eval.app.compare import as_text, dump, flat, markdown, versions
from eval.app.folders import InputError, explained, free_folder, staged_folder
from eval.collapse import nc1
from eval.comparison import error_interval
from eval.synthetic import SeparableDistribution
from stages import TwoStageClassifier

__all__ = ["Job", "JobResult", "PowerLaw", "StudyConfig", "fit_power_law", "run_job", "study"]

STUDY = "generalization"
QUANTITIES = ("train_error", "test_error", "nc1_train", "nc1_test")
# The first one: a folder of the user's with an eval.py must not come first in a worker.
_WORKER_ENVIRONMENT = dict.fromkeys(
    ("PYTHONSAFEPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class StudyConfig:
    """All that decides the numbers of a study; options of the command by their names."""

    margins: tuple[float, ...] = (0.01, 0.02, 0.05)
    sizes: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    seeds: int = 5
    seed: int = 0
    n_features: int = 20
    n_classes: int = 4
    n_test: int = 20_000
    neurons: int = 500
    steps: int = 1000
    beta: float = 1e4
    gamma: float = 1.0
    activation: str = "sigmoid"

    def jobs(self) -> list[Job]:
        """All jobs, the long ones first so that the workers end together."""
        return [
            Job(margin, n, self.seed + repeat)
            for n in sorted(self.sizes, reverse=True)
            for margin in self.margins
            for repeat in range(self.seeds)
        ]


@dataclass(frozen=True)
class Job:
    """One training run: tau/M, n, and the seed of law, samples and network."""

    margin: float
    n: int
    seed: int

    @property
    def file(self) -> str:
        """Name of the file that holds the result."""
        return f"margin{self.margin!r}-n{self.n}-seed{self.seed}.json"


@dataclass(frozen=True)
class JobResult:
    """What one run gave; the ends are the binomial interval of the test error."""

    margin: float
    n: int
    seed: int
    train_error: float
    test_error: float
    test_error_low: float
    test_error_high: float
    nc1_train: float
    nc1_test: float
    seconds: float


@dataclass(frozen=True)
class PowerLaw:
    """A fit values ~ constant n^-rate; `rate` is None, and `note` says why, without one."""

    rate: Interval | None
    constant: float | None
    sizes: tuple[int, ...]
    note: str


def fit_power_law(sizes: Sequence[int], values: ArrayLike, *, floor: float = 0.0) -> PowerLaw:
    r"""Fit values ~ C n^-r by least squares of log values on log n.

    Only sizes whose value is above `floor` take part, so that no zero does. The interval is
    Student's, with m - 2 degrees of freedom for m sizes:

    .. math:: \log v_i = \log C - r \log n_i + e_i, \qquad
        \hat r \pm t_{m-2} \sqrt{\tfrac{\sum_i \hat e_i^2}{(m-2) \sum_i (x_i - \bar x)^2}},

    with x_i = log n_i. It is wide where the values do not follow a power law: it measures
    the misfit as well as the noise.

    Parameters
    ----------
    sizes : sequence of int (k,)
    values : array-like (k,)
        Means over the seeds.
    floor : float, default 0
        Resolution of the values, for an error 1/n_test.

    Examples
    --------
    >>> fit = fit_power_law([10, 100, 1000, 10000], [0.2, 0.02, 0.002, 0.0], floor=1e-4)
    >>> round(fit.rate.estimate, 6), fit.sizes
    (1.0, (10, 100, 1000))
    """
    v = np.asarray(values, dtype=np.float64)
    kept = [i for i in np.argsort(sizes) if v[i] > floor]
    used = tuple(int(sizes[i]) for i in kept)
    if len(used) < 3:
        note = f"no fit: {len(used)} sizes with a mean above {floor:.3g}, at least 3 are needed"
        return PowerLaw(None, None, used, note)
    line = linregress(np.log(used), np.log(v[kept]))
    half = float(student.ppf(0.975, len(used) - 2) * line.stderr)
    rate = Interval(-float(line.slope), -float(line.slope) - half, -float(line.slope) + half)
    return PowerLaw(rate, math.exp(line.intercept), used, "")


def run_job(job: Job, config: StudyConfig) -> JobResult:
    """Draw, train and measure; the same numbers in every process with one thread.

    A law belongs to a seed: it is the same for all sizes, and its directions for all margins.
    """
    start = time.perf_counter()
    law = SeparableDistribution(
        config.n_features, config.n_classes, margin=job.margin, random_state=job.seed
    )
    train, test, network = np.random.SeedSequence((job.seed, job.n)).generate_state(3)
    x, y = law.sample(job.n, int(train))
    x_test, y_test = law.sample(config.n_test, int(test))
    model = _network(config, int(network)).fit(x, y)
    error, low, high = mismatch_interval(y_test, model.predict(x_test))
    return JobResult(
        job.margin,
        job.n,
        job.seed,
        train_error=mismatch_error(y, model.predict(x)),
        test_error=error,
        test_error_low=low,
        test_error_high=high,
        nc1_train=nc1(model.transform(x), y),
        nc1_test=nc1(model.transform(x_test), y_test),
        seconds=time.perf_counter() - start,
    )


def _network(config: StudyConfig, random_state: int, **changes: Any) -> TwoStageClassifier:
    parameters: dict[str, Any] = {
        "n_neurons": config.neurons,
        "max_iter": config.steps,
        "beta": config.beta,
        "gamma": config.gamma,
        "activation": config.activation,
        "random_state": random_state,
    }
    return TwoStageClassifier(**parameters | changes)


def _run_and_keep(job: Job, config: StudyConfig, folder: Path) -> Path:
    """Run in a worker; the file appears whole, or not at all."""
    path = folder / job.file
    with _atomic(path) as scratch:
        dump(scratch, dataclasses.asdict(run_job(job, config)))
    return path


@contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """Yield a scratch name, of the same suffix, that is renamed to `path` in the end."""
    scratch = path.with_name(f".{os.getpid()}-{path.name}")
    yield scratch
    os.replace(scratch, path)


def _start_worker() -> None:
    """One thread, no interrupts (the parent sees to them), and an end with the parent."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent cannot tell its workers; without this they would wait for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def execute(
    config: StudyConfig, folder: Path, *, workers: int, progress: bool = False
) -> list[JobResult]:
    """Run the jobs that `folder` does not hold yet, in parallel; return all results.

    Raises
    ------
    ValueError
        If a job fails.
    BrokenProcessPool
        If a worker was killed. What is finished is kept.
    """
    missing = [job for job in config.jobs() if _stored(folder / job.file) is None]
    total = len(config.jobs())
    with (
        tqdm(
            total=total, initial=total - len(missing), unit="run", disable=not progress, desc=STUDY
        ) as bar,
        _environment(_WORKER_ENVIRONMENT),
        ProcessPoolExecutor(
            max(1, min(workers, len(missing))),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        ) as pool,
    ):
        _await([pool.submit(_run_and_keep, job, config, folder) for job in missing], bar.update)
    results = [_stored(folder / job.file) for job in config.jobs()]
    return sorted(
        (result for result in results if result is not None), key=lambda r: (r.margin, r.n, r.seed)
    )


def _await(futures: list[Future[Path]], on_done: Callable[[], object]) -> None:
    try:
        for future in as_completed(futures):
            future.result()
            on_done()
    except BaseException:
        for future in futures:
            future.cancel()
        raise


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that start in the context."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _stored(path: Path) -> JobResult | None:
    """Read a finished job; None where there is none that can be read."""
    try:
        return JobResult(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def summarize(config: StudyConfig, results: list[JobResult]) -> list[dict[str, Any]]:
    """Mean and interval over the seeds of every quantity, one row a margin and size.

    The test error has the interval of :func:`eval.comparison.error_interval`.
    """
    rows = []
    for margin in config.margins:
        for n in sorted(config.sizes):
            runs = [r for r in results if (r.margin, r.n) == (margin, n)]
            row: dict[str, Any] = {"margin": margin, "n": n, "seeds": len(runs)}
            row |= {name: _share([getattr(r, name) for r in runs]) for name in QUANTITIES}
            row["test_error"] = _test_error(runs)
            rows.append(row)
    return rows


def _share(values: list[float]) -> Interval:
    """Mean interval of what lies between 0 and 1."""
    mean, *ends = mean_interval(values)
    # np.clip keeps the NaN ends of one value.
    return Interval(mean, *(float(end) for end in np.clip(ends, 0.0, 1.0)))


def _test_error(runs: list[JobResult]) -> Interval:
    """Interval over the seeds; of R tests together, the ends are about sqrt(R) times nearer."""
    error, low, high = np.mean(
        [(r.test_error, r.test_error_low, r.test_error_high) for r in runs], axis=0
    )
    shrink = math.sqrt(len(runs))
    pooled = Interval(error, error - (error - low) / shrink, error + (high - error) / shrink)
    return error_interval([r.test_error for r in runs], pooled)


def fit_rates(config: StudyConfig, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Power laws of test error and test NC1, one row a margin and quantity.

    An error takes part where its mean is above the resolution 1/n_test, see
    :func:`fit_power_law`.
    """
    return [
        {"margin": margin, "quantity": name}
        | dataclasses.asdict(
            fit_power_law(
                [row["n"] for row in rows if row["margin"] == margin],
                [row[name].estimate for row in rows if row["margin"] == margin],
                floor=floor,
            )
        )
        for name, floor in (("test_error", 1 / config.n_test), ("nc1_test", 0.0))
        for margin in config.margins
    ]


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a margin and size, as texts."""
    return pd.DataFrame(
        {
            "tau/M": f"{row['margin']:g}",
            "n": str(row["n"]),
            "test error % [95 %]": as_text(row["test_error"], "{:.3f}", 100),
            "NC1 test [95 %]": as_text(row["nc1_test"], "{:.4f}"),
            "NC1 train [95 %]": as_text(row["nc1_train"], "{:.4f}"),
        }
        for row in rows
    )


def rate_table(rates: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a fit, as texts."""
    return pd.DataFrame(
        {
            "quantity": rate["quantity"].replace("_", " "),
            "tau/M": f"{rate['margin']:g}",
            "r of n^-r [95 %]": as_text(rate["rate"], "{:.2f}"),
            "fitted on n": ", ".join(map(str, rate["sizes"])) or "-",
            "note": rate["note"],
        }
        for rate in rates
    )


def write(
    config: StudyConfig,
    results: list[JobResult],
    rows: list[dict[str, Any]],
    rates: list[dict[str, Any]],
    folder: Path,
) -> None:
    """Write tables and figure into the folder of the study, each of them whole."""
    from eval.app.comparison_figures import draw_study

    for name, frame in (
        ("results.csv", pd.DataFrame(results)),
        ("study.csv", pd.DataFrame(flat(row) for row in rows)),
        ("rates.csv", pd.DataFrame(_flat_rate(rate) for rate in rates)),
    ):
        with _atomic(folder / name) as scratch:
            frame.to_csv(scratch, index=False)
    with _atomic(folder / "study.md") as scratch:
        text = f"{markdown(table(rows))}\n\n{markdown(rate_table(rates))}\n"
        scratch.write_text(text, encoding="utf-8")
    draw_study(rows, 1 / config.n_test, folder / "study.png")


def _flat_rate(rate: dict[str, Any]) -> dict[str, Any]:
    none = Interval(math.nan, math.nan, math.nan)
    sizes = " ".join(map(str, rate["sizes"]))
    return flat(rate | {"rate": rate["rate"] or none, "sizes": sizes})


@contextmanager
def _study_folder(config: StudyConfig, out: Path, *, resume: bool, force: bool) -> Iterator[Path]:
    """Yield the folder of the jobs of a new study, or of one to go on with."""
    if not (resume and out.exists()):
        _start_folder(config, out, force=force)
    else:
        _check_same(config, out)
    jobs = out / "jobs"
    for scratch in (*out.glob(".*"), *jobs.glob(".*")):
        scratch.unlink()
    try:
        yield jobs
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, perhaps for want of memory: what is finished is in "
            f"{out}; go on with --resume and fewer --workers"
        ) from error


def _start_folder(config: StudyConfig, out: Path, *, force: bool) -> None:
    if (out / "config.json").is_file() and not force:
        raise FileExistsError(
            f"{out} exists already: go on with it by --resume, replace it by --force, or choose "
            "another --out"
        )
    with staged_folder(out, force=force) as scratch:
        (scratch / "jobs").mkdir()
        content = {"study": STUDY, **dataclasses.asdict(config), "versions": versions()}
        dump(scratch / "config.json", content)


def _check_same(config: StudyConfig, out: Path) -> None:
    """Refuse to go on with a study of other options or versions, naming the first of them."""
    try:
        stored = json.loads((out / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    if not isinstance(stored, dict) or stored.get("study") != STUDY or not (out / "jobs").is_dir():
        raise FileExistsError(f"{out} is not the folder of a {STUDY} study: it is left as it is")
    for name, value in json.loads(json.dumps(dataclasses.asdict(config))).items():
        if stored.get(name) != value:
            raise ValueError(
                f"{out} is a study with --{name.replace('_', '-')} {_listed(stored.get(name))}, "
                f"not {_listed(value)}: give the same, or choose another --out"
            )
    for name, value in versions().items():
        found = stored.get("versions", {}).get(name)
        if found != value:
            raise ValueError(
                f"{out} was computed with {name} {found}, not {value}: choose another --out"
            )


def _listed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _check_options(config: StudyConfig) -> None:
    """Refuse, before any work, what a job would refuse."""
    for margin in config.margins:
        law = SeparableDistribution(config.n_features, config.n_classes, margin=margin)
    if min(config.sizes) < config.n_classes:
        raise ValueError(
            f"--sizes must be >= --n-classes = {config.n_classes}, got {min(config.sizes)}"
        )
    _network(config, 0, n_neurons=1, max_iter=0).fit(*law.sample(config.n_classes, 0))


def _numbers(kind: Callable[[str], Any]) -> Callable[[Any, Any, str], tuple[Any, ...]]:
    """Click's callback for different positive numbers with commas between."""

    def parse(_: click.Context, __: click.Parameter, text: str) -> tuple[Any, ...]:
        try:
            values = tuple(kind(part) for part in text.split(","))
        except ValueError:
            values = ()
        if not values or min(values) <= 0 or len(set(values)) < len(values):
            what = "integers" if kind is int else "numbers"
            raise click.BadParameter(
                f"must be different {what} > 0 with commas between, got {text!r}"
            )
        return values

    return parse


def _default(name: str) -> str:
    value = getattr(StudyConfig, name)
    return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)


@click.group()
def study() -> None:
    """Studies of many runs in parallel, which can be killed and resumed."""


@study.command(STUDY)
@click.option(
    "--margins",
    default=_default("margins"),
    show_default=True,
    callback=_numbers(float),
    help="tau/M.",
)
@click.option(
    "--sizes",
    default=_default("sizes"),
    show_default=True,
    callback=_numbers(int),
    help="n, training samples.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=StudyConfig.seeds,
    show_default=True,
    help="Repeat with seeds seed, seed+1, ...",
)
@click.option("--seed", type=click.IntRange(0), default=StudyConfig.seed, show_default=True)
@click.option(
    "--n-features", type=click.IntRange(1), default=StudyConfig.n_features, show_default=True
)
@click.option(
    "--n-classes", type=click.IntRange(2), default=StudyConfig.n_classes, show_default=True
)
@click.option(
    "--n-test",
    type=click.IntRange(1),
    default=StudyConfig.n_test,
    show_default=True,
    help="Fresh test samples of every run.",
)
@click.option(
    "--neurons",
    type=click.IntRange(1),
    default=StudyConfig.neurons,
    show_default=True,
    help="N.",
)
@click.option(
    "--steps",
    type=click.IntRange(0),
    default=StudyConfig.steps,
    show_default=True,
    help="Steps of stage one.",
)
@click.option("--beta", type=float, default=StudyConfig.beta, show_default=True)
@click.option("--gamma", type=float, default=StudyConfig.gamma, show_default=True)
@click.option("--activation", default=StudyConfig.activation, show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Processes [default: one a core].")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--resume", is_flag=True, help="Go on with the study in --out, if there is one.")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier study.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of tables.")
def generalization(
    workers: int | None,
    out: Path | None,
    resume: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Test error and NC1 against n, on separable data of several margins.

    Every finished run is kept at once: a study that was killed goes on with --resume and
    the same options. Writes results.csv (one line a run), study.csv (means with intervals),
    rates.csv (fits n^-r), study.md, and a figure as PNG and SVG.

    \b
    gibbsnet study generalization --out runs/rates
    gibbsnet study generalization --out runs/rates --resume    # after a kill
    """  # noqa: D301
    config = StudyConfig(**options)
    start = time.perf_counter()
    with explained():
        if resume and (out is None or force):
            raise ValueError(
                "--resume and --force exclude each other" if force else "--resume needs --out"
            )
        _check_options(config)
        folder = out or free_folder(f"study-{STUDY}")
        with _study_folder(config, folder, resume=resume, force=force) as jobs:
            progress = not quiet and sys.stderr.isatty()
            results = execute(config, jobs, workers=workers or _cores(), progress=progress)
        rows = summarize(config, results)
        rates = fit_rates(config, rows)
        write(config, results, rows, rates, folder)
    if as_json:
        click.echo(json.dumps(_content(config, rows, rates) | {"folder": str(folder)}, indent=2))
        return
    click.echo(
        f"mismatch error and NC1, mean of {config.seeds} seeds, {config.n_test} fresh test points"
        f"\n\n{table(rows).to_string(index=False)}\n\n{rate_table(rates).to_string(index=False)}"
        f"\n\n{time.perf_counter() - start:.1f} s in all; written to {folder}"
    )


def _content(
    config: StudyConfig, rows: list[dict[str, Any]], rates: list[dict[str, Any]]
) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "study": STUDY,
        "config": dataclasses.asdict(config),
        "rows": [flat(row) for row in rows],
        "rates": [flat(rate) for rate in rates],
    }


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
