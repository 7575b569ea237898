"""Studies of many small runs in parallel.

`jobs` says what is run and keeps every result, `summary` takes means and fits rates, `tables`
writes them, `drawing` draws the figure, and `command` is the command line.
"""

from eval.app.study.command import study
from eval.app.study.jobs import Job, StudyConfig, execute, run_job
from eval.app.study.summary import PowerLaw, error_of, fit_power_law, fit_rates, summarize

__all__ = [
    "Job",
    "PowerLaw",
    "StudyConfig",
    "error_of",
    "execute",
    "fit_power_law",
    "fit_rates",
    "run_job",
    "study",
    "summarize",
]
