"""Every seed of the tests comes from tests/support/seeds.py; this script looks for others.

A number written into a test would stay where it is when `--seed-offset` moves the others.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
MAKERS = {"manual_seed", "default_rng", "RandomState", "Generator", "seed"}
DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
IN_PLACE = {"normal_", "uniform_", "random_", "bernoulli_", "exponential_"}
LIKE = {"rand_like", "randn_like", "randint_like"}
SEEDS = {"random_state", "seed"}
STATES = {"SeedSequence", "get_state"}
OWN = {"small_problem", "relu_problem", "sample", "scaled_dual"}
"""Helpers of the tests whose `seed` goes through tests/support/seeds.py."""


def complaints(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and reason of each seed or draw that does not come from tests/support/seeds.py."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "random_state" and _number(value):
                    yield value.lineno, "a random_state written as a number: use shifted()"


def _of_call(node: ast.Call) -> Iterator[tuple[int, str]]:
    name = ast.unparse(node.func)
    last = name.rpartition(".")[2]
    words = {keyword.arg for keyword in node.keywords}
    of_library = name.startswith(("np.random.", "numpy.random.", "torch."))
    if last == "manual_seed" or (of_library and last in MAKERS):
        seeded = node.args and re.match(r"(shifted|stated)\(", ast.unparse(node.args[0]))
        if not seeded:
            yield node.lineno, f"{name}: use seeded() or numpy_generator()"
    if name.startswith("torch.") and last in DRAWS and "generator" not in words:
        yield node.lineno, f"{name} without a generator"
    if name.endswith(".sample") and len(node.args) == 2 and _number(node.args[1]):
        yield node.lineno, f"{name}: a random_state written as a number: use shifted()"
    given = [ast.unparse(each).strip("'") for each in node.args]
    for flag, value in pairwise(given):
        if flag == "--seed" and value.isdigit():
            yield node.lineno, f"{name}: --seed {value} written as a number: use shifted()"
    yield from _of_other_generators(node, name, last)
    if re.fullmatch(r"(np|numpy)\.random\.\w+", name) and last not in MAKERS | STATES:
        yield node.lineno, f"{name} draws from a global generator"
    if name in OWN:
        return
    for keyword in node.keywords:
        if keyword.arg in SEEDS and _number(keyword.value):
            yield node.lineno, f"{name}({keyword.arg}=...) written as a number: use shifted()"


def _of_other_generators(node: ast.Call, name: str, last: str) -> Iterator[tuple[int, str]]:
    """Draws in place, draws in the shape of a tensor, and those of Python's `random`."""
    if last in IN_PLACE and all(keyword.arg != "generator" for keyword in node.keywords):
        yield node.lineno, f"{name} without a generator"
    if last in LIKE or re.fullmatch(r"random\.[a-z]\w*", name):
        yield node.lineno, f"{name} draws from a global generator"
    if name == "random.Random" and node.args and _number(node.args[0]):
        yield node.lineno, f"{name} of a number: use shifted()"


def _number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value >= 0


def main() -> int:
    """Print what was found; 1 if anything was."""
    found = [
        f"{path.relative_to(TESTS.parent)}:{line}: {reason}"
        for path in sorted(TESTS.rglob("*.py"))
        if path.name != "seeds.py"
        for line, reason in complaints(ast.parse(path.read_text()))
    ]
    print("\n".join(found) or "every seed of the tests comes from tests/support/seeds.py")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
