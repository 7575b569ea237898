import numpy as np
import pytest
import torch
from support.defects import sample_off, statistical
from support.problems import small_problem
from support.quadrature import gibbs_minimizer
from support.seeds import numpy_generator, seeded

from eval import feature_error
from eval.distances.function_space import relative_error
from gibbs import features, sample_prior, solve_gibbs


@pytest.fixture(scope="module")
def measure():
    return solve_gibbs(small_problem(), generator=seeded()).measure


X = numpy_generator().normal(size=(5, 2)) / 2


def noise(measure, oracle, n):
    """Root mean square of the error of n exact neurons, from the marginal of u."""
    problem = measure.problem
    variance = problem.n_features / (problem.beta * problem.decay)
    grid = torch.tensor(oracle.grid)
    fields = problem.sigma(grid @ problem.x.T) @ torch.tensor(oracle.dual_point) @ problem.w.T
    squares = (problem.gamma / problem.decay) ** 2 * fields.square().sum(1) + variance
    values = problem.sigma(grid @ problem.x.T).square().sum(1)
    total = float(torch.tensor(oracle.weights) @ (values * squares))
    size = float(np.square(oracle.features).sum())
    return np.sqrt((total / size - 1) / n)


@statistical(alarm=1e-4, defect=sample_off(1.6))
@pytest.mark.parametrize("n", [100, 400])
def test_exact_neurons_have_the_noise_of_the_law(measure, n):
    # The mean square of 40 errors, each of a few degrees of freedom: relative sd about 0.14.
    expected = noise(measure, gibbs_minimizer(measure.problem), n)
    neurons = measure.sample(n, generator=seeded(1))
    error = feature_error(neurons, measure, measure.problem.x, n_null=40)
    mean_square = error.same_law**2 + error.same_law_sd**2 * 39 / 40
    assert mean_square == pytest.approx(expected**2, rel=0.65)
    # Far in the tail of its kind.
    assert error.value < error.same_law + 6 * error.same_law_sd
    assert error.n_neurons == n


def test_value_is_that_of_the_mean_over_neurons(measure):
    problem = measure.problem
    neurons = sample_prior(problem, 50, generator=seeded(2))
    exact = measure.features(torch.tensor(X))
    h = features(torch.tensor(X), neurons, problem.sigma)
    error = feature_error(neurons, measure, X, n_null=2)
    assert error.value == pytest.approx(float((h - exact).norm() / exact.norm()))
    assert float(error) == error.value
    again = feature_error(neurons, measure, torch.tensor(X), n_null=2)
    assert again == error


def test_bias_stands_out(measure):
    prior = sample_prior(measure.problem, 4000, generator=seeded(3))
    error = feature_error(prior, measure, X)
    # The prior has features 0: relative error 1, up to its noise.
    assert error.value == pytest.approx(1, abs=0.1)
    assert error.value > error.same_law + 10 * error.same_law_sd


def test_a_measure_has_no_noise(measure):
    error = feature_error(measure, measure, X)
    assert (error.value, error.same_law, error.same_law_sd, error.n_neurons) == (0, 0, 0, None)
    other = solve_gibbs(small_problem(gamma=1.0), generator=seeded()).measure
    h, exact = (m.features(torch.tensor(X)).numpy() for m in (other, measure))
    expected = np.linalg.norm(h - exact) / np.linalg.norm(exact)
    assert feature_error(other, measure, X).value == pytest.approx(expected)


def test_float32_problems_are_judged_in_float64():
    single = solve_gibbs(small_problem(dtype=torch.float32), generator=seeded()).measure
    neurons = single.sample(100, generator=seeded(1))
    assert neurons.a.dtype == torch.float32
    assert 0 < feature_error(neurons, single, X, n_null=2).value < 2


def test_relative_error_takes_matrices():
    assert relative_error(torch.tensor([[3.0, 5.0]]), np.array([[3.0, 4.0]])) == 0.2


def test_bad_input_is_named(measure):
    neurons = measure.sample(10, generator=seeded())
    wrong = sample_prior(small_problem(p=4), 10, generator=seeded())
    with pytest.raises(ValueError, match="x must have d = 2 columns, got 3"):
        feature_error(neurons, measure, np.zeros((4, 3)))
    with pytest.raises(ValueError, match="a of width p = 3 and u of width d = 2, got 4 and 2"):
        feature_error(wrong, measure, X)
    with pytest.raises(ValueError, match="n_null must be an integer >= 2, got 1"):
        feature_error(neurons, measure, X, n_null=1)
    with pytest.raises(TypeError, match="law must be Particles or a GibbsMeasure, got ndarray"):
        feature_error(X, measure, X)
    with pytest.raises(TypeError, match="reference must be a GibbsMeasure, got Particles"):
        feature_error(neurons, neurons, X)
    with pytest.raises(ValueError, match=r"shape of the reference, \(1, 2\), got \(1, 1\)"):
        relative_error([[1.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="must not all be 0, got 0"):
        relative_error([[1.0]], [[0.0]])
