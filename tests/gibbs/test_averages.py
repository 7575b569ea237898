import dataclasses
import math

import pytest
import torch
from support.defects import Defect, sample_off, statistical
from support.problems import small_problem
from support.seeds import seeded

from gibbs import (
    LangevinState,
    Particles,
    Problem,
    features,
    kernel,
    run_langevin,
    sample_prior,
    solve_gibbs,
)
from gibbs.averages import TimeAverage, conditional_features, coupled_features


def solved(**settings):
    """A problem with rank(X) = 1 and its minimizer by quadrature."""
    problem = small_problem(d=1, instance=0, **settings)
    return problem, solve_gibbs(problem, generator=seeded(), method="quadrature").measure


def quantiles(measure, n):
    """n neurons whose u's are the midpoints of n equal masses: sums over them are quadrature."""
    points, order = measure.points[:, 0].sort()
    mass = measure.weights[order].cumsum(0) - measure.weights[order] / 2
    wanted = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    right = torch.searchsorted(mass, wanted).clamp(1, len(mass) - 1)
    share = (wanted - mass[right - 1]) / (mass[right] - mass[right - 1])
    u = points[right - 1] + share * (points[right] - points[right - 1])
    return Particles(torch.zeros(n, measure.problem.n_features).double(), u[:, None])


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("truncation", [None, 0.8])
def test_with_the_exact_kernel_they_are_the_minimizer(activation, truncation):
    problem, measure = solved(activation=activation, truncation=truncation)
    cloud = quantiles(measure, 20_000)
    new = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    for x in (None, new):
        exact = measure.features(problem.x if x is None else x)
        found = conditional_features(problem, cloud, x)
        # Midpoints of 20,000 masses and a grid of steps 1/50 of a deviation: about 1e-6.
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-5 * float(exact.abs().max()))
        assert float(exact.abs().max()) > 0.1


def test_they_solve_the_ridge_problem_of_the_kernel():
    problem = small_problem(n=7, d=4, p=4, q=3)
    problem = dataclasses.replace(problem, w=2 * problem.w + 0.3)  # W^T W is not I
    cloud = sample_prior(problem, 30, generator=seeded())
    k = kernel(problem.x, cloud.u, problem.sigma)
    scale = problem.gamma / problem.decay
    matrix = 7 * torch.eye(21, dtype=torch.float64) + problem.gamma * scale * torch.kron(
        k, problem.w.T @ problem.w
    )
    dual = -torch.linalg.solve(matrix, problem.y.flatten()).reshape(7, 3)
    torch.testing.assert_close(
        conditional_features(problem, cloud), -scale * k @ dual @ problem.w.T
    )
    # At any other points: a network whose a's are their means given the u's.
    means = -scale * problem.sigma(cloud.u @ problem.x.T) @ dual @ problem.w.T
    new = torch.randn(5, 4, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(
        conditional_features(problem, cloud, new),
        features(new, Particles(means, cloud.u), problem.sigma),
    )


@pytest.mark.parametrize("truncation", [None, 0.8])
def test_a_weight_of_two_is_a_sample_twice(truncation):
    base = small_problem(n=5, truncation=truncation)
    weight = torch.tensor([1.0, 2.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    weighted = dataclasses.replace(base, sample_weight=weight)
    rows = torch.tensor([0, 1, 1, 2, 4])
    repeated = dataclasses.replace(base, x=base.x[rows], y=base.y[rows])
    cloud = sample_prior(base, 40, generator=seeded())
    torch.testing.assert_close(
        conditional_features(weighted, cloud, base.x),
        conditional_features(repeated, cloud, base.x),
        rtol=1e-6,
        atol=1e-8,
    )


def test_single_precision_agrees_with_double():
    problem = small_problem(n=40, d=5, gamma=5.0, beta=1e3, lambda_rho=1e-3)
    cloud = sample_prior(problem, 1000, generator=seeded())
    x, y, w = (t.float() for t in (problem.x, problem.y, problem.w))
    single = dataclasses.replace(problem, x=x, y=y, w=w)
    found = conditional_features(single, cloud.to(torch.float32))
    exact = conditional_features(problem, cloud)
    assert found.dtype == torch.float32
    assert float((found - exact).norm() / exact.norm()) < 1e-4


def _bias_stays(monkeypatch):
    sound = conditional_features
    monkeypatch.setitem(globals(), "conditional_features", lambda *args: 1.01 * sound(*args))


BIAS_STAYS = Defect("features have 1 % of bias at any N", _bias_stays)


@statistical(alarm=1e-3, defect=BIAS_STAYS)
def test_bias_falls_as_one_over_n():
    problem, measure = solved(gamma=3.0)
    exact = measure.features(problem.x)
    u = measure.points[measure.weights.multinomial(160_000, True, generator=seeded())]
    a = torch.zeros(len(u), problem.n_features, dtype=torch.float64)
    biases = []
    for n in (20, 80):
        clouds = zip(a.split(n), u.split(n), strict=True)
        total = sum(conditional_features(problem, Particles(*c)) for c in clouds)
        biases.append((total * n / len(u) - exact).norm() / exact.norm())
    # About 1.6 % and 0.4 %, with noise of 0.05 % each: a ratio outside has odds below 1e-3.
    assert biases[0] > 0.005
    assert 3 < biases[0] / biases[1] < 5.5


@statistical(alarm=1e-4, defect=sample_off(1.1))
def test_variance_falls_by_what_is_integrated_out():
    problem, measure = solved(p=6, q=2, beta=20.0)
    n, repeats = 100, 600
    draws = measure.sample(n * repeats, generator=seeded())
    exact = measure.features(problem.x)
    squares = {"raw": 0.0, "coupled": 0.0, "conditional": 0.0}
    noise = 0.0
    for a, u in zip(draws.a.split(n), draws.u.split(n), strict=True):
        cloud = Particles(a, u)
        raw = features(problem.x, cloud, problem.sigma)
        found = {
            "raw": raw,
            "coupled": coupled_features(raw, problem.w),
            "conditional": conditional_features(problem, cloud),
        }
        for name, h in found.items():
            squares[name] += float((h - exact).square().sum()) / repeats
        noise += float((raw - found["coupled"]).square().sum()) / repeats
    values = problem.sigma(measure.points @ (problem.x @ measure.basis).T)
    trace = float(measure.weights @ values.square().sum(1))
    # p - q coordinates of variance 1/(beta lambda), of the kernel's trace in all, over N:
    # within 15 % is more than 5 standard errors of 600 clouds of 4 coordinates.
    expected = 4 * trace / (problem.beta * problem.decay * n)
    assert noise == pytest.approx(expected, rel=0.15)
    assert squares["raw"] - squares["coupled"] == pytest.approx(noise, rel=0.05)
    assert squares["conditional"] < squares["coupled"] / 5


def test_coupled_features_keep_the_outputs_and_nothing_else():
    problem = small_problem(p=5, q=2)
    h = torch.randn(6, 5, generator=seeded(), dtype=torch.float64)
    found = coupled_features(h, problem.w)
    torch.testing.assert_close(found @ problem.w, h @ problem.w)
    torch.testing.assert_close(coupled_features(found, problem.w), found)
    off = torch.linalg.qr(problem.w, mode="complete").Q[:, 2:]
    torch.testing.assert_close(found @ off, torch.zeros(6, 3, dtype=torch.float64))


def test_rank_deficient_layer_has_a_projection():
    w = torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    h = torch.tensor([[3.0, 4.0, 5.0]])
    torch.testing.assert_close(coupled_features(h, w), torch.tensor([[3.0, 0.0, 0.0]]))


def state_of(problem: Problem, step: int, h: torch.Tensor) -> LangevinState:
    cloud = Particles(torch.zeros(1, 3).double(), torch.zeros(1, 2).double())
    return LangevinState(step, 10**6, problem, cloud, h, h @ problem.w, 0.1)


def autoregression(n_records: int, memory: float) -> torch.Tensor:
    """Stationary records (n_records, 6, 3) of mean 1, variance 1, correlation memory^k."""
    noise = torch.randn(n_records, 6, 3, generator=seeded(), dtype=torch.float64)
    records = [noise[0]]
    for xi in noise[1:]:
        records.append(memory * records[-1] + math.sqrt(1 - memory**2) * xi)
    return torch.stack(records) + 1


@pytest.mark.parametrize("n_records", [16, 31, 32, 100, 1000])
def test_average_and_error_are_those_of_the_batches(n_records):
    problem, records = small_problem(), autoregression(1002, 0.5)
    average = TimeAverage(start=20, kind="raw")
    for k in range(n_records + 2):
        said = average(state_of(problem, 10 * k, records[k]))
        assert math.isnan(said) == (k < 17)
    kept = records[2 : n_records + 2]
    torch.testing.assert_close(average.mean, kept.mean(0))
    size = 2 ** int(math.log2(n_records // 16))
    n_batches = n_records // size
    batches = kept[: n_batches * size].reshape(n_batches, size, 6, 3).mean(1)
    torch.testing.assert_close(average.stderr, batches.std(0) / math.sqrt(n_batches))
    assert said == pytest.approx(float(average.stderr.norm() / average.mean.norm()))


def _errors_off(monkeypatch):
    sound = TimeAverage.stderr.fget
    monkeypatch.setattr(TimeAverage, "stderr", property(lambda self: 1.4 * sound(self)))


ERRORS_OFF = Defect("standard errors are 40 % too large", _errors_off)


@statistical(alarm=1e-4, defect=ERRORS_OFF)
def test_error_covers_what_correlated_records_do():
    memory, n_records = 0.8, 4000
    average = TimeAverage(start=0, kind="raw")
    problem = small_problem()
    for k, record in enumerate(autoregression(n_records, memory)):
        average(state_of(problem, k, record))
    variance = (1 + memory) / (1 - memory) / n_records
    # 18 entries with 15 batches of freedom each: the standard error of the ratio is 9 %.
    assert float(average.stderr.square().mean()) == pytest.approx(variance, rel=0.4)
    deviations = (average.mean - 1) / average.stderr
    assert float(deviations.square().mean()) < 3


@pytest.mark.parametrize("kind", ["raw", "coupled", "conditional"])
def test_average_over_a_run_is_that_of_its_records(kind):
    problem = small_problem()
    start = sample_prior(problem, 50, generator=seeded())
    average, records = TimeAverage(start=40, kind=kind), []

    def collect(state):
        h = features(problem.x, state.particles, problem.sigma)
        records.append(
            {
                "raw": h,
                "coupled": coupled_features(h, problem.w),
                "conditional": conditional_features(problem, state.particles),
            }[kind]
        )
        return 0.0

    observers = {"collect": collect, "noise": average}
    result = run_langevin(
        problem, start, n_steps=300, step_size=0.2, generator=seeded(), observers=observers
    )
    torch.testing.assert_close(average.mean, torch.stack(records[4:]).mean(0))
    assert result.history["noise"].isnan().tolist() == [True] * 19 + [False] * 12


def test_a_stopped_run_goes_on_bitwise():
    problem = small_problem(dtype=torch.float32)
    start = sample_prior(problem, 50, generator=seeded())
    kept = {}

    def run(average, **options):
        return run_langevin(
            problem,
            start,
            n_steps=400,
            step_size=0.2,
            generator=seeded(),
            observers={"noise": average},
            **options,
        )

    def keep(step, snapshot):
        if step == 230:
            taken = snapshot()
            tensors = {name: value.clone() for name, value in taken.tensors.items()}
            kept["snapshot"] = dataclasses.replace(taken, tensors=tensors)

    whole, resumed = TimeAverage(start=20), TimeAverage(start=20)
    run(whole, on_record=keep)
    result = run(resumed, resume=kept["snapshot"])
    assert resumed.n_records == whole.n_records == 39
    assert torch.equal(resumed.mean, whole.mean)
    assert torch.equal(resumed.stderr, whole.stderr)
    assert len(result.history["noise"]) == 41


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="start must be >= 0, got -1"):
        TimeAverage(start=-1)
    with pytest.raises(ValueError, match="kind must be one of raw, coupled, conditional, got 'x'"):
        TimeAverage(start=0, kind="x")
    with pytest.raises(ValueError, match="must have a record from step 5 on, got none"):
        _ = TimeAverage(start=5).mean
    problem = small_problem(truncation=1.0)
    with pytest.raises(ValueError, match="with a truncation, where all features couple"):
        TimeAverage(start=0)(state_of(problem, 0, torch.ones(6, 3).double()))
    cold = small_problem(beta=math.inf)
    cloud = Particles(torch.ones(4, 3).double(), torch.ones(4, 2).double())
    with pytest.raises(ValueError, match="problem must have a finite beta"):
        conditional_features(cold, cloud)
    narrow = Particles(cloud.a, cloud.u[:, :1])
    with pytest.raises(ValueError, match="u of width d = 2, got 1"):
        conditional_features(small_problem(), narrow)
