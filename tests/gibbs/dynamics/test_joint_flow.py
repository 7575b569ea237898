"""W trained along with the neurons, and steps that are too large."""

import dataclasses
import math

import pytest
import torch
from support.problems import small_problem, wide_problem
from support.seeds import seeded

from gibbs import (
    LangevinStatus,
    data_loss,
    outputs,
    run_langevin,
    sample_normal,
    truncate,
)
from gibbs.dynamics.batches import Batches


@pytest.mark.parametrize("radius", [None, 0.8])
@pytest.mark.parametrize("weighted", [False, True])
def test_joint_flow_at_temperature_zero_is_descent_by_autograd(radius, weighted):
    problem = small_problem(n=9, d=4, p=5, q=3, beta=math.inf, activation="tanh", truncation=radius)
    if weighted:
        weight = torch.arange(1.0, 10.0, dtype=torch.float64)
        problem = dataclasses.replace(problem, sample_weight=weight)
    start = sample_normal(problem, 70, generator=seeded())
    result = run_langevin(
        problem,
        start,
        n_steps=6,
        step_size=0.3,
        train_w=True,
        lambda_w=0.2,
        generator=seeded(),
        every=4,
    )
    a, u, w = start.a.clone(), start.u.clone(), problem.w.clone()
    share = torch.ones(9).double() if not weighted else weight / weight.mean()
    norms, losses = [], []
    for k in range(7):
        for tensor in (a, u, w):
            tensor.requires_grad_()
        truncated = a if radius is None else truncate(a, radius)
        z = problem.gamma * (torch.tanh(problem.x @ u.T) @ truncated / len(a)) @ w
        loss = (share[:, None] * (z - problem.y).square()).sum() / 18
        total = loss + 0.1 * w.square().sum()
        total = total + problem.decay / 2 * (a.square().sum() + u.square().sum()) / len(a)
        grads = torch.autograd.grad(total, (a, u, w))
        if k in (0, 4, 6):
            norms.append(float(grads[2].norm()))
            losses.append(total.item())
        if k < 6:
            a = (a - 0.3 * len(a) * grads[0]).detach()
            u = (u - 0.3 * len(a) * grads[1]).detach()
            w = (w - 0.3 * grads[2]).detach()
    torch.testing.assert_close(result.particles.a, a.detach(), atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(result.particles.u, u.detach(), atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(result.w, w.detach(), atol=1e-12, rtol=1e-10)
    assert result.history["layer_gradient_norm"].tolist() == pytest.approx(norms, rel=1e-10)
    assert result.history["regularized_loss"].tolist() == pytest.approx(losses, rel=1e-10)


def test_joint_flow_on_batches_takes_the_layer_along():
    problem = wide_problem(beta=math.inf, activation="tanh")
    start = sample_normal(problem, 50, generator=seeded())
    result = run_langevin(
        problem,
        start,
        n_steps=5,
        step_size=0.3,
        batch_size=3,
        train_w=True,
        lambda_w=0.1,
        generator=seeded(3),
    )
    cloud, w, batches = start, problem.w, Batches(12, 3, seeded(3))
    for _ in range(5):
        rows = batches.draw()
        part = dataclasses.replace(problem, x=problem.x[rows], y=problem.y[rows], w=w)
        one = run_langevin(
            part, cloud, n_steps=1, step_size=0.3, train_w=True, lambda_w=0.1, generator=seeded()
        )
        cloud, w = one.particles, one.w
    torch.testing.assert_close(result.w, w, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(result.particles.u, cloud.u, atol=1e-12, rtol=1e-10)


def test_observers_see_the_layer_as_it_is():
    problem = small_problem()
    start = sample_normal(problem, 50, generator=seeded())
    layers = []

    def look(state):
        layers.append(state.problem.w)
        h = state.features
        torch.testing.assert_close(
            state.outputs, outputs(h, state.problem.w, problem.gamma), atol=1e-12, rtol=1e-10
        )
        return float(data_loss(state.outputs, problem.y))

    result = run_langevin(
        problem,
        start,
        n_steps=20,
        train_w=True,
        generator=seeded(),
        observers={"again": look},
    )
    assert torch.equal(layers[0], problem.w)
    assert torch.equal(layers[-1], result.w)
    assert not torch.allclose(layers[0], layers[1])
    torch.testing.assert_close(result.history["again"], result.history["loss"])


@pytest.mark.parametrize("gamma", [0.5, 5.0, 30.0])
def test_automatic_steps_of_the_joint_flow_descend(gamma):
    problem = small_problem(n=40, d=5, beta=1e4, lambda_rho=1e-4, gamma=gamma, activation="tanh")
    start = sample_normal(problem, 300, generator=seeded())
    result = run_langevin(problem, start, n_steps=400, train_w=True, generator=seeded())
    assert result.status is LangevinStatus.COMPLETED
    assert float(result.history["loss"][-1]) < 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_size": 2},
        {"train_w": True},
        {"train_w": True, "batch_size": 2},
        {"scheme": "leimkuhler_matthews"},
    ],
)
@pytest.mark.parametrize("step_size", [3e2, 1e9, 1e40, 1e300])
def test_no_step_is_so_large_that_a_run_raises(step_size, settings, dtype):
    problem = wide_problem(dtype=dtype)
    start = sample_normal(problem, 100, generator=seeded())
    result = run_langevin(
        problem,
        start,
        n_steps=200,
        step_size=step_size,
        generator=seeded(),
        every=50,
        **settings,
    )
    assert result.status is LangevinStatus.DIVERGED
    assert bool(torch.isfinite(result.w).all())
    assert bool(torch.isfinite(result.particles.a).all())
