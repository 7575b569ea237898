"""Coverage and width of the intervals of a mismatch error, and of a mean over repetitions.

    OMP_NUM_THREADS=1 python -P benchmarks/intervals.py

Every case has class sizes and the error of each class. Test sets are drawn as binomial counts,
and the table says in how many of them (in %) the true mismatch error lies below the interval and
above it, for nominal 95 %, and how wide the interval is on average in units of 3.92 true standard
errors. "Wilson, root of squares" is what the package had before; the bootstrap takes the 2.5 and
97.5 % quantiles of stratified resamples, for fewer test sets. The second table does the same for
the mean of R values, with and without their range.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from eval.accuracy import interval_of_counts, mean_interval

Array = NDArray[np.float64]
Limits = tuple[Array, Array]

CASES: dict[str, tuple[list[int], list[float]]] = {
    "10 classes of 36, error 0.01": ([36] * 10, [0.01]),
    "100 of 10, 0.05": ([10] * 100, [0.05]),
    "4 of 5,000, 1e-4": ([5000] * 4, [1e-4]),
    "100 and 1, 0.1": ([100, 1], [0.1]),
    "100 and 1, 0.5": ([100, 1], [0.5]),
    "10 of 72, 0.01": ([72] * 10, [0.01]),
    "4 of 40, 0.02": ([40] * 4, [0.02]),
    "50 of 2, 0.2": ([2] * 50, [0.2]),
    "20 of 1, 0.3": ([1] * 20, [0.3]),
    "1 of 20, 0.1": ([20], [0.1]),
    "1 of 100, 0.02": ([100], [0.02]),
    "3 of 50, 0.04": ([50] * 3, [0.04]),
    "59, 71 and 48, 0.013": ([59, 71, 48], [0.013]),
    "10 of 36, 0.99": ([36] * 10, [0.99]),
    "4 of 5,000, 0.5": ([5000] * 4, [0.5]),
    "4 of 5,000, 0.76": ([5000] * 4, [0.76]),
    "4 of 40, 0.5": ([40] * 4, [0.5]),
    "4 of 40, 0.76": ([40] * 4, [0.76]),
    "4 of 5,000, 0.001": ([5000] * 4, [0.001]),
    "40, 200 and 1,000; 0.3, 0, 0.05": ([40, 200, 1000], [0.3, 0, 0.05]),
    "2 of 250; 0.02, 0.98": ([250, 250], [0.02, 0.98]),
    "10 of 36; one 0.3, the others 0": ([36] * 10, [0.3] + [0.0] * 9),
    "800, 400, 200, 100; 0.001 to 0.03": ([800, 400, 200, 100], [0.001, 0.002, 0.01, 0.03]),
    "100 of 20; 0 to 1": ([20] * 100, list(np.linspace(0, 1, 100))),
    "30, 300 and 3,000, 0.5": ([30, 300, 3000], [0.5]),
    "2 of 50; 0.06, 1": ([50, 50], [0.06, 1.0]),
}

VALUES: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Array], float]] = {
    "normal, 0.1 with deviation 0.03": (
        lambda rng, shape: np.clip(rng.normal(0.1, 0.03, shape), 0, 1),
        0.1,
    ),
    "gamma of shape 4, mean 0.04": (lambda rng, shape: rng.gamma(4, 0.01, shape), 0.04),
    "gamma of shape 1, mean 0.04": (lambda rng, shape: rng.gamma(1, 0.04, shape), 0.04),
    "beta(8, 2)": (lambda rng, shape: rng.beta(8, 2, shape), 0.8),
}


def squared_wilson(wrong: Array, sizes: Array) -> Limits:
    """Wilson's limits of each class, their distances from the error added in squares."""
    z2 = norm.ppf(0.975) ** 2
    errors = wrong / sizes
    centre = (errors + z2 / (2 * sizes)) / (1 + z2 / sizes)
    half = np.sqrt(z2 * (errors * (1 - errors) / sizes + z2 / (4 * sizes**2))) / (1 + z2 / sizes)
    mean = errors.mean(axis=-1)
    below, above = (
        np.linalg.norm(distance, axis=-1) / len(sizes)
        for distance in (errors - (centre - half), centre + half - errors)
    )
    return np.maximum(0, mean - below), np.minimum(1, mean + above)


def bootstrap(wrong: Array, sizes: Array, rng: np.random.Generator, resamples: int = 400) -> Limits:
    """Quantiles of the mismatch error of resampled classes."""
    whole = sizes.astype(int)
    means = [
        (rng.binomial(whole, row / sizes, size=(resamples, len(sizes))) / sizes).mean(axis=1)
        for row in wrong
    ]
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return low, high


def describe(limits: Limits, truth: float, unit: float) -> str:
    """Write misses below and above in %, and the mean width in the unit."""
    low, high = limits
    # A limit equal to the truth but for its last bits covers it.
    below, above = (100 * np.mean(miss) for miss in (truth < low - 1e-12, truth > high + 1e-12))
    return f"{below:.1f} / {above:.1f}, {np.mean(high - low) / unit:.2f}"


def of_counts(draws: int, bootstrapped: int, rng: np.random.Generator) -> None:
    """Print the table of the mismatch error."""
    print("| classes and their errors | interval | Wilson, root of squares | bootstrap |")
    print("|---|---|---|---|")
    for name, (sizes, errors) in CASES.items():
        n = np.array(sizes, dtype=np.float64)
        p = np.broadcast_to(errors, n.shape)
        wrong = rng.binomial(n.astype(int), p, size=(draws, len(n))).astype(np.float64)
        truth, unit = p.mean(), 3.92 * np.sqrt((p * (1 - p) / n).sum()) / len(n)
        enough = " *" if min((n * p).min(), (n * (1 - p)).min()) >= 5 else ""
        found = (
            interval_of_counts(wrong, n),
            squared_wilson(wrong, n),
            bootstrap(wrong[:bootstrapped], n, rng),
        )
        print(f"| {name}{enough} |", " | ".join(describe(v, truth, unit) for v in found), "|")


def of_values(draws: int, rng: np.random.Generator) -> None:
    """Print the table of the mean."""
    print("| values | R | within (0, 1) | Student |")
    print("|---|---|---|---|")
    for name, (draw, truth) in VALUES.items():
        for repeats in (3, 5, 10):
            values = draw(rng, (draws, repeats))
            unit = 3.92 * draw(rng, (100_000, 1)).std() / np.sqrt(repeats)
            found = []
            for within in ((0.0, 1.0), (-np.inf, np.inf)):
                ends = np.array([mean_interval(row, within=within) for row in values])
                found.append(describe((ends[:, 1], ends[:, 2]), truth, unit))
            print(f"| {name} | {repeats} |", " | ".join(found), "|")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--bootstrapped", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    print("misses below / above in %, mean width / (3.92 standard errors)")
    print("*: every class expects at least 5 errors and 5 hits\n")
    of_counts(options.draws, options.bootstrapped, rng)
    print()
    of_values(min(options.draws, 4000), rng)


if __name__ == "__main__":
    main()
