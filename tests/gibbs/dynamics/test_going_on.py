"""Runs that go on from a snapshot, and arguments that are refused."""

import dataclasses
import math

import pytest
import torch
from support.problems import small_problem, wide_problem
from support.seeds import seeded

from gibbs import (
    Annealed,
    Problem,
    StopRun,
    run_langevin,
    sample_normal,
)


class Collected:
    """An observer that keeps what it has seen."""

    def __init__(self):
        self.total = torch.zeros(())

    def __call__(self, state):
        self.total = self.total + state.features.double().sum()
        return float(self.total)

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


RUNS = {
    "full batch": {},
    "all coordinates": {"truncation": 0.8},
    "batches": {"batch_size": 5},
    "small batches": {"batch_size": 2},
    "second order": {"scheme": "leimkuhler_matthews"},
    "second order on batches": {"scheme": "leimkuhler_matthews", "batch_size": 5},
    "joint flow": {"train_w": True, "lambda_w": 0.1},
    "joint flow on batches": {"train_w": True, "batch_size": 2},
    "schedules": {"step_size": Annealed(0.5, 5), "temperature": Annealed(0.1, 5)},
    "temperature 0": {"temperature": 0.0, "batch_size": 5},
}


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_a_run_that_goes_on_ends_bitwise_as_if_it_had_not_stopped(settings):
    settings = dict(settings)
    problem = wide_problem(dtype=torch.float32, truncation=settings.pop("truncation", None))
    start = sample_normal(problem, 600, generator=seeded())
    snapshots = []

    def run(resume=None, on_record=None):
        generator = seeded(7)
        return run_langevin(
            problem,
            start,
            n_steps=23,
            generator=generator,
            observers={"collected": Collected()},
            every=4,
            on_record=on_record,
            resume=resume,
            **settings,
        )

    def keep(_step, take):
        taken = take()
        copies = {name: value.clone() for name, value in taken.tensors.items()}
        snapshots.append(dataclasses.replace(taken, tensors=copies))

    whole = run(on_record=keep)
    assert [snapshot.step for snapshot in snapshots] == [0, 4, 8, 12, 16, 20, 23]
    for snapshot in snapshots:
        again = run(resume=snapshot)
        assert torch.equal(again.particles.a, whole.particles.a)
        assert torch.equal(again.particles.u, whole.particles.u)
        assert torch.equal(again.w, whole.w)
        assert again.history.keys() == whole.history.keys()
        for name, values in whole.history.items():
            assert torch.equal(again.history[name], values), name
        assert (again.status, again.n_steps) == (whole.status, whole.n_steps)


def kept_snapshots(problem, start, **settings):
    """Snapshots of a run by their step, in memory of their own."""
    kept = {}

    def keep(step, take):
        taken = take()
        tensors = {name: value.clone() for name, value in taken.tensors.items()}
        kept[step] = dataclasses.replace(taken, tensors=tensors)

    run_langevin(problem, start, generator=seeded(1), on_record=keep, **settings)
    return kept


def test_more_steps_than_the_run_that_was_stopped():
    problem = small_problem()
    start = sample_normal(problem, 40, generator=seeded())
    settings = {"step_size": 0.2, "every": 5}
    snapshots = kept_snapshots(problem, start, n_steps=10, **settings)
    longer = run_langevin(problem, start, n_steps=20, generator=seeded(1), **settings)
    for step in (5, 10):
        again = run_langevin(
            problem, start, n_steps=20, generator=seeded(1), resume=snapshots[step], **settings
        )
        assert torch.equal(again.particles.u, longer.particles.u)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"step_size": lambda step: 0.3 / (1 + step)},
        {"step_size": 0.2, "temperature": lambda step: 0.1 / (1 + step)},
    ],
)
def test_where_steps_vary_the_end_of_a_run_begins_no_longer_one(settings):
    problem = small_problem()
    start = sample_normal(problem, 40, generator=seeded())
    snapshots = kept_snapshots(problem, start, n_steps=16, every=4, **settings)
    longer = run_langevin(problem, start, n_steps=20, generator=seeded(1), every=4, **settings)
    again = run_langevin(
        problem,
        start,
        n_steps=20,
        generator=seeded(1),
        every=4,
        resume=snapshots[12],
        **settings,
    )
    assert torch.equal(again.particles.u, longer.particles.u)
    for n_steps in (20, 12):
        with pytest.raises(ValueError, match="n_steps must be"):
            run_langevin(
                problem,
                start,
                n_steps=n_steps,
                generator=seeded(1),
                every=4,
                resume=snapshots[16],
                **settings,
            )


def test_a_snapshot_is_left_as_it_is():
    problem = small_problem()
    start = sample_normal(problem, 40, generator=seeded())
    settings = {"n_steps": 10, "step_size": 0.2, "every": 5, "scheme": "leimkuhler_matthews"}
    snapshot = kept_snapshots(problem, start, **settings)[5]
    whole = run_langevin(problem, start, generator=seeded(1), **settings)
    for _ in range(2):
        again = run_langevin(problem, start, generator=seeded(1), resume=snapshot, **settings)
        assert torch.equal(again.particles.u, whole.particles.u)


def test_a_stopped_run_keeps_no_snapshot_of_its_end():
    problem = small_problem()
    start = sample_normal(problem, 40, generator=seeded())
    steps = []

    def stop(state):
        if state.step == 10:
            raise StopRun
        return 0.0

    run_langevin(
        problem,
        start,
        n_steps=20,
        generator=seeded(),
        observers={"stop": stop},
        every=5,
        on_record=lambda step, _: steps.append(step),
    )
    assert steps == [0, 5]


BAD = [
    ({"scheme": "verlet"}, "scheme must be one of euler, leimkuhler_matthews, got 'verlet'"),
    ({"temperature": -0.1}, "temperature must be a finite number >= 0, got -0.1"),
    ({"temperature": math.inf}, "temperature must be a finite number >= 0, got inf"),
    ({"temperature": lambda step: -step - 1.0}, "temperature at step 0 must be a finite number"),
    ({"lambda_w": 0.1}, "lambda_w must be None unless train_w, got 0.1"),
    ({"train_w": True, "lambda_w": -1.0}, "lambda_w must be >= 0 and finite, got -1.0"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_settings_are_named(change, message):
    problem: Problem = small_problem()
    start = sample_normal(problem, 10, generator=seeded())
    with pytest.raises(ValueError, match=message):
        run_langevin(problem, start, n_steps=3, generator=seeded(), **change)
