import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn import linear_model
from support.defects import Defect, statistical
from support.problems import small_problem
from support.seeds import seeded

from gibbs import LangevinStatus, features, regularized_loss, run_langevin, sample_normal
from stages import (
    Flow,
    Gibbs,
    Langevin,
    Ridge,
    fit_linear,
    orthonormal_layer,
    train_mean_field,
    train_two_stage,
)


@pytest.mark.parametrize(("gamma", "lambda_w"), [(1.0, 1e-4), (3.0, 0.2)])
def test_linear_stage_is_sklearn_ridge_without_intercept(gamma, lambda_w):
    h = torch.randn(50, 7, dtype=torch.float64, generator=seeded())
    y = torch.randn(50, 3, dtype=torch.float64, generator=seeded(1))
    ours = fit_linear(h, y, gamma=gamma, lambda_w=lambda_w)
    ridge = linear_model.Ridge(alpha=50 * lambda_w, fit_intercept=False, tol=1e-14).fit(
        gamma * h, y
    )
    np.testing.assert_allclose(ours.T.numpy(), ridge.coef_, atol=1e-8, rtol=0)


def test_linear_stage_is_stationary_for_the_regularized_loss():
    problem = small_problem()
    cloud = sample_normal(problem, 40, generator=seeded())
    h = features(problem.x, cloud, problem.sigma)
    w = fit_linear(h, problem.y, gamma=problem.gamma, lambda_w=0.3)
    best = float(regularized_loss(dataclasses.replace(problem, w=w), cloud, 0.3))
    for seed in range(5):
        nudge = 1e-3 * torch.randn(w.shape, dtype=w.dtype, generator=seeded(seed))
        nearby = dataclasses.replace(problem, w=w + nudge)
        assert float(regularized_loss(nearby, cloud, 0.3)) > best


def test_linear_stage_solves_without_full_rank():
    h = torch.randn(5, 1, dtype=torch.float64, generator=seeded()) @ torch.ones(
        1, 7, dtype=torch.float64
    )
    y = h[:, :1].clone()
    w = fit_linear(h, y, gamma=1.0, lambda_w=1e-20)
    torch.testing.assert_close(w, torch.full((7, 1), 1 / 7, dtype=torch.float64))


def test_linear_stage_refuses_bad_input():
    with pytest.raises(ValueError, match="lambda_w must be > 0, got 0"):
        fit_linear(torch.eye(2), torch.eye(2), gamma=1.0, lambda_w=0)
    with pytest.raises(ValueError, match="same number of rows, got 2 and 3"):
        fit_linear(torch.eye(2), torch.eye(3), gamma=1.0, lambda_w=1)


def test_orthonormal_layer():
    w = orthonormal_layer(6, 4, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(w.T @ w, torch.eye(4, dtype=torch.float64), atol=1e-14, rtol=0)
    with pytest.raises(ValueError, match=r"at least n_outputs.*p = 2, q = 3"):
        orthonormal_layer(2, 3, generator=seeded())


SIGNS = Defect(
    "the signs of a QR factorization are left as they come",
    lambda monkeypatch: monkeypatch.setattr(torch, "sign", torch.ones_like),
)


@statistical(alarm=1e-5, defect=SIGNS)
def test_orthonormal_layer_is_uniform_on_the_frames():
    # E[w_11^2] = 1/p; 5 standard errors of 2,000 draws.
    draws = torch.stack([orthonormal_layer(3, 2, generator=seeded(s)) for s in range(2000)])
    assert float(draws[:, 0, 0].square().mean()) == pytest.approx(1 / 3, abs=0.034)
    assert abs(float(draws[:, 0, 0].mean())) < 0.065


def test_mean_field_stage_starts_from_the_normal_law_or_from_what_is_given():
    problem = small_problem()
    fresh = train_mean_field(problem, n_neurons=30, n_steps=0, generator=seeded(3))
    expected = sample_normal(problem, 30, generator=seeded(3))
    assert torch.equal(fresh.particles.a, expected.a)
    given = sample_normal(problem, 12, generator=seeded(4))
    kept = train_mean_field(problem, n_neurons=30, n_steps=0, start=given, generator=seeded())
    assert torch.equal(kept.particles.u, given.u)


def test_both_histories_are_kept_and_observed():
    problem = small_problem(beta=1e3)
    result = train_two_stage(
        problem,
        Langevin(n_neurons=60, n_steps=40),
        generator=seeded(),
        observers={"norm": lambda state: float(state.features.norm())},
    )
    assert result.status is LangevinStatus.COMPLETED
    one, two = result.stage_one.history, result.stage_two_history
    assert one["step"].tolist() == [0, 10, 20, 30, 40]
    assert two["step"].tolist() == [0, 1]
    assert float(two["loss"][0]) == pytest.approx(float(one["loss"][-1]))
    assert float(two["norm"][0]) == pytest.approx(float(one["norm"][-1]))
    assert float(two["regularized_loss"][1]) < float(two["regularized_loss"][0])
    assert float(two["gradient_norm"][1]) < 1e-12 < float(two["gradient_norm"][0])
    assert result.problem.w is problem.w
    at_end = dataclasses.replace(problem, w=result.w)
    expected = regularized_loss(at_end, result.particles, 1 / problem.beta)
    assert float(two["regularized_loss"][1]) == pytest.approx(float(expected))


def test_default_ridge_weight_at_zero_temperature_is_that_of_the_neurons():
    problem = small_problem(beta=math.inf, lambda_rho=0.02)
    result = train_two_stage(problem, Langevin(n_neurons=20, n_steps=2), generator=seeded())
    h = features(problem.x, result.particles, problem.sigma)
    w = fit_linear(h, problem.y, gamma=problem.gamma, lambda_w=0.02)
    torch.testing.assert_close(result.w, w)


BAD = [
    (Langevin, {"n_neurons": 0}, "n_neurons must be an integer >= 1, got 0"),
    (Langevin, {"n_steps": 2.5}, "n_steps must be an integer >= 0, got 2.5"),
    (Flow, {"n_steps": -1}, "n_steps must be an integer >= 0, got -1"),
    (Langevin, {"step_size": "fast"}, "step_size must be a finite number > 0, got 'fast'"),
    (Flow, {"step_size": 0.0}, "step_size must be a finite number > 0, got 0.0"),
    (Langevin, {"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
    (Langevin, {"scheme": "verlet"}, "scheme must be one of euler, .*, got 'verlet'"),
    (Flow, {"temperature": -0.1}, "temperature must be a finite number >= 0, got -0.1"),
    (Gibbs, {"n_particles": 10}, "n_particles must be an integer >= 100, got 10"),
    (Gibbs, {"n_neurons": True}, "n_neurons must be an integer >= 1, got True"),
    (Gibbs, {"tol": 0.0}, "tol must be > 0 and finite, got 0.0"),
    (Gibbs, {"tol": "x"}, "tol must be > 0 and finite, got 'x'"),
    (Gibbs, {"tol": True}, "tol must be > 0 and finite, got True"),
    (Ridge, {"lambda_w": "x"}, "lambda_w must be > 0 and finite, got 'x'"),
    (Ridge, {"lambda_w": 0.0}, "lambda_w must be > 0 and finite, got 0.0"),
    (Ridge, {"lambda_w": -1.0}, "lambda_w must be > 0 and finite, got -1.0"),
    (Flow, {"lambda_w": math.inf}, "lambda_w must be > 0 and finite, got inf"),
]


@pytest.mark.parametrize(("kind", "change", "message"), BAD)
def test_settings_are_checked_where_they_are_made(kind, change, message):
    with pytest.raises(ValueError, match=message):
        kind(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problem": 3}, "problem must be Problem, got int"),
        ({"stage_one": "langevin"}, "stage_one must be Langevin or Gibbs, got str"),
        ({"stage_one": Langevin}, "stage_one must be Langevin or Gibbs, got the class Langevin"),
        ({"stage_one": Ridge()}, "stage_one must be Langevin or Gibbs, got Ridge"),
        ({"stage_two": Langevin()}, "stage_two must be Ridge or Flow, got Langevin"),
        ({"generator": 3}, "generator must be Generator, got int"),
        ({"checkpoint": "folder"}, "checkpoint must be Checkpoint or None, got str"),
        ({"observers": [1]}, "observers must be Mapping or None, got list"),
        ({"observers": {"a": 3}}, "observers must be callable, got 3 for 'a'"),
    ],
)
def test_an_argument_of_another_kind_is_named(change, message):
    arguments = {"problem": small_problem(), "generator": seeded()} | change
    with pytest.raises(TypeError, match=message):
        train_two_stage(**arguments)


def test_a_start_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="start must be Particles or None, got str"):
        Langevin(start="random")
    with pytest.raises(TypeError, match="start must be GibbsMeasure or Particles or None, got int"):
        Gibbs(start=3)


@pytest.mark.parametrize("stage_two", [Ridge(), Flow(n_steps=5)])
def test_a_default_weight_of_zero_is_refused_before_training(stage_two):
    problem = small_problem(beta=math.inf, lambda_rho=0.0)
    with pytest.raises(ValueError, match="lambda_w must be > 0 and finite, got 0"):
        train_two_stage(problem, Langevin(n_steps=10**9), stage_two, generator=seeded())


def test_the_stages_may_differ_in_every_option():
    problem = small_problem(beta=1e3)
    one = Langevin(n_neurons=30, n_steps=7, batch_size=3, step_size=0.2)
    two = Flow(n_steps=4, step_size=0.1, scheme="leimkuhler_matthews", temperature=0.0)
    result = train_two_stage(problem, one, two, generator=seeded(2), every=2)
    generator = seeded(2)
    first = train_mean_field(
        problem, n_neurons=30, n_steps=7, batch_size=3, step_size=0.2, every=2, generator=generator
    )
    second = run_langevin(
        problem,
        first.particles,
        n_steps=4,
        step_size=0.1,
        scheme="leimkuhler_matthews",
        temperature=0.0,
        train_w=True,
        every=2,
        generator=generator,
    )
    assert torch.equal(result.particles.a, second.particles.a)
    assert torch.equal(result.w, second.w)
    assert result.stage_two_history["step"].tolist() == [0, 2, 4]


def test_the_solver_as_stage_one():
    problem = small_problem(n=5, d=2, beta=20.0)
    told = []
    gibbs = Gibbs(n_neurons=25, progress=told.append)
    result = train_two_stage(problem, gibbs, generator=seeded())
    assert result.certificate is result.stage_one.certificate
    assert len(result.particles) == 25
    assert told
    again = Gibbs(n_neurons=25, start=result.stage_one.measure)
    assert train_two_stage(problem, again, generator=seeded()).certificate.certified
