import math
from dataclasses import replace

import pytest
import torch
from support.problems import small_problem
from support.quadrature import gibbs_minimizer
from support.seeds import seeded

from gibbs.solver.conditional import Conditional
from gibbs.solver.dual import (
    Tilted,
    dual_residual,
    dual_value,
    gap_at,
    gap_of,
    log_tilt,
    newton_direction,
    outputs_of,
    refit,
    solve_ridge,
    tight_gap,
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
def plain(request):
    activation, gamma, decay = request.param
    return small_problem(d=1, n=5, activation=activation, gamma=gamma, lambda_rho=decay, beta=60.0)


@pytest.fixture(params=[None, 0.5, 2.0, 50.0], ids="R={}".format)
def problem(plain, request):
    return replace(plain, truncation=request.param)


def random_dual(problem, seed, scale=0.05):
    return scale * torch.randn(problem.y.shape, dtype=torch.float64, generator=seeded(seed))


def maximizer(problem):
    """Weighted points at the maximizer of the dual, by damped Newton steps."""
    tilted, _ = on_a_grid(problem, -problem.y / problem.n_samples / 2)
    for _ in range(60):
        direction, slope = newton_direction(tilted)
        size, value = 1.0, dual_value(tilted)
        while dual_value(tilted.at(tilted.dual + size * direction)) < value - 1e-14:
            size /= 2
        tilted = tilted.at(tilted.dual + size * direction)
        if slope < 1e-20:
            break
    return tilted


def test_tilt_is_the_formula(plain):
    dual = random_dual(plain, 0)
    values = torch.rand(4, plain.n_samples, dtype=torch.float64, generator=seeded(1))
    for row, found in zip(values, log_tilt(plain, dual, values).tolist(), strict=True):
        field = plain.w @ dual.T @ row
        factor = plain.beta * plain.gamma**2 / (2 * plain.decay)
        assert found == pytest.approx(factor * float(field @ field))


def test_weak_duality_at_random_points(problem):
    best = maximizer(problem)
    if problem.truncation is None:
        assert dual_value(best) == pytest.approx(gibbs_minimizer(problem).dual, rel=1e-10)
    # The free energy of a law, which is above every D.
    energy = free_energy(problem, best, best.dual)
    for seed in range(100):
        scale = 10 ** (-3 + 2 * seed / 100)
        tilted, _ = on_a_grid(problem, random_dual(problem, seed, scale))
        assert dual_value(tilted) <= energy + 1e-12
        if seed % 10 == 0:
            assert dual_value(tilted) + gap_of(tilted) >= energy - 1e-12


def test_gradient_and_hessian_agree_with_autograd(plain):
    tilted, _ = on_a_grid(plain, random_dual(plain, 3))

    def value(flat):
        dual = flat.reshape(plain.y.shape)
        log_z = torch.logsumexp(tilted.base + log_tilt(plain, dual, tilted.values), 0)
        linear = (dual * plain.y).sum() + plain.n_samples / 2 * dual.square().sum()
        return -linear - log_z / plain.beta

    at = tilted.dual.flatten()
    gradient = torch.autograd.functional.jacobian(value, at)
    torch.testing.assert_close(
        -dual_residual(plain, tilted.dual, tilted.kernel).flatten(), gradient, atol=1e-10, rtol=1e-8
    )
    hessian = torch.autograd.functional.hessian(value, at)
    direction, slope = newton_direction(tilted, tolerance=1e-14)
    expected = torch.linalg.solve(-hessian, gradient)
    torch.testing.assert_close(direction.flatten(), expected, atol=1e-9, rtol=1e-7)
    assert slope == pytest.approx(float(gradient @ expected), rel=1e-8)


def gradient_of(tilted):
    """Gradient of D: -Y - n G + Z."""
    problem = tilted.problem
    return outputs_of(tilted) - problem.y - problem.n_samples * tilted.dual


@pytest.mark.parametrize("scale", [0.01, 0.1])
def test_gradient_and_newton_direction_agree_with_differences(problem, scale):
    tilted, _ = on_a_grid(problem, random_dual(problem, 3, scale))
    gradient = gradient_of(tilted)
    step = 1e-6
    for seed in range(3):
        v = random_dual(problem, 10 + seed, 1.0)
        up, down = (dual_value(tilted.at(tilted.dual + s * v)) for s in (step, -step))
        slope = float((gradient * v).sum())
        assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-6)
    # Along Newton's direction the gradient falls to 0 at rate 1.
    direction, slope = newton_direction(tilted, tolerance=1e-14)
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-12)
    step = 1e-6 / float(direction.norm())
    up, down = (gradient_of(tilted.at(tilted.dual + s * direction)) for s in (step, -step))
    error = (up - down) / (2 * step) + gradient
    assert float(error.norm() / gradient.norm()) < 1e-6


def test_a_radius_out_of_reach_changes_nothing(plain):
    far = replace(plain, truncation=50.0)
    for seed in range(5):
        dual = random_dual(plain, seed)
        first, second = (on_a_grid(p, dual)[0] for p in (plain, far))
        assert dual_value(second) == pytest.approx(dual_value(first), rel=1e-8)
        assert gap_of(second) == pytest.approx(gap_of(first), rel=1e-8)
        torch.testing.assert_close(refit(second), refit(first), rtol=1e-4, atol=1e-8)
        for this, that in zip(newton_direction(second), newton_direction(first), strict=True):
            torch.testing.assert_close(
                torch.as_tensor(this), torch.as_tensor(that), rtol=1e-8, atol=1e-10
            )
    assert dual_value(maximizer(far)) == pytest.approx(dual_value(maximizer(plain)), rel=1e-8)


def test_ridge_solves_its_equation(plain):
    tilted, _ = on_a_grid(plain, random_dual(plain, 4))
    right = random_dual(plain, 5, 1.0)
    v = solve_ridge(plain, tilted.kernel, right)
    gram = plain.w.T @ plain.w
    left = plain.n_samples * v + plain.gamma**2 / plain.decay * tilted.kernel @ v @ gram
    torch.testing.assert_close(left, right, atol=1e-12, rtol=1e-10)


def free_energy(problem, tilted, slopes):
    """E(rho) relative to the prior, for u ~ mu_G and a given u by the local fields W C^T s(u)."""
    conditional = Conditional.of(problem)
    c = tilted.values @ slopes @ problem.w.T
    h = (tilted.values * tilted.weights[:, None]).T @ conditional.mean(c)
    loss = (problem.gamma * h @ problem.w - problem.y).square().sum() / (2 * problem.n_samples)
    marginal = tilted.weights @ log_tilt(problem, tilted.dual, tilted.values) - tilted.log_z
    given = tilted.weights @ conditional.divergence(c).sum(1)
    return float(loss + (marginal + given) / problem.beta)


@pytest.mark.parametrize("seed", range(8))
def test_gap_identities(problem, seed):
    tilted, _ = on_a_grid(problem, random_dual(problem, seed))
    bound = dual_value(tilted)
    wide = float(gradient_of(tilted).square().sum()) / (2 * problem.n_samples)
    assert gap_at(tilted, tilted.dual) == pytest.approx(wide, rel=1e-12)
    # Any law of a given u has the gap that is claimed for it, and none has less than the best.
    gap, best = gap_of(tilted), refit(tilted)
    others = [tilted.dual, best, best + random_dual(problem, seed + 50, 0.01)]
    for slopes in others:
        found = gap_at(tilted, slopes)
        excess = free_energy(problem, tilted, slopes) - bound
        assert found == pytest.approx(excess, abs=1e-10 * max(1, excess))
        assert found >= gap * (1 - 1e-8)
    assert gap == pytest.approx(gap_at(tilted, best), rel=1e-8)
    assert 0 <= gap <= wide
    again = refit(tilted, start=random_dual(problem, seed + 90))
    assert gap_at(tilted, again) == pytest.approx(gap, rel=1e-6)


def test_gap_of_another_law_on_the_same_points(problem):
    tilted, _ = on_a_grid(problem, random_dual(problem, 1))
    ramp = torch.linspace(0.2, 1.8, len(tilted.weights), dtype=torch.float64)
    other = replace(tilted, weights=tilted.weights * ramp / (tilted.weights @ ramp))
    seen = other.weights > 0
    w, w_tilted, prior = other.weights[seen], tilted.weights[seen], tilted.base.exp()[seen]
    slopes = refit(other)
    # free_energy takes the marginal for mu_G: E e(u) - log Z in place of KL(mu | prior).
    energy = free_energy(problem, other, slopes)
    energy -= float(other.weights @ log_tilt(problem, tilted.dual, tilted.values)) / problem.beta
    energy += (float(w @ (w / prior).log()) + tilted.log_z) / problem.beta
    found = gap_at(other, slopes) + float(w @ (w / w_tilted).log()) / problem.beta
    assert energy - dual_value(tilted) == pytest.approx(found, rel=1e-8)


def test_the_kernel_alone_gives_the_gap_without_truncation(plain):
    tilted, _ = on_a_grid(plain, random_dual(plain, 1))
    gap = tight_gap(plain, tilted.dual, tilted.kernel)
    assert gap_of(tilted) == gap
    slopes = -solve_ridge(plain, tilted.kernel, plain.y)
    assert gap_at(tilted, slopes) == pytest.approx(gap, rel=1e-10)


def divergence(tilted, slopes, best):
    """KL of the law of u ~ mu_G and of a given u by C, from that of another dual point."""
    problem, conditional = tilted.problem, Conditional.of(tilted.problem)
    log_ratio = log_tilt(problem, tilted.dual, tilted.values) - tilted.log_z
    log_ratio = log_ratio - log_tilt(problem, best.dual, best.values) + best.log_z
    c, c_best = (tilted.values @ dual @ problem.w.T for dual in (slopes, best.dual))
    value, slope = conditional.derivatives(c, 0, 1)
    given = (c - c_best) * slope - value + conditional.log_normalizer(c_best)
    return float(tilted.weights @ (log_ratio + given.sum(1)))


@pytest.mark.parametrize("seed", range(4))
def test_entropy_sandwich(problem, seed):
    # KL(rho | rho*)/beta <= E(rho) - min E <= gap, for both laws of a given u, by quadrature.
    best = maximizer(problem)
    tilted, _ = on_a_grid(problem, random_dual(problem, seed))
    for slopes in (tilted.dual, refit(tilted)):
        kl = divergence(tilted, slopes, best)
        excess = free_energy(problem, tilted, slopes) - dual_value(best)
        gap = gap_at(tilted, slopes)
        assert -1e-12 <= kl / problem.beta <= excess + 1e-10 <= gap + 2e-10


def test_points_of_equal_weight(problem):
    values = torch.rand(50, problem.n_samples, dtype=torch.float64, generator=seeded(7))
    cloud = Tilted.uniform(problem, values)
    torch.testing.assert_close(cloud.kernel, values.T @ values / 50)
    slopes = refit(cloud)
    target = problem.y + problem.n_samples * slopes
    torch.testing.assert_close(outputs_of(cloud, slopes), target, atol=1e-4, rtol=0)


@pytest.mark.parametrize("truncation", [None, 0.5])
def test_samples_in_single_precision(plain, truncation):
    problem = replace(plain, truncation=truncation)
    tilted, _ = on_a_grid(problem, random_dual(problem, 2))
    single = replace(tilted, values=tilted.values.float()).at(tilted.dual)
    assert dual_value(single) == pytest.approx(dual_value(tilted), rel=1e-5)
    assert gap_of(single) == pytest.approx(gap_of(tilted), rel=1e-4)
    direction, _ = newton_direction(tilted)
    found, _ = newton_direction(single, tolerance=1e-4)
    assert float((found - direction).norm() / direction.norm()) < 1e-3


def test_samples_together(problem):
    tilted, _ = on_a_grid(problem, random_dual(problem, 2))
    # Each half, as an estimate of Z of its own, has twice its mass.
    halves = [
        replace(tilted, values=tilted.values[k::2], base=tilted.base[k::2] + math.log(2))
        for k in (0, 1)
    ]
    both = Tilted.together([half.at(tilted.dual) for half in halves])
    assert both.log_z == pytest.approx(tilted.log_z, rel=1e-12)
    assert gap_of(both) == pytest.approx(gap_of(tilted), rel=1e-7)
