"""Samples that occur several times are computed once, and that shows nowhere but in the time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.problems import small_problem
from support.seeds import numpy_generator, seeded

from gibbs import Particles, Snapshot, features, regularized_loss, run_langevin, sample_normal
from gibbs.model.repeats import distinct, distinct_rows

COUNTS = torch.tensor([2, 1, 3, 1, 4, 1, 2, 5])
PLAIN = small_problem(n=8, d=3, activation="tanh")
OWNER = torch.arange(8).repeat_interleave(COUNTS)[torch.randperm(19, generator=seeded(1))]
COPIES = replace(PLAIN, x=PLAIN.x[OWNER], y=PLAIN.y[OWNER])
ORDER = torch.randperm(8, generator=seeded(2))
WEIGHTED = replace(PLAIN, x=PLAIN.x[ORDER], y=PLAIN.y[ORDER], sample_weight=COUNTS[ORDER].double())
START = sample_normal(PLAIN, 30, generator=seeded(3))


@pytest.mark.parametrize("weighted", [False, True])
def test_distinct_rows_are_those_of_numpy(weighted):
    rng = numpy_generator()
    rows = rng.integers(0, 3, size=(40, 3)).astype(float)
    weight = rng.integers(0, 4, size=40).astype(float) if weighted else np.ones(40)
    given = torch.tensor(weight) if weighted else None
    first, total, places = distinct_rows(torch.tensor(rows), given)
    found, start, members = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    assert np.array_equal(rows[first], found)
    assert np.array_equal(first, start)
    assert np.array_equal(places, members)
    assert np.array_equal(total, np.bincount(members, weight))


def test_equal_weights_keep_the_order_of_appearance():
    rows = PLAIN.x.repeat_interleave(2, 0)
    first, total, places = distinct_rows(rows, None)
    assert (first.tolist(), total) == (list(range(0, 16, 2)), None)
    assert torch.equal(PLAIN.x[places], rows)
    tiled = distinct(replace(PLAIN, x=PLAIN.x.repeat(3, 1), y=PLAIN.y.repeat(3, 1)))
    assert torch.equal(tiled.problem.x, PLAIN.x)
    assert tiled.problem.sample_weight is None


def test_without_weights_and_copies_it_is_the_problem_itself():
    found = distinct(PLAIN)
    assert found.problem is PLAIN
    assert found.spread(PLAIN.x) is PLAIN.x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_and_copies_become_the_same_problem(dtype):
    this, that = (distinct(problem.to(dtype)) for problem in (COPIES, WEIGHTED))
    for name in ("x", "y", "sample_weight"):
        assert torch.equal(getattr(this.problem, name), getattr(that.problem, name)), name
    again = distinct(this.problem).problem
    assert torch.equal(again.sample_weight, this.problem.sample_weight)
    assert torch.equal(this.spread(this.problem.x), COPIES.x.to(dtype))
    assert torch.equal(that.spread(that.problem.y), WEIGHTED.y.to(dtype))


def test_one_input_with_two_targets_is_two_samples():
    problem = replace(PLAIN, x=PLAIN.x[[0, 0, 0]], y=torch.eye(2, dtype=torch.float64)[[0, 1, 0]])
    found = distinct(problem).problem
    assert found.n_samples == 2
    torch.testing.assert_close(
        found.sample_weight.sort().values, torch.tensor([2 / 3, 4 / 3]).double()
    )


def test_energies_are_those_of_all_samples():
    for problem in (COPIES, WEIGHTED):
        few = distinct(problem).problem
        torch.testing.assert_close(regularized_loss(few, START), regularized_loss(problem, START))


class Watcher:
    """Keeps what it sees."""

    def __call__(self, state):
        self.state = state
        return 0.0


SETTINGS = [{}, {"train_w": True}, {"scheme": "leimkuhler_matthews", "step_size": 0.3}]


def run(problem, **settings):
    watcher = Watcher()
    start = Particles(START.a.to(problem.dtype), START.u.to(problem.dtype))
    result = run_langevin(
        problem, start, n_steps=25, generator=seeded(4), observers={"w": watcher}, **settings
    )
    return result, watcher.state


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_runs_with_weights_and_with_copies_are_the_same_to_the_bit(settings, dtype):
    (this, _), (that, _) = (run(problem.to(dtype), **settings) for problem in (COPIES, WEIGHTED))
    for name in ("a", "u"):
        assert torch.equal(getattr(this.particles, name), getattr(that.particles, name))
    assert torch.equal(this.w, that.w)
    for name, values in this.history.items():
        assert torch.equal(values, that.history[name]), name


@pytest.mark.parametrize("settings", [*SETTINGS, {"batch_size": 4}], ids=str)
@pytest.mark.parametrize("problem", [COPIES, WEIGHTED], ids=["copies", "weighted"])
def test_observers_see_all_samples_as_they_were_given(problem, settings):
    result, state = run(problem, **settings)
    assert torch.equal(state.problem.x, problem.x)
    assert torch.equal(state.problem.y, problem.y)
    expected = features(problem.x, state.particles, problem.sigma)
    torch.testing.assert_close(state.features, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(state.outputs, problem.gamma * expected @ state.problem.w)
    squares = (state.outputs - problem.y).square().sum(1)
    if problem.sample_weight is not None:
        squares = squares * problem.sample_weight
    assert float(squares.mean() / 2) == pytest.approx(float(result.history["loss"][-1]))


def test_a_run_goes_on_from_a_snapshot():
    kept = {}
    settings = {"n_steps": 30, "every": 10}
    whole = run_langevin(
        COPIES,
        START,
        generator=seeded(5),
        on_record=lambda step, take: kept.setdefault(
            step, {k: v.clone() for k, v in take().tensors.items()}
        ),
        **settings,
    )
    again = run_langevin(
        COPIES, START, generator=seeded(6), resume=Snapshot(10, kept[10]), **settings
    )
    assert torch.equal(again.particles.a, whole.particles.a)
    assert torch.equal(again.particles.u, whole.particles.u)
