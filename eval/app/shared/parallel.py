"""Jobs in parallel processes: finished results are stored, and stored jobs are not run again."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from eval.app.shared.endings import signals_held
from eval.app.shared.formats import dump
from stages.files import whole_file

__all__ = ["available_cores", "run_jobs"]

Content = dict[str, Any]

Result = TypeVar("Result")

# The first one: a folder of the user's with an eval.py must not come first in a worker.
_WORKER_ENVIRONMENT = dict.fromkeys(
    ("PYTHONSAFEPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def run_jobs(
    jobs: Mapping[str, Callable[[], Content]],
    read: Callable[[Content], Result],
    folder: Path,
    *,
    workers: int,
    progress: bool = False,
    label: str = "",
) -> list[Result]:
    """Run the jobs that `folder` does not hold yet, in parallel; return all results in order.

    Parameters
    ----------
    jobs : mapping of str to callable
        By the name of the file that keeps the result; can be pickled, and returns what JSON
        can hold.
    read : callable
        Makes a result of what a file holds; KeyError, TypeError or ValueError where it is not
        one: then the job is run again.
    folder : Path
    workers : int
        Processes, of one thread each.
    progress : bool, default False
        Whether to show a bar on standard error, with `label` before it.

    Raises
    ------
    ValueError
        If a job fails.
    BrokenProcessPool
        If a worker was killed. What is finished is kept.
    """
    missing = [name for name in jobs if _stored(folder / name, read) is None]
    with (
        tqdm(
            total=len(jobs),
            initial=len(jobs) - len(missing),
            unit="run",
            disable=not progress,
            desc=label,
        ) as bar,
        _environment(_WORKER_ENVIRONMENT),
        ProcessPoolExecutor(
            max(1, min(workers, len(missing))),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        ) as pool,
    ):
        _await(pool, [partial(_run_and_keep, jobs[name], folder / name) for name in missing], bar)
    results = [_stored(folder / name, read) for name in jobs]
    return [result for result in results if result is not None]


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _stored(path: Path, read: Callable[[Content], Result]) -> Result | None:
    """Read a finished job; None where there is none that can be read."""
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, KeyError, ValueError, TypeError):
        return None


def _await(pool: ProcessPoolExecutor, tasks: list[Callable[[], None]], bar: Any) -> None:
    futures: list[Future[None]] = []
    try:
        # A terminal sends Ctrl-C to the workers too, which start here: it is for us to end them.
        with signals_held():
            futures += [pool.submit(task) for task in tasks]
        for future in as_completed(futures):
            future.result()
            bar.update()
    except KeyboardInterrupt:
        # A job may take minutes, and its file is written completely or not at all.
        for process in multiprocessing.active_children():
            process.terminate()
        raise
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


def _run_and_keep(job: Callable[[], Content], path: Path) -> None:
    """Run a job in a worker; its file is written completely or not at all."""
    with whole_file(path) as scratch:
        dump(scratch, job())


def _start_worker() -> None:
    """One thread, no interrupts (the parent handles them), and an end with the parent."""
    torch.set_num_threads(1)
    # Its own lock would be a semaphore of the system, which a worker that is ended leaves behind.
    tqdm.set_lock(threading.RLock())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent cannot notify its workers; without this they would wait for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
