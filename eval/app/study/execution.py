"""Jobs in parallel processes: what is finished is kept, what is kept is not run again."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from eval.app.folders import whole_file
from eval.app.formats import dump
from eval.app.study.jobs import STUDY, Job, JobResult, StudyConfig, run_job

__all__ = ["execute"]

# The first one: a folder of the user's with an eval.py must not come first in a worker.
_WORKER_ENVIRONMENT = dict.fromkeys(
    ("PYTHONSAFEPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


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


def _stored(path: Path) -> JobResult | None:
    """Read a finished job; None where there is none that can be read."""
    try:
        return JobResult(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


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


def _run_and_keep(job: Job, config: StudyConfig, folder: Path) -> Path:
    """Run in a worker; the file appears whole, or not at all."""
    path = folder / job.file
    with whole_file(path) as scratch:
        dump(scratch, dataclasses.asdict(run_job(job, config)))
    return path


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
