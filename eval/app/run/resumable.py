"""Runs that continue after a kill: RUN.partial holds the configuration and the checkpoints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from eval.app.run.config import RunConfig
from eval.app.shared.folders import alone_in, partial_folder
from eval.app.shared.formats import versions
from eval.app.shared.signals import Stopped
from stages import Checkpoint
from stages.files import whole_file

__all__ = ["forget", "resumable", "take_up"]

CONFIG, CHECKPOINTS = "config.json", "checkpoints"


@contextmanager
def take_up(out: Path) -> Iterator[RunConfig]:
    """Lock the folder of a run that was stopped, and yield its configuration.

    Raises
    ------
    FileNotFoundError
        If there is none.
    FileExistsError
        If it is still running, or another process has continued it.
    ValueError
        If it cannot be read.
    """
    folder = partial_folder(out)
    if not folder.is_dir():
        what = "is complete" if (out / "manifest.json").is_file() else "is no run"
        raise FileNotFoundError(f"{out} {what}, and there is no {folder} to continue from")
    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        stored.pop("versions")
        config = RunConfig(**stored)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder} holds no run to continue: no valid {CONFIG}") from error
    with alone_in(folder):
        yield config


@contextmanager
def resumable(
    out: Path, config: Mapping[str, Any], *, seconds: float, resume: bool, force: bool
) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a run that will be `out`; with `resume` it is locked already.

    `config` is what :meth:`eval.app.run.config.RunConfig.recorded` gives.

    Their folder is removed when a new run fails, and stays when a resumed one fails, or when
    SIGTERM or SIGHUP has ended it: :func:`forget` removes it once the run is complete.

    Raises
    ------
    FileExistsError
        If a run was stopped there and neither `resume` nor `force` is given, or is still
        running.
    """
    folder = partial_folder(out)
    if not resume:
        _make_room(folder, out, force=force)
    try:
        with nullcontext() if resume else alone_in(folder):
            if not resume:
                text = json.dumps({**config, "versions": versions()}, indent=2)
                with whole_file(folder / CONFIG) as scratch:
                    scratch.write_text(text, encoding="utf-8")
            yield Checkpoint(folder / CHECKPOINTS, seconds=seconds)
    except BaseException as error:
        if not (resume or (isinstance(error, Stopped) and (folder / CONFIG).is_file())):
            forget(out)
        elif isinstance(error, KeyboardInterrupt):
            error.add_note(f"{folder} is kept; continue with: gibbsnet run --resume {out}")
        raise


def _make_room(folder: Path, out: Path, *, force: bool) -> None:
    if folder.exists():
        if not (force and _is_partial(folder)):
            raise FileExistsError(
                f"{folder} holds a run that was stopped: continue with --resume {out}, "
                "or begin again with --force"
            )
        with alone_in(folder):
            shutil.rmtree(folder)
    folder.mkdir()


def _is_partial(folder: Path) -> bool:
    """Whether a run made it: it has a configuration, or a kill came before that was written."""
    names = [path.name for path in folder.iterdir()]
    return CONFIG in names or all(name.endswith(f"-{CONFIG}") for name in names)


def forget(out: Path) -> None:
    """Remove the checkpoints of a complete run."""
    shutil.rmtree(partial_folder(out), ignore_errors=True)
