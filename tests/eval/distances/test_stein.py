import numpy as np
import pytest
import torch
from support.defects import Defect, sample_off, statistical
from support.problems import small_problem
from support.seeds import numpy_generator, seeded, shifted

from eval import gibbs_stein_discrepancy, stein_discrepancy
from eval.distances import stein
from gibbs import Particles, sample_prior, solve_gibbs


def _narrower_null(monkeypatch):
    sound = stein._statistics

    def statistics(*args):
        value, null = sound(*args)
        return value, 0.5 * null

    monkeypatch.setattr(stein, "_statistics", statistics)


NULL_OFF = Defect("the null is half as wide as it should be", _narrower_null)


def _with_diagonal(monkeypatch):
    sound = stein._statistics

    def statistics(sample, length, signs):
        value, null = sound(sample, length, signs)
        points, scores = sample.points, sample.scores
        diagonal = stein._stein_kernel(points, scores, points, scores, length).diagonal()
        return value + diagonal.mean() / (len(points) - 1), null

    monkeypatch.setattr(stein, "_statistics", statistics)


DIAGONAL = Defect("pairs of a point with itself are counted (1/n of their mean)", _with_diagonal)


def normals(seed, n=150, d=2):
    return numpy_generator(seed).normal(size=(n, d))


def by_autograd(x, y, score_x, score_y, length):
    """The Stein kernel from its definition: the Stein operator in x, then in y."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    kernel = (1 + (x - y).square().sum() / length**2) ** -0.5
    grad_x, grad_y = torch.autograd.grad(kernel, (x, y), create_graph=True)
    mixed = sum(torch.autograd.grad(g, y, retain_graph=True)[0][i] for i, g in enumerate(grad_x))
    total = score_x @ score_y * kernel + score_x @ grad_y + score_y @ grad_x + mixed
    return total.detach()


def test_kernel_is_the_stein_operator_applied_twice():
    x, y, score_x, score_y = torch.tensor(normals(0, 16, 3)).reshape(4, 4, 3)
    ours = stein._stein_kernel(*(z.numpy() for z in (x, score_x, y, score_y)), 1.7)
    expected = [
        [float(by_autograd(x[i], y[j], score_x[i], score_y[j], 1.7)) for j in range(4)]
        for i in range(4)
    ]
    assert np.allclose(ours, expected, rtol=1e-12, atol=1e-13)


def test_statistic_is_the_mean_over_pairs_in_any_blocks(monkeypatch):
    points, scores = normals(0, 40), normals(1, 40)
    kernel = stein._stein_kernel(points, scores, points, scores, 1.3)
    expected = (kernel.sum() - np.trace(kernel)) / (40 * 39)
    whole = stein_discrepancy(points, scores, length=1.3)
    monkeypatch.setattr(stein, "BLOCK_BYTES", 7 * 8 * 40)
    blocks = stein_discrepancy(points, scores, length=1.3)
    assert whole.value == pytest.approx(expected)
    assert (blocks.value, blocks.null_sd) == pytest.approx((whole.value, whole.null_sd))
    assert float(whole) == whole.value


def test_stein_identity_by_quadrature():
    # E u_p(x, y) over x ~ N(0, 1) is 0 at every y.
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    grid = nodes[:, None]
    kernel = stein._stein_kernel(
        grid, -grid, np.array([[-1.0], [0.3], [2.0]]), -np.array([[-1.0], [0.3], [2.0]]), 2.0
    )
    assert np.allclose(weights @ kernel / weights.sum(), 0, atol=1e-9)


@statistical(alarm=1e-4, defect=DIAGONAL)
def test_value_of_a_shifted_gaussian_by_quadrature():
    # Of N(1, 1) against N(0, 1), E u_p(x, y) by a product rule; 900 samples of 20 points:
    # few points, since a diagonal that is counted adds 1/n.
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    weights = weights / weights.sum()
    grid = nodes[:, None] + 1
    expected = weights @ stein._stein_kernel(grid, -grid, grid, -grid, 1.0) @ weights
    values = []
    for seed in range(900):
        x = normals(seed, 20, 1) + 1
        values.append(stein_discrepancy(x, -x, length=1.0, n_bootstrap=2).value)
    # Unbiased: within 4.5 standard errors, chance 1e-5.
    assert np.mean(values) == pytest.approx(expected, abs=4.5 * np.std(values) / 900**0.5)


@statistical(alarm=1e-3, defect=NULL_OFF)
def test_p_value_is_near_uniform_for_exact_samples():
    # Of 200 uniform p-values, those <= 0.1 number fewer than 6 or more than 39 with chance
    # 2e-5; their mean has standard error 0.02.
    p, z = [], []
    for seed in range(200):
        x = normals(seed)
        result = stein_discrepancy(x, -x, n_bootstrap=99, random_state=shifted(seed))
        p.append(result.p_value)
        z.append(result.value / result.null_sd)
    assert 6 <= np.sum(np.array(p) <= 0.1) <= 39
    assert np.mean(p) == pytest.approx(0.5, abs=0.09)
    assert abs(np.mean(z)) < 0.35
    assert 0.7 < np.std(z) < 1.4


@pytest.mark.parametrize("wrong", [lambda x: x + 0.5, lambda x: 1.6 * x])
def test_a_wrong_mean_or_spread_is_detected(wrong):
    x = wrong(normals(0))
    result = stein_discrepancy(x, -x)
    assert result.p_value == 1 / 501
    assert result.value > 4 * result.null_sd


def test_scale_measures_coordinates_in_units():
    unit = np.array([1e-3, 50.0])
    x = normals(0)
    plain = stein_discrepancy(x, -x)
    scaled = stein_discrepancy(x * unit, -x / unit, scale=torch.tensor(unit))
    assert scaled.value == pytest.approx(plain.value)
    assert scaled.length == pytest.approx(plain.length)
    far = stein_discrepancy(x + 1e6, -x)
    assert far.value == pytest.approx(plain.value, rel=1e-6)


def test_length_is_the_median_distance_of_a_subsample(monkeypatch):
    x = normals(0, 400)
    whole = stein_discrepancy(x, -x, n_bootstrap=2).length
    monkeypatch.setattr(stein, "MEDIAN_POINTS", 100)
    assert stein_discrepancy(x, -x, n_bootstrap=2).length == pytest.approx(whole, rel=0.2)


@pytest.fixture(scope="module", params=[1, 2])
def measure(request):
    return solve_gibbs(small_problem(d=request.param), generator=seeded()).measure


def test_score_is_the_gradient_of_the_log_density(measure, monkeypatch):
    monkeypatch.setattr("gibbs.solver.measure.TILE", 4)
    neurons = measure.sample(10, generator=seeded(1))
    score = measure.score(neurons)
    step = 1e-5
    for part in ("a", "u"):
        for column in range(getattr(neurons, part).shape[1]):
            ends = []
            for sign in (1, -1):
                moved = neurons.clone()
                getattr(moved, part)[:, column] += sign * step
                ends.append(measure.log_density(moved))
            slope = (ends[0] - ends[1]) / (2 * step)
            torch.testing.assert_close(getattr(score, part)[:, column], slope, rtol=1e-6, atol=1e-6)


@statistical(alarm=1e-3, defect=sample_off(1.3))
def test_neurons_of_the_measure_pass_and_those_of_the_prior_do_not(measure):
    found = [
        gibbs_stein_discrepancy(measure.sample(400, generator=seeded(k)), measure)
        for k in range(10, 15)
    ]
    # p-values near uniform: three of five are below 0.04 with chance 6e-4.
    assert np.median([each.p_value for each in found]) > 0.04
    exact = found[0]
    assert abs(exact.same_law) < 8 * exact.null_sd
    prior = sample_prior(measure.problem, 400, generator=seeded(2))
    result = gibbs_stein_discrepancy(prior, measure)
    assert result.p_value == 1 / 501
    assert result.value > 20 * abs(result.same_law)
    assert (result.length, result.same_law) == (exact.length, exact.same_law)
    assert result.n_points == 400


def test_neurons_in_float32_are_judged_in_float64(measure):
    neurons = measure.sample(50, generator=seeded(1))
    expected = gibbs_stein_discrepancy(neurons, measure, n_bootstrap=2)
    single = gibbs_stein_discrepancy(neurons.to(torch.float32), measure, n_bootstrap=2)
    assert single.value == pytest.approx(expected.value, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": np.zeros((1, 2)), "scores": np.zeros((1, 2))}, "2 rows or more, got 1"),
        ({"points": np.zeros(4)}, r"points must be a matrix that is not empty, got shape \(4,\)"),
        (
            {"scores": np.zeros((150, 3))},
            r"scores must have the shape of points, .* got \(150, 3\)",
        ),
        ({"scores": np.full((150, 2), np.inf)}, "scores must be finite, got NaN or inf"),
        ({"scale": [1.0]}, r"scale must be a number or have shape \(2,\), got shape \(1,\)"),
        ({"scale": [1.0, 0.0]}, "scale must be > 0 and finite, got 0 to 1"),
        ({"length": 0.0}, "length must be > 0 and finite, got 0"),
        ({"n_bootstrap": 1}, "n_bootstrap must be an integer >= 2, got 1"),
        ({"points": np.zeros((150, 2))}, "points must be distinct .* got a median of 0"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        stein_discrepancy(**({"points": normals(0), "scores": -normals(0)} | arguments))


def test_neurons_of_other_widths_are_named(measure):
    wrong = Particles(torch.zeros(5, 4), torch.zeros(5, 2))
    with pytest.raises(ValueError, match=r"a of width p = 3 and u of width d = .*, got 4 and 2"):
        gibbs_stein_discrepancy(wrong, measure)
    one = measure.sample(1, generator=seeded())
    with pytest.raises(ValueError, match="particles must have 2 rows or more, got 1"):
        gibbs_stein_discrepancy(one, measure)
