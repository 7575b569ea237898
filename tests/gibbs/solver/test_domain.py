import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad_vec
from scipy.special import logsumexp
from support.problems import small_problem
from support.seeds import seeded

from gibbs.solver.certificate import Certificate
from gibbs.solver.domain import FOUND_LIMIT, Edge, edge, growth, in_domain, needed_extent, within
from gibbs.solver.dual import dual_residual, dual_value, dual_value_at, gap_of
from gibbs.solver.quadrature import certificate_at, quadrature_certificate, refine_rule


def relu_problem(d, **settings):
    return small_problem(n=7, d=d, activation="relu", **settings)


def scaled_dual(problem, kappa, seed=5):
    """A random G with that largest kappa."""
    shape = (problem.n_samples, problem.n_outputs)
    dual = torch.randn(shape, dtype=torch.float64, generator=seeded(seed))
    return dual * kappa / edge(problem, dual, generator=seeded()).kappa


def on_circle(angles):
    return torch.stack([angles.cos(), angles.sin()], 1)


def relu_integrals(problem, dual):
    """log E exp(e(u)) and K of relu, from the closed forms of the radial integrals."""
    x, variance = problem.x, 1 / (problem.beta * problem.decay)

    def parts(v, power):
        left = 1 - growth(problem, dual, v[None])[0] ** 2
        values = (x @ v).clamp(min=0)
        # Rank 1: E over a half line of 1 and t^2; rank 2: over a ray, times 1/(2 pi).
        share = 0.5 if power == 0.5 else 1 / (2 * math.pi)
        kernel = torch.outer(values, values) * 2 * power / left ** (power + 1)
        return share * torch.cat([left[None] ** -power, kernel.flatten()]).numpy()

    if problem.n_inputs == 1:
        total = sum(parts(x.new_tensor([sign]), 0.5) for sign in (1.0, -1.0))
    else:
        at = torch.atan2(x[:, 1], x[:, 0])
        kinks = torch.cat([at - math.pi / 2, at + math.pi / 2]).remainder(2 * math.pi).sort().values
        ends = [*kinks.tolist(), float(kinks[0]) + 2 * math.pi]
        total = sum(
            quad_vec(
                lambda t: parts(x.new_tensor([math.cos(t), math.sin(t)]), 1.0),
                low,
                high,
                epsabs=1e-14,
                epsrel=1e-12,
            )[0]
            for low, high in pairwise(ends)
            if high > low
        )
    n = problem.n_samples
    return math.log(total[0]), torch.tensor(total[1:] / total[0] * variance).reshape(n, n)


def softplus_integrals(problem, dual, extent, points):
    """The same for softplus, by the trapezoidal rule on a square."""
    x, g, w = problem.x.numpy(), dual.numpy(), problem.w.numpy()
    axis = np.linspace(-extent, extent, points) / np.sqrt(problem.beta * problem.decay)
    mesh = np.meshgrid(*[axis] * problem.n_inputs, indexing="ij")
    grid = np.stack([m.ravel() for m in mesh], axis=1)
    log_prior = -problem.beta * problem.decay / 2 * np.square(grid).sum(1)
    values = np.logaddexp(0, grid @ x.T)
    scale = problem.beta * problem.gamma**2 / (2 * problem.decay)
    log_law = log_prior + scale * np.square(values @ g @ w.T).sum(1)
    weights = np.exp(log_law - logsumexp(log_law))
    log_z = float(logsumexp(log_law) - logsumexp(log_prior))
    return log_z, torch.tensor(values.T @ (weights[:, None] * values))


def check_solution(tilted, log_z, kernel):
    """D, features and the first-order condition, by integrals from elsewhere."""
    problem, dual = tilted.problem, tilted.dual
    assert dual_value(tilted) == pytest.approx(dual_value_at(problem, dual, log_z), rel=1e-8)
    difference = (tilted.kernel - kernel) @ dual
    assert float(difference.abs().max()) <= 1e-8 * float((kernel @ dual).abs().max())
    assert float(dual_residual(problem, dual, kernel).abs().max()) < 1e-7
    assert gap_of(tilted) < 1e-12
    assert edge(problem, dual).kappa < 1


@pytest.mark.parametrize("kappa", [0.3, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("d", [1, 2])
def test_dual_of_relu_against_the_closed_form(d, kappa):
    problem = relu_problem(d, seed=3)
    for seed in (5, 6):
        dual = scaled_dual(problem, kappa, seed)
        log_z, kernel = relu_integrals(problem, dual)
        tilted, _ = refine_rule(problem, dual)
        assert tilted.log_z == pytest.approx(log_z, rel=1e-10)
        torch.testing.assert_close(tilted.kernel, kernel, rtol=1e-8, atol=1e-12)


SOLVED = [
    (1, 50.0, 2.0, 0.05, 0),
    (1, 300.0, 1.0, 0.01, 1),
    (1, 1e4, 3.0, 0.001, 2),
    (2, 50.0, 2.0, 0.05, 6),
    (2, 200.0, 1.0, 0.02, 7),
]


@pytest.mark.parametrize(("d", "beta", "gamma", "decay", "seed"), SOLVED)
def test_solution_of_relu_against_the_closed_forms(d, beta, gamma, decay, seed):
    problem = small_problem(
        d=d, activation="relu", beta=beta, gamma=gamma, lambda_rho=decay, instance=seed
    )
    tilted, _ = refine_rule(problem, None)
    check_solution(tilted, *relu_integrals(problem, tilted.dual))
    assert quadrature_certificate(tilted, 1e-6).certified


@pytest.mark.parametrize(
    ("d", "beta", "gamma", "decay", "seed", "points"),
    [(1, 50.0, 2.0, 0.05, 0, 20_000), (1, 300.0, 1.0, 0.01, 1, 20_000), (2, 5.0, 1.0, 0.2, 6, 900)],
)
def test_solution_of_softplus_against_another_rule(d, beta, gamma, decay, seed, points):
    problem = small_problem(
        d=d, activation="softplus", beta=beta, gamma=gamma, lambda_rho=decay, instance=seed
    )
    tilted, _ = refine_rule(problem, None)
    extent, _ = needed_extent(problem, tilted.dual, edge(problem, tilted.dual))
    check_solution(tilted, *softplus_integrals(problem, tilted.dual, 1.5 * extent, points))
    assert quadrature_certificate(tilted, 1e-6).certified


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("d", [1, 2])
def test_residual_is_minus_the_gradient(d, activation):
    problem = small_problem(n=5, d=d, activation=activation, beta=5.0, gamma=1.0, lambda_rho=0.2)
    dual, towards = scaled_dual(problem, 0.6), scaled_dual(problem, 0.6, 9)
    h = 1e-5
    up, down = (dual_value(refine_rule(problem, dual + s * h * towards)[0]) for s in (1, -1))
    slope = -float(
        (dual_residual(problem, dual, refine_rule(problem, dual)[0].kernel) * towards).sum()
    )
    assert (up - down) / (2 * h) == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("d", [1, 2])
def test_outside_of_the_domain_is_minus_infinity_and_near_its_edge_refused(d, activation):
    problem = small_problem(n=7, d=d, activation=activation, seed=3)
    for kappa in (1 + 1e-9, 1.5):
        outside = certificate_at(problem, scaled_dual(problem, kappa), 1e9)
        assert (outside.dual, outside.gap, outside.primal) == (-math.inf, math.inf, math.inf)
        assert not outside.certified
        assert outside.relative_gap == math.inf
        assert "diverges along v" in outside.reason
    fine = Certificate(1.0, 1.0, 0.0, 0.0, 0.0, "quadrature", 9.0, 0, True, "")
    near = within(fine, edge(problem, scaled_dual(problem, 1 - 5e-8)))
    assert not near.certified
    assert "too near to 1" in near.reason
    assert within(fine, edge(problem, scaled_dual(problem, 1 - 5e-7))) is fine


def test_a_search_is_trusted_below_its_limit_or_below_its_bound():
    fine = Certificate(1.0, 1.0, 0.0, 0.0, 0.0, "monte_carlo", 9.0, 6, True, "")
    v = torch.tensor([0.6, 0.8, 0, 0, 0], dtype=torch.float64)
    for kappa, bound, certified in [
        (FOUND_LIMIT - 0.01, 1.6, True),
        (FOUND_LIMIT, 1.6, False),
        (0.95, 0.99, True),
    ]:
        judged = within(fine, Edge(kappa, v, bound, exact=False))
        assert judged.certified is certified
        assert ("best direction found" in judged.reason) is not certified
    assert within(fine, Edge(1.2, v, 1.6, exact=False)).dual == -math.inf


@pytest.mark.parametrize("seed", range(10))
def test_edge_in_rank_two_is_the_maximum_of_a_scan(seed):
    problem = relu_problem(2, seed=seed)
    dual = scaled_dual(problem, 0.7, seed)
    found = edge(problem, dual)
    scan = growth(problem, dual, on_circle(torch.linspace(0, 2 * math.pi, 200_001).double()))
    assert found.exact
    assert found.kappa == pytest.approx(float(growth(problem, dual, found.direction[None])))
    best = float(scan.max())
    assert best * (1 - 1e-12) <= found.kappa <= best * (1 + 1e-4)


def test_edge_with_kinks_that_coincide_and_a_row_of_zeros():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.0], [0.0, 0.0], [0.0, 1.0]]).double()
    problem = small_problem(n=5, d=2, activation="relu")
    problem = replace(problem, x=x)
    dual = scaled_dual(problem, 0.7, 1)
    scan = growth(problem, dual, on_circle(torch.linspace(0, 2 * math.pi, 200_001).double()))
    assert edge(problem, dual).kappa == pytest.approx(float(scan.max()), rel=1e-6)
    log_z, _ = relu_integrals(problem, dual)
    assert refine_rule(problem, dual)[0].log_z == pytest.approx(log_z, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("d", [3, 4])
def test_search_in_higher_rank_is_a_lower_bound_close_to_a_scan(d, seed):
    problem = relu_problem(d, seed=seed)
    dual = scaled_dual(problem, 0.7, seed)
    found = edge(problem, dual, generator=seeded(seed))
    scan = torch.randn(300_000, d, dtype=torch.float64, generator=seeded(1))
    scan /= scan.norm(dim=1, keepdim=True)
    best = float(growth(problem, dual, scan).max())
    assert not found.exact
    assert found.kappa == pytest.approx(float(growth(problem, dual, found.direction[None])))
    assert 0.999 * best <= found.kappa <= found.bound
    assert found.kappa <= 1.02 * best
    again = edge(problem, dual, generator=seeded(9), starts=found.direction[None], n_steps=0)
    assert again.kappa >= found.kappa * (1 - 1e-12)
    with pytest.raises(ValueError, match="generator must be given in rank > 2"):
        edge(problem, dual)


def test_a_start_outside_is_shrunk_into_the_domain():
    problem = relu_problem(2)
    outside = scaled_dual(problem, 3.0)
    inside, found = in_domain(problem, outside, share=0.9)
    assert found.kappa == pytest.approx(edge(problem, inside).kappa)
    assert found.kappa == pytest.approx(0.45)
    same, _ = in_domain(problem, inside)
    assert same is inside


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_rank_two_in_twenty_dimensions(activation):
    settings = {"beta": 5.0, "gamma": 1.0, "lambda_rho": 0.2, "activation": activation}
    flat = small_problem(n=5, **settings)
    basis = torch.linalg.qr(torch.randn(20, 2, dtype=torch.float64, generator=seeded(5)))[0]
    x = flat.x @ basis.T
    rows = torch.linalg.svd(x, full_matrices=False)[2][:2]
    first, second = (
        refine_rule(replace(flat, x=points), None)[0] for points in (flat.x, x @ rows.T)
    )
    assert dual_value(second) == pytest.approx(dual_value(first), rel=1e-10)
    torch.testing.assert_close(second.dual, first.dual, rtol=1e-7, atol=1e-10)


def test_a_bounded_activation_has_no_domain_to_leave():
    problem = small_problem(n=5, d=1)
    certificate = certificate_at(problem, scaled_dual(problem, 1.5), 1e9)
    assert math.isfinite(certificate.dual)


def test_softplus_has_no_step_at_the_threshold_of_torch():
    problem = small_problem(d=1, activation="softplus")
    z = torch.tensor([19.9, 20.1, 25.0, 39.0, 41.0, 800.0], dtype=torch.float64)
    expected = torch.tensor(np.logaddexp(0, z.numpy()))
    torch.testing.assert_close(problem.sigma(z), expected, rtol=1e-15, atol=0)
