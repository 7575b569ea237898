"""Runs that go on after a kill: RUN.partial holds the configuration and the checkpoints."""

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
    """Hold what a run left that was stopped on its way, and yield its configuration.

    Raises
    ------
    FileNotFoundError
        If there is none.
    FileExistsError
        If it has not stopped, or another process has taken it up.
    ValueError
        If it cannot be read.
    """
    folder = partial_folder(out)
    if not folder.is_dir():
        what = "is complete" if (out / "manifest.json").is_file() else "is no run"
        raise FileNotFoundError(f"{out} {what}, and there is no {folder} to go on from")
    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        stored.pop("versions")
        config = RunConfig(**stored)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder} holds no run to go on from: no sound {CONFIG}") from error
    with alone_in(folder):
        yield config


@contextmanager
def resumable(
    out: Path, config: Mapping[str, Any], *, seconds: float, resume: bool, force: bool
) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a run that will be `out`; with `resume` it was taken up before.

    `config` is what :meth:`eval.app.run.config.RunConfig.recorded` gives.

    Their folder goes when a run that began here fails, and stays when one that was resumed
    fails, or where SIGTERM or SIGHUP has ended it: :func:`forget` removes it once the run is
    whole.

    Raises
    ------
    FileExistsError
        If a run was stopped on its way there, and neither `resume` nor `force` is given, or
        is still on its way.
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
            error.add_note(f"{folder} is kept; go on with: gibbsnet run --resume {out}")
        raise


def _make_room(folder: Path, out: Path, *, force: bool) -> None:
    if folder.exists():
        if not (force and _is_partial(folder)):
            raise FileExistsError(
                f"{folder} holds a run that was stopped: go on with --resume {out}, "
                "or begin again with --force"
            )
        with alone_in(folder):
            shutil.rmtree(folder)
    folder.mkdir()


def _is_partial(folder: Path) -> bool:
    """Whether we made it: it has a configuration, or a kill came before that was written."""
    names = [path.name for path in folder.iterdir()]
    return CONFIG in names or all(name.endswith(f"-{CONFIG}") for name in names)


def forget(out: Path) -> None:
    """Remove the checkpoints of a run that needs them no more."""
    shutil.rmtree(partial_folder(out), ignore_errors=True)
