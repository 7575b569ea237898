"""The Gibbs solver on separable data and on digits: certificate, agreement of seeds, time.

    python -P benchmarks/minimizer.py [--seeds 5] [--only NAME ...]

One line a solution, then medians and ranges. Times are wall-clock; threads are those of
OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from eval import SeparableDistribution, nc1
from gibbs import GibbsResult, Problem, solve_gibbs
from stages import orthonormal_layer


@dataclass(frozen=True)
class Setting:
    """One problem and the relative gap that is asked for."""

    data: str
    beta: float
    gamma: float
    tol: float

    @property
    def name(self) -> str:
        """As given to --only."""
        return f"{self.data}-beta{self.beta:g}-gamma{self.gamma:g}"


SETTINGS = (
    Setting("separable", 1e2, 1.0, 2e-3),
    Setting("separable", 1e3, 1.0, 2e-3),
    Setting("separable", 1e3, 3.0, 2e-2),
    Setting("separable", 1e4, 1.0, 5e-2),
    Setting("separable", 1e4, 3.0, 5e-2),
    Setting("separable", 1e3, 10.0, 5e-2),
    Setting("separable", 1e5, 1.0, 5e-2),
    Setting("digits", 1e2, 3.0, 5e-2),
    Setting("digits", 1e4, 3.0, 5e-2),
)


def main() -> None:
    """Solve what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[s.name for s in SETTINGS])
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for setting in SETTINGS:
        if not options.only or setting.name in options.only:
            run(setting, options.seeds)


def run(setting: Setting, n_seeds: int) -> None:
    """Solve with several seeds of the solver; data and W are the same."""
    train, labels, test, test_labels = digits() if setting.data == "digits" else separable()
    q = len(labels.unique())
    generator = torch.Generator().manual_seed(0)
    w = orthonormal_layer(max(16, 2 * q), q, generator=generator, dtype=torch.float64)
    activation = "tanh" if setting.data == "digits" else "sigmoid"
    problem = Problem(
        train,
        torch.eye(q, dtype=torch.float64)[labels],
        w,
        beta=setting.beta,
        gamma=setting.gamma,
        activation=activation,
    )
    duals, collapses, times, certified = [], [], [], 0
    print(f"\n{setting.name}, tol {setting.tol:g}")
    for seed in range(n_seeds):
        start = time.perf_counter()
        generator = torch.Generator().manual_seed(seed)
        result = solve_gibbs(problem, tol=setting.tol, generator=generator)
        times.append(time.perf_counter() - start)
        collapse = nc1(result.measure.features(train), labels)
        predicted = (result.measure.features(test) @ w).argmax(1)
        error = float((predicted != test_labels).double().mean())
        print(f"  seed {seed}: {describe(result)}")
        print(f"    NC1 {collapse:.4f}, test error {100 * error:.2f} %, {times[-1]:.1f} s")
        duals.append(result.certificate.dual)
        collapses.append(collapse)
        certified += result.certificate.certified
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  certified {certified} of {n_seeds}; dual {spread(duals)}; NC1 {spread(collapses)}")
    print(
        f"  time: median {statistics.median(times):.1f} s, {min(times):.1f} to {max(times):.1f} s; "
        f"memory so far {memory:.2f} GiB"
    )


def describe(result: GibbsResult) -> str:
    """The certificate in one line."""
    c = result.certificate
    numbers = f"dual {c.dual:.6g} +- {c.dual_stderr:.1g}"
    if c.certified:
        error = 100 * c.gap_stderr / c.dual
        return f"certified {100 * c.relative_gap:.3f} +- {error:.3f} %, {numbers}"
    return f"not certified, {numbers}: {c.reason}"


def spread(values: list[float]) -> str:
    """Median, and half the range relative to it."""
    middle = statistics.median(values)
    return f"{middle:.5g} +- {100 * (max(values) - min(values)) / 2 / abs(middle):.2f} %"


def separable() -> tuple[torch.Tensor, ...]:
    """Samples with n = 400, d = 20, q = 4, tau/M = 0.2; 5,000 test samples of the same law."""
    law = SeparableDistribution(20, 4, margin=0.2)
    (x, y), (x_test, y_test) = law.sample(400, 0), law.sample(5000, 1)
    return torch.tensor(x), torch.tensor(y), torch.tensor(x_test), torch.tensor(y_test)


def digits() -> tuple[torch.Tensor, ...]:
    """1,000 samples of scikit-learn's digits, norm at most 1; the other 797 are the test set."""
    x, y = load_digits(return_X_y=True)
    x = x / (x**2).sum(1).max() ** 0.5
    x, x_test, y, y_test = train_test_split(x, y, train_size=1000, stratify=y, random_state=0)
    return torch.tensor(x), torch.tensor(y), torch.tensor(x_test), torch.tensor(y_test)


if __name__ == "__main__":
    main()
