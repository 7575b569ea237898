import math

import pytest
import torch
from support.defects import normals_off, statistical
from support.problems import small_problem
from support.seeds import seeded

from gibbs.solver.bridge import build_bridge, fit_proposal, log_ratio, resample
from gibbs.solver.mixture import Mixture, fit_mixture, standard_mixture
from gibbs.solver.quadrature import refine_rule


@pytest.fixture
def mixture():
    factors = torch.linalg.cholesky(
        torch.tensor([[[1.0, 0.3], [0.3, 0.5]], [[0.2, 0.0], [0.0, 0.1]]], dtype=torch.float64)
    )
    means = torch.tensor([[0.0, 0.0], [4.0, 1.0]], dtype=torch.float64)
    return Mixture(torch.tensor([0.7, 0.3], dtype=torch.float64), means, factors)


def test_mixture_density_is_that_of_torch(mixture):
    laws = torch.distributions.MultivariateNormal(mixture.means, scale_tril=mixture.factors)
    whole = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(mixture.shares), laws
    )
    u = 2 * torch.randn(3000, 2, dtype=torch.float64, generator=seeded())
    torch.testing.assert_close(mixture.log_density(u), whole.log_prob(u))
    u.requires_grad_(True)
    (score,) = torch.autograd.grad(whole.log_prob(u).sum(), u)
    density, found = mixture.density_and_score(u.detach())
    torch.testing.assert_close(density, whole.log_prob(u).detach())
    torch.testing.assert_close(found, score)


def test_a_mixture_far_from_the_origin_and_narrow():
    means = torch.tensor([[1e6, -1e6], [1e6, -1e6 + 1e-2]], dtype=torch.float64)
    factors = 1e-3 * torch.eye(2, dtype=torch.float64).repeat(2, 1, 1)
    mixture = Mixture(torch.tensor([0.5, 0.5], dtype=torch.float64), means, factors)
    step = torch.tensor([2**-11, 2**-10], dtype=torch.float64)  # means + step are exact
    _, score = mixture.density_and_score(means[:1] + step)
    torch.testing.assert_close(score, -step[None] / 1e-6, rtol=1e-9, atol=0)


@statistical(alarm=1e-4, defect=normals_off(1.25))
def test_mixture_sample_has_its_moments_and_a_fit_finds_it(mixture):
    u = mixture.sample(40_000, generator=seeded())
    mean = mixture.shares @ mixture.means
    torch.testing.assert_close(u.mean(0), mean, atol=0.04, rtol=0)  # five standard errors
    apart = mixture.means - mean
    squares = mixture.factors @ mixture.factors.mT + apart[:, :, None] * apart[:, None]
    covariance = torch.einsum("k,kij->ij", mixture.shares, squares)
    sizes = covariance.diagonal().sqrt()
    # 4.9 standard errors of normal variables of these variances; a mixture has thinner tails.
    error = 4.9 * math.sqrt(2 / len(u)) * torch.outer(sizes, sizes)
    assert bool(((torch.cov(u.T) - covariance).abs() < error).all())
    weights = u.new_full((len(u),), 1 / len(u))
    fitted = fit_mixture(u, weights, generator=seeded(1))
    fresh = mixture.sample(20_000, generator=seeded(2))
    lost = (mixture.log_density(fresh) - fitted.log_density(fresh)).mean()
    assert abs(float(lost)) < 0.01


def test_resampling_keeps_expected_counts():
    weights = torch.tensor([0.5, 0.25, 0.2, 0.05], dtype=torch.float64)
    counts = torch.bincount(resample(weights, 1000, seeded()), minlength=4)
    assert (counts - 1000 * weights).abs().max() <= 1


# The defect makes the proposal too narrow: one too wide gives weights with a heavy tail, whose
# spread can hide it.
@statistical(alarm=2e-4, defect=normals_off(0.5))
@pytest.mark.parametrize("start", ["wide", "fitted"])
def test_a_bridge_estimates_the_normaliser_of_quadrature(start):
    problem = small_problem(d=2, beta=200.0, gamma=3.0, lambda_rho=0.01)
    exact, grid = refine_rule(problem, None)
    generator = seeded(3)
    # Eight deviations of the prior hold all of the law, and call for several levels.
    proposal = standard_mixture(2, 8 / math.sqrt(problem.beta * problem.decay))
    if start == "fitted":  # to the law itself: a fit to draws may miss a tail of it
        held = exact.weights > 1e-12
        proposal = fit_proposal(problem, grid[held], exact.weights[held], generator=generator)
    settings = {"n_moves": 8, "generator": generator}
    bridge, sample = build_bridge(problem, exact.dual, proposal, 4000, **settings)
    assert (len(bridge.levels) == 1) is (start == "fitted")
    found = torch.tensor(
        [
            bridge.sample(4000, generator=generator).tilted(problem, exact.dual).log_z
            for _ in range(16)
        ]
    )
    error = float(found.std()) / math.sqrt(16)
    # 5.3 standard errors: a false alarm in 1 of 11,000 (Student's t with 15 degrees).
    assert abs(float(found.mean()) - exact.log_z) < 5.3 * error + 1e-4
    ratio = log_ratio(problem, exact.dual, proposal, sample.u)
    assert ratio.shape == (4000,)
