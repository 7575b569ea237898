"""Studies of many small runs in parallel.

`jobs` says what is run, `execution` runs it and stores every result, `folder` begins or
continues a study, `summary` takes means and fits rates, `tables` writes them, and `command`
is the command line.
"""

from eval.app.study.command import study
from eval.app.study.execution import execute
from eval.app.study.jobs import Job, JobResult, StudyConfig, run_job
from eval.app.study.summary import PowerLaw, fit_power_law, fit_rates, summarize

__all__ = [
    "Job",
    "JobResult",
    "PowerLaw",
    "StudyConfig",
    "execute",
    "fit_power_law",
    "fit_rates",
    "run_job",
    "study",
    "summarize",
]
