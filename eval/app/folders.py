"""Output folders: complete or absent, never half-written; errors that speak to the user."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

__all__ = ["InputError", "check_folder", "explained", "free_folder", "staged_folder"]


class InputError(click.ClickException):
    """Something the user gave is not usable: one sentence, exit status 2."""

    exit_code = 2


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the library says of bad input into an error of the command line."""
    try:
        yield
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        raise InputError(str(error)) from error


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, runs/NAME-3, ... that does not exist."""
    base = Path("runs") / name
    candidate, number = base, 1
    while candidate.exists():
        number += 1
        candidate = base.with_name(f"{base.name}-{number}")
    return candidate


@contextmanager
def staged_folder(out: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a scratch folder that becomes `out` when the context ends well, else vanishes.

    Raises
    ------
    FileExistsError
        If `out` exists and `force` is not given, or is not the folder of a run.
    OSError
        If it cannot be written; nothing is left behind.
    """
    check_folder(out, force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        os.replace(scratch, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_folder(out: Path, *, force: bool = False) -> None:
    """Refuse, before any work, a folder that could not be written in the end."""
    if out.exists():
        if not force:
            raise FileExistsError(f"{out} exists already: choose another --out, or --force")
        if not (out / "config.json").is_file():
            raise FileExistsError(f"{out} is not the folder of a run: it is left as it is")
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(f"{out} cannot be written: no right to write in {parent}")
