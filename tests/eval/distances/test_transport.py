import numpy as np
import ot
import pytest
import torch
from scipy.stats import norm
from support.defects import Defect, statistical
from support.problems import small_problem
from support.seeds import numpy_generator, seeded, shifted

from eval import sliced_wasserstein, wasserstein
from eval.distances import transport
from gibbs import Particles, sample_prior, solve_gibbs


def _smaller_null(monkeypatch):
    sound = transport._compare
    monkeypatch.setattr(
        transport, "_compare", lambda value, null: sound(value, [0.5 * each for each in null])
    )


NULL_OFF = Defect("the distances of the null are half of what they are", _smaller_null)


def _squares(change):
    """Change the squares (n_projections,) of the distances along the directions."""

    def build_in(monkeypatch):
        sound = transport._quantile_squares
        monkeypatch.setattr(transport, "_quantile_squares", lambda *args: change(sound(*args)))

    return build_in


DIRECTIONS_OFF = Defect("squares are too large by half", _squares(lambda s: 1.5 * s))
ERRORS_TOO_SMALL = Defect(
    "the spread of the squares is halved, and with it the standard error",
    _squares(lambda s: np.r_[np.repeat(s[: len(s) // 4], 4)]),
)


def cloud(seed, n=60, d=3):
    return numpy_generator(seed).normal(size=(n, d))


def test_between_gaussian_quantiles_is_the_closed_form():
    # W2^2(N(m, s^2), N(m', s'^2)) = (m - m')^2 + (s - s')^2; the quantiles of a law have it
    # exactly, up to the spread of the quantiles themselves.
    z = norm.ppf((np.arange(2000) + 0.5) / 2000)[:, None]
    expected = np.hypot(3.0, 1.5 * z.std())
    assert wasserstein(1 + 0.5 * z, 4 + 2 * z, n_null=2).value == pytest.approx(expected)
    assert expected == pytest.approx(np.hypot(3, 1.5), abs=1e-3)


@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("distance", [wasserstein, sliced_wasserstein])
def test_equal_clouds_are_at_distance_zero(distance, d):
    x = cloud(0, d=d)
    result = distance(x, numpy_generator(1).permutation(x), n_null=3)
    assert result.value == pytest.approx(0, abs=1e-15)
    assert float(result) == result.value
    assert (result.stderr, result.p_value) == (pytest.approx(0, abs=1e-15), 1)


@statistical(alarm=1e-6, defect=DIRECTIONS_OFF)
@pytest.mark.parametrize("d", [1, 2, 7])
def test_a_shift_is_at_the_distance_of_the_shift(d):
    x, shift = cloud(0, d=d), 0.7 * cloud(1, n=1, d=d)
    size = np.linalg.norm(shift)
    assert wasserstein(x, x + shift, n_null=2).value == pytest.approx(size)
    # Over directions E (theta . shift)^2 = |shift|^2/d. 6 standard errors: chance 1e-8.
    sliced = sliced_wasserstein(x, x + shift, n_projections=4000, n_null=2)
    assert sliced.value == pytest.approx(size / np.sqrt(d), abs=6 * sliced.stderr + 1e-12)
    assert sliced.stderr < 0.05 * size


@statistical(alarm=1e-3, defect=ERRORS_TOO_SMALL)
def test_standard_error_covers_the_error_over_directions():
    x, shift = cloud(0, n=10), np.array([1.0, 2.0, -1.0])
    results = [
        sliced_wasserstein(x, x + shift, n_projections=200, n_null=2, random_state=shifted(seed))
        for seed in range(100)
    ]
    z = [(r.value - np.linalg.norm(shift) / np.sqrt(3)) / r.stderr for r in results]
    # Of 100 standard normals the standard deviation leaves (0.75, 1.3) with chance 1e-3.
    assert 0.75 < np.std(z) < 1.3
    assert abs(np.mean(z)) < 0.4


def test_assignment_quantiles_and_linear_program_agree():
    x, y = cloud(0), 0.5 * cloud(1) + 1
    weights = np.full(60, 1 / 60)
    program = transport._linear_program(weights, weights, ot.dist(x, y))
    result = wasserstein(x, y, n_null=2)
    assert result.method == "assignment"
    assert result.value == pytest.approx(np.sqrt(program))
    line, other = cloud(2, d=1), cloud(3, n=45, d=1)
    program = transport._linear_program(weights, np.full(45, 1 / 45), ot.dist(line, other))
    result = wasserstein(line, other, n_null=2)
    assert result.method == "quantiles"
    assert result.value == pytest.approx(np.sqrt(program))


def test_linear_program_of_weighted_clouds_on_a_line_is_that_of_quantiles():
    rng = numpy_generator()
    x, y, wx, wy = rng.normal(size=30), rng.normal(size=40), rng.random(30), rng.random(40)
    direction = np.array([[0.6, 0.8]])
    on_line = wasserstein(x[:, None], y[:, None], weights_x=wx, weights_y=wy, n_null=2)
    in_plane = wasserstein(
        x[:, None] * direction, y[:, None] * direction, weights_x=wx, weights_y=wy, n_null=2
    )
    assert (on_line.method, in_plane.method) == ("quantiles", "linear program")
    assert in_plane.value == pytest.approx(on_line.value)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("distance", [wasserstein, sliced_wasserstein])
def test_weights_count_like_duplicates(distance, d):
    x, y = cloud(0, n=20, d=d), cloud(1, n=30, d=d)
    counts = np.arange(20) % 4  # zeros among them
    weighted = distance(x, y, weights_x=torch.tensor(counts), n_null=2)
    assert weighted.n_x == 15
    duplicated = distance(np.repeat(x, counts, axis=0), y, n_null=2)
    assert weighted.value == pytest.approx(duplicated.value)
    total = counts.sum()
    both = distance(np.repeat(x, counts, axis=0), x, weights_y=counts / total, n_null=2)
    assert both.value == pytest.approx(0, abs=1e-7)


def test_sliced_agrees_with_pot():
    x, y = cloud(0), cloud(1, n=45) + 0.3
    rng = numpy_generator(5)
    directions = rng.standard_normal((3, 70))
    directions /= np.linalg.norm(directions, axis=0)
    for weights in (None, numpy_generator(2).dirichlet(np.ones(60))):
        ours = sliced_wasserstein(
            x, y, weights_x=weights, n_projections=70, n_null=2, random_state=shifted(5)
        )
        expected = ot.sliced_wasserstein_distance(x, y, weights, projections=directions)
        assert ours.value == pytest.approx(expected)


@statistical(alarm=1e-3, defect=NULL_OFF)
@pytest.mark.parametrize("distance", [wasserstein, sliced_wasserstein])
@pytest.mark.parametrize("law", [None, lambda n, seed: cloud([seed, 9], n=n)])
def test_p_value_is_uniform_where_the_laws_are_equal(distance, law):
    # The p-value is uniform on 0.05, 0.1, ..., 1. P(p <= 0.2) = 0.2: of 100, fewer than 6 or
    # more than 37 have chance 1e-4 in all; the mean 0.525 has standard error 0.029.
    p = [
        distance(cloud([seed, 0], n=25), cloud([seed, 1], n=25), reference=law, n_null=19)
        for seed in range(100)
    ]
    p = np.array([result.p_value for result in p])
    assert 6 <= (p <= 0.2).sum() <= 37
    assert p.mean() == pytest.approx(0.525, abs=0.12)


@pytest.mark.parametrize("distance", [wasserstein, sliced_wasserstein])
@pytest.mark.parametrize("law", [None, lambda n, seed: cloud([seed, 9], n=n)])
def test_a_shift_is_detected(distance, law):
    result = distance(cloud(0) + 1, cloud(1), reference=law, n_null=19)
    assert result.p_value == 0.05
    assert result.ratio > 1.3
    assert result.value > result.same_law + 5 * result.same_law_sd
    assert result.null == ("permutation" if law is None else "fresh samples")


@statistical(alarm=1e-3, defect=NULL_OFF)
def test_in_many_dimensions_the_raw_distance_is_all_noise():
    x, y = cloud(0, n=200, d=84), cloud(1, n=200, d=84)
    result = wasserstein(x, y)
    assert result.value**2 > 100
    assert 0.98 < result.ratio < 1.02


@statistical(alarm=1e-3, defect=NULL_OFF)
def test_weights_of_importance_sampling_give_the_right_null():
    # Both clouds N(0, 1.5^2 I), weighted to N(0, I): the p-value is exact (see above).
    p = []
    for seed in range(60):
        x, y = 1.5 * cloud([seed, 0], n=50), 1.5 * cloud([seed, 1], n=50)
        wx, wy = (np.exp(-np.square(z).sum(1) * (1 - 1 / 2.25) / 2) for z in (x, y))
        result = sliced_wasserstein(x, y, weights_x=wx, weights_y=wy, n_null=19, n_projections=20)
        p.append(result.p_value)
    assert np.mean(p) == pytest.approx(0.525, abs=0.15)


@statistical(alarm=1e-3, defect=NULL_OFF)
def test_neurons_against_the_solved_measure():
    problem = small_problem()
    measure = solve_gibbs(problem, generator=seeded()).measure
    y = measure.sample(300, generator=seeded(1))
    settings = {"reference": measure, "n_null": 19, "n_projections": 30}
    exact = [
        sliced_wasserstein(
            measure.sample(300, generator=seeded(2 * k)),
            measure.sample(300, generator=seeded(2 * k + 1)),
            **settings,
        ).p_value
        for k in range(10, 17)
    ]
    # Each is 0.05 with chance 0.05: four of seven with chance 2e-4.
    assert np.median(exact) > 0.05
    prior = sliced_wasserstein(sample_prior(problem, 300, generator=seeded(3)), y, **settings)
    assert prior.p_value == 0.05
    assert prior.ratio > 2


def test_neurons_are_points_a_u_in_float64():
    a, u = torch.tensor(cloud(0, d=2)), torch.tensor(cloud(1, d=1))
    y = cloud(2)
    expected = wasserstein(np.hstack([a, u]), y, n_null=2)
    assert wasserstein(Particles(a, u), torch.tensor(y), n_null=2) == expected
    single = wasserstein(Particles(a, u).to(torch.float32), y, n_null=2)
    assert single.value == pytest.approx(expected.value, rel=1e-6)


def test_fresh_clouds_may_be_given():
    x, y = cloud(0), cloud(1)
    fresh = [cloud(seed) for seed in (2, 3, 4)]
    result = wasserstein(x, y, reference=fresh)
    values = [wasserstein(z, y, n_null=2).value for z in fresh]
    assert result.same_law == pytest.approx(np.mean(values))
    assert result.same_law_sd == pytest.approx(np.std(values, ddof=1))
    assert result.p_value == (1 + sum(v >= result.value for v in values)) / 4


def test_a_weighted_cloud_is_held_against_its_effective_sample_size():
    sizes = []

    def law(n, random_state):
        sizes.append(n)
        return cloud(random_state, n=n)

    weights = np.r_[np.ones(30), np.full(30, 1e-9)]
    wasserstein(cloud(0), cloud(1), weights_x=weights, reference=law, n_null=2)
    assert sizes == [30, 30]


def test_random_state_decides():
    x, y = cloud(0), cloud(1)
    assert sliced_wasserstein(x, y, n_null=3) == sliced_wasserstein(x, y, n_null=3)
    other = sliced_wasserstein(x, y, n_null=3, random_state=shifted(1))
    assert other.value != sliced_wasserstein(x, y, n_null=3).value


def test_a_linear_program_cut_short_is_an_error(monkeypatch):
    monkeypatch.setattr(transport, "MAX_ITERATIONS", 3)
    with pytest.raises(RuntimeError, match=r"must reach its optimum, got .*sliced_wasserstein"):
        wasserstein(cloud(0), cloud(1, n=50), n_null=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros(3)}, r"x must be a matrix that is not empty, got shape \(3,\)"),
        ({"y": np.full((4, 3), np.nan)}, "y must be finite, got NaN or inf"),
        ({"y": np.zeros((4, 2))}, "same number of columns, got 3 and 2"),
        ({"weights_x": [1.0]}, r"weights_x must have one entry per row of x, \(60,\), got shape"),
        ({"weights_x": -np.ones(60)}, "weights_x must be finite and >= 0 .* got minimum -1"),
        ({"weights_x": np.zeros(60)}, "with a sum > 0, got minimum 0 and sum 0"),
        ({"weights_y": np.full(60, np.nan)}, "weights_y must be finite"),
        ({"n_null": 1}, "n_null must be an integer >= 2, got 1"),
        ({"reference": [cloud(3)]}, "number of clouds in reference must be an integer >= 2, got 1"),
        ({"reference": [cloud(3, n=9)] * 2}, r"shape \(60, 3\), .* got shape \(9, 3\)"),
    ],
)
@pytest.mark.parametrize("distance", [wasserstein, sliced_wasserstein])
def test_bad_input_is_named(distance, arguments, message):
    with pytest.raises(ValueError, match=message):
        distance(**({"x": cloud(0), "y": cloud(1)} | arguments))


def test_too_large_clouds_are_sent_to_the_sliced_distance():
    x = np.zeros((4001, 2))
    with pytest.raises(ValueError, match=r"n_x \* n_y <= 16,000,000 .* 4001 \* 4000: use sliced"):
        wasserstein(x, x[1:])
    assert wasserstein(x[:, :1], x[1:, :1], n_null=2).value == 0


def test_other_bad_input():
    with pytest.raises(ValueError, match="n_projections must be an integer >= 2, got 1"):
        sliced_wasserstein(cloud(0), cloud(1), n_projections=1)
    with pytest.raises(TypeError, match=r"reference must be a GibbsMeasure, .* got int"):
        wasserstein(cloud(0), cloud(1), reference=3)
