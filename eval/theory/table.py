"""A checked statement, and a table of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eval.theory.assumptions import AssumptionCheck

__all__ = ["BoundCheck", "TheoryTable"]

ROUND_OFF = 1e-9
"""Relative; a bound that is attained holds to this."""


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
        left <= right up to round-off; None where that cannot be decided.
    slack : float
        right - left.
    assumptions : tuple of AssumptionCheck
        What the statement needs.
    note : str
        How a number was estimated, or why it was left out.
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
    ) -> BoundCheck:
        """Decide left <= right, to round-off; not where one of them is NaN, or right is inf.

        Round-off is 1e-9 of the larger one, and `noise` on top of it.
        """
        known = not math.isnan(left + right) and right < math.inf
        least = right + ROUND_OFF * max(abs(left), abs(right)) + noise if known else right
        holds = bool(left <= least) if known else None
        return cls(name, equation, version, left, right, holds, right - left, assumptions, note)

    @property
    def assumptions_met(self) -> bool:
        """Whether all of them are."""
        return all(check.met for check in self.assumptions)

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
        """The rows as a Markdown table; assumptions that are not met are named."""
        lines = ["| " + " | ".join(_HEADER) + " |", "|" + " --- |" * len(_HEADER)]
        for row in self.rows:
            cells = [cell.replace("|", "\\|") for cell in _cells(row)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def __str__(self) -> str:
        table = [_HEADER[:-1], *(_cells(row)[:-1] for row in self.rows)]
        widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        )


_HEADER = ["statement", "eq.", "version", "left", "right", "holds", "assumptions", "note"]


def _cells(row: BoundCheck) -> list[str]:
    failed = "; ".join(check.reason for check in row.assumptions if not check.met)
    holds = {True: "yes", False: "NO", None: "-"}[row.holds]
    return [
        row.name,
        row.equation,
        row.version,
        f"{row.left:.4g}",
        f"{row.right:.4g}",
        holds,
        f"not met: {failed}" if failed else "met",
        row.note,
    ]


def _in_words(check: AssumptionCheck) -> str:
    return f"{check.name}: " + ("met" if check.met else check.reason)
