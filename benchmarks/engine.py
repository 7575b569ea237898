"""One step of stage one on both backends, against plain autograd.

    python -P benchmarks/engine.py [--grid] [--threads 1 2] [--repeats 9] [--json FILE]

Within a repetition all contenders take their steps in turn, each after a while untimed, so that a
busy machine slows them alike and none is charged for the caches and threads of another. Times are
medians in ms a step with quartiles; ratios are medians of the ratios within a repetition. Every
contender makes the same update in float32 with fresh normals, ours N (d + q) of them, autograd
N (d + p).

Ours are the steps of `gibbs.run_langevin`: `gibbs.dynamics.run_state.Dynamics` begins and takes
them, as it does there. With batches `run_langevin` itself is timed, from step 20 to step 100 of a
run. The share of the peak counts 2 N n (2d + 3q) + 20 N n floating-point
operations, at the best rate of fused multiply-adds that a product in the cache reaches on one
thread, times the threads.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from gibbs import Particles, Problem, run_langevin, sample_normal
from gibbs.dynamics.fused.blocks import product
from gibbs.dynamics.noise import Scheme
from gibbs.dynamics.run_state import Dynamics

sys.path.insert(0, str(Path(__file__).parent))
from machine import code_digest, machine

ETA = 0.1
LONG = 10**8
"""Steps of this many pairs of neuron and sample are timed once, after one untimed."""

WARM_UP = 0.2
"""Seconds that each contender computes before it is timed: the system takes a tenth of a second to
move two threads to two cores, and threads of OpenMP keep theirs for a while after their last work.
"""
Step = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """Sizes of a problem."""

    n_neurons: int
    n_samples: int
    d: int
    p: int = 16
    q: int = 4
    batch: int | None = None
    activation: str = "sigmoid"

    @property
    def name(self) -> str:
        """The sizes in one line."""
        rows = f"n={self.n_samples}" if self.batch is None else f"batch={self.batch}"
        tail = "" if self.activation == "sigmoid" else f" {self.activation}"
        return f"N={self.n_neurons} {rows} d={self.d} p={self.p} q={self.q}{tail}"

    @property
    def flops(self) -> float:
        """Floating-point operations of a step, 20 of them for an activation and its slope."""
        pairs = self.n_neurons * (self.batch or self.n_samples)
        return pairs * (2 * (2 * self.d + 3 * self.q) + 20)


CASES = (
    Case(10_000, 1000, 20),
    Case(10_000, 1000, 20, activation="tanh"),
    Case(1000, 400, 20),
    Case(1000, 1000, 64, p=20, q=10),
    Case(6272, 4500, 784, q=3, batch=64),
)
GRID = tuple(
    Case(n_neurons, n_samples, d, p=max(16, 2 * q), q=q)
    for n_neurons in (100, 1000, 10_000, 100_000)
    for n_samples in (100, 1000, 10_000)
    for d in (2, 20, 100, 784)
    for q in (2, 10)
    if n_neurons * n_samples * d < 5 * 10**11
)
"""Sizes whose autograd step fits 24 GiB and takes at most 20 s."""


def main() -> None:
    """Time what was asked for and print one block a case."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--grid", action="store_true", help="many sizes, fewer times")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here")
    parser.add_argument("--neighbour", action="store_true", help="beside a process that computes")
    options = parser.parse_args()
    repeats = options.repeats or (3 if options.grid else 9)
    facts = machine()
    for key, value in facts.items():
        print(f"{key:26s} {value}")
    rows = []
    with neighbour(options.neighbour):
        for case in GRID if options.grid else CASES:
            for row in compare(case, options.threads, repeats):
                print_row(row)
                rows.append(row)
    result = {"machine": facts, "code": code_digest(), "date": str(date.today()), "rows": rows}
    if not options.grid:
        result["memory"] = memory(1_000_000, 1000, 20)
        print(f"\n{result['memory']}")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1))


def compare(case: Case, threads: list[int], repeats: int) -> list[dict[str, Any]]:
    """One row for each number of threads: times, ratios and the share of the peak."""
    problem, start = setting(case)
    times: dict[tuple[str, int], list[float]] = {}
    long = case.n_neurons * case.n_samples >= LONG
    for repeat in range(1 if long else repeats + 1):
        for n_threads in threads:
            torch.set_num_threads(n_threads)
            for name, seconds in contenders(problem, start, case).items():
                value = seconds()
                if repeat or long:
                    times.setdefault((name, n_threads), []).append(value)
    best = peak()
    rows = []
    for n_threads in threads:
        own = {name: values for (name, k), values in times.items() if k == n_threads}
        row: dict[str, Any] = {"case": case.name, "threads": n_threads, "ms": {}, "over": {}}
        for name, values in own.items():
            row["ms"][name] = spread([1e3 * value for value in values])
            ratios = [a / b for a, b in zip(own["autograd"], values, strict=True)]
            row["over"][name] = spread(ratios)
        middle = statistics.median(own["fused"])
        row["share of the peak"] = case.flops / middle / (best * n_threads)
        one = times.get(("fused", 1), own["fused"])
        ratios = [a / b for a, b in zip(one, own["fused"], strict=True)]
        row["over one thread"] = spread(ratios)
        rows.append(row)
    return rows


def print_row(row: dict[str, Any]) -> None:
    """Print a block of figures."""
    print(f"\n{row['case']}, threads {row['threads']}")
    for name, (low, middle, high) in row["ms"].items():
        over = "{1:.2f} ({0:.2f} to {2:.2f})".format(*row["over"][name])
        print(f"  {name:9s} {middle:9.3f} ({low:.3f} to {high:.3f}) ms   autograd / it {over}")
    over = "{1:.2f} ({0:.2f} to {2:.2f})".format(*row["over one thread"])
    print(f"  fused: {row['share of the peak']:.0%} of the peak, one thread / these {over}")


def contenders(problem: Problem, start: Particles, case: Case) -> dict[str, Callable[[], float]]:
    """Functions that return the seconds of a step."""
    made: dict[str, Callable[[], float]] = {}
    for backend in ("fused", "torch"):
        if case.batch is None:
            made[backend] = clocked(ours(problem, start, backend))
        else:
            made[backend] = runs(problem, start, case.batch, backend)
    made["autograd"] = clocked(autograd(problem, start, case))
    return made


def clocked(step: Step) -> Callable[[], float]:
    """Seconds of a step, over a tenth of a second, after as long untimed."""

    def seconds() -> float:
        until = time.perf_counter() + WARM_UP
        count = 0
        while count == 0 or time.perf_counter() < until:
            step()
            count += 1
        return clock(step, max(1, round(count * 0.1 / WARM_UP)))

    return seconds


def clock(call: Step, n_calls: int) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(n_calls):
        call()
    return (time.perf_counter() - start) / n_calls


def setting(case: Case) -> tuple[Problem, Particles]:
    """A problem of these sizes with inputs of norm at most 1, and a cloud."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(case.n_samples, case.d, generator=generator)
    x /= x.norm(dim=1).max()
    y = torch.nn.functional.one_hot(torch.arange(case.n_samples) % case.q, case.q).float()
    w = torch.linalg.qr(torch.randn(case.p, case.q, generator=generator))[0].contiguous()
    problem = Problem(x, y, w, beta=1e4, activation=case.activation)
    return problem, sample_normal(problem, case.n_neurons, generator=generator)


def ours(problem: Problem, start: Particles, backend: str) -> Step:
    """The step that run_langevin takes."""
    dynamics = Dynamics(
        problem,
        start,
        batch_size=None,
        scheme=Scheme.EULER,
        lambda_w=None,
        noisy=True,
        backend=backend,
        generator=torch.Generator().manual_seed(1),
    )

    def step() -> None:
        dynamics.begin(1, ETA, problem.temperature)
        dynamics.step()

    return step


def runs(problem: Problem, start: Particles, batch: int, backend: str) -> Callable[[], float]:
    """Seconds of a step of run_langevin on batches, by the times at which it asks for a size."""

    def seconds() -> float:
        begun: dict[int, float] = {}

        def size(step: int) -> float:
            begun[step] = time.perf_counter()
            return ETA

        run_langevin(
            problem,
            start,
            n_steps=101,
            step_size=size,
            batch_size=batch,
            backend=backend,
            generator=torch.Generator().manual_seed(1),
            every=101,
        )
        return (begun[100] - begun[20]) / 80

    return seconds


def batches(problem: Problem, case: Case) -> Iterator[tuple[Tensor, Tensor]]:
    """All samples for ever, or batches of an epoch's random order."""
    while case.batch is None:
        yield problem.x, problem.y
    while case.batch is not None:
        order = torch.randperm(problem.n_samples)
        for k in range(0, problem.n_samples - case.batch + 1, case.batch):
            rows = order[k : k + case.batch]
            yield problem.x[rows], problem.y[rows]


def autograd(problem: Problem, start: Particles, case: Case) -> Step:
    """Plain torch: the loss of the network, backward, the update."""
    a, u = (v.clone().requires_grad_() for v in (start.a, start.u))
    data = batches(problem, case)
    value = getattr(torch, case.activation)
    kick, rate = math.sqrt(2 * ETA * problem.temperature), 1 - ETA * problem.decay

    def step() -> None:
        x, y = next(data)
        z = problem.gamma * (value(u @ x.T).T @ a / len(a)) @ problem.w
        loss = (z - y).square().sum() / (2 * len(x))
        grads = torch.autograd.grad(loss, (a, u))
        with torch.no_grad():
            for theta, grad in zip((a, u), grads, strict=True):
                theta.mul_(rate).sub_(grad, alpha=ETA * len(a))
                theta.add_(torch.randn(theta.shape), alpha=kick)

    return step


def peak() -> float:
    """Floating-point operations a second of one thread: the best of products in the cache."""

    @njit
    def products(work, count):  # type: ignore[no-untyped-def]
        for _ in range(count):
            product(work, 0, 32, work, 2048, 64, 1, work, 4096, 64, False)

    work, count = np.zeros(64 * 128, np.float32), 2000
    products(work, 1)
    best = min(clock(lambda: products(work, count), 1) for _ in range(20))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    left, out = torch.randn(1024, 1024), torch.empty(1024, 1024)
    product_of_torch = min(clock(lambda: torch.mm(left, left, out=out), 1) for _ in range(10))
    torch.set_num_threads(threads)
    return max(count * 2 * 32 * 64 * 64 / best, 2 * 1024**3 / product_of_torch)


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """A process beside that computes all the while, or none."""
    process = multiprocessing.get_context("spawn").Process(target=_compute)
    if wanted:
        process.start()
    try:
        yield
    finally:
        if wanted:
            process.terminate()


def _compute() -> None:
    torch.set_num_threads(1)
    values = torch.randn(300, 300)
    while True:
        values = torch.tanh(values @ values)


def spread(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def memory(n_neurons: int, n_samples: int, d: int) -> str:
    """What a run needs above its start, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        extra, cloud = pool.apply(peak_memory, (n_neurons, n_samples, d))
    return f"N={n_neurons} n={n_samples} d={d}: peak {extra:.2f} GiB above a start of {cloud:.2f}"


def peak_memory(n_neurons: int, n_samples: int, d: int) -> tuple[float, float]:
    """GiB of a run above its start, and of the start."""
    torch.set_num_threads(1)
    problem, start = setting(Case(n_neurons, n_samples, d))
    before = peak_kib()
    run_langevin(problem, start, n_steps=2, step_size=ETA, generator=torch.Generator())
    after = peak_kib()
    cloud = (start.a.numel() + start.u.numel()) * start.a.element_size()
    return (after - before) / 2**20, cloud / 2**30


def peak_kib() -> int:
    """Largest resident size of this process so far; Linux, where getrusage has the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main()
