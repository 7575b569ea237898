"""Time and memory of `separability`, in one thread, each case in a fresh process.

    OMP_NUM_THREADS=1 python -P benchmarks/separability.py

n = 100,000 samples, d = 50, q = 5: separable laws of two margins, normal samples with random
labels, and with the labels of five linear functions. Memory is the peak resident set (Linux),
imports and samples included. "gap" is the largest (upper - margin)/upper over the classes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray

from eval import SeparableDistribution, separability

CASES = ("margin 0.2", "margin 0.01", "random labels", "linear labels")


def samples(case: str, n: int, d: int, q: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Samples and labels of one case."""
    name, _, margin = case.partition(" ")
    if name == "margin":
        return SeparableDistribution(d, q, margin=float(margin)).sample(n, 0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    if name == "random":
        return x, rng.integers(0, q, size=n)
    return x, (x @ rng.normal(size=(d, q))).argmax(axis=1)


def measure(case: str, intercept: bool, n: int, d: int, q: int) -> str:
    """One line of the table."""
    x, y = samples(case, n, d, q)
    start = time.perf_counter()
    found = separability(x, y, intercept=intercept)
    seconds = time.perf_counter() - start
    gaps = [1 - each.margin / each.upper for each in found.by_class if each.upper > 0]
    gap = f"{max(0, *gaps):.1e}" if gaps else "-"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"| {case} | {'yes' if intercept else 'no'} | {found.status} | "
        f"{found.margin / found.radius:.5g} | {gap} | {seconds:.1f} | {peak:.2f} |"
    )


def main() -> None:
    """Run every case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--d", type=int, default=50)
    parser.add_argument("--q", type=int, default=5)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--intercept", action="store_true")
    options = parser.parse_args()
    sizes = options.n, options.d, options.q
    if options.case:
        print(measure(options.case, options.intercept, *sizes))
        return
    print("| samples | intercept | status | tau/M | gap | s | GiB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    words = [sys.executable, "-P", __file__, *sys.argv[1:]]
    for case in CASES:
        for flag in ([], ["--intercept"]):
            subprocess.run([*words, "--case", case, *flag], check=True)


if __name__ == "__main__":
    main()
