"""The folder of a study: new, or continued if its options and versions are the same."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager
from pathlib import Path

from eval.app.shared.formats import versions
from eval.app.shared.job_folder import job_folder
from eval.app.study.jobs import STUDY, StudyConfig

__all__ = ["study_folder"]


def study_folder(
    config: StudyConfig, out: Path, *, resume: bool, force: bool
) -> AbstractContextManager[Path]:
    """Yield the folder of the jobs of a new study, or of one to continue."""
    values = dataclasses.asdict(config)
    return job_folder("study", STUDY, values, versions(), out, resume=resume, force=force)
