"""Tensors of every layout with the same numbers give the same bits."""

import pytest
import torch
from support.layouts import tensor_layouts
from support.problems import small_problem
from support.seeds import seeded

from gibbs import (
    Particles,
    Problem,
    conditional_features,
    features,
    kernel,
    run_langevin,
    sample_normal,
    solve_gibbs,
)
from gibbs.model.checks import row_major

PLAIN = small_problem(n=60, d=7, p=5, q=3, activation="tanh")
CLOUD = sample_normal(PLAIN, 40, generator=seeded(1))
FRESH = torch.randn(33, 7, dtype=torch.float64, generator=seeded(2))
LAYOUTS = sorted(tensor_layouts(FRESH))


def stored(tensor, layout):
    other = tensor_layouts(tensor)[layout]
    assert torch.equal(other, tensor)
    assert not other.is_contiguous()
    return other


@pytest.mark.parametrize("layout", LAYOUTS)
def test_problems_and_clouds_are_stored_row_after_row(layout):
    x, y, w = (stored(t, layout) for t in (PLAIN.x, PLAIN.y, PLAIN.w))
    problem = Problem(x, y, w, beta=50.0)
    cloud = Particles(stored(CLOUD.a, layout), stored(CLOUD.u, layout))
    for found, expected in (
        (problem.x, PLAIN.x),
        (problem.y, PLAIN.y),
        (problem.w, PLAIN.w),
        (cloud.a, CLOUD.a),
        (cloud.u, CLOUD.u),
    ):
        assert torch.equal(found, expected)
        assert found.stride() == (found.shape[1], 1)


def test_one_row_or_column_has_the_strides_of_a_matrix():
    for tensor in (torch.ones(4, 3)[:, :1].T, torch.ones(3, 4).T[:, :1], torch.ones(3, 4).T[:1]):
        assert row_major(tensor).stride() == (tensor.shape[1], 1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_and_kernel_at_fresh_points(layout):
    x, u = stored(FRESH, layout), stored(CLOUD.u, layout)
    sigma = PLAIN.sigma
    assert torch.equal(features(x, CLOUD, sigma), features(FRESH, CLOUD, sigma))
    assert torch.equal(kernel(x, u, sigma), kernel(FRESH, CLOUD.u, sigma))
    assert torch.equal(
        conditional_features(PLAIN, CLOUD, x), conditional_features(PLAIN, CLOUD, FRESH)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("settings", [{}, {"batch_size": 8}, {"train_w": True}], ids=str)
def test_runs(layout, settings):
    other = Problem(*(stored(t, layout) for t in (PLAIN.x, PLAIN.y, PLAIN.w)), beta=50.0)
    plain = Problem(PLAIN.x, PLAIN.y, PLAIN.w, beta=50.0)
    start = Particles(stored(CLOUD.a, layout), stored(CLOUD.u, layout))
    this = run_langevin(other, start, n_steps=12, generator=seeded(3), **settings)
    that = run_langevin(plain, CLOUD, n_steps=12, generator=seeded(3), **settings)
    for name in ("a", "u"):
        assert torch.equal(getattr(this.particles, name), getattr(that.particles, name))
    for name, values in this.history.items():
        assert torch.equal(values, that.history[name]), name


def test_measures():
    plain = small_problem(n=9, d=3, p=3, q=2)
    fresh = torch.randn(11, 3, dtype=torch.float64, generator=seeded(4))
    expected = None
    for layout in (None, *LAYOUTS):
        tensors = [t if layout is None else stored(t, layout) for t in (plain.x, plain.y, plain.w)]
        problem = Problem(*tensors, beta=20.0)
        measure = solve_gibbs(problem, n_particles=500, tol=0.5, generator=seeded(5)).measure
        found = measure.features(fresh if layout is None else stored(fresh, layout))
        expected = found if expected is None else expected
        assert torch.equal(found, expected), layout
