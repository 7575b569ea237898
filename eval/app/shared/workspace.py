"""Output folders: complete or absent, locked by one process, continued after a stop."""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from eval.app.shared.endings import InputError, Stopped
from eval.app.shared.formats import dump, versions
from eval.app.shared.parallel import available_cores, run_jobs
from stages import Checkpoint

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Workspace", "alone_in", "check_folder", "free_folder", "read_config", "written_to"]

Result = TypeVar("Result")

SCRATCH = ".scratch"
"""Ending of the name of a folder while a run writes it."""

CONFIG, JOBS, CHECKPOINTS = "config.json", "jobs", "checkpoints"


@dataclass(frozen=True)
class Workspace:
    """The folder `out` of a command, and what it continues from after a stop.

    What is made in one go is written into :meth:`staged`. Many jobs are kept one by one in
    OUT/jobs, see :meth:`jobs` and :meth:`run`. A long run has :meth:`checkpoints` in OUT.partial.

    Attributes
    ----------
    out : Path
    force, resume : bool
        Whether to replace an earlier folder, or to continue it.
    workers : int or None
        Processes of :meth:`run`; None means one a core.
    progress : bool
        Whether :meth:`run` shows a bar.
    """

    out: Path
    force: bool = False
    resume: bool = False
    workers: int | None = None
    progress: bool = False

    @property
    def partial(self) -> Path:
        """The folder of the checkpoints of a run until `out` is complete."""
        return self.out.with_name(f"{self.out.name}.partial")

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield a scratch folder that becomes `out` at the end, or is removed on errors.

        A scratch folder of a killed process is removed when the next one begins to write the same
        `out`. With `force` an earlier folder is replaced, once the new one is complete.

        Raises
        ------
        FileExistsError
            If `out` exists and `force` is not given, or is not a folder that gibbsnet wrote.
        OSError
            If it cannot be written; nothing is left behind.
        """
        out = check_folder(self.out, force=self.force)
        made = [folder for folder in out.parents if not folder.exists()]
        scratch = None
        try:
            with written_to(out):
                out.parent.mkdir(parents=True, exist_ok=True)
                _sweep_scratch(out)
                name = f".{out.name}-"
                scratch = Path(tempfile.mkdtemp(prefix=name, suffix=SCRATCH, dir=out.parent))
            with alone_in(scratch):
                yield scratch
                scratch.chmod(0o755)
                _put_in_place(scratch, out, force=self.force)
                made = []
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)
            with suppress(OSError):  # they were not made, or hold something else by now
                for folder in made:
                    folder.rmdir()

    @contextmanager
    def jobs(
        self,
        kind: str,
        name: str,
        config: Mapping[str, Any],
        more_versions: Mapping[str, str] | None = None,
    ) -> Iterator[None]:
        """Begin the folder of the jobs of a study or figure, or continue an earlier one.

        Everything is written to `out` within the context, which locks it.

        Parameters
        ----------
        kind, name : str
            What it is, such as "study", and which one.
        config, more_versions : mapping
            All that decides the numbers: in config.json with `kind`, `name` and the versions.

        Raises
        ------
        FileExistsError
            If there is such a folder and neither `resume` nor `force` is given, it is not of this
            kind, or another process is at work there.
        ValueError
            If the options or versions of the folder are others.
        """
        content = {kind: name, **config, "versions": versions() | dict(more_versions or {})}
        out = self.out
        if self.resume and out.exists():
            _check_same(kind, content, out)
        else:
            taken = (
                f"{out} exists already: continue it by --resume, replace it by --force, or "
                "choose another --out"
            )
            _begin(out, content, JOBS, force=self.force, taken=taken)
        with alone_in(out):
            _sweep_files(out, out / JOBS)
            try:
                yield
            except BrokenProcessPool as error:
                raise InputError(
                    "a worker process was killed, perhaps for lack of memory: finished results "
                    f"are in {out}; continue with --resume and fewer --workers"
                ) from error
            except KeyboardInterrupt as stop:
                _sweep_files(out, out / JOBS)
                finished = sum(1 for _ in (out / JOBS).glob("[!.]*"))
                stop.add_note(
                    f"{finished} finished {'run is' if finished == 1 else 'runs are'} kept in "
                    f"{out}; continue with the same options, --out {out} and --resume"
                )
                raise

    def run(
        self,
        jobs: Mapping[str, Callable[[], dict[str, Any]]],
        read: Callable[[dict[str, Any]], Result],
        label: str = "",
    ) -> list[Result]:
        """Run the jobs that the folder does not hold yet, see :func:`run_jobs`."""
        workers = self.workers or available_cores()
        folder = self.out / JOBS
        return run_jobs(jobs, read, folder, workers=workers, progress=self.progress, label=label)

    @contextmanager
    def checkpoints(self, config: Mapping[str, Any], *, seconds: float) -> Iterator[Checkpoint]:
        """Yield the checkpoints of a run that will be `out`; with `resume` it is locked already.

        Their folder goes when a run that began here fails, and stays when one that was resumed
        fails, or where SIGTERM or SIGHUP has ended it: :meth:`forget` removes it once the run is
        whole.

        Raises
        ------
        FileExistsError
            If a run was stopped there and neither `resume` nor `force` is given, or is still
            running.
        """
        if not self.resume:
            taken = (
                f"{self.partial} holds a run that was stopped: continue with --resume {self.out}, "
                "or begin again with --force"
            )
            content = {**config, "versions": versions()}
            _begin(self.partial, content, CHECKPOINTS, force=self.force, taken=taken)
        try:
            with nullcontext() if self.resume else alone_in(self.partial):
                yield Checkpoint(self.partial / CHECKPOINTS, seconds=seconds)
        except BaseException as error:
            if not (self.resume or isinstance(error, Stopped)):
                self.forget()
            elif isinstance(error, KeyboardInterrupt):
                error.add_note(
                    f"{self.partial} is kept; continue with: gibbsnet run --resume {self.out}"
                )
            raise

    def forget(self) -> None:
        """Remove the checkpoints of a complete run."""
        shutil.rmtree(self.partial, ignore_errors=True)


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


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, runs/NAME-3, ... that no run has taken."""
    space, number = Workspace(Path("runs") / name), 1
    while space.out.exists() or space.partial.exists():
        number += 1
        space = Workspace(Path("runs") / f"{name}-{number}")
    return space.out


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json; empty where there is no sound one."""
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def written_to(out: Path) -> Iterator[None]:
    """Raise errors about a scratch path as errors about `out`."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{out} cannot be written: {error.strerror or error}") from error


def _begin(folder: Path, config: dict[str, Any], inside: str, *, force: bool, taken: str) -> None:
    """Make a folder to continue from; `taken` is the message where there is one already."""
    if (folder / CONFIG).is_file() and not force:
        raise FileExistsError(taken)
    earlier = alone_in(folder) if folder.is_dir() else nullcontext()
    with earlier, Workspace(folder, force).staged() as scratch:
        (scratch / inside).mkdir()
        dump(scratch / CONFIG, config, allow_nan=True)


def _check_same(kind: str, config: Mapping[str, Any], out: Path) -> None:
    """Refuse to continue with other options or versions, naming the first of them."""
    stored, name = read_config(out), config[kind]
    if stored.get(kind) != name or not (out / JOBS).is_dir():
        raise FileExistsError(f"{out} is not the folder of a {name} {kind}: it is not changed")
    wanted = json.loads(json.dumps(config))
    needed = wanted.pop("versions")
    for key, value in wanted.items():
        if stored.get(key) != value:
            raise ValueError(
                f"{out} is a {kind} {_changed_option(key, stored.get(key), value)}: give the same, "
                "or choose another --out"
            )
    for package, value in needed.items():
        found = stored.get("versions", {}).get(package)
        if found != value:
            raise ValueError(
                f"{out} was computed with {package} {found}, not {value}: choose another --out"
            )


def _changed_option(key: str, stored: Any, value: Any) -> str:
    """The old and the new value of an option, in words; None means not given."""
    option = f"--{key.replace('_', '-')}"
    if stored is None:
        return f"without {option}, not with {_listed(value)}"
    return f"with {option} {_listed(stored)}, not {'without' if value is None else _listed(value)}"


def _listed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _sweep_scratch(out: Path) -> None:
    """Remove the scratch folders of `out` that no running process has locked."""
    for scratch in out.parent.glob(f".{glob.escape(out.name)}-{'?' * 8}{SCRATCH}"):
        with suppress(OSError), alone_in(scratch) as held:
            if held:
                shutil.rmtree(scratch, ignore_errors=True)


def _sweep_files(*folders: Path) -> None:
    """Remove files that a kill has left incomplete, see :func:`stages.files.whole_file`."""
    for path in (path for folder in folders for path in folder.glob(".*-*")):
        if path.name[1:].partition("-")[0].isdigit() and path.is_file():
            path.unlink(missing_ok=True)


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


def _is_ours(folder: Path) -> bool:
    """Whether we wrote it, or nothing is lost with it."""
    return "gibbsnet" in read_config(folder).get("versions", {}) or not any(folder.iterdir())
