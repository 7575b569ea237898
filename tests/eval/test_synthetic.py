import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import kstest

from eval import SeparableDistribution, largest_margin, make_linearly_separable


@pytest.mark.parametrize("q", [2, 3, 4, 7])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99, 1.0])
def test_samples_are_separable_with_the_margin_inside_the_ball(q, share):
    margin = share * largest_margin(q)
    law = SeparableDistribution(12, q, margin=margin, random_state=3)
    x, y = law.sample(999, random_state=1)
    np.testing.assert_allclose(np.linalg.norm(law.directions, axis=1), 1, atol=1e-12)
    signed = x @ law.directions.T * np.where(np.arange(q) == y[:, None], 1, -1)
    assert signed.min() >= margin - 1e-12
    assert np.linalg.norm(x, axis=1).max() <= 1 + 1e-15
    counts = np.bincount(y, minlength=q)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("q", [2, 3, 5])
def test_largest_margin_against_a_search(q):
    # One point a class and unit directions, both free: no search finds a larger margin.
    d = q

    def minus_margin(flat):
        u, x = flat.reshape(2, q, d)
        u = u / np.linalg.norm(u, axis=1, keepdims=True)
        x = x / np.maximum(1, np.linalg.norm(x, axis=1, keepdims=True))
        signed = u @ x.T * (2 * np.eye(q) - 1)
        sharp = 200.0
        return np.log(np.exp(-sharp * signed).sum()) / sharp  # >= -min(signed)

    best = 1.0
    for seed in range(8):
        start = np.random.default_rng(seed).normal(size=2 * q * d)
        best = min(best, minimize(minus_margin, start, method="BFGS").fun)
    limit = largest_margin(q)
    slack = np.log(q * q) / 200
    assert limit - slack - 0.02 <= -best <= limit + 1e-9


def test_noise_fills_the_other_directions():
    law = SeparableDistribution(7, 3, margin=0.1)
    x, y = law.sample(4000, 0)
    basis = np.linalg.svd(law.directions)[2]
    signal, noise = x @ basis[:3].T, x @ basis[3:].T
    radius = np.linalg.norm(noise, axis=1) / np.sqrt(1 - np.square(signal).sum(1))
    # Uniform in a 4-ball: radius^4 is uniform. Fixed seed; a false alarm has chance 1e-3.
    assert kstest(radius**4, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(noise[:, 0], y == 1)[0, 1]) < 4 / np.sqrt(4000)


def test_same_law_fresh_samples():
    law = SeparableDistribution(8, 3, margin=0.1, random_state=5)
    again = SeparableDistribution(8, 3, margin=0.1, random_state=5)
    assert np.array_equal(law.directions, again.directions)
    assert np.array_equal(law.sample(20, 1)[0], again.sample(20, 1)[0])
    assert not np.allclose(law.sample(20, 1)[0], law.sample(20, 2)[0])
    assert "margin=0.1" in repr(law)


def test_one_call_draws_and_is_repeatable():
    x, y = make_linearly_separable(101, 9, 3, margin=0.2, random_state=7)
    again = make_linearly_separable(101, 9, 3, margin=0.2, random_state=7)
    assert np.array_equal(x, again[0])
    assert np.array_equal(y, again[1])
    assert x.shape == (101, 9)


def test_bad_requests_state_the_limit():
    with pytest.raises(ValueError, match=r"<= q/\(3q - 4\) = 0.5, the largest.*got 0.6"):
        SeparableDistribution(20, 4, margin=0.6)
    with pytest.raises(ValueError, match="margin must be > 0"):
        make_linearly_separable(margin=0)
    with pytest.raises(ValueError, match="n_features must be >= n_classes = 4, got 3"):
        SeparableDistribution(3, 4, margin=0.1)
    with pytest.raises(ValueError, match="n_classes must be >= 2, got 1"):
        largest_margin(1)
    with pytest.raises(ValueError, match="n must be >= 1, got 0"):
        SeparableDistribution(4, 2, margin=0.1).sample(0)
