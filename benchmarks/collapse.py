"""Time and memory of the collapse metrics beside two-pass p x p implementations.

    OMP_NUM_THREADS=1 python -P benchmarks/collapse.py

60,000 x 512 float32, 10 imbalanced classes; all give NC1 and tr(S_W pinv(S_B))/K in float64.
"textbook" centres all features at once and calls pinv; "tuned" goes class by class, and takes
the pseudo-inverse from a symmetric eigendecomposition. Every repetition runs all of them in turn,
and ratios are those within a repetition. Memory is the growth of the peak resident set (Linux)
over one call in a fresh process, after a warm-up on a few rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval import collapse_metrics, nc1

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def sample(n: int, p: int, k: int) -> tuple[Features, Labels]:
    """Gaussian classes of unequal sizes in float32, off the origin."""
    rng = np.random.default_rng(0)
    shares = np.arange(1, k + 1) / np.arange(1, k + 1).sum()
    labels = rng.choice(k, size=n, p=shares)
    features = rng.standard_normal((n, p), dtype=np.float32)
    features += (1 + 0.3 * rng.standard_normal((k, p), dtype=np.float32))[labels]
    return features, labels


def textbook(features: Features, labels: Labels) -> tuple[float, float]:
    """NC1 and tr(S_W pinv(S_B))/K: class means, then the p x p scatter matrices."""
    h = features.astype(np.float64)
    classes, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.stack([h[members == k].mean(axis=0) for k in range(len(classes))])
    centred = h - means[members]
    deviations = means - h.mean(axis=0)
    within = centred.T @ centred / len(h)
    between = (counts[:, None] / len(h) * deviations).T @ deviations
    ratio = np.trace(within) / (np.trace(within) + np.trace(between))
    pinv = np.linalg.pinv(between, rcond=1e-12)
    return float(ratio), float(np.trace(within @ pinv) / len(classes))


def tuned(features: Features, labels: Labels) -> tuple[float, float]:
    """The same, with a class in memory at a time and a symmetric pseudo-inverse."""
    n, p = features.shape
    classes = np.unique(labels)
    means = np.stack([features[labels == c].mean(axis=0, dtype=np.float64) for c in classes])
    weights = np.array([(labels == c).mean() for c in classes])
    within = np.zeros((p, p))
    for c, mean in zip(classes, means, strict=True):
        centred = features[labels == c] - mean
        within += centred.T @ centred
    within /= n
    deviations = means - weights @ means
    between = (weights[:, None] * deviations).T @ deviations
    pinv = np.linalg.pinv(between, rcond=1e-12, hermitian=True)
    ratio = np.trace(within) / (np.trace(within) + np.trace(between))
    return float(ratio), float(np.sum(within * pinv) / len(classes))


def projected(features: Features, labels: Labels) -> tuple[float, float]:
    """Every metric of collapse_metrics; two of them returned."""
    metrics = collapse_metrics(features, labels)
    return metrics.nc1.value, metrics.papyan.value


def nc1_alone(features: Features, labels: Labels) -> tuple[float, float]:
    """NC1 by itself."""
    return nc1(features, labels), float("nan")


METHODS = {"textbook": textbook, "tuned": tuned, "collapse_metrics": projected, "nc1": nc1_alone}


def extra_memory(method: str, shape: tuple[int, int, int]) -> float:
    """MiB above the data, in a fresh process."""
    command = [sys.executable, "-P", __file__, "--memory", method, "--shape", *map(str, shape)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_memory(method: str, shape: tuple[int, int, int]) -> None:
    """Growth of the peak resident set over one call, in MiB."""
    features, labels = sample(*shape)
    METHODS[method](features[:100], labels[:100])
    Path("/proc/self/clear_refs").write_text("5")  # The peak starts from here.
    before = _peak()
    METHODS[method](features, labels)
    print(_peak() - before)


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print medians with quartiles, the ratio within each repetition, and the memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=int, nargs=3, default=(60_000, 512, 10))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--memory", choices=METHODS)
    options = parser.parse_args()
    shape = tuple(options.shape)
    if options.memory:
        print_memory(options.memory, shape)
        return
    data = sample(*shape)
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(options.repeats):
        values = {}
        for name, method in METHODS.items():
            start = time.perf_counter()
            values[name] = method(*data)
            seconds[name].append(time.perf_counter() - start)
    print(f"n, p, K = {shape}, float32, {options.repeats} repetitions: median [quartiles]")
    for name, times in seconds.items():
        low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
        against = "   ".join(
            f"{ratio:4.1f} [{worst:.1f}, {best:.1f}] x {other}"
            for other in ("textbook", "tuned")
            for worst, ratio, best in [
                np.quantile(np.array(seconds[other]) / times, [0.25, 0.5, 0.75])
            ]
        )
        difference = np.nanmax(np.abs(np.array(values[name]) / values["textbook"] - 1))
        print(
            f"{name:16} {middle:.3f} [{low:.3f}, {high:.3f}] s   {against}   "
            f"{extra_memory(name, shape):6.1f} MiB extra   differs by {difference:.0e}"
        )


if __name__ == "__main__":
    main()
