"""Time to a feature error: Langevin dynamics at their best tuning against solve_gibbs.

    OMP_NUM_THREADS=1 python -P benchmarks/race.py [--seeds 2] [--only NAME ...] [--json FILE]

Separable data, n = 400, d = 20, q = 4, p = 16, tau/M = 0.2, sigmoid, one thread. The error is
|H - H*|_F / |H*|_F on the training samples, H projected on the range of W. H* is the mean of two
references of other seeds, whose distance is printed: above 0.2 % a row says little at 1 %. Each is
the time average of 10,000 neurons over 3,000 steps of second order at half of the automatic size,
started from exact samples of a solution of its own. That the solver's features come near it too
says that what the references share (finite N and step) is small.

- The solver, with 5,000, 10,000 or 20,000 draws, those first that were fastest to 1 % in a pilot:
  the time of the whole call, with its certificate, of the fastest that meets the error.
- The engine in float32 from N(0, I): time until the error is met by the average over the last
  half of the records, and by the three averages after it. Training, records and averages are
  charged, the error is not. Features are the mean over the neurons projected on the range of W,
  or conditional on the u's (:mod:`gibbs.averages`). A pilot on a seed of its own chooses first
  the number of neurons and the kind of features, then step size and scheme, in runs of at most
  20 s. A run of the race is cut at 10
  times the time of the solver and marked ">".

Seeds take their turn on both. Times are medians over the seeds; ratios are engine over solver,
and a cut run counts in their geometric mean with the time at which it was cut.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from eval import SeparableDistribution
from gibbs import (
    Annealed,
    LangevinState,
    Problem,
    StopRun,
    run_langevin,
    sample_normal,
    solve_gibbs,
)
from gibbs.averages import TimeAverage, conditional_features, coupled_features
from stages import orthonormal_layer

GOALS = (0.02, 0.01)
CUT = 10.0
HOLD = 4
DRAWS = (5000, 10_000, 20_000)
REFERENCE_DRAWS, REFERENCE_NEURONS, REFERENCE_STEPS = 20_000, 10_000, 3000
PILOT_SEED, PILOT_LIMIT = 1000, 20.0


@dataclass(frozen=True)
class Setting:
    """One problem."""

    beta: float
    gamma: float

    @property
    def name(self) -> str:
        """As given to --only."""
        return f"beta{self.beta:g}-gamma{self.gamma:g}"


SETTINGS = (
    Setting(1e2, 1.0),
    Setting(1e2, 3.0),
    Setting(1e2, 10.0),
    Setting(1e3, 1.0),
    Setting(1e3, 3.0),
    Setting(1e3, 10.0),
    Setting(1e4, 1.0),
)


@dataclass(frozen=True)
class Tuning:
    """How the engine runs; `steps` is "auto", "auto x 0.3" or "annealed"."""

    n_neurons: int = 1000
    kind: str = "coupled"
    steps: str = "auto"
    scheme: str = "leimkuhler_matthews"

    @property
    def every(self) -> int:
        """Stride of the records: those of conditional features take longer."""
        return 20 if self.kind == "coupled" else 50

    def __str__(self) -> str:
        return f"N={self.n_neurons}, {self.kind}, {self.steps}, {self.scheme}"


@dataclass(frozen=True)
class Outcome:
    """Seconds to each goal (inf where not met), seconds in all, and the last error."""

    seconds: tuple[float, ...]
    spent: float
    error: float


class LastHalf:
    """The mean of the last half of what has come, in at most `MOST` sums of equal length."""

    MOST = 128

    def __init__(self) -> None:
        self.sums: list[Tensor] = []
        self.length = 1
        self.filled = 0

    def add(self, record: Tensor) -> None:
        """Take a record in."""
        if self.sums and self.filled < self.length:
            self.sums[-1] += record
            self.filled += 1
            return
        if len(self.sums) == self.MOST:
            pairs = zip(self.sums[::2], self.sums[1::2], strict=True)
            self.sums = [a + b for a, b in pairs]
            self.length *= 2
        self.sums.append(record.clone())
        self.filled = 1

    @property
    def mean(self) -> Tensor:
        """The average over the later sums."""
        kept = self.sums[len(self.sums) // 2 :]
        count = (len(kept) - 1) * self.length + self.filled
        return torch.stack(kept).sum(0) / count


class Watch:
    """An observer that averages on the clock, and compares with H* off the clock."""

    def __init__(self, tuning: Tuning, target: Tensor, limit: float) -> None:
        self.tuning = tuning
        self.target = target
        self.limit = limit
        self.average = LastHalf()
        self.start = time.perf_counter()
        self.paused = 0.0
        self.errors: list[tuple[float, float]] = []

    def __call__(self, state: LangevinState) -> float:
        """Take a record in; end the run when it has met the last goal, or at the limit."""
        if self.tuning.kind == "conditional":
            features = conditional_features(state.problem, state.particles)
        else:
            features = coupled_features(state.features, state.problem.w)
        self.average.add(features.double())
        mean = self.average.mean
        now = time.perf_counter()
        seconds = now - self.start - self.paused
        error = distance(mean, self.target)
        self.errors.append((seconds, error))
        done = seconds > self.limit or math.isfinite(self.reached(GOALS[-1]))
        self.paused += time.perf_counter() - now
        if done:
            raise StopRun
        return error

    def reached(self, goal: float) -> float:
        """Seconds of the first of `HOLD` records in a row that meet a goal; inf if none."""
        in_a_row = 0
        for k, (_, error) in enumerate(self.errors):
            in_a_row = in_a_row + 1 if error <= goal else 0
            if in_a_row == HOLD:
                return self.errors[k + 1 - HOLD][0]
        return math.inf

    @property
    def outcome(self) -> Outcome:
        """What the run came to."""
        return Outcome(tuple(self.reached(goal) for goal in GOALS), *self.errors[-1])


def main() -> None:
    """Race on what was asked for, print the table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=[s.name for s in SETTINGS])
    parser.add_argument("--reference-steps", type=int, default=REFERENCE_STEPS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts = {
        "machine": machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seeds": options.seeds,
    }
    rows = []
    for setting in SETTINGS:
        if not options.only or setting.name in options.only:
            rows.append(race(setting, options.seeds, options.reference_steps))
            if options.json:
                text = json.dumps({**facts, "problems": rows}, indent=1)
                options.json.write_text(text.replace("Infinity", "null"))
    print(f"{facts['machine']}, torch {facts['torch']}, 1 thread, {options.seeds} seeds\n")
    print_table(rows)


def machine() -> str:
    """The model of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def race(setting: Setting, n_seeds: int, reference_steps: int) -> dict[str, object]:
    """All numbers of one problem."""
    problem = separable(setting)
    single = replace(
        problem, x=problem.x.float(), y=problem.y.float(), w=problem.w.float(), lambda_rho=None
    )
    first, second = (reference(problem, single, reference_steps, 500 + k) for k in range(2))
    target = (first + second) / 2
    agreement = distance(first, second)
    note(f"{setting.name}: references differ by {100 * agreement:.3f} %")
    tests = try_solver(problem, target, PILOT_SEED, DRAWS, try_all=True)
    longest = max(seconds for seconds, _ in tests.values())
    limit = min(PILOT_LIMIT, max(3.0, 1.5 * min(seconds_to(GOALS[-1], tests), longest)))
    draws = tuple(sorted(DRAWS, key=lambda n: (tests[n][1] > GOALS[-1], tests[n][0])))
    tuning, tried = tune(single, target, limit)
    solver: list[tuple[float, ...]] = []
    engine: list[Outcome] = []
    for seed in range(n_seeds):
        found = try_solver(problem, target, seed, draws, try_all=False)
        solver.append(tuple(seconds_to(goal, found) for goal in GOALS))
        cut = CUT * min(solver[-1][-1], longest)
        engine.append(run_engine(single, tuning, target, cut, seed))
        note(f"  seed {seed}: solver {show(solver[-1])}, engine {engine[-1]}")
    goals = []
    for k, goal in enumerate(GOALS):
        ours = [each[k] for each in solver]
        times = [min(each.seconds[k], each.spent) for each in engine]
        goals.append(
            {
                "goal": goal,
                "solver": statistics.median(ours),
                "engine": statistics.median(times),
                "cut": any(math.isinf(each.seconds[k]) for each in engine),
                "ratio": statistics.median(a / b for a, b in zip(times, ours, strict=True)),
            }
        )
    return {
        "problem": setting.name,
        "agreement": agreement,
        "tuning": str(tuning),
        "errors": [each.error for each in engine],
        "goals": goals,
        "pilot": [{"tuning": str(t), **asdict(outcome)} for t, outcome in tried],
    }


def separable(setting: Setting) -> Problem:
    """The problem in float64."""
    x, y = SeparableDistribution(20, 4, margin=0.2).sample(400, 0)
    w = orthonormal_layer(16, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.eye(4, dtype=torch.float64)[torch.tensor(y)]
    return Problem(torch.tensor(x), targets, w, beta=setting.beta, gamma=setting.gamma)


def reference(problem: Problem, single: Problem, n_steps: int, seed: int) -> Tensor:
    """Features (n, p) by a long average from exact samples, on the range of W."""
    generator = torch.Generator().manual_seed(seed)
    measure = solve_gibbs(problem, n_particles=REFERENCE_DRAWS, generator=generator).measure
    start = measure.sample(REFERENCE_NEURONS, generator=generator).to(single.dtype)
    settings = {"generator": generator, "scheme": "leimkuhler_matthews"}
    first = run_langevin(single, start, n_steps=1, **settings)
    size = float(first.history["step_size"][0]) / 2
    average = TimeAverage(0)
    run_langevin(
        single,
        first.particles,
        n_steps=n_steps,
        step_size=size,
        observers={"average": average},
        **settings,
    )
    return average.mean


def solve(problem: Problem, n_particles: int, seed: int) -> tuple[float, Tensor]:
    """Seconds of a solution, and its features."""
    start = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    result = solve_gibbs(problem, n_particles=n_particles, generator=generator)
    features = result.measure.features(problem.x)
    return time.perf_counter() - start, features


def try_solver(
    problem: Problem, target: Tensor, seed: int, draws: tuple[int, ...], *, try_all: bool
) -> dict[int, tuple[float, float]]:
    """Seconds and error by number of draws; unless `try_all`, until one meets all goals."""
    found = {}
    for n_particles in draws:
        seconds, features = solve(problem, n_particles, seed)
        error = distance(features, target)
        found[n_particles] = (seconds, error)
        note(f"  solver {n_particles}: {seconds:.1f} s, error {100 * error:.2f} %")
        if error <= GOALS[-1] and not try_all:
            break
    return found


def seconds_to(goal: float, found: dict[int, tuple[float, float]]) -> float:
    """Seconds of the fastest candidate that meets a goal; inf where none does."""
    return min((seconds for seconds, error in found.values() if error <= goal), default=math.inf)


def tune(
    problem: Problem, target: Tensor, limit: float
) -> tuple[Tuning, list[tuple[Tuning, Outcome]]]:
    """The best tuning on the seed of the pilot, and all that were tried."""
    tried: list[tuple[Tuning, Outcome]] = []

    def attempt(tuning: Tuning) -> None:
        tried.append((tuning, run_engine(problem, tuning, target, limit, PILOT_SEED)))
        note(f"  pilot {tuning}: {tried[-1][1]}")

    for kind in ("coupled", "conditional"):
        for n_neurons in (1000, 4000, 10_000):
            attempt(Tuning(n_neurons, kind))
    best = min(tried, key=rank)[0]
    for steps in ("auto x 0.3", "annealed"):
        attempt(replace(best, steps=steps))
    attempt(replace(min(tried, key=rank)[0], scheme="euler"))
    return min(tried, key=rank)[0], tried


def rank(attempt: tuple[Tuning, Outcome]) -> tuple[float, ...]:
    """By the hardest goal first, then the error that the run ended with."""
    outcome = attempt[1]
    return (*outcome.seconds[::-1], outcome.error)


def run_engine(
    problem: Problem, tuning: Tuning, target: Tensor, limit: float, seed: int
) -> Outcome:
    """One run of the engine until it has met all goals, or for so many seconds."""
    watch = Watch(tuning, target, limit)
    generator = torch.Generator().manual_seed(seed)
    run_langevin(
        problem,
        sample_normal(problem, tuning.n_neurons, generator=generator),
        n_steps=10**7,
        step_size=step_size(problem, tuning, seed),  # type: ignore[arg-type]
        scheme=tuning.scheme,
        generator=generator,
        observers={"error": watch},
        every=tuning.every,
    )
    return watch.outcome


def step_size(problem: Problem, tuning: Tuning, seed: int) -> object:
    """The step sizes of a tuning, from the size that "auto" starts with."""
    if tuning.steps == "auto":
        return "auto"
    generator = torch.Generator().manual_seed(seed)
    probe = sample_normal(problem, tuning.n_neurons, generator=generator)
    history = run_langevin(problem, probe, n_steps=1, generator=generator, every=1).history
    first = float(history["step_size"][0])
    return 0.3 * first if tuning.steps == "auto x 0.3" else Annealed(first, scale=200)


def distance(features: Tensor, target: Tensor) -> float:
    """|H - H*|_F / |H*|_F."""
    return float((features - target).norm() / target.norm())


def print_table(rows: list[dict[str, object]]) -> None:
    """One row a problem; the geometric means of the ratios below."""
    print("| problem | references differ by | engine's tuning | to | solver s | engine s | ratio |")
    print("|---|---|---|---|---|---|---|")
    ratios: dict[float, list[float]] = {goal: [] for goal in GOALS}
    for row in rows:
        for each in row["goals"]:  # type: ignore[attr-defined]
            mark = ">" if each["cut"] else ""
            print(
                f"| {row['problem']} | {100 * row['agreement']:.2f} % | {row['tuning']} "  # type: ignore[operator]
                f"| {100 * each['goal']:g} % | {each['solver']:.1f} "
                f"| {mark}{each['engine']:.1f} | {mark}{each['ratio']:.2f} |"
            )
            if 0 < each["ratio"] < math.inf:
                ratios[each["goal"]].append(each["ratio"])
    for goal, values in ratios.items():
        if values:
            mean = statistics.geometric_mean(values)
            print(f"\ngeometric mean of the ratios to {100 * goal:g} %: {mean:.2f}")


def show(seconds: tuple[float, ...]) -> str:
    """Seconds to each goal."""
    return ", ".join(f"{100 * g:g} % in {s:.1f} s" for g, s in zip(GOALS, seconds, strict=True))


def note(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
