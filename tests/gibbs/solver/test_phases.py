import math
from dataclasses import replace

import pytest
import torch
from support.defects import sample_off, statistical
from support.problems import small_problem
from support.quadrature import gibbs_minimizer
from support.seeds import seeded

from gibbs import certify, solve_gibbs
from gibbs.solver import quadrature
from gibbs.solver.dual import dual_value, gap_of, log_tilt, refit
from gibbs.solver.mixture import Mixture
from gibbs.solver.phases import choose_masses, find_phases, phase_gap, phase_kernels
from gibbs.solver.quadrature import refine_rule

TWO_PHASES = {
    "d": 1,
    "activation": "sigmoid",
    "beta": 1000.0,
    "gamma": 3.0,
    "lambda_rho": 0.001,
    "instance": 2,
}


@pytest.fixture(scope="module")
def rule():
    """A quadrature rule near the minimizer of a problem with two phases, and its phases."""
    problem = small_problem(**TWO_PHASES)
    tilted, grid = refine_rule(problem, solve_gibbs(problem, generator=seeded()).measure.dual)
    noise = torch.randn(tilted.dual.shape, dtype=torch.float64, generator=seeded(1))
    tilted = tilted.at(tilted.dual * (1 + 1e-3 * noise))
    log_tilts = log_tilt(problem, tilted.dual, tilted.values)
    cells = (log_tilts > 20).long()
    sums, masses = phase_kernels(tilted.values, tilted.weights, cells, 2)
    return problem, tilted, grid, cells, sums / masses[:, None, None], masses


def free_energy(tilted, weights):
    """F(mu) of weights on a rule by its definition: least energy given the law of u."""
    problem, log_prior = tilted.problem, torch.log_softmax(tilted.base, 0)
    some = replace(tilted, weights=weights)
    c = refit(some)
    outputs = -(problem.gamma**2) / problem.decay * some.kernel @ c @ problem.w.T @ problem.w
    loss = (outputs - problem.y).square().sum() / (2 * problem.n_samples)
    given = log_tilt(
        problem, c, tilted.values
    )  # KL of a given u, in nats: |mean|^2 beta lambda / 2
    marginal = torch.where(weights > 0, weights * (weights.log() - log_prior), 0.0).sum()
    return float(loss + (weights @ given + marginal) / problem.beta)


def test_phase_formula_is_the_free_energy_less_the_dual(rule):
    problem, tilted, _, cells, kernels, masses = rule
    dual = dual_value(tilted)
    assert phase_gap(problem, tilted.dual, kernels, masses, masses) == pytest.approx(
        gap_of(tilted), rel=1e-9
    )
    for share in (0.01, 0.3, 0.5, 0.99):
        chosen = torch.tensor([1 - share, share], dtype=torch.float64)
        gap = phase_gap(problem, tilted.dual, kernels, masses, chosen)
        weights = tilted.weights * (chosen / masses)[cells]
        assert gap == pytest.approx(free_energy(tilted, weights) - dual, rel=1e-9, abs=1e-12)


def test_chosen_masses_are_the_best_of_a_scan(rule):
    problem, tilted, _, _, kernels, masses = rule
    chosen, gap = choose_masses(problem, tilted.dual, kernels, masses)
    assert float(chosen.sum()) == pytest.approx(1, abs=1e-12)
    scan = [
        phase_gap(
            problem, tilted.dual, kernels, masses, torch.tensor([1 - s, s], dtype=torch.float64)
        )
        for s in torch.linspace(0.001, 0.999, 999).tolist()
    ]
    assert gap <= min(scan) * (1 + 1e-6)
    assert gap == pytest.approx(min(scan), rel=1e-2)
    assert gap < gap_of(tilted) / 2
    again, _ = choose_masses(problem, tilted.dual, kernels, masses, chosen)
    torch.testing.assert_close(again, chosen, rtol=1e-3, atol=1e-6)


def test_one_phase_has_nothing_to_choose(rule):
    problem, tilted, *_ = rule
    one = torch.ones(1, dtype=torch.float64)
    chosen, gap = choose_masses(problem, tilted.dual, tilted.kernel[None], one)
    assert chosen.tolist() == [1.0]
    assert gap == pytest.approx(gap_of(tilted), rel=1e-9)


def test_separate_components_are_regions_and_overlapping_ones_are_one():
    factors = torch.eye(1, dtype=torch.float64).expand(3, 1, 1)
    means = torch.tensor([[0.0], [0.5], [30.0]], dtype=torch.float64)
    law = Mixture(torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64), means, factors)
    u = law.sample(5000, generator=seeded())
    weights = u.new_full((len(u),), 1 / len(u))
    phases = find_phases(law, u, weights, u.square().sum(1))
    assert phases.groups[0] == phases.groups[1] != phases.groups[2]
    assert float(phases.masses.sum()) == pytest.approx(1)
    numbers = phases.of(u, u.square().sum(1))
    assert torch.bincount(numbers).double() / len(u) == pytest.approx(phases.masses, abs=1e-9)
    even = replace(phases, chosen=phases.masses)
    assert float(even.log_ratio(u, u.square().sum(1)).abs().max()) == 0


@statistical(alarm=1e-3, defect=sample_off(1.1))
def test_solved_measure_with_chosen_masses_is_consistent():
    problem = small_problem(**TWO_PHASES)
    oracle = gibbs_minimizer(problem)
    result = solve_gibbs(problem, method="monte_carlo", n_particles=5000, generator=seeded())
    certificate, measure = result.certificate, result.measure
    assert certificate.certified, certificate.reason
    assert certificate.dual == pytest.approx(oracle.dual, rel=1e-3)
    under, chosen = zip(*certificate.phase_masses, strict=True)
    assert math.fsum(under) == pytest.approx(1)
    assert math.fsum(chosen) == pytest.approx(1)
    # The primal value is the free energy of the measure that is returned.
    assert measure.free_energy() == pytest.approx(certificate.primal, rel=1e-4)
    sample = measure.sample(50_000, generator=seeded(1))
    for drawn, mean in zip((sample.a, sample.u), measure.mean_square(), strict=True):
        squares = drawn.square().sum(1)
        error = float(squares.std()) / math.sqrt(len(squares))
        assert abs(float(squares.mean()) - mean) < 4 * error  # chance 6e-5 each


def test_a_far_phase_is_in_the_range_of_the_rule(monkeypatch):
    """A rule that stopped short of the second phase agreed with itself, and was too high.

    At G's near the best one, each on a rule that is chosen for it alone.
    """
    problem = small_problem(**TWO_PHASES)
    measure = solve_gibbs(problem, generator=seeded()).measure
    noise = torch.randn(measure.dual.shape, dtype=torch.float64, generator=seeded(1))
    truth = gibbs_minimizer(problem).dual
    for size in (1e-3, -1e-3, 1e-5):
        near = replace(measure, dual=measure.dual * (1 + size * noise))
        judged = certify(problem, near, generator=seeded())
        assert judged.dual <= truth * (1 + 1e-9)
    assert judged.relative_gap < 1e-2
    assert judged.dual > 0.99 * truth
    monkeypatch.setattr(quadrature, "_far_radius", lambda *_: 0.0)
    assert certify(problem, near, generator=seeded()).dual > truth * (1 + 1e-6)
