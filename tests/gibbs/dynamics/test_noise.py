"""Schemes of the noise, and temperatures."""

import dataclasses
import math

import pytest
import torch
from support.defects import NOISE_OFF, statistical
from support.problems import small_problem
from support.seeds import seeded

from gibbs import (
    Annealed,
    Particles,
    run_langevin,
    sample_normal,
)

# 4.9 standard errors: a false alarm of 1e-6 in a check of a Gaussian mean.
ERRORS = 4.9


@pytest.mark.parametrize("scheme", ["euler", "leimkuhler_matthews"])
def test_stationary_variance_of_each_scheme_without_data(scheme):
    # W = 0 leaves the ridge term alone, a quadratic: Leimkuhler and Matthews are exact there.
    base = small_problem(beta=20.0, lambda_rho=0.8)
    problem = dataclasses.replace(base, w=torch.zeros_like(base.w))
    start = sample_normal(problem, 40_000, generator=seeded())
    cloud = run_langevin(
        problem, start, n_steps=60, step_size=1.5, scheme=scheme, generator=seeded(1), every=13
    ).particles
    exact = 1 / (20.0 * 0.8)
    expected = exact / (1 - 1.5 * 0.8 / 2) if scheme == "euler" else exact
    for values in (cloud.a, cloud.u):
        error = ERRORS * math.sqrt(2 / values.numel())
        assert float(values.var()) == pytest.approx(expected, rel=error)


@statistical(alarm=1e-4, defect=NOISE_OFF)
@pytest.mark.parametrize("every", [1, 3, 100])
def test_uncoupled_coordinates_follow_each_step_of_leimkuhler_and_matthews(every):
    problem = small_problem(p=5, q=2, beta=20.0, lambda_rho=0.3)
    n, eta, n_steps = 40_000, 0.7, 6
    start = Particles(torch.ones(n, 5).double(), torch.zeros(n, 2).double())
    blind = torch.linalg.qr(problem.w, mode="complete")[0][:, 2:]
    seen = []

    def look(state):
        seen.append(state.particles.a @ blind)
        return 0.0

    run_langevin(
        problem,
        start,
        n_steps=n_steps,
        step_size=eta,
        scheme="leimkuhler_matthews",
        generator=seeded(4),
        observers={"look": look},
        every=every,
    )
    # The chain as a linear map of xi_0, ..., xi_K: row k holds c_k, less its mean.
    rate, half = 1 - eta * problem.decay, math.sqrt(2 * eta * problem.temperature) / 2
    rows = [torch.zeros(n_steps + 1, dtype=torch.float64)]
    for k in range(n_steps):
        row = rate * rows[-1]
        row[k] += half
        row[k + 1] += half
        rows.append(row)
    steps = sorted({*range(0, n_steps + 1, every), n_steps})
    chain = torch.stack([rows[k] for k in steps])
    covariance = chain @ chain.T
    values = torch.stack(seen)
    means = torch.tensor([rate**k for k in steps], dtype=torch.float64)
    centred = values - means[:, None, None] * (start.a[:1] @ blind)
    found = torch.einsum("knc,lnc->kl", centred, centred) / (n * 3)
    scale = covariance.diagonal().sqrt()
    error = ERRORS * math.sqrt(2 / (3 * n)) * torch.outer(scale, scale) + 1e-12
    assert bool(((found - covariance).abs() < error).all())


def test_leimkuhler_and_matthews_at_temperature_zero_is_descent():
    problem = small_problem(beta=math.inf)
    start = sample_normal(problem, 100, generator=seeded())
    one, other = (
        run_langevin(problem, start, n_steps=9, step_size=0.3, scheme=scheme, generator=seeded())
        for scheme in ("euler", "leimkuhler_matthews")
    )
    assert torch.equal(one.particles.u, other.particles.u)


def test_temperature_decides_the_noise_and_nothing_else():
    problem = small_problem(beta=50.0)
    start = sample_normal(problem, 60, generator=seeded())
    cold = dataclasses.replace(problem, beta=math.inf, lambda_rho=problem.decay)
    settings = {"n_steps": 7, "step_size": 0.3}
    expected = run_langevin(cold, start, generator=seeded(), **settings).particles
    found = run_langevin(problem, start, temperature=0.0, generator=seeded(), **settings).particles
    assert torch.equal(found.u, expected.u)
    hot = dataclasses.replace(problem, beta=10.0, lambda_rho=problem.decay)
    expected = run_langevin(hot, start, generator=seeded(), **settings).particles
    found = run_langevin(problem, start, temperature=0.1, generator=seeded(), **settings).particles
    assert torch.equal(found.u, expected.u)


@statistical(alarm=1e-5, defect=NOISE_OFF)
def test_temperature_schedule_reaches_every_step():
    base = small_problem(beta=20.0, lambda_rho=0.3)
    problem = dataclasses.replace(base, w=torch.zeros_like(base.w))
    start = Particles(*(torch.zeros(40_000, k, dtype=torch.float64) for k in (3, 2)))
    heat = Annealed(first=0.5, scale=2, power=1.0)
    cloud = run_langevin(
        problem, start, n_steps=6, step_size=0.4, temperature=heat, generator=seeded()
    ).particles
    variance = 0.0
    for k in range(6):
        variance = (1 - 0.4 * 0.3) ** 2 * variance + 2 * 0.4 * 0.5 / (1 + k / 2)
    for values in (cloud.a, cloud.u):
        error = ERRORS * math.sqrt(2 / values.numel())
        assert float(values.var()) == pytest.approx(variance, rel=error)
