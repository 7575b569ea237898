import dataclasses
import math
from functools import partial

import pytest
import torch
from support.problems import small_problem
from support.seeds import seeded

from gibbs import Particles, features, outputs, run_langevin, sample_normal
from gibbs.dynamics.curvature import apply_tangent_kernel, largest_curvature


def curvature_of(problem, cloud, start, n_iterations=10, weight=None, x=None):
    apply = partial(apply_tangent_kernel, problem, cloud, problem.x if x is None else x)
    return largest_curvature(apply, problem.decay, start, n_iterations, weight)


def uneven_problem(**settings):
    """W^T W has two eigenvalues, and so the tangent kernel a gap below its largest."""
    problem = small_problem(**settings)
    return dataclasses.replace(problem, w=problem.w * torch.tensor([1.0, 0.6]).double())


def outputs_at(problem, theta, x):
    p = problem.n_features
    cloud = Particles(theta[:, :p], theta[:, p:])
    h = features(x, cloud, problem.sigma, problem.truncation)
    return outputs(h, problem.w, problem.gamma)


def tangent_matrix(problem, cloud, x):
    """(N/n) J J^T (nq, nq), J the derivatives of the outputs in all weights, by differences.

    The neurons descend N times the gradient of L_n, whose residual has the factor 1/n.
    """
    theta = torch.cat((cloud.a, cloud.u), 1)
    columns, step = [], 1e-5
    for k in range(theta.numel()):
        change = torch.zeros(theta.numel(), dtype=torch.float64)
        change[k] = step
        above, below = (
            outputs_at(problem, theta + s * change.reshape(theta.shape), x) for s in (1, -1)
        )
        columns.append((above - below).flatten() / (2 * step))
    jacobian = torch.stack(columns, 1)
    return jacobian @ jacobian.T * len(theta) / len(x)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("truncation", [None, 0.8])
def test_tangent_kernel_is_that_of_the_jacobian(activation, truncation):
    problem = small_problem(activation=activation, truncation=truncation)
    cloud = sample_normal(problem, 15, generator=seeded())
    matrix = tangent_matrix(problem, cloud, problem.x)
    for seed in range(3):
        v = torch.randn(6, 2, generator=seeded(seed), dtype=torch.float64)
        found = apply_tangent_kernel(problem, cloud, problem.x, v)
        torch.testing.assert_close(found.flatten(), matrix @ v.flatten(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5, 0.0, 0.5, 1.0]])
def test_largest_curvature_is_the_top_eigenvalue(weights):
    problem = uneven_problem()
    cloud = sample_normal(problem, 15, generator=seeded())
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    scale = torch.ones(6).double() if weight is None else weight
    matrix = tangent_matrix(problem, cloud, problem.x) * scale.repeat_interleave(2)
    exact = float(torch.linalg.eigvals(matrix).real.max()) + problem.decay
    start = torch.randn(6, 2, generator=seeded(), dtype=torch.float64)
    sizes = [curvature_of(problem, cloud, start, n, weight=weight)[0] for n in (1, 5, 300)]
    assert sizes[0] < sizes[1] < sizes[2] * (1 + 1e-12)
    assert sizes[2] == pytest.approx(exact, rel=1e-6)


def test_weights_are_samples_repeated():
    problem = uneven_problem()
    cloud = sample_normal(problem, 15, generator=seeded())
    weight = torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    rows = torch.tensor([0, 0, 1, 2, 3, 4])
    weighted, _ = curvature_of(problem, cloud, problem.y, 300, weight=weight)
    repeated, _ = curvature_of(problem, cloud, problem.y[rows], 300, x=problem.x[rows])
    assert weighted == pytest.approx(repeated, rel=1e-9)


def test_the_direction_is_a_start_that_needs_no_more_iterations():
    problem = uneven_problem()
    cloud = sample_normal(problem, 15, generator=seeded())
    exact, direction = curvature_of(problem, cloud, problem.y, 300)
    again, _ = curvature_of(problem, cloud, direction, 1)
    assert again == pytest.approx(exact, rel=1e-9)
    from_ones, _ = curvature_of(problem, cloud, 0 * problem.y, 300)
    assert from_ones == pytest.approx(exact, rel=1e-6)


def test_without_coupling_the_decay_is_left():
    problem = small_problem()
    problem = dataclasses.replace(problem, w=torch.zeros_like(problem.w))
    cloud = sample_normal(problem, 15, generator=seeded())
    value, direction = curvature_of(problem, cloud, problem.y)
    assert value == problem.decay
    assert float(direction.norm()) == pytest.approx(1)


@pytest.mark.parametrize(("factor", "stable"), [(1.8, True), (2.2, False)])
def test_two_over_it_is_the_edge_of_stability(factor, stable):
    # At the end of descent at temperature 0 the residual is small, and the Hessian is that of the
    # tangent kernel: a small kick dies out below the edge, and grows above it.
    problem = small_problem(n=4, p=4, beta=math.inf, lambda_rho=1e-6, activation="tanh")
    start = sample_normal(problem, 60, generator=seeded())
    cloud = run_langevin(
        problem, start, n_steps=8000, step_size=0.5, generator=seeded(), every=8000
    ).particles
    value, direction = curvature_of(problem, cloud, problem.y, 500)
    settled = outputs_at(problem, torch.cat((cloud.a, cloud.u), 1), problem.x)
    assert float((settled - problem.y).norm()) < 3e-2
    # Move the outputs along the eigenvector, by one step on targets displaced by it.
    aside = dataclasses.replace(problem, y=settled + 1e-4 * direction)
    kicked = run_langevin(
        aside, cloud, n_steps=1, step_size=1 / value, generator=seeded()
    ).particles
    calm = dataclasses.replace(problem, y=settled)
    distance = []
    for n_steps in (0, 15):
        moved = run_langevin(
            calm, kicked, n_steps=n_steps, step_size=factor / value, generator=seeded()
        ).particles
        z = outputs_at(problem, torch.cat((moved.a, moved.u), 1), problem.x)
        distance.append(abs(float(((z - settled) * direction).sum())))
    assert distance[0] == pytest.approx(1e-4, rel=0.1)
    # |1 - factor|^15: 0.035 below, 15 above.
    assert distance[1] / distance[0] == pytest.approx(abs(1 - factor) ** 15, rel=0.5)
    assert (distance[1] < distance[0]) == stable
