"""The jobs of a study, run in parallel and put in order."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from eval.app.shared.parallel import run_jobs
from eval.app.study.jobs import STUDY, Job, JobResult, StudyConfig, run_job

__all__ = ["execute"]


def execute(
    config: StudyConfig, folder: Path, *, workers: int, progress: bool = False
) -> list[JobResult]:
    """Run the jobs that `folder` does not hold yet, see `run_jobs`."""
    jobs = {job.file: partial(_content, job, config) for job in config.jobs()}
    results = run_jobs(jobs, _read, folder, workers=workers, progress=progress, label=STUDY)
    return sorted(results, key=lambda r: (r.margin, r.n, r.seed))


def _content(job: Job, config: StudyConfig) -> dict[str, Any]:
    return dataclasses.asdict(run_job(job, config))


def _read(content: dict[str, Any]) -> JobResult:
    return JobResult(**content)
