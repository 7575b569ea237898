"""Runs that continue after a kill: RUN.partial holds the configuration and the checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eval.app.run.config import RunConfig
from eval.app.shared.workspace import Workspace, alone_in, read_config

__all__ = ["take_up"]


@contextmanager
def take_up(space: Workspace) -> Iterator[RunConfig]:
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
    folder = space.partial
    if not folder.is_dir():
        what = "is complete" if (space.out / "manifest.json").is_file() else "is no run"
        raise FileNotFoundError(f"{space.out} {what}, and there is no {folder} to continue from")
    stored = read_config(folder)
    try:
        stored.pop("versions")
        config = RunConfig(**stored)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no run to continue: no valid config.json") from error
    with alone_in(folder):
        yield config
