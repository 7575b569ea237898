"""What a figure was measured on: processor, caches, libraries and load, in a few lines."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

__all__ = ["code_digest", "machine"]

PROCESSOR = (
    *("Model name", "CPU family", "Model", "CPU(s)"),
    *("L1d cache", "L2 cache", "L3 cache"),
)
LIBRARIES = ("torch", "numba", "numpy", "scikit-learn", "gibbsnet")
OVERRIDES = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "NUMBA_CPU_NAME", "OMP_NUM_THREADS")


def machine() -> dict[str, str]:
    """Names and values, as text."""
    described = dict(line.split(":", 1) for line in _output("lscpu").splitlines() if ":" in line)
    facts = {name: described.get(name, "unknown").strip() for name in PROCESSOR}
    facts["system"] = platform.platform()
    facts["instruction set of torch"] = torch.backends.cpu.get_cpu_capability()
    facts["BLAS of torch"] = "MKL" if torch.backends.mkl.is_available() else "another"
    facts["threads of torch"] = str(torch.get_num_threads())
    facts["load"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    facts |= {name: _version(name) for name in LIBRARIES}
    return facts | {name: os.environ[name] for name in OVERRIDES if name in os.environ}


def code_digest() -> str:
    """Of what makes a step, `gibbs.model` and `gibbs.dynamics`: without comments and docstrings."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1] / "gibbs"
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] in ("model", "dynamics"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if hasattr(node, "body") and isinstance(node.body, list):
                    node.body = [part for part in node.body if not _is_text(part)]
            digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:16]


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _output(command: str) -> str:
    try:
        environment = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(
            [command], capture_output=True, text=True, check=True, env=environment
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    for key, value in machine().items():
        print(f"{key:26s} {value}")
