"""Figures 1 and 2 of the paper: stochastic gradient descent with the linear layer fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.accuracy import Interval, mismatch_error
from eval.app.figure.images import SCALES, Samples, balanced_samples, load_inputs
from eval.app.figure.recipe import (
    SHARE,
    Measured,
    Recipe,
    Rows,
    by_run,
    by_seed,
    fixed,
    mean_of,
    single,
)
from eval.app.shared.plots import COLOURS, curve, finish, panel_row
from eval.collapse.metrics import balancedness
from eval.collapse.observers import collapse_observers
from gibbs import LangevinResult, Problem, run_langevin, sample_normal
from gibbs.dynamics.langevin import LangevinState, Observer
from gibbs.dynamics.schedules import Piecewise
from stages import orthonormal_layer

__all__ = [
    "FIGURES",
    "DescentSettings",
    "descend",
    "draw_samples",
    "measure_curves",
    "problem_of",
    "uniform_layer",
]

PAPER_NB = {"a": (0.8093, 0.7149, 0.5895, 0.8531), "b": (0.5386, 0.2779, 0.4141, 0.5257)}
"""NB at convergence in the paper's four runs of settings (a) and (b), section 4.2."""


@dataclass(frozen=True)
class DescentSettings:
    """Settings (a) and (b) of section 4.2.

    `step_sizes` are those of one neuron, N times a learning rate of the N-neuron loss: the first
    for half of the epochs, the second for the other half. `layer` is the law of W_0: "orthonormal",
    as in Assumption 1, or "uniform", the usual start of a linear layer. `scale` is that of
    :func:`eval.app.figure.images.load_inputs`; `per_class` 0 means all that a balanced choice has.
    """

    setting: str = fixed("a")
    source: str = "mnist5k"
    target: str = ""
    scale: str = "sphere"
    per_class: int = 1500
    seeds: int = 4
    seed: int = 0
    neurons: int = 6272
    hidden_features: int = 16
    layer: str = "orthonormal"
    activation: str = "tanh"
    gamma: float = 1.0
    temperature: float = 0.0
    decay: float = 1e-4
    batch_size: int = 64
    epochs: int = 30
    step_sizes: tuple[float, float] = (0.5, 5.0)


def uniform_layer(n_features: int, n_outputs: int, *, generator: torch.Generator) -> torch.Tensor:
    """Draw W (p, q) with entries uniform in [-1/sqrt(p), 1/sqrt(p)]: E[W^T W] = I/3.

    The usual start of a linear layer; its singular values differ, by chance.
    """
    uniform = torch.rand(n_features, n_outputs, generator=generator)
    return (2 * uniform - 1) / math.sqrt(n_features)


_LAYERS = {"uniform": uniform_layer, "orthonormal": orthonormal_layer}


def draw_samples(settings: DescentSettings, seed: int) -> Samples:
    """The training samples of one run."""
    everything = load_inputs(settings.source, settings.target or None, scale=settings.scale)
    return balanced_samples(everything, settings.per_class, seed)


def problem_of(settings: DescentSettings, samples: Samples, generator: torch.Generator) -> Problem:
    """The problem of one run, W_0 drawn."""
    y = torch.nn.functional.one_hot(torch.from_numpy(samples.y)).float()
    w = _LAYERS[settings.layer](settings.hidden_features, y.shape[1], generator=generator)
    return Problem(
        torch.from_numpy(samples.x).float(),
        y,
        w,
        beta=1 / settings.temperature if settings.temperature > 0 else math.inf,
        gamma=settings.gamma,
        lambda_rho=settings.decay,
        activation=settings.activation,
    )


def descend(
    settings: DescentSettings,
    samples: Samples,
    seed: int,
    observers: Mapping[str, Observer],
    *,
    records_per_epoch: int = 1,
) -> LangevinResult:
    """One run from N(0, I), with as many records an epoch.

    Raises
    ------
    ArithmeticError
        If it diverges.
    """
    generator = torch.Generator().manual_seed(seed)
    problem = problem_of(settings, samples, generator)
    epoch = problem.n_samples // settings.batch_size
    n_steps = settings.epochs * epoch
    result = run_langevin(
        problem,
        sample_normal(problem, settings.neurons, generator=generator),
        n_steps=n_steps,
        step_size=Piecewise(settings.step_sizes, (n_steps // 2,)),
        batch_size=settings.batch_size,
        generator=generator,
        observers=observers,
        every=max(1, epoch // records_per_epoch),
    )
    if result.status == "diverged":
        raise ArithmeticError(
            f"the run of seed {seed} diverged at step {result.n_steps} of {n_steps}: take smaller "
            "step_sizes"
        )
    return result


def _balance(state: LangevinState) -> float:
    return balancedness(state.particles, state.problem.w)


def _error(state: LangevinState) -> float:
    return mismatch_error(state.problem.y.argmax(1).numpy(), state.outputs.argmax(1).numpy())


def _run(settings: DescentSettings, seed: int) -> Rows:
    samples = draw_samples(settings, seed)
    observers = {**collapse_observers("nc1"), "nb": _balance, "train_error": _error}
    history = descend(settings, samples, seed, observers).history
    epoch = len(samples.y) // settings.batch_size
    names = ("step", "loss", "nc1", "gradient_norm", "nb", "train_error")
    values = zip(*(history[name].tolist() for name in names), strict=True)
    return [
        {"run": seed, "epoch": row[0] / epoch} | dict(zip(names, row, strict=True))
        for row in values
    ]


def _jobs(settings: DescentSettings) -> dict[str, Callable[[], Rows]]:
    if not settings.source:
        raise ValueError(
            "--features must name a file of features with labels, such as an NPZ file with arrays "
            "X and y"
        )
    for name, known in (("scale", SCALES), ("layer", tuple(_LAYERS))):
        if getattr(settings, name) not in known:
            raise ValueError(
                f"{name} must be one of {', '.join(known)}, got {getattr(settings, name)!r}"
            )
    samples = draw_samples(settings, settings.seed)
    if not 1 <= settings.batch_size <= len(samples.y) or settings.epochs < 2:
        raise ValueError(
            f"batch_size must be 1 to {len(samples.y)} and epochs >= 2, got {settings.batch_size} "
            f"and {settings.epochs}"
        )
    Piecewise(settings.step_sizes, (1,))
    problem_of(settings, samples, torch.Generator())
    return by_seed(_run, settings)


def measure_curves(_: DescentSettings, frame: pd.DataFrame) -> list[Measured]:
    """How far loss, NC1 and gradient norm fall, in each run and in the mean."""
    first, last = (frame.groupby("run").agg(which) for which in ("first", "last"))
    found = []
    for name, title in (("loss", "loss"), ("nc1", "NC1"), ("gradient_norm", "gradient norm")):
        fall = first[name] / last[name]
        within = SHARE if name == "nc1" else (0.0, math.inf)
        found += [
            mean_of(f"{title} at the start", first[name], within=within),
            mean_of(f"{title} at the end", last[name], within=within),
            Measured(
                f"{title} falls by a factor; least and largest of the runs",
                Interval(float(fall.mean()), float(fall.min()), float(fall.max())),
            ),
        ]
    return [*found, mean_of("training error at the end", last["train_error"], within=SHARE)]


def _measure_balance(settings: DescentSettings, frame: pd.DataFrame) -> list[Measured]:
    """NB at the end of each run, beside the paper's."""
    last = frame.groupby("run")["nb"].last()
    paper = PAPER_NB[settings.setting]
    runs = [single(f"NB at the end, run {run}", value) for run, value in last.items()]
    listed = ", ".join(f"{value:.2f}" for value in paper)
    return [
        *runs,
        mean_of("NB at the end, mean", last, listed),
        mean_of("NB, least over the epochs", frame.groupby("run")["nb"].min()),
    ]


def _draw_curves(settings: DescentSettings, frame: pd.DataFrame) -> Figure:
    figure, panels = panel_row(3)
    runs = frame["run"].nunique()
    for axes, colour, (column, title, unit) in zip(
        panels,
        COLOURS,
        (
            ("loss", "loss", "L_n, units of squared error"),
            ("nc1", "NC1", "within-class / total variance"),
            ("gradient_norm", "gradient norm", "root mean square of |grad V|"),
        ),
        strict=False,
    ):
        curve(axes, by_run(frame, "epoch", column), colour, f"mean of {runs} runs, +- 1 sd")
        axes.set_yscale("log")
        _mark_change(axes, settings)
        finish(axes, title, "epoch", unit)
    return figure


def _mark_change(axes: Axes, settings: DescentSettings) -> None:
    axes.axvline(settings.epochs / 2, color="grey", linewidth=0.8, linestyle="--")
    for place, side, size in ((0.49, "right", 0), (0.51, "left", 1)):
        text = f"step {settings.step_sizes[size]:g}"
        axes.text(place, 0.02, text, transform=axes.transAxes, ha=side, color="grey", size=8)


def _draw_balancedness(settings: DescentSettings, frame: pd.DataFrame) -> Figure:
    figure, (axes,) = panel_row(1, width=6.0)
    table = by_run(frame, "epoch", "nb")
    for colour, (run, values) in zip(COLOURS, table.items(), strict=False):
        axes.plot(table.index, values, color=colour, label=f"run {run}: {values.iloc[-1]:.2f}")
    for value in PAPER_NB[settings.setting]:
        axes.plot(
            [1.0, 1.02],
            [value] * 2,
            color="black",
            transform=axes.get_yaxis_transform(),
            clip_on=False,
        )
    axes.plot([], [], color="black", label="the paper's four runs, at the end")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, settings.epochs)
    _mark_change(axes, settings)
    finish(axes, "normalised balancedness", "epoch", "NB (0: balanced)")
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.04, 0.5))
    return figure


QUICK = "per_class=40 neurons=100 epochs=4 batch_size=20"
PAPER_A = "source=mnist_784 per_class=10000"
SETTING_B = DescentSettings(
    setting="b",
    source="",
    per_class=0,
    neurons=16_384,
    hidden_features=64,
    temperature=1e-4,
    epochs=20,
)


def _recipes(letter: str, data: str, settings: DescentSettings, full: str) -> tuple[Recipe, Recipe]:
    """Figure 1 (curves) and figure 2 (balancedness) of one setting: the same runs."""
    about = f"loss, NC1 and gradient norm on {data}"
    curves = (f"fig1{letter}", about, settings, _jobs, measure_curves, _draw_curves)
    about = f"balancedness of the runs on {data}"
    balance = (f"fig2{letter}", about, settings, _jobs, _measure_balance, _draw_balancedness)
    sizes = (f"{QUICK} seeds=2", full)
    return Recipe(*curves, *sizes), Recipe(*balance, *sizes)


FIGURES: tuple[Recipe, ...] = (
    *_recipes("a", "MNIST modulo 3", DescentSettings(), PAPER_A),
    *_recipes("b", "a file of features, with noise", SETTING_B, ""),
)
