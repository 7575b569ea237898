"""One step of stage one against plain autograd, a whole-array hand gradient and a roofline.

    OMP_NUM_THREADS=1 python -P benchmarks/engine.py [--quick] [--threads 1] [--repeats 9]

Within a repetition all contenders take their steps in turn, one of them untimed, so that a busy
machine slows them alike and none is charged for the caches of another. Times are medians in ms a
step with quartiles; ratios are medians of the ratios within a repetition. Every contender makes
the same update in float32 with fresh normals from torch, ours N (d + q) of them, the references
N (d + p). "Recorded" is run_langevin as a whole, with its history every 10 steps. The roofline
is the sum of

- 2 N n (2d + 3q) flops at the best rate of 20 products of two 1024 x 1024 matrices,
- N n activations at the rate of an array that stays in the cache,
- N (d + q) normals at the rate of torch.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from gibbs import Particles, Problem, run_langevin, sample_normal
from gibbs.dynamics.cloud import TiledCloud
from gibbs.dynamics.coupling import couple
from gibbs.dynamics.engine import Engine
from gibbs.dynamics.noise import DelayedNoise, Kick, Noise, TiledNoise

ETA = 0.1
RECORDED, RECORDED_STEPS = "ours, recorded", 20
Step = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """Sizes of a problem, and what is asked of our step there."""

    n_neurons: int
    n_samples: int
    d: int
    p: int = 16
    q: int = 4
    batch: int | None = None
    steps: int = 3
    over_autograd: float = 0.0
    over_hand: float = 0.0
    of_roofline: float = 0.0
    activation: str = "sigmoid"

    @property
    def name(self) -> str:
        """The sizes in one word."""
        rows = f"n={self.n_samples}" if self.batch is None else f"batch={self.batch}"
        tail = "" if self.activation == "sigmoid" else f" {self.activation}"
        return f"N={self.n_neurons} {rows} d={self.d} p={self.p} q={self.q}{tail}"

    @property
    def rows(self) -> int:
        """Samples a step."""
        return self.batch or self.n_samples


CASES = (
    Case(10_000, 1000, 20, over_autograd=3.0, of_roofline=0.5),
    Case(6272, 4500, 784, q=3, batch=64, steps=8, over_autograd=2.0),
    Case(1000, 400, 20, steps=20, over_hand=1.0),
    Case(10_000, 1000, 20, activation="tanh"),
    Case(1000, 1000, 64, p=20, q=10, steps=10),
    Case(4000, 6000, 50, p=20, q=10, steps=1),
    Case(100_000, 1000, 20, steps=1),
)
QUICK = 3


def main() -> None:
    """Time what was asked for and print one block a case."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the cases with a bar, fewer times")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = options.repeats or (5 if options.quick else 9)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {repeats} repetitions")
    for case in CASES[: QUICK if options.quick else None]:
        compare(case, repeats)
    print_scaling(repeats)
    if not options.quick:
        print_memory(1_000_000, 1000, 20)


def compare(case: Case, repeats: int) -> None:
    """Time all contenders in turn and print their times, the ratios and the roofline."""
    problem, start = setting(case)
    contenders = {
        "ours": ours(problem, start, case),
        RECORDED: recorded(problem, start, case),
        "autograd": autograd(problem, start, case),
        "hand, whole arrays": whole_array(problem, start, case),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    parts: list[tuple[float, float, float]] = []
    for repeat in range(repeats + 1):
        for name, step in contenders.items():
            if name == RECORDED:
                value = clock(step, 1) / RECORDED_STEPS
            else:
                step()
                value = clock(step, case.steps)
            if repeat:
                times[name].append(value)
        if repeat:
            parts.append(measure_parts(case))
    print(f"\n{case.name}")
    for name, values in times.items():
        print(f"  {name:20s} {spread([1e3 * v for v in values])} ms")
    print_ratio("autograd / ours", times["autograd"], times["ours"], case.over_autograd)
    print_ratio("hand / ours", times["hand, whole arrays"], times["ours"], case.over_hand)
    product = min(part[0] for part in parts)
    roofline = [product + part[1] + part[2] for part in parts]
    flops = 2 * case.n_neurons * case.rows * (2 * case.d + 3 * case.q)
    activation, normals = (statistics.median(part[k] for part in parts) for k in (1, 2))
    print(
        f"  roofline {1e3 * statistics.median(roofline):.2f} ms = product {1e3 * product:.2f} "
        f"({flops / product / 1e9:.0f} GFLOP/s) + activation {1e3 * activation:.2f} "
        f"({case.n_neurons * case.rows / activation / 1e9:.2f} G/s) + normals "
        f"{1e3 * normals:.2f} ({case.n_neurons * (case.d + case.q) / normals / 1e9:.2f} G/s)"
    )
    print_ratio("roofline / ours", roofline, times["ours"], case.of_roofline)


def setting(case: Case) -> tuple[Problem, Particles]:
    """A problem of these sizes with inputs of norm at most 1, and a cloud."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(case.n_samples, case.d, generator=generator)
    x /= x.norm(dim=1).max()
    y = torch.nn.functional.one_hot(torch.arange(case.n_samples) % case.q, case.q).float()
    w = torch.linalg.qr(torch.randn(case.p, case.q, generator=generator))[0].contiguous()
    problem = Problem(x, y, w, beta=1e4, activation=case.activation)
    return problem, sample_normal(problem, case.n_neurons, generator=generator)


def batches(problem: Problem, case: Case) -> Iterator[tuple[Tensor, Tensor]]:
    """All samples for ever, or batches of an epoch's random order."""
    while case.batch is None:
        yield problem.x, problem.y
    while case.batch is not None:
        order = torch.randperm(problem.n_samples)
        for k in range(0, problem.n_samples - case.batch + 1, case.batch):
            rows = order[k : k + case.batch]
            yield problem.x[rows], problem.y[rows]


def ours(problem: Problem, start: Particles, case: Case) -> Step:
    """The step as run_langevin takes it."""
    generator = torch.Generator().manual_seed(1)
    coupling = couple(problem)
    cloud = TiledCloud(Particles(coupling.split(start.a)[0], start.u))
    engine = Engine(coupling.problem, cloud, case.rows)
    data = batches(problem, case)

    noise: Noise = TiledNoise(cloud, generator)
    if DelayedNoise.is_faster(case.n_neurons, case.d, case.rows):
        noise = DelayedNoise(cloud, generator)
    kick = Kick(0.0, math.sqrt(2 * ETA * problem.temperature))

    def step() -> None:
        x, y = next(data)
        noise.begin(kick, 1 - ETA * problem.decay)
        engine.forward(x, y, batch_noise=noise.on_batch(x))
        engine.descend(ETA, noise)

    return step


def recorded(problem: Problem, start: Particles, case: Case) -> Step:
    """run_langevin over 20 steps with its history every 10: 3 records with all they cost."""
    generator = torch.Generator().manual_seed(1)

    def run() -> None:
        run_langevin(
            problem,
            start,
            n_steps=RECORDED_STEPS,
            step_size=ETA,
            batch_size=case.batch,
            generator=generator,
        )

    return run


def autograd(problem: Problem, start: Particles, case: Case) -> Step:
    """Plain torch: the loss of the network, backward, the update."""
    a, u = (v.clone().requires_grad_() for v in (start.a, start.u))
    data = batches(problem, case)
    value = getattr(torch, case.activation)

    def step() -> None:
        x, y = next(data)
        z = problem.gamma * (value(u @ x.T).T @ a / len(a)) @ problem.w
        loss = (z - y).square().sum() / (2 * len(x))
        grads = torch.autograd.grad(loss, (a, u))
        with torch.no_grad():
            for theta, grad in zip((a, u), grads, strict=True):
                update(problem, theta, grad, len(a))

    return step


def whole_array(problem: Problem, start: Particles, case: Case) -> Step:
    """The gradient by hand, on arrays of all neurons."""
    a, u = start.a.clone(), start.u.clone()
    data = batches(problem, case)
    value = getattr(torch, case.activation)

    def step() -> None:
        x, y = next(data)
        values = value(u @ x.T)
        residual = problem.gamma * (values.T @ a / len(a)) @ problem.w - y
        forces = residual @ problem.w.T * (problem.gamma / len(x))
        slopes = values * (1 - values) if case.activation == "sigmoid" else 1 - values * values
        grad_a = values @ forces
        grad_u = (slopes * (a @ forces.T)) @ x
        update(problem, a, grad_a, 1)
        update(problem, u, grad_u, 1)

    return step


def update(problem: Problem, theta: Tensor, grad: Tensor, factor: float) -> None:
    """Take theta <- (1 - eta lambda) theta - eta grad + sqrt(2 eta/beta) xi, in place."""
    theta.mul_(1 - ETA * problem.decay).sub_(grad, alpha=ETA * factor)
    theta.add_(torch.randn(theta.shape), alpha=math.sqrt(2 * ETA * problem.temperature))


def measure_parts(case: Case) -> tuple[float, float, float]:
    """Seconds of the matrix products, activations and normals of a step, each at its best."""
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    out = torch.empty(1024, 1024)
    best = min(clock(lambda: torch.mm(left, right, out=out), 1) for _ in range(20))
    flops = 2 * case.n_neurons * case.rows * (2 * case.d + 3 * case.q)
    product = best * flops / (2 * 1024**3)
    small, target = torch.randn(128, 1000), torch.empty(128, 1000)
    value = getattr(torch, case.activation)
    activation = clock(lambda: value(small, out=target), 20) / small.numel()
    n_normals = case.n_neurons * (case.d + case.q)
    normals = clock(lambda: torch.randn(n_normals), 1)
    return product, activation * case.n_neurons * case.rows, normals


def clock(call: Step, n_calls: int) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(n_calls):
        call()
    return (time.perf_counter() - start) / n_calls


def spread(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:8.2f} ({low:.2f} to {high:.2f})"


def print_ratio(name: str, above: list[float], below: list[float], bar: float) -> None:
    """Print the median ratio, and whether it meets the bar where there is one."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    outcome = ""
    if bar:
        outcome = f"  bar {bar:g}: {'met' if statistics.median(ratios) >= bar else 'MISSED'}"
    print(f"  {name:20s} {spread(ratios)}{outcome}")


def print_scaling(repeats: int) -> None:
    """Print by how much a step grows when N or n doubles at the large end; the bar is 2 +- 0.2."""
    small = Case(100_000, 1000, 20)
    doubled = {
        "N doubled": replace(small, n_neurons=200_000),
        "n doubled": replace(small, n_samples=2000),
    }
    steps = {name: ours(*setting(case), case) for name, case in {"": small, **doubled}.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            value = clock(step, 1)
            if repeat:
                times[name].append(value)
    print(f"\n{small.name}: {spread([1e3 * v for v in times['']])} ms a step")
    for name in doubled:
        ratios = [a / b for a, b in zip(times[name], times[""], strict=True)]
        met = abs(statistics.median(ratios) - 2) <= 0.2
        print(f"  {name:20s} {spread(ratios)} times  bar 2 +- 0.2: {'met' if met else 'MISSED'}")


def print_memory(n_neurons: int, n_samples: int, d: int) -> None:
    """Print what a run needs above its start, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        extra, cloud = pool.apply(peak_memory, (n_neurons, n_samples, d))
    print(f"\nN={n_neurons} n={n_samples} d={d}: peak {extra:.2f} GiB above a start of {cloud:.2f}")


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
