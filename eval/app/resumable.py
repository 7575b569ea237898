"""Runs that go on after a kill: RUN.partial holds the configuration and the checkpoints."""

from __future__ import annotations

import dataclasses
import glob
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eval.app.config import RunConfig
from eval.app.folders import SCRATCH, alone_in, partial_folder
from eval.app.formats import versions
from stages import Checkpoint
from stages.files import whole_file

__all__ = ["forget", "resumable", "take_up"]

CONFIG, CHECKPOINTS = "config.json", "checkpoints"


@contextmanager
def take_up(out: Path) -> Iterator[RunConfig]:
    """Hold what a run left that was stopped on its way, yield its configuration, sweep up.

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
        for scratch in out.parent.glob(f".{glob.escape(out.name)}-{'?' * 8}{SCRATCH}"):
            shutil.rmtree(scratch, ignore_errors=True)
        yield config


@contextmanager
def resumable(
    out: Path, config: RunConfig, *, seconds: float, resume: bool, force: bool
) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a run that will be `out`; with `resume` it was taken up before.

    Their folder goes when a run that began here fails, and stays when one that was resumed
    fails: :func:`forget` removes it once the run is whole.

    Raises
    ------
    FileExistsError
        If a run was stopped on its way there, and neither `resume` nor `force` is given, or
        is still on its way.
    """
    folder = partial_folder(out)
    if resume:
        yield Checkpoint(folder / CHECKPOINTS, seconds=seconds)
        return
    if folder.exists():
        if not (force and _is_partial(folder)):
            raise FileExistsError(
                f"{folder} holds a run that was stopped: go on with --resume {out}, "
                "or begin again with --force"
            )
        with alone_in(folder):
            shutil.rmtree(folder)
    folder.mkdir()
    with alone_in(folder):
        try:
            text = json.dumps(dataclasses.asdict(config) | {"versions": versions()}, indent=2)
            with whole_file(folder / CONFIG) as scratch:
                scratch.write_text(text, encoding="utf-8")
            yield Checkpoint(folder / CHECKPOINTS, seconds=seconds)
        except BaseException:
            forget(out)
            raise


def _is_partial(folder: Path) -> bool:
    """Whether we made it: it has a configuration, or a kill came before that was written."""
    names = [path.name for path in folder.iterdir()]
    return CONFIG in names or all(name.endswith(f"-{CONFIG}") for name in names)


def forget(out: Path) -> None:
    """Remove the checkpoints of a run that needs them no more."""
    shutil.rmtree(partial_folder(out), ignore_errors=True)
