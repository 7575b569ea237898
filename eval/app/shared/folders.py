"""Output folders: complete or absent, never half-written; errors as one sentence."""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from eval.app.shared.signals import catchable, exit_status, name_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "InputError",
    "alone_in",
    "check_folder",
    "explained",
    "free_folder",
    "partial_folder",
    "staged_folder",
    "written_to",
]


SCRATCH = ".scratch"
"""Ending of the name of a folder while a run writes it."""


class InputError(click.ClickException):
    """Something the user gave is not usable: one sentence, exit status 2."""

    exit_code = 2


@contextmanager
def explained() -> Iterator[None]:
    """Turn bad input into an error of the command line; after a signal, say what is kept.

    A function that keeps results of a stopped command says so in a note on the
    KeyboardInterrupt.
    """
    try:
        with catchable():
            yield
    except KeyboardInterrupt as stop:
        kept = "; ".join(getattr(stop, "__notes__", ["nothing is kept"]))
        click.echo(f"stopped by {name_of(stop)}: {kept}", err=True)
        raise SystemExit(exit_status(stop)) from None
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        raise InputError(_sentence(error)) from error
    except ArithmeticError as error:
        if type(error) is not ArithmeticError:  # a division by zero is no bad input
            raise
        raise InputError(str(error)) from error


def _sentence(error: Exception) -> str:
    """The message of an error, without the error number of the system."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


@contextmanager
def written_to(out: Path) -> Iterator[None]:
    """Raise errors about a scratch path as errors about `out`."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{out} cannot be written: {error.strerror or error}") from error


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Lock an existing folder, so that no other process writes there.

    The system releases the lock when the process ends, in whatever way. Where there are no such
    locks (Windows, some network disks) nothing is locked; yields whether it is.

    Raises
    ------
    FileExistsError
        If another process has locked it, or has replaced it.
    """
    if fcntl is None:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        held = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileExistsError(
                f"{folder} is in use by another process: wait for its end, or stop it"
            ) from error
        except OSError:
            held = False
        if not os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            raise FileExistsError(f"{folder} has just been replaced by another process")
        yield held
    finally:
        os.close(descriptor)


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, runs/NAME-3, ... that no run has taken."""
    base = Path("runs") / name
    candidate, number = base, 1
    while candidate.exists() or partial_folder(candidate).exists():
        number += 1
        candidate = base.with_name(f"{base.name}-{number}")
    return candidate


def partial_folder(out: Path) -> Path:
    """The folder of the checkpoints of a run until `out` is complete."""
    return out.with_name(f"{out.name}.partial")


@contextmanager
def staged_folder(out: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a scratch folder that becomes `out` at the end of the context, or is removed on errors.

    A scratch folder of a killed process is removed when the next one begins to write the same
    `out`. With `force` an earlier folder is replaced, once the new one is complete.

    Raises
    ------
    FileExistsError
        If `out` exists and `force` is not given, or is not a folder that gibbsnet wrote.
    OSError
        If it cannot be written; nothing is left behind.
    """
    out = check_folder(out, force=force)
    made = [folder for folder in out.parents if not folder.exists()]
    scratch = None
    try:
        with written_to(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            _sweep(out)
            scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=SCRATCH, dir=out.parent))
        with alone_in(scratch):
            yield scratch
            scratch.chmod(0o755)
            _put_in_place(scratch, out, force=force)
            made = []
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # they were not made, or hold something else by now
            for folder in made:
                folder.rmdir()


def _sweep(out: Path) -> None:
    """Remove the scratch folders of `out` that no running process has locked."""
    for scratch in out.parent.glob(f".{glob.escape(out.name)}-{'?' * 8}{SCRATCH}"):
        with suppress(OSError), alone_in(scratch) as held:
            if held:
                shutil.rmtree(scratch, ignore_errors=True)


def _put_in_place(scratch: Path, out: Path, *, force: bool) -> None:
    if not out.exists():
        scratch.rename(out)
        return
    if not force:
        raise FileExistsError(f"{out} has appeared meanwhile: choose another --out, or --force")
    old = scratch.with_name(scratch.name + "-old")
    try:
        out.rename(old)
        scratch.rename(out)
    finally:
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(out)


def check_folder(out: Path, *, force: bool = False) -> Path:
    """Refuse, before any work, a folder that could not be written at the end.

    Returns its absolute path.
    """
    out = Path(os.path.abspath(out))
    if out == Path.cwd() or out in Path.cwd().parents:
        raise FileExistsError(f"{out} is or holds the working directory: choose another --out")
    if os.path.lexists(out):
        if not force:
            raise FileExistsError(f"{out} exists already: choose another --out, or --force")
        if out.is_symlink() or not _is_ours(out):
            raise FileExistsError(f"{out} is not a folder that gibbsnet wrote: it is not changed")
    parent = next(folder for folder in out.parents if os.path.lexists(folder))
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(f"{out} cannot be written: no permission to write in {parent}")
    return out


def _is_ours(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return "gibbsnet" in config["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
