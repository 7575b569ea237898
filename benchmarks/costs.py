"""What is not a step: predictions, collapse metrics, the solver and the certificate.

    python -P benchmarks/costs.py [--threads 1 2] [--repeats 3] [--only NAME ...]

Of each call the median and the range of the times, the floating-point operations of its matrix
products (torch counts them, or they are stated), and how long these take at the rate that a large
product of float64 reaches in the same run: the time that no form of the call can fall below.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from eval import collapse_metrics
from gibbs import Problem, certify, run_langevin, sample_normal, solve_gibbs
from stages import TwoStageClassifier, orthonormal_layer

sys.path.insert(0, str(Path(__file__).parent))
from machine import machine

Call = Callable[[], object]


def predictions(activation: str) -> Call:
    """Predict 10^6 samples in 20 dimensions with 1,000 neurons."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1_000_000, 20))
    labels = (x[:1000, 0] > 0) + 2 * (x[:1000, 1] > 0)
    model = TwoStageClassifier(activation=activation, max_iter=20, random_state=0)
    model.fit(x[:1000], labels)
    return lambda: model.predict(x)


def metrics() -> Call:
    """Every metric of collapse, with W, of 60,000 x 512 features in float32, 10 classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=60_000)
    features = rng.standard_normal((60_000, 512), dtype=np.float32)
    features += rng.standard_normal((10, 512), dtype=np.float32)[labels]
    w = rng.standard_normal((512, 10), dtype=np.float32)
    return lambda: collapse_metrics(features, labels, w)


METRICS_FLOPS = 2 * 60_000 * 512 * (9 + 10 + 10)


def problem(n: int, d: int, beta: float) -> Problem:
    """Samples in the unit ball with four classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    x /= x.norm(dim=1).max()
    labels = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    y = torch.eye(4, dtype=torch.float64)[labels]
    w = orthonormal_layer(16, 4, generator=generator, dtype=torch.float64)
    return Problem(x, y, w, beta=beta)


def solved(n: int, d: int, beta: float) -> Call:
    """Solve for the Gibbs minimizer."""
    given = problem(n, d, beta)
    return lambda: solve_gibbs(given, tol=2e-2, generator=torch.Generator().manual_seed(0))


def certified(n: int, d: int, beta: float) -> Call:
    """Certify the cloud that a run of 1,000 steps ends with."""
    given = problem(n, d, beta)
    generator = torch.Generator().manual_seed(0)
    start = sample_normal(given, 1000, generator=generator)
    cloud = run_langevin(given, start, n_steps=1000, generator=generator).particles
    return lambda: certify(given, cloud, generator=torch.Generator().manual_seed(0))


COSTS: dict[str, tuple[Callable[[], Call], float | None]] = {
    "predict-sigmoid": (lambda: predictions("sigmoid"), None),
    "predict-tanh": (lambda: predictions("tanh"), None),
    "collapse-metrics": (metrics, METRICS_FLOPS),
    "solve-quadrature": (lambda: solved(60, 2, 1e2), None),
    "solve-monte-carlo": (lambda: solved(200, 20, 1e2), None),
    "certify": (lambda: certified(200, 20, 1e2), None),
}


def rate() -> float:
    """Floating-point operations a second of a large product in float64."""
    left = torch.randn(1024, 1024, dtype=torch.float64)
    out = torch.empty_like(left)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(left, left, out=out)
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / min(times)


def counted(call: Call) -> float:
    """Floating-point operations of the matrix products that torch makes in a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def main() -> None:
    """Time what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=COSTS)
    options = parser.parse_args()
    for key, value in machine().items():
        print(f"{key:26s} {value}")
    for name in options.only or COSTS:
        make, stated = COSTS[name]
        call = make()
        flops = counted(call) if stated is None else stated
        for n_threads in options.threads:
            torch.set_num_threads(n_threads)
            times = []
            for _ in range(options.repeats):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            bound = flops / rate()
            middle = statistics.median(times)
            print(
                f"{name:18s} threads {n_threads}: {middle:.3g} s ({min(times):.3g} to "
                f"{max(times):.3g}); products {flops / 1e9:.3g} G, {bound:.3g} s at the peak, "
                f"{bound / middle:.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
