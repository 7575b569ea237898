import dataclasses
from functools import partial

import pytest
import torch
from support.problems import small_problem
from support.seeds import seeded

import gibbs.model.network
from gibbs import (
    ACTIVATIONS,
    Particles,
    data_loss,
    features,
    first_variation,
    first_variation_gradient,
    kernel,
    outputs,
    regularized_loss,
    sample_normal,
    truncate,
)
from gibbs.dynamics.curvature import apply_tangent_kernel, largest_curvature

PLAIN = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "softplus": torch.nn.functional.softplus,
    "relu": torch.relu,
}
SETTINGS = {"beta": 50.0, "lambda_rho": 0.3, "gamma": 2.5}


def plain_features(problem, particles, x):
    values = problem.sigma(x @ particles.u.T)
    return values @ truncate(particles.a, problem.truncation) / len(particles)


@pytest.mark.parametrize("n_neurons", [1, 7, 512, 513, 1200])
@pytest.mark.parametrize("radius", [None, 0.8])
def test_features_by_tiles_equal_the_formula(n_neurons, radius):
    problem = small_problem(truncation=radius)
    cloud = sample_normal(problem, n_neurons, generator=seeded())
    x = torch.randn(5, 2, dtype=torch.float64, generator=seeded(1))
    ours = features(x, cloud, problem.sigma, radius)
    torch.testing.assert_close(ours, plain_features(problem, cloud, x), atol=1e-14, rtol=1e-12)


def test_outputs_and_kernel_equal_the_formula():
    problem = small_problem()
    cloud = sample_normal(problem, 700, generator=seeded())
    h = features(problem.x, cloud, problem.sigma)
    z = torch.stack([problem.gamma * problem.w.T @ row for row in h])
    torch.testing.assert_close(outputs(h, problem.w, problem.gamma), z)
    values = problem.sigma(problem.x @ cloud.u.T)
    expected = (values[:, None] * values[None]).mean(-1)
    torch.testing.assert_close(kernel(problem.x, cloud.u, problem.sigma), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("radius", [None, 0.8])
def test_gradient_is_n_times_the_gradient_of_the_loss(activation, radius):
    problem = small_problem(**SETTINGS, activation=activation, truncation=radius)
    cloud = sample_normal(problem, 600, generator=seeded())
    a, u = cloud.a.requires_grad_(), cloud.u.requires_grad_()
    h = PLAIN[activation](problem.x @ u.T) @ truncate(a, radius) / len(cloud)
    loss = data_loss(problem.gamma * h @ problem.w, problem.y)
    loss = loss + problem.decay / 2 * (a.square().sum() + u.square().sum()) / len(cloud)
    grad_a, grad_u = torch.autograd.grad(len(cloud) * loss, (a, u))
    still = Particles(a.detach(), u.detach())
    ours = first_variation_gradient(problem, still)
    torch.testing.assert_close(ours.a, grad_a, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(ours.u, grad_u, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(regularized_loss(problem, still), loss.detach())


@pytest.mark.parametrize("radius", [None, 0.8])
def test_first_variation_has_that_gradient_at_a_frozen_residual(radius):
    problem = small_problem(**SETTINGS, truncation=radius)
    cloud = sample_normal(problem, 40, generator=seeded())
    h = features(problem.x, cloud, problem.sigma, radius)
    residual = outputs(h, problem.w, problem.gamma) - problem.y
    a, u = cloud.a.clone().requires_grad_(), cloud.u.clone().requires_grad_()
    values = torch.sigmoid(u @ problem.x.T)
    potential = (truncate(a, radius) @ (problem.w @ residual.T) * values).sum(1)
    potential = problem.gamma / problem.n_samples * potential
    potential = potential + problem.decay / 2 * (a.square().sum(1) + u.square().sum(1))
    torch.testing.assert_close(first_variation(problem, cloud, residual), potential.detach())
    grad_a, grad_u = torch.autograd.grad(potential.sum(), (a, u))
    ours = first_variation_gradient(problem, cloud)
    torch.testing.assert_close(ours.a, grad_a, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(ours.u, grad_u, atol=1e-12, rtol=1e-10)


def test_regularized_loss_counts_the_linear_layer_on_request():
    problem = small_problem()
    cloud = sample_normal(problem, 9, generator=seeded())
    difference = regularized_loss(problem, cloud, 0.4) - regularized_loss(problem, cloud)
    torch.testing.assert_close(difference, 0.2 * problem.w.square().sum())


@pytest.mark.parametrize("radius", [None, 0.8])
def test_tangent_kernel_is_the_jacobian_product(radius):
    problem = small_problem(**SETTINGS, truncation=radius, activation="tanh")
    cloud = sample_normal(problem, 30, generator=seeded())

    def response(a, u):
        h = torch.tanh(problem.x @ u.T) @ truncate(a, radius) / len(cloud)
        return (problem.gamma * h @ problem.w).flatten()

    blocks = torch.autograd.functional.jacobian(response, (cloud.a, cloud.u))
    jacobian = torch.cat([block.flatten(1) for block in blocks], dim=1)
    theta = len(cloud) * jacobian @ jacobian.T / problem.n_samples
    v = torch.randn(6, 2, dtype=torch.float64, generator=seeded(3))
    ours = apply_tangent_kernel(problem, cloud, problem.x, v).flatten()
    torch.testing.assert_close(ours, theta @ v.flatten(), atol=1e-12, rtol=1e-10)
    apply = partial(apply_tangent_kernel, problem, cloud, problem.x)
    top, _ = largest_curvature(apply, problem.decay, problem.y, 200)
    exact = float(torch.linalg.eigvalsh(theta)[-1]) + problem.decay
    assert top == pytest.approx(exact, rel=1e-6)


def test_tiles_change_nothing_beyond_summation_order(monkeypatch):
    problem = small_problem(**SETTINGS)
    cloud = sample_normal(problem, 100, generator=seeded())
    whole = first_variation_gradient(problem, cloud)
    monkeypatch.setattr(gibbs.model.network, "NEURON_TILE", 7)
    tiled = first_variation_gradient(problem, cloud)
    torch.testing.assert_close(tiled.a, whole.a, atol=1e-14, rtol=1e-12)
    torch.testing.assert_close(tiled.u, whole.u, atol=1e-14, rtol=1e-12)


def test_problem_can_be_changed_by_replace():
    problem = dataclasses.replace(small_problem(), gamma=4.0)
    assert problem.gamma == 4.0
    assert problem.sigma.name == "sigmoid"
