"""The figures of `benchmarks/engine.py` on every machine, as tables for the documentation.

    python -P benchmarks/results/table.py

Reads the JSON files beside it, one a machine, and prints Markdown: each machine with its libraries
and whether the code has changed since, then one column a machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import code_digest

HERE = Path(__file__).parent
Result = dict[str, Any]


def results() -> list[Result]:
    """What was measured, by machine."""
    files = sorted(HERE.glob("engine-*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in files]


def title(result: Result) -> str:
    """Head of a column."""
    facts = result["machine"]
    return f"{facts['Model name']} (family {facts['CPU family']} model {facts['Model']})"


def described(result: Result) -> str:
    """A machine in one sentence, and how old its figures are."""
    facts = result["machine"]
    fresh = result["code"] == code_digest()
    age = "with the present code" if fresh else "**older than the code**: a step has changed since"
    parts = (
        f"{facts['CPU(s)']} cores, second-level cache {facts['L2 cache']}",
        f"third-level {facts['L3 cache']}, {facts['instruction set of torch']}",
        f"torch {facts['torch']}, numba {facts['numba']}, load {facts['load']} at the start",
    )
    return f"- **{title(result)}**, {result['date']}, {age}; {', '.join(parts)}."


def cell(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = values
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def by_machine(found: list[Result], text: Any) -> list[str]:
    """One row for each size and number of threads, one column a machine."""
    keys = dict.fromkeys((row["case"], row["threads"]) for one in found for row in one["rows"])
    own = [{(row["case"], row["threads"]): row for row in one["rows"]} for one in found]
    rows = [
        [case, str(threads), *(text(part[case, threads]) if (case, threads) in part else "-"
                               for part in own)]
        for case, threads in keys
    ]  # fmt: skip
    return table(["sizes", "threads", *map(title, found)], rows)


def ratios(row: dict[str, Any]) -> str:
    """How many times as long plain autograd takes."""
    over = row["over"]
    return f"fused {cell(over['fused'])}; torch {cell(over['torch'])}"


def times(row: dict[str, Any]) -> str:
    """Milliseconds of all contenders, and the share of the peak."""
    kinds = ", ".join(f"{name} {cell(values)}" for name, values in row["ms"].items())
    return f"{kinds}; {row['share of the peak']:.0%} of the peak"


def main() -> None:
    """Print the tables."""
    found = results()
    print("\n".join(map(described, found)))
    print("\nThe time of plain autograd over that of each backend:\n")
    print("\n".join(by_machine(found, ratios)))
    print("\nMilliseconds a step, and the share of the peak that the fused step reaches:\n")
    print("\n".join(by_machine(found, times)))
    for one in found:
        print(f"\nMemory on {title(one)}: {one['memory']}.")


if __name__ == "__main__":
    main()
