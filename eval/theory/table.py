"""A checked statement, whichever it is, and a table of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from scipy.stats import t as student

from eval.theory.assumptions import AssumptionCheck, first_of

__all__ = ["FALSE_ALARM", "BoundCheck", "TheoryTable"]

ROUND_OFF = 1e-9
"""Relative; a bound that is attained holds to this."""

FALSE_ALARM = 1e-4
"""How often noise alone may decide a row, by Student's t over the independent draws."""


@dataclass(frozen=True)
class BoundCheck:
    """One statement left <= right, with its assumptions; of an identity, left is its residual.

    Attributes
    ----------
    name : str
    equation : str
        Its number in the paper, "" where it has none.
    version : str
        "printed": as in the paper; "corrected": as it should read, where that is wrong;
        "sharp": the best that is known here.
    left, right : float
        NaN where not computed.
    holds : bool or None
        left <= right up to round-off, and beyond the noise; None where that cannot be decided.
    slack : float
        right - left.
    assumptions : tuple of AssumptionCheck
        What the statement needs.
    note : str
        How a number was estimated, or why it was left out.
    stderr : float
        Standard error of the slack; 0 where the numbers are no estimates, NaN where the error is
        not known.
    any_points : bool
        Whether it is a theorem about any set of weighted points, so that noise cannot refute it.
    """

    name: str
    equation: str
    version: str
    left: float
    right: float
    holds: bool | None
    slack: float
    assumptions: tuple[AssumptionCheck, ...] = ()
    note: str = ""
    stderr: float = 0.0
    any_points: bool = False

    @classmethod
    def compare(
        cls,
        name: str,
        equation: str,
        version: str,
        left: float,
        right: float,
        assumptions: tuple[AssumptionCheck, ...] = (),
        note: str = "",
        *,
        noise: float = 0.0,
        doubt: float = 0.0,
        any_points: bool = False,
    ) -> BoundCheck:
        """Decide left <= right, to round-off; not where one of them is NaN, or right is inf.

        Round-off is 1e-9 of the larger one, and `noise` on top of it. Above that and up to `doubt`
        more, what is known of the right side does not decide; inf where it can only confirm.
        """
        known = not math.isnan(left + right) and right < math.inf
        least = right + noise
        if known and math.isfinite(left):  # an infinite left side has no round-off
            least += ROUND_OFF * max(abs(left), abs(right))
        holds = bool(left <= least) if known else None
        if holds is False and not left > least + doubt:
            holds = None
        slack = right - left
        row = (name, equation, version, left, right, holds, slack, assumptions, note)
        return cls(*row, any_points=any_points)

    @classmethod
    def left_out(
        cls, name: str, equation: str, needs: tuple[AssumptionCheck, ...], note: str
    ) -> BoundCheck:
        """The printed statement where it cannot be computed."""
        return cls.compare(name, equation, "printed", math.nan, math.nan, needs, note)

    def with_error(self, stderr: float, n_draws: int) -> BoundCheck:
        """The row with a standard error of its slack, from so many independent draws.

        Decided is only what lies beyond the quantile of Student's t at FALSE_ALARM, n_draws - 1
        degrees of freedom, times the error: 9.7 errors of 6 draws. An error of the size of
        round-off counts as none; and a theorem about any points is not put in doubt by their noise.
        """
        margin = float(student.isf(FALSE_ALARM, n_draws - 1)) * stderr
        sure = margin <= ROUND_OFF * max(abs(self.left), abs(self.right))
        sure = sure or abs(self.slack) > margin or (self.any_points and self.holds is True)
        return replace(self, stderr=stderr, holds=self.holds if sure else None)

    @property
    def assumptions_met(self) -> bool | None:
        """Whether all of them are; None where none fails, and one is not known."""
        return first_of(self.assumptions).met if self.assumptions else True

    def as_dict(self) -> dict[str, Any]:
        """One flat row; the assumptions in words."""
        return {
            "name": self.name,
            "equation": self.equation,
            "version": self.version,
            "left": self.left,
            "right": self.right,
            "holds": self.holds,
            "slack": self.slack,
            "assumptions_met": self.assumptions_met,
            "assumptions": "; ".join(_in_words(check) for check in self.assumptions),
            "note": self.note,
            "stderr": self.stderr,
        }


@dataclass(frozen=True)
class TheoryTable:
    """Checked statements in order: iterates over its rows, prints as a table."""

    rows: tuple[BoundCheck, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[BoundCheck]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> BoundCheck:
        return self.rows[index]

    def row(self, name: str, version: str | None = None) -> BoundCheck:
        """The row of that name, and of that version where the name has several.

        Raises
        ------
        KeyError
            If there is no such row, or more than one.
        """
        found = [row for row in self.rows if row.name == name and version in {None, row.version}]
        if len(found) != 1:
            raise KeyError(f"{len(found)} rows have name {name!r} and version {version!r}")
        return found[0]

    @property
    def contradictions(self) -> tuple[BoundCheck, ...]:
        """Rows that do not hold although their assumptions are met."""
        return tuple(row for row in self.rows if row.holds is False and row.assumptions_met)

    def as_dicts(self) -> list[dict[str, Any]]:
        """One flat dict a row, for a frame or a CSV file."""
        return [row.as_dict() for row in self.rows]

    def csv(self) -> str:
        """The rows as comma-separated values, with a header."""
        buffer = io.StringIO()
        names = list(BoundCheck.compare("", "", "sharp", 0, 0).as_dict())
        writer = csv.DictWriter(buffer, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.as_dicts())
        return buffer.getvalue()

    def markdown(self) -> str:
        """The rows as a Markdown table; assumptions not met, or not known, are named."""
        lines = ["| " + " | ".join(_HEADER) + " |", "|" + " --- |" * len(_HEADER)]
        for row in self.rows:
            cells = [cell.replace("|", "\\|") for cell in _cells(row)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def __str__(self) -> str:
        table = [_HEADER[:-1], *(_cells(row)[:-1] for row in self.rows)]
        if not any(row.stderr for row in self.rows):
            table = [line[:5] + line[6:] for line in table]
        widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        )


_HEADER = ["statement", "eq.", "version", "left", "right", "+-", "holds", "assumptions", "note"]


def _cells(row: BoundCheck) -> list[str]:
    open_ = [check for check in row.assumptions if check.met is not True]
    words = [
        prefix + "; ".join(check.reason for check in open_ if check.met is met)
        for met, prefix in ((False, "not met: "), (None, "not known: "))
        if any(check.met is met for check in open_)
    ]
    holds = {True: "yes", False: "NO", None: "-"}[row.holds]
    return [
        row.name,
        row.equation,
        row.version,
        f"{row.left:.4g}",
        f"{row.right:.4g}",
        f"{row.stderr:.2g}" if row.stderr else "",
        holds,
        "; ".join(words) or "met",
        row.note,
    ]


def _in_words(check: AssumptionCheck) -> str:
    return f"{check.name}: {check.outcome}"
