"""The folder of many jobs: new, or continued if its options and versions are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from eval.app.shared.folders import InputError, alone_in, staged_folder
from eval.app.shared.formats import dump

__all__ = ["check_resume", "job_folder"]


def check_resume(out: Path | None, *, resume: bool, force: bool) -> None:
    """Refuse options that do not go together."""
    if resume and force:
        raise ValueError("--resume and --force exclude each other")
    for option, given in (("--resume", resume), ("--force", force)):
        if given and out is None:
            raise ValueError(f"{option} needs --out")


@contextmanager
def job_folder(
    kind: str,
    name: str,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    out: Path,
    *,
    resume: bool,
    force: bool,
) -> Iterator[Path]:
    """Yield the folder of the jobs of a new study or figure, or of one to continue.

    Everything is written to `out` within the context, which locks it.

    Parameters
    ----------
    kind, name : str
        What it is, such as "study", and which one.
    config, versions : mapping
        Everything that the numbers depend on; stored in config.json with `kind` and `name`.
    out : Path
    resume, force : bool

    Raises
    ------
    FileExistsError
        If there is such a folder and neither is given, it is not of this kind, or another
        process is at work there.
    ValueError
        If the options or versions of the folder are others.
    """
    if not (resume and out.exists()):
        if (out / "config.json").is_file() and not force:
            raise FileExistsError(
                f"{out} exists already: continue it by --resume, replace it by --force, or "
                "choose another --out"
            )
        earlier = alone_in(out) if out.is_dir() else nullcontext()
        with earlier, staged_folder(out, force=force) as scratch:
            (scratch / "jobs").mkdir()
            dump(scratch / "config.json", {kind: name, **config, "versions": dict(versions)})
    else:
        _check_same(kind, name, config, versions, out)
    jobs = out / "jobs"
    with alone_in(out):
        _sweep(out, jobs)
        try:
            yield jobs
        except BrokenProcessPool as error:
            raise InputError(
                "a worker process was killed, perhaps for lack of memory: finished results are in "
                f"{out}; continue with --resume and fewer --workers"
            ) from error
        except KeyboardInterrupt as stop:
            _sweep(out, jobs)
            finished = sum(1 for _ in jobs.glob("[!.]*"))
            stop.add_note(
                f"{finished} finished {'run is' if finished == 1 else 'runs are'} kept in {out}; "
                f"continue with the same options, --out {out} and --resume"
            )
            raise


def _sweep(*folders: Path) -> None:
    """Remove files that a kill has left incomplete, see :func:`stages.files.whole_file`."""
    for path in (path for folder in folders for path in folder.glob(".*-*")):
        if path.name[1:].partition("-")[0].isdigit() and path.is_file():
            path.unlink(missing_ok=True)


def _check_same(
    kind: str, name: str, config: Mapping[str, Any], versions: Mapping[str, str], out: Path
) -> None:
    """Refuse to continue with other options or versions, naming the first of them."""
    try:
        stored = json.loads((out / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    if not isinstance(stored, dict) or stored.get(kind) != name or not (out / "jobs").is_dir():
        raise FileExistsError(f"{out} is not the folder of a {name} {kind}: it is not changed")
    for key, value in json.loads(json.dumps(dict(config))).items():
        if stored.get(key) != value:
            raise ValueError(
                f"{out} is a {kind} {_changed_option(key, stored.get(key), value)}: give the same, "
                "or choose another --out"
            )
    for package, value in versions.items():
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
