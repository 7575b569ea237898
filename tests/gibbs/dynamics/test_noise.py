"""Noise that waits, schemes of the noise, and temperatures."""

import dataclasses
import math

import pytest
import torch
from support.defects import NOISE_OFF, NORMALS_OFF, Defect, statistical
from support.problems import small_problem, wide_problem
from support.seeds import seeded

from gibbs import (
    Annealed,
    LangevinStatus,
    Particles,
    run_langevin,
    sample_normal,
)
from gibbs.dynamics.cloud import TiledCloud
from gibbs.dynamics.noise import DelayedNoise, Kick

# 4.9 standard errors: a false alarm of 1e-6 in a check of a Gaussian mean.
ERRORS = 4.9


def _more_waits(monkeypatch):
    sound = DelayedNoise.begin
    monkeypatch.setattr(
        DelayedNoise,
        "begin",
        lambda self, kick, rate: sound(self, Kick(kick.before, 1.05 * kick.after), rate),
    )


WAITING_NOISE_OFF = Defect("the noise that waits has a variance 10 % too large", _more_waits)


@statistical(alarm=1e-3, defect=NORMALS_OFF)
def test_delayed_noise_has_the_covariances_of_the_chain_and_of_what_was_seen():
    d, n, rate, scale = 6, 60_000, 0.8, 0.5
    u = torch.zeros(n, d, dtype=torch.float64)
    cloud = TiledCloud(Particles(u[:, :1].clone(), u))
    noise = DelayedNoise(cloud, seeded(1))
    batches = torch.randn(4, 2, d, dtype=torch.float64, generator=seeded(2))
    batches[3, 1] = batches[3, 0]  # a sample twice in one batch
    seen = []
    for x in batches:
        noise.begin(Kick(0.0, scale), rate)
        batch = noise.on_batch(x)
        hidden = 0.0 if batch is None else batch.factor @ torch.cat(batch.normals, 1)
        seen.append(x @ cloud.particles().u.T + hidden)
        for index, tile in enumerate(cloud.tiles):
            gained = 0.0 if batch is None else batch.gain @ batch.normals[index]
            tile[1:] = rate * (tile[1:] + gained)
        noise.end()
    noise.flush()
    end = cloud.particles().u.T
    variances = [0.0]
    for _ in batches:
        variances.append(rate**2 * variances[-1] + scale**2)
    # Everything is jointly Gaussian, so covariances say it all. The products of two Gaussians of
    # variances v and w have standard deviation at most sqrt(2 v w).
    views = [*zip(batches, seen, strict=True), (torch.eye(d, dtype=torch.float64), end)]
    for i, (x, one) in enumerate(views):
        for j, (other_x, other) in enumerate(views[: i + 1]):
            expected = rate ** (i - j) * variances[j] * x @ other_x.T
            spread = torch.outer(
                (x.square().sum(1) * variances[i]).sqrt(),
                (other_x.square().sum(1) * variances[j]).sqrt(),
            )
            error = ERRORS * math.sqrt(2 / n) * spread + 1e-9
            assert bool(((one @ other.T / n - expected).abs() <= error).all()), (i, j)


def both_noises(monkeypatch, run):
    """The same run with noise that waits and with noise that does not."""
    assert DelayedNoise.is_faster(100, 16, 2)
    delayed = run()
    monkeypatch.setattr(DelayedNoise, "is_faster", staticmethod(lambda *_: False))
    return delayed, run()


@statistical(alarm=1e-3, defect=WAITING_NOISE_OFF)
def test_delayed_noise_gives_the_law_of_the_dynamics(monkeypatch):
    # Batches of 2 of 2 samples: the same ones in every step, whatever else has been drawn.
    problem = small_problem(n=2, d=16, p=3, q=2, beta=30.0, lambda_rho=0.1, gamma=4.0)
    n = 100_000
    start = sample_normal(problem, n, generator=seeded())

    def run():
        return run_langevin(
            problem, start, n_steps=15, step_size=0.5, batch_size=2, generator=seeded(4), every=15
        ).particles

    pair = both_noises(monkeypatch, run)
    one, other = (torch.cat((p.a, p.u), 1) for p in pair)
    still = torch.cat((start.a, start.u), 1)
    spread = one.std(0)
    # The data have moved the neurons far more than the noise of this comparison.
    limit = ERRORS * spread * math.sqrt(2 / n)
    assert bool(((one.std(0) - still.std(0)).abs() > 3 * limit).any())
    assert bool(((one.mean(0) - other.mean(0)).abs() < limit).all())
    # Products of two coordinates have at most sqrt(3) times the spread of independent ones.
    gap = (torch.cov(one.T) - torch.cov(other.T)).abs()
    error = ERRORS * math.sqrt(3 * 2 / n) * torch.outer(spread, spread)
    assert bool((gap < error).all())


def test_delayed_noise_at_temperature_zero_is_descent(monkeypatch):
    problem = wide_problem(beta=math.inf, activation="tanh")
    start = sample_normal(problem, 700, generator=seeded())

    def run():
        return run_langevin(
            problem, start, n_steps=9, step_size=0.5, batch_size=2, generator=seeded(4)
        ).particles

    delayed, plain = both_noises(monkeypatch, run)
    torch.testing.assert_close(delayed.a, plain.a, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(delayed.u, plain.u, atol=1e-12, rtol=1e-10)


@statistical(alarm=1e-3, defect=NOISE_OFF)
def test_delayed_noise_is_drawn_after_the_temperature_has_gone():
    # Nothing is trained (W = 0). One hot step, then cold ones: the noise of the first decays.
    base = wide_problem()
    problem = dataclasses.replace(base, w=torch.zeros_like(base.w))
    start = Particles(*(torch.zeros(20_000, k, dtype=torch.float64) for k in (3, 16)))
    cloud = run_langevin(
        problem,
        start,
        n_steps=8,
        step_size=0.5,
        batch_size=1,
        temperature=lambda step: 0.5 * (step == 0),
        generator=seeded(2),
        every=8,
    ).particles
    variance = 0.5 * 0.95**14
    for values in (cloud.a, cloud.u):
        error = ERRORS * math.sqrt(2 / values.numel())
        assert float(values.var()) == pytest.approx(variance, rel=error)
    # Directions that were seen and those that were not are independent all the same.
    noise = torch.corrcoef(cloud.u.T) - torch.eye(16, dtype=torch.float64)
    assert float(noise.abs().max()) < ERRORS / math.sqrt(20_000)


@statistical(alarm=1e-3, defect=NOISE_OFF)
@pytest.mark.parametrize("n", [2, 16, 200])
def test_delayed_noise_of_a_batch_that_is_seen_again_and_again_in_the_cold(n):
    base = small_problem(n=n, d=16, p=3, q=2, beta=30.0, lambda_rho=0.1)
    problem = dataclasses.replace(base, w=torch.zeros_like(base.w))
    start = Particles(*(torch.zeros(20_000, k, dtype=torch.float64) for k in (3, 16)))
    u = run_langevin(
        problem,
        start,
        n_steps=40,
        step_size=0.5,
        batch_size=2,
        temperature=lambda step: 0.5 * (step < 3),
        generator=seeded(3),
        every=40,
    ).particles.u
    variance = 0.0
    for k in range(40):
        variance = 0.95**2 * variance + 0.5 * (k < 3)
    gap = u.T @ u / 20_000 / variance - torch.eye(16, dtype=torch.float64)
    assert float(gap.abs().max()) < ERRORS * math.sqrt(2 / 20_000)


def test_delayed_noise_may_decay_to_nothing():
    problem = small_problem(n=40, d=16, p=3, q=2, beta=30.0, lambda_rho=0.5, gamma=0.3)
    start = sample_normal(problem, 100, generator=seeded())
    result = run_langevin(
        problem,
        start,
        n_steps=2500,
        step_size=1.0,
        batch_size=2,
        temperature=lambda step: 0.1 * (step < 1),
        generator=seeded(),
        every=2500,
    )
    assert result.status is LangevinStatus.COMPLETED


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
