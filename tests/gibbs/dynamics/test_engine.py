import dataclasses
import math

import pytest
import torch
from support.defects import NOISE_SHARED, NORMALS_OFF, statistical
from support.problems import small_problem
from support.seeds import seeded

import gibbs.dynamics.engine
from gibbs import (
    Annealed,
    Cosine,
    Particles,
    Piecewise,
    data_loss,
    features,
    first_variation_gradient,
    outputs,
    run_langevin,
    sample_normal,
)
from gibbs.dynamics.backends import make_backend
from gibbs.dynamics.coupling import Uncoupled, couple
from gibbs.dynamics.noise import Kick

# 4.9 standard errors: a false alarm of 1e-6 in a check of a Gaussian mean.
ERRORS = 4.9


def free_problem(**settings):
    """W = 0: no force on any coordinate, so that a step shows its noise."""
    base = small_problem(**settings)
    return dataclasses.replace(base, w=torch.zeros_like(base.w))


def steps_of_noise(n_steps, n_neurons, dtype=torch.float32):
    """Noise (n_steps, coordinates, neurons) of an engine, scaled to unit variance."""
    problem = free_problem(beta=2.0, lambda_rho=0.1, dtype=dtype, p=2, q=2, d=3)
    start = sample_normal(problem, n_neurons, generator=seeded())
    made = make_backend("auto", problem, start, seeded(3))
    cloud, engine = made.cloud, made.engine(problem, problem.n_samples)
    eta, noise = 0.5, []
    for _ in range(n_steps):
        before = torch.cat(cloud.tiles, 1).clone()
        engine.begin(Kick(0.0, math.sqrt(2 * eta * problem.temperature)))
        engine.forward(problem.x, problem.y)
        engine.descend(eta)
        moved = torch.cat(cloud.tiles, 1) - (1 - eta * problem.decay) * before
        noise.append(moved.double() / math.sqrt(2 * eta * problem.temperature))
    return torch.stack(noise)


@statistical(alarm=1e-5, defect=NORMALS_OFF)
def test_noise_is_standard_normal():
    noise = steps_of_noise(20, 5000).flatten()
    n = len(noise)
    # Standard errors of the moments of n normals: mean 1, variance 2, skewness 6 (15 - 9 of the
    # central third moment), kurtosis 24, each over n.
    centred = noise - noise.mean()
    assert abs(float(noise.mean())) < ERRORS * math.sqrt(1 / n)
    assert abs(float(noise.var() - 1)) < ERRORS * math.sqrt(2 / n)
    assert abs(float((centred**3).mean())) < ERRORS * math.sqrt(6 / n)
    kurtosis = float((centred**4).mean() / noise.var() ** 2 - 3)
    assert abs(kurtosis) < ERRORS * math.sqrt(24 / n)
    # Kolmogorov-Smirnov: P(sqrt(n) D > 2.7) = 2 exp(-2 2.7^2) = 9e-7.
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    exact = torch.special.ndtr(noise.sort().values)
    assert float((exact - steps).abs().max()) * math.sqrt(n) < 2.7


@statistical(alarm=1e-4, defect=NOISE_SHARED)
def test_noise_is_fresh_for_each_step_neuron_tile_and_coordinate():
    noise = steps_of_noise(20, 5000)
    pairs = {
        "next step": (noise[1:], noise[:-1]),
        "next neuron": (noise[:, :, 1:], noise[:, :, :-1]),
        "next tile": (noise[:, :, 512:], noise[:, :, :-512]),
        "next panel": (noise[:, :, 64:], noise[:, :, :-64]),
        "the other number of a pair": (noise[:, :, 16:], noise[:, :, :-16]),
        "next coordinate": (noise[:, 1:], noise[:, :-1]),
        "half a tile's coordinates": (noise[:, 3:, 256:], noise[:, :-3, :-256]),
    }
    for name, (one, other) in pairs.items():
        # A mean of n products of independent normals has variance 1/n; 1e-6 false alarms each.
        assert abs(float((one * other).mean())) < ERRORS / math.sqrt(one.numel()), name
        squares = (one**2 - 1) * (other**2 - 1) / 2
        assert abs(float(squares.mean())) < ERRORS / math.sqrt(one.numel()), name
    assert len(noise.flatten().unique()) > 0.99 * noise.numel()


@statistical(alarm=1e-4, defect=NORMALS_OFF)
def test_uncoupled_coordinates_follow_the_chain_of_steps():
    etas, decay, temperature = (0.5, 1.5, 0.1, 2.5, 0.5), 0.4, 0.05
    start = torch.linspace(-2, 2, 5, dtype=torch.float64).repeat(40_000, 1)
    rest = Uncoupled(start.clone(), seeded(2))
    mean, variance = start[0].clone(), 0.0
    for k, eta in enumerate(etas):
        rest.begin(Kick(0.0, math.sqrt(2 * eta * temperature)), 1 - eta * decay)
        rest.end()
        mean = (1 - eta * decay) * mean
        variance = (1 - eta * decay) ** 2 * variance + 2 * eta * temperature
        if k == 1:  # a look in between, whose draw the later ones must go on from
            middle = rest.current().clone()
            mean_then = mean
    end = rest.current()
    n = len(start)
    assert (end.mean(0) - mean).abs().max() < ERRORS * math.sqrt(variance / n)
    assert (end.var(0) / variance - 1).abs().max() < ERRORS * math.sqrt(2 / n)
    rate = math.prod(1 - eta * decay for eta in etas[2:])
    covariance = ((end - mean) * (middle - mean_then)).mean(0)
    then = float((middle - mean_then).var(0).mean())
    error = ERRORS * math.sqrt((variance * then + (rate * then) ** 2) / n)
    assert (covariance - rate * then).abs().max() < error


@pytest.mark.parametrize("every", [1, 7, 100])
def test_all_coordinates_have_the_law_of_the_chain_at_any_stride(every):
    # The part of a that W does not see: mean r^k a_0, variance the geometric sum.
    problem = small_problem(p=5, q=2, beta=20.0, lambda_rho=0.3)
    start = Particles(torch.ones(20_000, 5).double(), torch.zeros(20_000, 2).double())
    eta, n_steps = 0.7, 12
    seen = []

    def look(state):
        seen.append(state.particles.a.clone())
        return 0.0

    result = run_langevin(
        problem,
        start,
        n_steps=n_steps,
        step_size=eta,
        generator=seeded(4),
        observers={"look": look},
        every=every,
    )
    assert torch.equal(seen[-1], result.particles.a)
    blind = torch.linalg.qr(problem.w, mode="complete")[0][:, 2:]
    rest = result.particles.a @ blind
    rate = 1 - eta * problem.decay
    variance = 2 * eta * problem.temperature * (1 - rate ** (2 * n_steps)) / (1 - rate**2)
    mean = rate**n_steps * (start.a[:1] @ blind)
    assert (rest.mean(0) - mean).abs().max() < ERRORS * math.sqrt(variance / 20_000)
    assert (rest.var(0) / variance - 1).abs().max() < ERRORS * math.sqrt(2 / 20_000)
    # Independent of the coordinates that couple.
    b = result.particles.a @ problem.w
    both = torch.corrcoef(torch.cat((rest, b), 1).T)[:3, 3:]
    assert both.abs().max() < ERRORS / math.sqrt(20_000)


def test_stride_does_not_change_what_couples():
    problem = small_problem(p=5, q=2)
    start = sample_normal(problem, 600, generator=seeded())

    def run(every):
        return run_langevin(
            problem, start, n_steps=20, step_size=0.3, generator=seeded(1), every=every
        ).particles

    one, other = run(1), run(9)
    assert torch.equal(one.u, other.u)
    torch.testing.assert_close(one.a @ problem.w, other.a @ problem.w)
    assert not torch.allclose(one.a, other.a)


@pytest.mark.parametrize("radius", [None, 0.8])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "erf", "softplus", "relu"])
def test_zero_temperature_is_descent_by_autograd(activation, radius):
    settings = {"beta": math.inf, "activation": activation, "truncation": radius}
    problem = small_problem(n=9, d=4, p=5, q=3, **settings)
    start = sample_normal(problem, 70, generator=seeded())
    moved = run_langevin(
        problem, start, n_steps=6, step_size=0.3, generator=seeded(), every=4
    ).particles
    a, u = start.a.clone(), start.u.clone()
    for _ in range(6):
        a.requires_grad_()
        u.requires_grad_()
        truncated = a if radius is None else gibbs.truncate(a, radius)
        value = {"softplus": torch.nn.functional.softplus}.get(activation)
        value = value or getattr(torch, activation)
        h = value(problem.x @ u.T) @ truncated / len(a)
        loss = data_loss(outputs(h, problem.w, problem.gamma), problem.y) * len(a)
        loss = loss + problem.decay / 2 * (a.square().sum() + u.square().sum())
        grad_a, grad_u = torch.autograd.grad(loss, (a, u))
        a, u = (a - 0.3 * grad_a).detach(), (u - 0.3 * grad_u).detach()
    torch.testing.assert_close(moved.a, a, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(moved.u, u, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("radius", [None, 0.8])
@pytest.mark.parametrize(
    "sizes",
    [
        {"CACHE": 2**10},
        {"MAX_ROWS": 7},
        {"CACHE": 2**12, "MAX_ROWS": 5, "BUDGET": 0},
        {"BUDGET": 0},
        {"BUDGET": 0, "WIDE": 1, "WIDE_BUDGET": 2**40},
    ],
)
def test_work_arrays_change_nothing_but_rounding(backend, sizes, radius, monkeypatch):
    if backend == "fused":
        pytest.skip("these are sizes of torch's work arrays")
    problem = small_problem(n=40, d=3, p=5, q=2, truncation=radius)
    start = sample_normal(problem, 1100, generator=seeded())

    def run(batch_size):
        return run_langevin(
            problem,
            start,
            n_steps=7,
            step_size=0.3,
            batch_size=batch_size,
            generator=seeded(1),
            every=3,
        )

    usual = [run(None), run(16)]
    for name, value in sizes.items():
        monkeypatch.setattr(gibbs.dynamics.engine, name, value)
    for before, after in zip(usual, [run(None), run(16)], strict=True):
        torch.testing.assert_close(after.particles.a, before.particles.a, atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(after.particles.u, before.particles.u, atol=1e-12, rtol=1e-10)
        for name, values in before.history.items():
            torch.testing.assert_close(after.history[name], values, atol=1e-12, rtol=1e-10)


def test_threads_do_not_change_the_noise():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = steps_of_noise(2, 1500)
        torch.set_num_threads(2)
        two = steps_of_noise(2, 1500)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "erf", "softplus", "relu"])
@pytest.mark.parametrize("radius", [None, 0.8])
def test_single_precision_step_agrees_with_double(activation, radius):
    settings = {"beta": math.inf, "activation": activation, "truncation": radius}
    exact = small_problem(n=30, d=4, p=5, q=3, **settings)
    rough = small_problem(n=30, d=4, p=5, q=3, dtype=torch.float32, **settings)
    start = sample_normal(exact, 600, generator=seeded())
    runs = [
        run_langevin(problem, start.to(problem.dtype), n_steps=5, step_size=0.3, generator=seeded())
        for problem in (exact, rough)
    ]
    for name in ("a", "u"):
        one, other = (getattr(run.particles, name).double() for run in runs)
        torch.testing.assert_close(other, one, atol=2e-6, rtol=2e-6)


def test_gradients_and_features_are_those_of_the_whole_cloud():
    problem = small_problem(p=5, q=2, n=20)
    cloud = sample_normal(problem, 600, generator=seeded())
    seen = {}

    def look(state):
        seen["features"], seen["outputs"] = state.features, state.outputs
        return 0.0

    result = run_langevin(problem, cloud, n_steps=0, generator=seeded(), observers={"look": look})
    h = features(problem.x, cloud, problem.sigma)
    torch.testing.assert_close(seen["features"], h)
    torch.testing.assert_close(seen["outputs"], outputs(h, problem.w, problem.gamma))
    gradient = first_variation_gradient(problem, cloud)
    norm = float((gradient.a.square().sum() + gradient.u.square().sum()).div(600).sqrt())
    assert float(result.history["gradient_norm"][0]) == pytest.approx(norm, rel=1e-10)
    assert torch.equal(result.particles.a, cloud.a)


def test_coupling_is_an_isometry_that_keeps_the_outputs():
    problem = small_problem(p=6, q=2)
    coupling = couple(problem)
    a = torch.randn(50, 6, generator=seeded()).double()
    b, c = coupling.split(a)
    assert (b.shape[1], c.shape[1]) == (2, 4)
    torch.testing.assert_close(coupling.join(b, c), a)
    torch.testing.assert_close(b @ coupling.problem.w, a @ problem.w)
    torch.testing.assert_close(b.square().sum() + c.square().sum(), a.square().sum())


@pytest.mark.parametrize("change", [{"truncation": 1.0}, {"p": 2}])
def test_all_coordinates_couple_with_truncation_or_as_many_classes(change):
    problem = small_problem(**change)
    assert couple(problem).problem is problem


SCHEDULES = [
    (Piecewise((1.0, 0.1, 0.5), (3, 5)), [1.0, 1.0, 1.0, 0.1, 0.1, 0.5, 0.5]),
    (Cosine(1.0, 0.2, 4), [0.6 + 0.4 * math.cos(math.pi * k / 4) for k in range(5)] + [0.2]),
    (Annealed(2.0, 5.0, 0.5), [2 / math.sqrt(1 + k / 5) for k in range(6)]),
]


@pytest.mark.parametrize(("schedule", "values"), SCHEDULES)
def test_schedules_give_their_formula_and_reach_the_run(schedule, values):
    assert [schedule(k) for k in range(len(values))] == pytest.approx(values)
    problem = small_problem()
    start = sample_normal(problem, 5, generator=seeded())
    result = run_langevin(
        problem,
        start,
        n_steps=len(values) - 1,
        step_size=schedule,
        generator=seeded(),
        every=1,
    )
    assert result.history["step_size"].tolist()[:-1] == pytest.approx(values[:-1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Piecewise((1.0,), (3,)), "sizes must be one more than starts"),
        (lambda: Piecewise((1.0, 0.0), (3,)), "sizes must be > 0"),
        (lambda: Piecewise((1.0, 2.0, 3.0), (5, 5)), "starts must increase"),
        (lambda: Cosine(1.0, 0.0, 3), "last must be > 0"),
        (lambda: Cosine(1.0, 0.1, 0), "n_steps must be >= 1"),
        (lambda: Annealed(1.0, math.inf), "scale must be > 0 and finite"),
        (lambda: Annealed(1.0, 1.0, -1.0), "power must be finite and >= 0"),
    ],
)
def test_bad_schedules_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
