"""Steps that step_size="auto" takes to a loss, beside the best constant step of a grid.

    OMP_NUM_THREADS=1 python -P benchmarks/step_size.py [--steps 3000] [--seeds 1] [--only NAME ...]

Steps are counted, not timed. On each problem constant steps, 1.5 times apart around the size that
"auto" starts with, make the same run. A constant step is stable where the mean loss of ten
records in a row never exceeds that of the start, and the loss ends within 1.5 times its lowest
mean. Beyond 2 over the largest curvature the loss shoots up, and the neurons are thrown into
flatter regions, or saturate: such a run may be faster for a while, but it does not stay at the
low loss, which is not that of the stationary law. Hence two comparisons:

- with the best stable step: the target is 1.05 times the lowest late loss (mean of the last
  quarter) of the stable runs, reached where the mean of ten records is there. "Auto" meets the bar
  where it does not diverge and takes at most twice the steps;
- with the best step of all, stable or not, to the same target, for information.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass

import torch
from torch import Tensor

from eval import SeparableDistribution, load_dataset
from gibbs import LangevinStatus, Problem, run_langevin, sample_normal
from stages import orthonormal_layer

FACTOR = 1.5
BAR = 2.0
SLACK = 1.05
KEPT = 1.5
WINDOW = 10


@dataclass(frozen=True)
class Setting:
    """One problem; `batch` None takes all samples a step."""

    data: str
    beta: float
    gamma: float
    activation: str
    batch: int | None = None
    n_samples: int | None = None
    n_neurons: int = 500

    @property
    def name(self) -> str:
        """As given to --only."""
        tail = "" if self.batch is None else f"-batch{self.batch}"
        return f"{self.data}-beta{self.beta:g}-gamma{self.gamma:g}-{self.activation}{tail}"


SETTINGS = (
    Setting("separable", 1e2, 1.0, "sigmoid"),
    Setting("separable", 1e2, 10.0, "sigmoid"),
    Setting("separable", 1e3, 3.0, "sigmoid"),
    Setting("separable", 1e4, 1.0, "sigmoid"),
    Setting("separable", 1e4, 3.0, "sigmoid"),
    Setting("separable", 1e4, 10.0, "sigmoid"),
    Setting("separable", 1e3, 3.0, "tanh"),
    Setting("separable", 1e4, 10.0, "tanh"),
    Setting("digits", 1e4, 3.0, "tanh", n_samples=1000),
    Setting("digits", 1e4, 3.0, "tanh", batch=64, n_samples=1000),
    Setting("mnist5k", 1e4, 1.0, "tanh", batch=64, n_samples=1500),
    Setting("mnist5k", 1e4, 1.0, "sigmoid", batch=64, n_samples=1500),
    Setting("iris", 1e4, 3.0, "tanh"),
    Setting("wine", 1e4, 3.0, "tanh"),
)


@dataclass(frozen=True, eq=False)
class Run:
    """The losses of one run, by step."""

    diverged: bool
    steps: Tensor
    losses: Tensor

    @property
    def means(self) -> Tensor:
        """Mean losses of each `WINDOW` records in a row; none where there are fewer."""
        if len(self.losses) < WINDOW:
            return self.losses[:0]
        return self.losses.unfold(0, WINDOW, 1).mean(1)

    @property
    def stable(self) -> bool:
        """Whether the loss never rose above its start, and stayed where it had fallen to."""
        if self.diverged:
            return False
        last = float(self.losses[9 * len(self.losses) // 10 :].mean())
        return float(self.means.max()) <= float(self.losses[0]) and last <= KEPT * float(
            self.means.min()
        )

    @property
    def late(self) -> float:
        """Mean loss of the last quarter."""
        return float(self.losses[3 * len(self.losses) // 4 :].mean())

    def reached(self, target: float) -> float:
        """First step where the mean of the last records is at the target; inf if never."""
        below = torch.nonzero(self.means <= target)
        if self.diverged or not len(below):
            return math.inf
        return float(self.steps[WINDOW - 1 + int(below[0])])


def main() -> None:
    """Print one row a problem and seed, and the outcome."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=[s.name for s in SETTINGS])
    options = parser.parse_args()
    print(
        "| problem | auto: first, last | best stable, of largest stable | target loss "
        "| steps: auto / best stable | ratio | best of all: steps |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    ratios = []
    for setting in SETTINGS:
        if not options.only or setting.name in options.only:
            ratios += [compare(setting, options.steps, seed) for seed in range(options.seeds)]
    met = sum(ratio <= BAR for ratio in ratios)
    print(
        f"\nbar {BAR:g}: met on {met} of {len(ratios)}; "
        f"median ratio {statistics.median(ratios):.2f}, worst {max(ratios):.2f}"
    )


def compare(setting: Setting, n_steps: int, seed: int) -> float:
    """Print the row of one problem; return the steps of "auto" over those of the best stable."""
    problem = load(setting)
    every = 1 if setting.batch is None else 3

    def run(step_size: str | float) -> tuple[Run, Tensor]:
        return train(problem, setting, step_size, n_steps, every, seed)

    auto, sizes = run("auto")
    first = float(sizes[0])
    runs = {k: run(first * FACTOR**k)[0] for k in range(-2, 4)}
    while True:
        stable = {k: each for k, each in runs.items() if each.stable}
        if not stable or min(stable, key=lambda k: stable[k].late) == min(runs):
            k = min(runs) - 1
        elif max(stable) == max(runs):
            k = max(runs) + 1
        else:
            break
        runs[k] = run(first * FACTOR**k)[0]
    target = SLACK * min(each.late for each in stable.values())
    best, wild = (min(these, key=lambda k: these[k].reached(target)) for these in (stable, runs))
    ours, theirs = auto.reached(target), runs[best].reached(target)
    said = "diverged" if auto.diverged else f"{ours:.0f}"
    print(
        f"| {setting.name} | {first:.3g}, {float(sizes[-1]):.3g} "
        f"| {first * FACTOR**best:.3g} of {first * FACTOR ** max(stable):.3g} | {target:.3g} "
        f"| {said} / {theirs:.0f} | {ours / theirs:.2f}{'' if ours <= BAR * theirs else ' MISSED'} "
        f"| {first * FACTOR**wild:.3g}: {runs[wild].reached(target):.0f} |",
        flush=True,
    )
    return ours / theirs


def train(
    problem: Problem, setting: Setting, step_size: str | float, n_steps: int, every: int, seed: int
) -> tuple[Run, Tensor]:
    """One run from N(0, I): its losses and step sizes."""
    generator = torch.Generator().manual_seed(seed)
    result = run_langevin(
        problem,
        sample_normal(problem, setting.n_neurons, generator=generator),
        n_steps=n_steps,
        step_size=step_size,  # type: ignore[arg-type]
        batch_size=setting.batch,
        generator=generator,
        every=every,
    )
    diverged = result.status is LangevinStatus.DIVERGED
    history = result.history
    return Run(diverged, history["step"], history["loss"]), history["step_size"]


def load(setting: Setting) -> Problem:
    """Inputs of norm at most 1, one-hot targets, W^T W = I; float32."""
    if setting.data == "separable":
        x, y = SeparableDistribution(20, 4, margin=0.2).sample(400, 0)
    else:
        data = load_dataset(setting.data)
        x = data.x
        if data.standardize:
            x = (x - x.mean(0)) / x.std(0)
        _, y = torch.unique(torch.tensor(_codes(data.y)), return_inverse=True)
    inputs, labels = torch.as_tensor(x), torch.as_tensor(y)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(inputs), generator=generator)[: setting.n_samples]
    inputs, labels = inputs[rows], labels[rows]
    q = int(labels.max()) + 1
    w = orthonormal_layer(max(16, 2 * q), q, generator=generator, dtype=torch.float32)
    return Problem(
        (inputs / inputs.norm(dim=1).max()).float(),
        torch.eye(q)[labels],
        w,
        beta=setting.beta,
        gamma=setting.gamma,
        activation=setting.activation,
    )


def _codes(labels: object) -> list[int]:
    """Labels of any type as numbers, in their sorted order."""
    values = list(labels)  # type: ignore[call-overload]
    order = {label: code for code, label in enumerate(sorted(set(values)))}
    return [order[label] for label in values]


if __name__ == "__main__":
    main()
