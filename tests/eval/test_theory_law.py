"""eps_S and the moments, against autograd on a grid over theta, closed forms and samples."""

import dataclasses
import math

import pytest
import torch
from gibbs_forms import gibbs_form, line_problem
from problems import small_problem
from quadrature import gibbs_minimizer
from seeds import seeded

from eval import check_theory, law_of
from gibbs import Particles, potential_gradient, regularized_loss, sample_normal, solve_gibbs

TINY = line_problem([0.9, -0.4, 0.3], p=1, q=1, counts=[3], beta=4.0, gamma=1.5, lambda_rho=0.3)
C = torch.tensor([[-0.2], [0.1], [-0.05]], dtype=torch.float64)
G = torch.tensor([[-0.1], [-0.15], [0.02]], dtype=torch.float64)


def on_a_plane(problem, dual, tilted, w):
    """Gradients of dE/drho by autograd at every (a, u) of a grid, and the masses there."""
    beta, decay, gamma = problem.beta, problem.decay, problem.gamma
    axis = torch.linspace(-9, 9, 401, dtype=torch.float64) / math.sqrt(beta * decay)
    theta = torch.cartesian_prod(axis, axis).requires_grad_()
    a, u = theta[:, :1], theta[:, 1:]
    s, own = torch.sigmoid(u @ problem.x.T), problem.w
    pull, tilting = s @ dual @ own.T, s @ tilted @ own.T
    strength = beta * gamma**2 / (2 * decay)
    log_density = strength * (tilting.square() - pull.square()).sum(1)
    log_density = log_density - beta * gamma * (a * pull).sum(1)
    log_density = log_density - beta * decay / 2 * theta.square().sum(1)
    mass = torch.softmax(log_density.detach(), 0)
    h = (mass[:, None] * s.detach()).T @ a.detach()
    r = gamma * h @ w - problem.y
    potential = gamma / len(r) * ((a @ (w @ r.T)) * s).sum(1) + decay / 2 * theta.square().sum(1)
    (gradient,) = torch.autograd.grad((potential + log_density / beta).sum(), theta)
    return mass, gradient, theta.detach(), h


@pytest.mark.parametrize("factor", [1.0, 0.6])
@pytest.mark.parametrize(("dual", "tilted"), [(G, G), (C, G)])
def test_eps_s_of_a_gibbs_form_is_that_of_autograd_on_the_plane(dual, tilted, factor):
    w = factor * TINY.w
    mass, gradient, theta, h = on_a_plane(TINY, dual, tilted, w)
    law = law_of(TINY, gibbs_form(TINY, dual, tilted), w=w)
    squares = mass @ gradient.square()
    assert law.stationarity.exact
    assert law.stationarity.in_a == pytest.approx(float(squares[0].sqrt()), rel=1e-8)
    assert law.stationarity.in_u == pytest.approx(float(squares[1].sqrt()), rel=1e-8)
    assert law.stationarity.value == pytest.approx(float(squares.sum().sqrt()), rel=1e-8)
    assert torch.allclose(law.features, h, rtol=0, atol=1e-10)
    assert float(law.moment) == pytest.approx(float(mass @ theta[:, 0] ** 2), rel=1e-8)
    assert law.mean_square == pytest.approx(float(mass @ theta.square().sum(1)), rel=1e-8)


def test_correlations_are_those_of_the_gradient_in_a():
    mass, gradient, theta, _ = on_a_plane(TINY, C, G, TINY.w)
    law = law_of(TINY, gibbs_form(TINY, C, G))
    s = torch.sigmoid(theta[:, 1:] @ TINY.x.T)
    seen = (mass[:, None] * s).T @ gradient[:, :1]
    assert torch.allclose(law.correlations, seen, rtol=0, atol=1e-9)
    assert torch.allclose(law.kernel @ law.mismatch, seen, rtol=0, atol=1e-9)


def test_the_minimizer_is_stationary_and_its_features_are_the_resolvents():
    problem = small_problem(n=5, d=1, p=3, q=2)
    measure = solve_gibbs(problem, generator=seeded()).measure
    oracle = gibbs_minimizer(problem)
    law = law_of(problem, measure)
    assert law.stationarity.value < 1e-10
    # Eq. 6 with the features and the kernel of the oracle, by a dense solve in the paper's order.
    s = torch.sigmoid(torch.tensor(oracle.grid) @ problem.x.T)
    k = (s * torch.tensor(oracle.weights)[:, None]).T @ s / 5
    w, gamma = problem.w, problem.gamma
    big = gamma**2 * torch.kron(k, w.T @ w) + problem.decay * torch.eye(10, dtype=k.dtype)
    h = gamma * torch.kron(k, w) @ torch.linalg.solve(big, problem.y.flatten())
    exact = torch.tensor(oracle.features)
    assert float((h.reshape(5, 3) - exact).norm() / exact.norm()) < 1e-8
    table = check_theory(problem, measure)
    assert table.row("Theorem 4.2: H is the resolvent's").holds


def test_a_cloud_without_noise_has_an_exact_eps_s():
    problem = dataclasses.replace(small_problem(), beta=math.inf)
    cloud = sample_normal(problem, 50, generator=seeded())
    gradient = potential_gradient(problem, cloud)
    value = math.sqrt(float(gradient.a.square().sum() + gradient.u.square().sum()) / 50)
    eps = law_of(problem, cloud).stationarity
    assert eps.exact
    assert eps.value == pytest.approx(value)


def test_the_estimate_of_a_cloud_at_the_start():
    # N(0, I) at beta lambda = 1 is the Gibbs form of G = 0: its eps_S is known.
    problem = line_problem([-0.9, -0.5, 0.4, 0.8], beta=200.0)
    zero = torch.zeros_like(problem.y)
    exact = law_of(problem, gibbs_form(problem, zero, zero)).stationarity
    cloud = sample_normal(problem, 20_000, generator=seeded())
    eps = law_of(problem, cloud).stationarity
    assert not eps.exact
    assert "estimated" in eps.how
    assert eps.value == pytest.approx(exact.value, rel=0.05)
    assert eps.in_a == pytest.approx(exact.in_a, rel=0.05)
    # Its score is that of the G of its u's, not of G = 0.
    assert eps.in_u == pytest.approx(exact.in_u, rel=0.25)


def test_the_estimate_of_exact_neurons_is_noise_and_says_so():
    problem = line_problem([-0.9, -0.5, 0.4, 0.8], beta=200.0)
    measure = solve_gibbs(problem, generator=seeded()).measure
    start = law_of(problem, sample_normal(problem, 4000, generator=seeded())).stationarity.value
    eps = law_of(problem, measure.sample(4000, generator=seeded())).stationarity
    shown = float(eps.how.split("about ")[1])
    assert eps.value < 0.2 * start
    assert eps.value < 3 * shown


def test_a_truncated_law_has_an_upper_bound():
    problem = dataclasses.replace(TINY, truncation=1.0)
    measure = gibbs_form(problem, C, G)
    law = law_of(problem, measure)
    assert (law.moment, law.mismatch) == (None, None)
    assert "upper bound" in law.stationarity.how
    neurons = measure.sample(20_000, generator=seeded())
    drift, score = potential_gradient(problem, neurons), measure.score(neurons)
    a, u = drift.a + score.a / problem.beta, drift.u + score.u / problem.beta
    value = math.sqrt(float(a.square().sum() + u.square().sum()) / len(neurons))
    assert value < law.stationarity.value < 1.5 * value
    cloud = law_of(problem, neurons).stationarity
    assert not cloud.exact
    assert cloud.value > 0


def test_gradient_and_losses_are_those_of_the_engine():
    problem = small_problem()
    cloud = sample_normal(problem, 30, generator=seeded())
    law = law_of(problem, cloud, lambda_w=0.2)
    assert law.regularized_loss == pytest.approx(float(regularized_loss(problem, cloud, 0.2)))
    w = problem.w.clone().requires_grad_()
    regularized_loss(dataclasses.replace(problem, w=w), cloud, 0.2).backward()
    assert torch.allclose(law.gradient_w, w.grad)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"w": torch.eye(2)}, ValueError, "w must have shape"),
        ({"lambda_w": 0.0}, ValueError, "lambda_w must be > 0"),
        ({"law": 3}, TypeError, "law must be"),
        ({"law": Particles(torch.zeros(2, 5), torch.zeros(2, 2))}, ValueError, "law"),
        ({"law": gibbs_form(TINY, C, G)}, ValueError, "beta, gamma, lambda_rho, y, x differ"),
    ],
)
def test_what_does_not_belong_together_is_told(arguments, error, message):
    problem = small_problem()
    cloud = sample_normal(problem, 3, generator=seeded())
    with pytest.raises(error, match=message):
        law_of(problem, **({"law": cloud} | arguments))
