"""A sample weight of k is the sample k times, of 0 no sample: energies, dual, solver."""

import math
from dataclasses import replace

import pytest
import torch
from support.defects import dual_off, statistical
from support.problems import small_problem
from support.quadrature import gibbs_minimizer
from support.seeds import seeded

from gibbs import (
    Particles,
    certify,
    data_loss,
    features,
    first_variation,
    first_variation_gradient,
    regularized_loss,
    run_langevin,
    sample_normal,
    solve_gibbs,
)
from gibbs.model.energy import feature_gradient
from gibbs.solver.dual import (
    Tilted,
    dual_value,
    gap_at,
    gap_of,
    newton_direction,
    outputs_of,
    refit,
)
from gibbs.solver.phases import choose_masses

COUNTS = torch.tensor([1, 3, 0, 2, 1, 5])


def weighted_and_repeated(**settings):
    """The problem with weights, and without them but with each sample so many times."""
    problem = small_problem(n=6, instance=0, **settings)
    x, y = (t.repeat_interleave(COUNTS, dim=0) for t in (problem.x, problem.y))
    weight = 0.7 * COUNTS.to(problem.dtype)
    return replace(problem, sample_weight=weight), replace(problem, x=x, y=y)


def summed(repeated_rows):
    """Rows of the repeated samples, added up by sample."""
    owner = torch.arange(len(COUNTS)).repeat_interleave(COUNTS)
    total = repeated_rows.new_zeros(len(COUNTS), repeated_rows.shape[1])
    return total.index_add(0, owner, repeated_rows)


def test_weights_are_resolved_to_mean_one():
    problem = small_problem(n=4)
    weight = torch.tensor([1.0, 0.0, 2.0, 5.0], dtype=torch.float64)
    found = replace(problem, sample_weight=weight).sample_weight
    torch.testing.assert_close(found, weight / 2)
    for scale in (1e-300, 3.0, 1e300):
        again = replace(problem, sample_weight=scale * weight).sample_weight
        torch.testing.assert_close(again, found, rtol=1e-14, atol=0)
    assert replace(problem, sample_weight=torch.full((4,), 7.0).double()).sample_weight is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["integers", "reals"])
def test_weights_are_resolved_once(dtype, kind):
    problem = small_problem(n=1000, dtype=dtype)
    if kind == "integers":
        weight = torch.randint(0, 7, (1000,), generator=seeded())
    else:
        weight = torch.rand(1000, generator=seeded()) ** 9
    found = replace(problem, sample_weight=weight.to(dtype))
    assert torch.equal(replace(found, gamma=3.0).sample_weight, found.sample_weight)
    order = torch.randperm(1000, generator=seeded(1))
    other = replace(problem, sample_weight=weight[order].to(dtype)).sample_weight
    if kind == "integers":  # their sum does not round
        assert torch.equal(other, found.sample_weight[order])


BAD = [
    ([1.0, 2.0], TypeError, "sample_weight must be a torch.Tensor, got list"),
    (torch.ones(3), ValueError, r"one number per row of x, \(4,\), got shape \(3,\)"),
    (torch.ones(4, 1), ValueError, r"one number per row of x, \(4,\), got shape \(4, 1\)"),
    (torch.ones(4), TypeError, "sample_weight must have the dtype of x, torch.float64"),
    (torch.tensor([1, 2, 3, 4]), TypeError, "sample_weight must be float32 or float64"),
    (torch.tensor([1.0, math.nan, 1, 1]).double(), ValueError, "finite, got nan in row 1"),
    (torch.tensor([1.0, 1, -2, 1]).double(), ValueError, "must be >= 0, got -2.0 in row 2"),
    (torch.zeros(4).double(), ValueError, "sample_weight must not be 0 in every row"),
]


@pytest.mark.parametrize(("weight", "error", "message"), BAD)
def test_bad_weights_are_named(weight, error, message):
    with pytest.raises(error, match=message):
        replace(small_problem(n=4), sample_weight=weight)


@pytest.mark.parametrize("truncation", [None, 0.8])
def test_energies(truncation):
    problem, repeated = weighted_and_repeated(activation="tanh", truncation=truncation)
    particles = sample_normal(problem, 40, generator=seeded())
    h = features(problem.x, particles, problem.sigma, truncation)
    z = problem.gamma * h @ problem.w
    z_repeated = z.repeat_interleave(COUNTS, dim=0)
    loss = data_loss(z, problem.y, problem.sample_weight)
    torch.testing.assert_close(loss, data_loss(z_repeated, repeated.y))
    torch.testing.assert_close(
        regularized_loss(problem, particles), regularized_loss(repeated, particles)
    )
    feature_gradients = feature_gradient(
        z - problem.y, problem.w, problem.gamma, problem.sample_weight
    )
    all_feature_gradients = feature_gradient(z_repeated - repeated.y, problem.w, problem.gamma)
    torch.testing.assert_close(feature_gradients, summed(all_feature_gradients))
    torch.testing.assert_close(
        first_variation(problem, particles, z - problem.y),
        first_variation(repeated, particles, z_repeated - repeated.y),
    )
    this, that = (first_variation_gradient(p, particles) for p in (problem, repeated))
    torch.testing.assert_close(this.a, that.a)
    torch.testing.assert_close(this.u, that.u)


def test_gradient_is_that_of_the_weighted_loss():
    problem, _ = weighted_and_repeated(activation="tanh", truncation=0.8)
    cloud = sample_normal(problem, 15, generator=seeded())
    a, u = (t.clone().requires_grad_() for t in (cloud.a, cloud.u))
    h = torch.tanh(problem.x @ u.T) @ truncated(a, 0.8) / len(a)
    squares = (problem.gamma * h @ problem.w - problem.y).square().sum(1)
    loss = (problem.sample_weight * squares).mean() / 2
    loss = loss + problem.decay / 2 * (a.square().sum() + u.square().sum()) / len(a)
    loss.backward()
    found = first_variation_gradient(problem, cloud)
    torch.testing.assert_close(found.a, len(a) * a.grad)
    torch.testing.assert_close(found.u, len(a) * u.grad)


def truncated(a, radius):
    t = ((a.abs() - radius) / radius).clamp(0, 1)
    return torch.sign(a) * (a.abs().clamp(max=radius) + radius * (t - t**3 + t**4 / 2))


def on_points(problem, dual, u):
    """Points of equal prior mass, tilted by `dual`."""
    values = problem.sigma(u @ problem.x.T)
    base = torch.full((len(u),), -math.log(len(u)), dtype=torch.float64)
    return Tilted(problem, dual, values, base, 0.0, base).at(dual)


@pytest.fixture(params=[None, 0.5], ids="R={}".format)
def pair(request):
    """Weighted points of both problems at one G: each copy of a sample has an equal share of it."""
    problem, repeated = weighted_and_repeated(
        d=3, activation="tanh", gamma=1.3, truncation=request.param
    )
    u = torch.randn(400, 3, dtype=torch.float64, generator=seeded(1))
    dual = 0.1 * torch.randn(6, 2, dtype=torch.float64, generator=seeded(2))
    dual[COUNTS == 0] = 0
    share = (dual / COUNTS.clamp(min=1)[:, None]).repeat_interleave(COUNTS, dim=0)
    return on_points(problem, dual, u), on_points(repeated, share, u)


def test_dual_gap_and_newton_direction(pair):
    this, that = pair
    torch.testing.assert_close(this.weights, that.weights)
    assert dual_value(this) == pytest.approx(dual_value(that), rel=1e-12)
    assert gap_of(this) == pytest.approx(gap_of(that), rel=1e-9)
    best, best_repeated = refit(this), refit(that)
    torch.testing.assert_close(best, summed(best_repeated), rtol=1e-5, atol=1e-8)
    assert gap_at(this, this.dual) == pytest.approx(gap_at(that, that.dual), rel=1e-12)
    assert gap_at(this, best) == pytest.approx(gap_of(this), rel=1e-8)
    found, slope = newton_direction(this, tolerance=1e-13)
    expected, slope_repeated = newton_direction(that, tolerance=1e-13)
    torch.testing.assert_close(found, summed(expected), rtol=1e-7, atol=1e-10)
    assert slope == pytest.approx(slope_repeated, rel=1e-9)
    assert not found[COUNTS == 0].any()
    assert not best[COUNTS == 0].any()


def test_slope_of_the_dual_agrees_with_differences(pair):
    this, _ = pair
    problem, n = this.problem, this.problem.n_samples
    seen = COUNTS > 0
    scaled = this.dual[seen] / problem.sample_weight[seen, None]
    gradient = (outputs_of(this) - problem.y)[seen] - n * scaled
    v = torch.zeros_like(this.dual)
    v[seen] = torch.randn(5, 2, dtype=torch.float64, generator=seeded(5))
    up, down = (dual_value(this.at(this.dual + s * v)) for s in (1e-6, -1e-6))
    assert (up - down) / 2e-6 == pytest.approx(float((gradient * v[seen]).sum()), rel=1e-7)


def test_masses_of_phases():
    problem, repeated = weighted_and_repeated(d=3)
    u = torch.randn(60, 3, dtype=torch.float64, generator=seeded(4))
    masses = torch.tensor([0.7, 0.3], dtype=torch.float64)
    chosen = []
    for each in (problem, repeated):
        values = each.sigma(u @ each.x.T)
        kernels = torch.stack([v.T @ v / len(v) for v in (values[:40], 3 * values[40:])])
        dual = -each.y / each.n_samples / 2
        if each.sample_weight is not None:
            dual = each.sample_weight[:, None] * dual
        chosen.append(choose_masses(each, dual, kernels, masses))
    torch.testing.assert_close(chosen[0][0], chosen[1][0], rtol=1e-6, atol=1e-9)
    assert chosen[0][1] == pytest.approx(chosen[1][1], rel=1e-9)


SOLVED = [
    {"d": 1},
    {"d": 2, "activation": "tanh", "beta": 20.0},
    {"d": 1, "truncation": 0.5},
    {"d": 2, "activation": "relu", "gamma": 1.0, "beta": 20.0},
]


@pytest.mark.parametrize("settings", SOLVED, ids=str)
def test_minimizer_by_quadrature(settings):
    problem, repeated = weighted_and_repeated(**settings)
    this, that = (solve_gibbs(p, generator=seeded(), tol=1e-6) for p in (problem, repeated))
    assert this.certificate.method == that.certificate.method == "quadrature"
    assert this.certificate.certified, this.certificate.reason
    assert this.certificate.dual == pytest.approx(that.certificate.dual, rel=1e-8)
    new = torch.randn(7, problem.n_inputs, dtype=torch.float64, generator=seeded(9))
    for x in (problem.x, new):
        torch.testing.assert_close(
            this.measure.features(x), that.measure.features(x), rtol=1e-5, atol=1e-6
        )
    torch.testing.assert_close(
        this.measure.coefficients, summed(that.measure.coefficients), rtol=1e-5, atol=1e-7
    )
    # At the minimizer the free energy is the dual value, and G_i = s_i (Z_i - Y_i)/n.
    assert this.measure.free_energy() == pytest.approx(this.certificate.dual, rel=1e-6)
    z = problem.gamma * this.measure.features(problem.x) @ problem.w
    due = problem.sample_weight[:, None] * (z - problem.y) / problem.n_samples
    torch.testing.assert_close(this.measure.dual, due, rtol=1e-4, atol=1e-6)
    if settings.keys() <= {"d", "activation", "beta"}:
        oracle = gibbs_minimizer(repeated)
        assert this.certificate.dual == pytest.approx(oracle.dual, rel=1e-8)


@statistical(alarm=1e-4, defect=dual_off(1.01))
def test_minimizer_by_monte_carlo():
    problem, _ = weighted_and_repeated(d=2, activation="tanh", beta=20.0)
    exact = solve_gibbs(problem, generator=seeded())
    drawn = solve_gibbs(
        problem, generator=seeded(1), method="monte_carlo", n_particles=3000, tol=0.05
    ).certificate
    assert drawn.certified, drawn.reason
    # 4.5 standard errors: a false alarm in 1e5 seeds.
    assert abs(drawn.dual - exact.certificate.dual) < 4.5 * drawn.dual_stderr
    assert drawn.primal > exact.certificate.dual - 4.5 * drawn.dual_stderr


def test_a_cloud_is_judged_alike():
    problem, repeated = weighted_and_repeated(d=1)
    cloud = sample_normal(problem, 200, generator=seeded())
    this, that = (certify(p, cloud, generator=seeded()) for p in (problem, repeated))
    assert this.dual == pytest.approx(that.dual, rel=1e-9)
    assert this.gap == pytest.approx(that.gap, rel=1e-9)


def test_a_measure_must_know_nothing_of_samples_that_are_left_out():
    problem, _ = weighted_and_repeated(d=1)
    everyone = solve_gibbs(replace(problem, sample_weight=None), generator=seeded()).measure
    with pytest.raises(ValueError, match="dual of 0 in every row whose sample_weight is 0"):
        certify(problem, everyone, generator=seeded())
    warm = solve_gibbs(problem, generator=seeded(), warm_start=everyone)
    cold = solve_gibbs(problem, generator=seeded())
    assert warm.certificate.dual == pytest.approx(cold.certificate.dual, rel=1e-9)


def test_neurons_of_the_measure_have_its_features():
    problem, _ = weighted_and_repeated(d=1, beta=20.0)
    measure = solve_gibbs(problem, generator=seeded()).measure
    cloud = measure.neurons(40_000, generator=seeded(3))
    assert isinstance(cloud, Particles)
    h = features(problem.x, cloud, problem.sigma)
    exact = measure.features(problem.x)
    assert float((h - exact).norm() / exact.norm()) < 0.03


def test_single_precision_weights_serve_the_solver():
    problem, _ = weighted_and_repeated(d=1, dtype=torch.float32)
    assert problem.sample_weight.dtype == torch.float32
    double = weighted_and_repeated(d=1)[0]
    this, that = (solve_gibbs(p, generator=seeded()).certificate for p in (problem, double))
    assert this.dual == pytest.approx(that.dual, rel=1e-5)


@pytest.mark.parametrize("train_w", [False, True])
def test_automatic_steps_are_those_of_the_copies(train_w):
    pair = weighted_and_repeated(activation="tanh", d=3)
    start = sample_normal(pair[0], 50, generator=seeded())
    this, that = (
        run_langevin(problem, start, n_steps=40, train_w=train_w, generator=seeded(1))
        for problem in pair
    )
    for name, values in this.history.items():
        torch.testing.assert_close(values, that.history[name], rtol=1e-9, atol=1e-12)
    assert len(set(this.history["step_size"].tolist())) > 2
