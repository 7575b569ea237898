"""The folder of a study: begun, or gone on with if its options and versions are the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.app.folders import InputError, staged_folder
from eval.app.formats import dump, versions
from eval.app.study.jobs import STUDY, StudyConfig

__all__ = ["study_folder"]


@contextmanager
def study_folder(config: StudyConfig, out: Path, *, resume: bool, force: bool) -> Iterator[Path]:
    """Yield the folder of the jobs of a new study, or of one to go on with."""
    if not (resume and out.exists()):
        _start_folder(config, out, force=force)
    else:
        _check_same(config, out)
    jobs = out / "jobs"
    for scratch in (*out.glob(".*"), *jobs.glob(".*")):
        scratch.unlink()
    try:
        yield jobs
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, perhaps for want of memory: what is finished is in "
            f"{out}; go on with --resume and fewer --workers"
        ) from error


def _start_folder(config: StudyConfig, out: Path, *, force: bool) -> None:
    if (out / "config.json").is_file() and not force:
        raise FileExistsError(
            f"{out} exists already: go on with it by --resume, replace it by --force, or choose "
            "another --out"
        )
    with staged_folder(out, force=force) as scratch:
        (scratch / "jobs").mkdir()
        content = {"study": STUDY, **dataclasses.asdict(config), "versions": versions()}
        dump(scratch / "config.json", content)


def _check_same(config: StudyConfig, out: Path) -> None:
    """Refuse to go on with a study of other options or versions, naming the first of them."""
    try:
        stored = json.loads((out / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    if not isinstance(stored, dict) or stored.get("study") != STUDY or not (out / "jobs").is_dir():
        raise FileExistsError(f"{out} is not the folder of a {STUDY} study: it is left as it is")
    for name, value in json.loads(json.dumps(dataclasses.asdict(config))).items():
        if stored.get(name) != value:
            raise ValueError(
                f"{out} is a study with --{name.replace('_', '-')} {_listed(stored.get(name))}, "
                f"not {_listed(value)}: give the same, or choose another --out"
            )
    for name, value in versions().items():
        found = stored.get("versions", {}).get(name)
        if found != value:
            raise ValueError(
                f"{out} was computed with {name} {found}, not {value}: choose another --out"
            )


def _listed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
