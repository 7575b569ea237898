import math

import pytest
import torch
from problems import seeded, small_problem
from quadrature import gibbs_minimizer

from gibbs.dual import (
    Tilted,
    dual_value,
    newton_direction,
    residual,
    solve_ridge,
    tight_gap,
    tilt,
)


def on_a_grid(problem, dual, reach=14.0, points=3000):
    """Weighted points of a trapezoidal rule in one dimension, tilted by `dual`."""
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)[:, None]
    axis = axis / math.sqrt(problem.beta * problem.decay)
    base = -problem.beta * problem.decay / 2 * axis[:, 0].square()
    base = base - torch.logsumexp(base, 0)
    values = problem.sigma(axis @ problem.x.T)
    return Tilted(problem, dual, values, base, 0.0, base).at(dual), axis


@pytest.fixture(params=[("sigmoid", 2.0, 0.05), ("tanh", 1.3, 0.1)], ids=["sigmoid", "tanh"])
def problem(request):
    activation, gamma, decay = request.param
    return small_problem(d=1, n=5, activation=activation, gamma=gamma, lambda_rho=decay, beta=60.0)


def random_dual(problem, seed, scale=0.05):
    return scale * torch.randn(problem.y.shape, dtype=torch.float64, generator=seeded(seed))


def test_tilt_is_the_formula(problem):
    dual = random_dual(problem, 0)
    values = torch.rand(4, problem.n_samples, dtype=torch.float64, generator=seeded(1))
    for row, found in zip(values, tilt(problem, dual, values).tolist(), strict=True):
        pulled = problem.w @ dual.T @ row
        factor = problem.beta * problem.gamma**2 / (2 * problem.decay)
        assert found == pytest.approx(factor * float(pulled @ pulled))


def test_weak_duality_at_random_points(problem):
    best = gibbs_minimizer(problem).dual
    for seed in range(100):
        scale = 10 ** (-3 + 2 * seed / 100)
        assert dual_value(on_a_grid(problem, random_dual(problem, seed, scale))[0]) <= best + 1e-12


def test_gradient_and_hessian_agree_with_autograd(problem):
    tilted, _ = on_a_grid(problem, random_dual(problem, 3))

    def value(flat):
        dual = flat.reshape(problem.y.shape)
        log_z = torch.logsumexp(tilted.base + tilt(problem, dual, tilted.values), 0)
        linear = (dual * problem.y).sum() + problem.n_samples / 2 * dual.square().sum()
        return -linear - log_z / problem.beta

    at = tilted.dual.flatten()
    gradient = torch.autograd.functional.jacobian(value, at)
    torch.testing.assert_close(
        -residual(problem, tilted.dual, tilted.kernel).flatten(), gradient, atol=1e-10, rtol=1e-8
    )
    hessian = torch.autograd.functional.hessian(value, at)
    direction, slope = newton_direction(tilted, tolerance=1e-14)
    expected = torch.linalg.solve(-hessian, gradient)
    torch.testing.assert_close(direction.flatten(), expected, atol=1e-9, rtol=1e-7)
    assert slope == pytest.approx(float(gradient @ expected), rel=1e-8)


def test_ridge_solves_its_equation(problem):
    tilted, _ = on_a_grid(problem, random_dual(problem, 4))
    right = random_dual(problem, 5, 1.0)
    v = solve_ridge(problem, tilted.kernel, right)
    gram = problem.w.T @ problem.w
    left = problem.n_samples * v + problem.gamma**2 / problem.decay * tilted.kernel @ v @ gram
    torch.testing.assert_close(left, right, atol=1e-12, rtol=1e-10)


def free_energy(problem, tilted, axis, slopes):
    """E(rho) relative to the prior, for u ~ mu_G and a | u ~ N(-gamma/lambda W C^T s(u), ..)."""
    factor = problem.gamma / problem.decay
    means = -factor * tilted.values @ slopes @ problem.w.T
    h = (tilted.values * tilted.weights[:, None]).T @ means
    loss = (problem.gamma * h @ problem.w - problem.y).square().sum() / (2 * problem.n_samples)
    marginal = tilted.weights @ tilt(problem, tilted.dual, tilted.values) - tilted.log_z
    conditional = problem.beta * problem.decay / 2 * tilted.weights @ means.square().sum(1)
    assert axis.shape[1] == 1
    return float(loss + (marginal + conditional) / problem.beta)


@pytest.mark.parametrize("seed", range(8))
def test_both_gap_identities(problem, seed):
    tilted, axis = on_a_grid(problem, random_dual(problem, seed))
    bound = dual_value(tilted)
    r = residual(problem, tilted.dual, tilted.kernel)
    wide = float(r.square().sum()) / (2 * problem.n_samples)
    assert free_energy(problem, tilted, axis, tilted.dual) - bound == pytest.approx(
        wide, abs=1e-10 * max(1, wide)
    )
    slopes = -solve_ridge(problem, tilted.kernel, problem.y)
    gap = tight_gap(problem, tilted.dual, tilted.kernel)
    assert free_energy(problem, tilted, axis, slopes) - bound == pytest.approx(
        gap, abs=1e-10 * max(1, gap)
    )
    assert 0 <= gap <= wide


@pytest.mark.parametrize("seed", range(4))
def test_entropy_sandwich(problem, seed):
    # KL(rho_G | rho*)/beta <= E(rho_G) - min E <= |R|^2/(2n), all by quadrature.
    oracle = gibbs_minimizer(problem)
    best, _ = on_a_grid(problem, torch.tensor(oracle.dual_point))
    tilted, axis = on_a_grid(problem, random_dual(problem, seed))
    factor = problem.gamma / problem.decay
    difference = -factor * tilted.values @ (tilted.dual - best.dual) @ problem.w.T
    log_ratio = tilt(problem, tilted.dual, tilted.values) - tilted.log_z
    log_ratio = log_ratio - tilt(problem, best.dual, best.values) + best.log_z
    kl = tilted.weights @ log_ratio
    kl = kl + problem.beta * problem.decay / 2 * tilted.weights @ difference.square().sum(1)
    excess = free_energy(problem, tilted, axis, tilted.dual) - oracle.dual
    r = residual(problem, tilted.dual, tilted.kernel)
    gap = float(r.square().sum()) / (2 * problem.n_samples)
    assert -1e-12 <= float(kl) / problem.beta <= excess + 1e-10 <= gap + 2e-10
