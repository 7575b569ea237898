"""The law of a given u, and measures with truncation, against integrals over a and u."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid, quad
from scipy.optimize import root
from support.defects import Defect, scaled, statistical
from support.problems import small_problem
from support.seeds import seeded

from gibbs import GibbsMeasure, Particles, Problem, features, truncate
from gibbs.solver import conditional as module
from gibbs.solver.conditional import Conditional
from gibbs.solver.dual import Tilted, dual_value, gap_of, log_tilt, newton_direction, outputs_of
from gibbs.solver.mala import Target

PULLS = (0.0, 1e-6, -0.003, 0.05, -0.4, 1.1, -3.0, 40.0, -1e3)


def tau(a, radius):
    return float(truncate(torch.tensor(a, dtype=torch.float64), radius))


@dataclass(frozen=True)
class Moments:
    log_normalizer: float
    mean: float
    variance: float
    mean_square: float


def by_quad(conditional, c):
    """Moments of exp(-beta gamma c tau(a)) N(0, 1/(beta lambda))(a) by adaptive quadrature."""
    radius, precision = conditional.radius, conditional.precision
    joints = [-2 * radius, -radius, radius, 2 * radius]

    def exponent(a):
        return -conditional.coupling * c * tau(a, radius) - precision / 2 * a * a

    far = 2 * radius + 14 / math.sqrt(precision)
    axis = np.linspace(-far, far, 400_001)
    values = truncate(torch.from_numpy(axis), radius).numpy()
    log_density = -conditional.coupling * c * values - precision / 2 * axis**2
    peak = axis[log_density.argmax()]
    seen = axis[log_density > log_density.max() - 50]
    low, high = seen[0] - 1e-4 * far, seen[-1] + 1e-4 * far
    cuts = np.unique(np.clip([low, high, peak, 0, *joints], low, high))
    top = exponent(peak)

    def integral(function):
        pieces = [
            quad(
                lambda a: function(a) * math.exp(exponent(a) - top),
                *ends,
                epsabs=0,
                epsrel=1e-13,
                limit=300,
            )[0]
            for ends in pairwise(cuts)
        ]
        return math.fsum(pieces)

    mass = integral(lambda a: 1.0)
    mean = integral(lambda a: tau(a, radius)) / mass
    return Moments(
        top + math.log(mass) + math.log(precision / (2 * math.pi)) / 2,
        mean,
        integral(lambda a: (tau(a, radius) - mean) ** 2) / mass,
        integral(lambda a: a * a) / mass,
    )


@pytest.mark.filterwarnings("ignore:.*roundoff.*")
@pytest.mark.parametrize("c", PULLS)
@pytest.mark.parametrize(
    ("precision", "coupling", "radius"),
    [(1.0, 100.0, 0.5), (1.0, 10.0, 2.0), (2.5, 60.0, 0.5), (2.5, 100.0, 2.0), (30.0, 500.0, 1.0)],
)
def test_moments_against_adaptive_quadrature(precision, coupling, radius, c):
    conditional = Conditional(precision, coupling, radius)
    expected = by_quad(conditional, c)
    at = torch.tensor([c], dtype=torch.float64)
    size = 1 + abs(expected.log_normalizer)
    assert float(conditional.log_normalizer(at)) == pytest.approx(
        expected.log_normalizer, abs=1e-12 * size
    )
    assert float(conditional.mean(at)) == pytest.approx(expected.mean, rel=1e-11, abs=1e-14)
    assert float(conditional.variance(at)) == pytest.approx(
        expected.variance, rel=1e-10, abs=1e-12 * radius**2
    )
    assert float(conditional.mean_square(at)) == pytest.approx(expected.mean_square, rel=1e-11)
    divergence = c * -coupling * expected.mean - expected.log_normalizer
    assert float(conditional.divergence(at)) == pytest.approx(divergence, abs=2e-11 * size)


@pytest.mark.parametrize("r", [1e-3, 0.1, 0.5, 1.0, 2.0, 5.0, 11.9, 12.1, 30.0, 100.0])
def test_table_agrees_with_its_integrals_between_nodes(r):
    table = module._tabulate(r, "cpu")
    left, height = table.left[1:-1], table.height[1:-1]
    t = left + 0.43 / height
    expected = torch.cat([module._jets(part, r)[:, 0] for part in t.split(1024)], 1)
    found = torch.stack(table.look_up(t, 0, 1, 2, 3))
    error = (found - expected).abs()
    for k, least in enumerate((1e-12, 1e-12 * min(r, 1), 1e-11 * min(r, 1) ** 2, 0)):
        assert float((error[k] / (least + 1e-11 * expected[k].abs())).max()) < 1


def test_without_truncation_it_is_gaussian():
    problem = small_problem()
    conditional = Conditional.of(problem)
    c = torch.linspace(-1, 1, 7, dtype=torch.float64)
    beta, gamma, decay = problem.beta, problem.gamma, problem.decay
    for found, expected in [
        (conditional.log_normalizer(c), beta * gamma**2 * c**2 / (2 * decay)),
        (conditional.mean(c), -gamma * c / decay),
        (conditional.variance(c), torch.full_like(c, 1 / (beta * decay))),
        (conditional.mean_square(c), (gamma * c / decay) ** 2 + 1 / (beta * decay)),
        (conditional.divergence(c), beta * decay / 2 * (gamma * c / decay) ** 2),
    ]:
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    assert float(conditional.total(c)) == pytest.approx(float(conditional.log_normalizer(c).sum()))


def test_a_radius_out_of_reach_changes_nothing():
    c = torch.linspace(-0.3, 0.3, 50, dtype=torch.float64)
    far, none = Conditional(2.5, 100.0, 50.0), Conditional(2.5, 100.0, None)
    assert float(none.mean(c).abs().max()) < 40
    for name in ("log_normalizer", "mean", "variance", "mean_square", "divergence", "stand_in"):
        torch.testing.assert_close(
            getattr(far, name)(c), getattr(none, name)(c), rtol=1e-12, atol=1e-12
        )


def test_far_out_it_is_straight():
    conditional = Conditional(2.0, 10.0, 0.7)
    c = torch.tensor([-1e12, 1e12, 1e30], dtype=torch.float64)
    limit = 1.5 * 0.7
    expected = torch.tensor([limit, -limit, -limit], dtype=torch.float64)
    torch.testing.assert_close(conditional.mean(c), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        conditional.log_normalizer(c), 10 * limit * c.abs(), rtol=1e-11, atol=0
    )
    assert bool(torch.isfinite(conditional.variance(c)).all())


@pytest.mark.parametrize("radius", [None, 0.5, 2.0, 50.0])
def test_derivatives_agree_with_autograd(radius):
    conditional = Conditional(2.5, 30.0, radius)
    c = torch.linspace(-1.01, 1.3, 101, dtype=torch.float64).requires_grad_()
    value, slope, curvature = conditional.derivatives(c, 0, 1, 2)
    (by_hand,) = torch.autograd.grad(value.sum(), c, retain_graph=True)
    torch.testing.assert_close(slope.detach(), by_hand, rtol=1e-9, atol=1e-8)
    if radius is not None:
        (by_hand,) = torch.autograd.grad(slope.sum(), c)
        torch.testing.assert_close(curvature.detach(), by_hand, rtol=1e-7, atol=1e-6)
    single = conditional.derivatives(c.detach().float(), 0, 1, 2)
    assert all(part.dtype == torch.float32 for part in single)
    torch.testing.assert_close(single[1].double(), slope.detach(), rtol=1e-5, atol=1e-5)


DRAWS_OFF = Defect("draws are too large by 2.5 %", scaled(Conditional, "sample", 1.025))


@statistical(alarm=1e-4, defect=DRAWS_OFF)
@pytest.mark.parametrize("c", [0.0, 0.02, -0.3, 5.0])
@pytest.mark.parametrize("radius", [0.3, 2.0])
def test_draws_have_the_law(radius, c):
    conditional = Conditional(1.5, 20.0, radius)
    n = 400_000
    draws = conditional.sample(torch.full((n // 4, 4), c).double(), generator=seeded(3))
    draws = draws.flatten().sort().values.numpy()
    axis = np.linspace(-12, 12, 400_001)
    values = truncate(torch.from_numpy(axis), radius).numpy()
    log_density = -20 * c * values - 0.75 * axis**2
    cdf = cumulative_trapezoid(np.exp(log_density - log_density.max()), axis, initial=0)
    cdf = np.interp(draws, axis, cdf / cdf[-1])
    ranks = np.arange(n) / n
    # Kolmogorov: sqrt(n) D > 2.3 has a chance of 5e-5.
    assert max(np.abs(cdf - ranks).max(), np.abs(cdf - ranks - 1 / n).max()) < 2.3 / n**0.5


def test_the_stand_in_has_the_mean():
    conditional = Conditional(2.5, 30.0, 0.8)
    c = torch.tensor([[0.0, 0.01, -0.2], [3.0, -50.0, 1e-9]], dtype=torch.float64)
    torch.testing.assert_close(
        truncate(conditional.stand_in(c), 0.8), conditional.mean(c), rtol=1e-14, atol=1e-15
    )


@pytest.mark.parametrize("radius", [None, 0.5, 2.0, 50.0])
def test_gradient_of_the_target_agrees_with_autograd(radius):
    problem = small_problem(truncation=radius)
    dual = 0.1 * torch.randn(problem.y.shape, dtype=torch.float64, generator=seeded(1))
    u = torch.randn(20, 2, dtype=torch.float64, generator=seeded(2)).requires_grad_()
    density, gradient, log_tilts = Target(problem, problem.x, dual)(u.detach())
    values = problem.sigma(u @ problem.x.T)
    torch.testing.assert_close(
        log_tilts, log_tilt(problem, dual, values).detach(), rtol=1e-13, atol=1e-13
    )
    prior = problem.beta * problem.decay / 2 * u.square().sum(1)
    fields = values @ dual @ problem.w.T
    by_hand = torch.autograd.grad((Conditional.of(problem).total(fields) - prior).sum(), u)[0]
    torch.testing.assert_close(gradient, by_hand, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(density, (log_tilts - prior).detach())
    single = Target(replace_dtype(problem), problem.x.float(), dual)(u.detach().float())
    torch.testing.assert_close(single[1].double(), gradient, rtol=1e-4, atol=1e-4)


def replace_dtype(problem):
    x, y, w = (part.float() for part in (problem.x, problem.y, problem.w))
    return replace(problem, x=x, y=y, w=w)


@dataclass(frozen=True, eq=False)
class Plane:
    """The Gibbs minimizer of a problem with p = q = d = 1 on a grid over (a, u)."""

    problem: Problem
    a: torch.Tensor
    u: torch.Tensor
    values: torch.Tensor
    log_prior: torch.Tensor
    weights: torch.Tensor
    outputs: torch.Tensor

    def mean(self, by_a, by_u):
        """E[f(a) g(u)], by_u of shape (M,) or (M, k)."""
        return by_a @ self.weights @ by_u

    @property
    def kl(self):
        seen = self.weights > 0
        return float((self.weights * (self.weights.log() - self.log_prior))[seen].sum())


def on_the_plane(problem):
    """Solve rho = exp(-beta V)/Z for the n outputs, V taken at the outputs of rho itself."""
    scale = 1 / math.sqrt(problem.beta * problem.decay)
    a = torch.linspace(-16, 16, 2401, dtype=torch.float64) * scale
    u = torch.linspace(-14, 14, 401, dtype=torch.float64) * scale
    values = problem.sigma(u[:, None] @ problem.x.T)
    truncated, w = truncate(a, problem.truncation), float(problem.w)
    log_prior = -(a[:, None] ** 2 + u**2) / (2 * scale**2)
    log_prior -= torch.logsumexp(log_prior.flatten(), 0)

    def law(outputs):
        z = torch.tensor(outputs, dtype=torch.float64)
        force = problem.gamma * w / problem.n_samples * values @ (z - problem.y[:, 0])
        log_law = log_prior - problem.beta * truncated[:, None] * force
        return torch.softmax(log_law.flatten(), 0).reshape(log_law.shape)

    def miss(outputs):
        return problem.gamma * w * (truncated @ law(outputs) @ values).numpy() - outputs

    found = root(miss, problem.y[:, 0].numpy() / 2, tol=1e-13)
    assert np.abs(miss(found.x)).max() < 1e-10
    weights = law(found.x)
    return Plane(problem, a, u, values, log_prior, weights, torch.tensor(found.x)[:, None])


def on_a_line(problem, dual=None):
    """Weighted points of u: at `dual`, or at the maximizer of the dual by Newton's method."""
    axis = torch.linspace(-16, 16, 2001, dtype=torch.float64)[:, None]
    axis = axis / math.sqrt(problem.beta * problem.decay)
    base = torch.log_softmax(-problem.beta * problem.decay / 2 * axis[:, 0].square(), 0)
    values = problem.sigma(axis @ problem.x.T)
    start = -problem.y / problem.n_samples / 2 if dual is None else dual
    tilted = Tilted(problem, start, values, base, 0.0, base).at(start)
    for _ in range(0 if dual is not None else 60):
        direction, slope = newton_direction(tilted)
        size, value = 1.0, dual_value(tilted)
        while dual_value(tilted.at(tilted.dual + size * direction)) < value - 1e-15:
            size /= 2
        tilted = tilted.at(tilted.dual + size * direction)
        if slope < 1e-22:
            break
    return tilted, axis


def measure_of(tilted, axis, coefficients=None):
    problem = tilted.problem
    return GibbsMeasure(
        problem=problem,
        coefficients=tilted.dual if coefficients is None else coefficients,
        dual=tilted.dual,
        points=axis,
        weights=tilted.weights,
        log_z=tilted.log_z,
        basis=torch.eye(1, dtype=torch.float64),
    )


@pytest.fixture(scope="module", params=[0.5, 1.5, None])
def solved(request):
    problem = small_problem(n=4, d=1, p=1, q=1, gamma=3.0, beta=40.0, truncation=request.param)
    problem = replace(problem, y=problem.y - 0.3 + problem.x)
    return on_the_plane(problem), *on_a_line(problem)


def test_the_maximizer_of_the_dual_is_the_gibbs_law_of_the_plane(solved):
    plane, tilted, _ = solved
    problem = plane.problem
    torch.testing.assert_close(outputs_of(tilted), plane.outputs, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(
        problem.n_samples * tilted.dual, plane.outputs - problem.y, rtol=1e-8, atol=1e-9
    )
    loss = float((plane.outputs - problem.y).square().sum()) / (2 * problem.n_samples)
    energy = loss + plane.kl / problem.beta
    assert dual_value(tilted) == pytest.approx(energy, rel=1e-8)
    assert gap_of(tilted) == pytest.approx(0, abs=1e-12)
    # A law of any other G: at most that energy, which no dual computation gave.
    for seed in range(100):
        noise = 10 ** (-3 + seed / 33) * torch.randn(
            4, 1, dtype=torch.float64, generator=seeded(seed)
        )
        other, _ = on_a_line(problem, tilted.dual + noise)
        assert dual_value(other) <= energy * (1 + 1e-8)


def test_measure_agrees_with_the_plane(solved):
    plane, tilted, axis = solved
    problem, measure = plane.problem, measure_of(tilted, axis)
    ones = torch.ones_like(plane.a), torch.ones_like(plane.u)
    square_a = plane.mean(plane.a**2, ones[1])
    square_u = plane.mean(ones[0], plane.u**2)
    assert measure.mean_square() == pytest.approx((float(square_a), float(square_u)), rel=1e-8)
    assert measure.kl_to_prior() == pytest.approx(plane.kl, rel=1e-7)
    assert measure.free_energy() == pytest.approx(dual_value(tilted), rel=1e-8)
    new = torch.tensor([[0.3], [-2.0]], dtype=torch.float64)
    truncated = truncate(plane.a, problem.truncation)
    expected = plane.mean(truncated, problem.sigma(plane.u[:, None] @ new.T))
    torch.testing.assert_close(measure.features(new)[:, 0], expected, rtol=1e-8, atol=1e-9)
    neurons = Particles(plane.a[800:1600:80, None], plane.u[150:250:10, None])
    log_law = plane.weights[800:1600:80, 150:250:10].diagonal().log()
    shift = measure.log_density(neurons) - log_law
    torch.testing.assert_close(shift, shift[:1].expand(10), rtol=0, atol=1e-6)


@pytest.mark.parametrize("truncation", [None, 0.5, 2.0])
def test_score_agrees_with_autograd(truncation, monkeypatch):
    monkeypatch.setattr("gibbs.solver.measure.TILE", 7)
    problem = small_problem(d=1, truncation=truncation)
    dual, other = (
        0.05 * torch.randn(problem.y.shape, dtype=torch.float64, generator=seeded(k))
        for k in (1, 2)
    )
    measure = measure_of(*on_a_line(problem, dual), dual + other)
    a = torch.randn(25, 3, dtype=torch.float64, generator=seeded(3)).requires_grad_()
    u = torch.randn(25, 1, dtype=torch.float64, generator=seeded(4)).requires_grad_()
    expected = torch.autograd.grad(measure.log_density(Particles(a, u)).sum(), (a, u))
    found = measure.score(Particles(a.detach(), u.detach()))
    torch.testing.assert_close((found.a, found.u), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("truncation", [0.5, 2.0])
def test_sample_has_the_moments_and_features_of_the_law(truncation):
    problem = small_problem(d=1, truncation=truncation)
    dual = 0.05 * torch.randn(problem.y.shape, dtype=torch.float64, generator=seeded(1))
    measure = measure_of(*on_a_line(problem, dual))
    sample = measure.sample(20_000, generator=seeded(5))
    moments = [float(part.square().sum(1).mean()) for part in (sample.a, sample.u)]
    assert moments == pytest.approx(measure.mean_square(), rel=0.03)
    h = measure.features(problem.x)
    for cloud in (sample, measure.neurons(20_000, generator=seeded(6))):
        raw = features(problem.x, cloud, problem.sigma, truncation)
        assert float((raw - h).norm() / h.norm()) < 0.04
