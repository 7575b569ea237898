import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, kstest
from scipy.stats import f as f_law
from support.defects import Defect, scaled, statistical
from support.seeds import numpy_generator, shifted

from eval import (
    SeparableDistribution,
    largest_margin,
    make_linearly_separable,
    separability,
)
from eval.data import synthetic


def _flatter_ball(monkeypatch):
    sound = synthetic._uniform_ball

    def uniform_ball(rng, radius, dimension):
        x = sound(rng, np.ones(len(radius)), dimension)
        return x * (radius * np.linalg.norm(x, axis=1) ** 0.2)[:, None]

    monkeypatch.setattr(synthetic, "_uniform_ball", uniform_ball)


def _more_wrong_labels(monkeypatch):
    sound = SeparableDistribution.sample

    def sample(law, *args):
        law.label_noise, stated = 1.25 * law.label_noise, law.label_noise
        try:
            return sound(law, *args)
        finally:
            law.label_noise = stated

    monkeypatch.setattr(SeparableDistribution, "sample", sample)


@pytest.mark.parametrize("q", [2, 3, 4, 7])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99, 1.0])
def test_samples_are_separable_with_the_margin_inside_the_ball(q, share):
    margin = share * largest_margin(q)
    law = SeparableDistribution(12, q, margin=margin, random_state=shifted(3))
    x, y = law.sample(999, random_state=shifted(1))
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
        start = numpy_generator(seed).normal(size=2 * q * d)
        best = min(best, minimize(minus_margin, start, method="BFGS").fun)
    limit = largest_margin(q)
    slack = np.log(q * q) / 200
    assert limit - slack - 0.02 <= -best <= limit + 1e-9


@statistical(alarm=1e-4, defect=Defect("uniform in a ball of another dimension", _flatter_ball))
def test_noise_fills_the_other_directions():
    law = SeparableDistribution(7, 3, margin=0.1)
    x, y = law.sample(4000, shifted())
    basis = np.linalg.svd(law.directions)[2]
    signal, noise = x @ basis[:3].T, x @ basis[3:].T
    radius = np.linalg.norm(noise, axis=1) / np.sqrt(1 - np.square(signal).sum(1))
    # Uniform in a 4-ball: radius^4 is uniform.
    assert kstest(radius**4, "uniform").pvalue > 1e-5
    assert abs(np.corrcoef(noise[:, 0], y == 1)[0, 1]) < 4 / np.sqrt(4000)


def test_same_law_fresh_samples():
    law = SeparableDistribution(8, 3, margin=0.1, random_state=shifted(5))
    again = SeparableDistribution(8, 3, margin=0.1, random_state=shifted(5))
    assert np.array_equal(law.directions, again.directions)
    assert np.array_equal(law.sample(20, shifted(1))[0], again.sample(20, shifted(1))[0])
    assert not np.allclose(law.sample(20, shifted(1))[0], law.sample(20, shifted(2))[0])
    assert "margin=0.1" in repr(law)


def test_one_call_draws_and_is_repeatable():
    x, y = make_linearly_separable(101, 9, 3, margin=0.2, random_state=shifted(7))
    again = make_linearly_separable(101, 9, 3, margin=0.2, random_state=shifted(7))
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
    with pytest.raises(ValueError, match="n_classes must be an integer >= 2, got 1"):
        largest_margin(1)
    with pytest.raises(ValueError, match="n must be an integer >= 1, got 0"):
        SeparableDistribution(4, 2, margin=0.1).sample(0)


@pytest.mark.parametrize(
    "options",
    [
        {"weights": [1, 2, 3, 4, 5, 6]},
        {"n_informative": 3},
        {"n_informative": 4, "noise": "gaussian"},
        {"n_informative": 5, "noise": "student", "weights": [10, 1, 1, 1, 1, 1]},
        {"noise": "student", "noise_scale": 0.3},
        {"n_informative": 6, "noise_scale": 0.0},
    ],
)
@pytest.mark.parametrize("margin", [0.01, 0.14])
def test_every_option_keeps_its_certificate(options, margin):
    law = SeparableDistribution(11, 6, margin=margin, random_state=shifted(2), **options)
    x, y = law.sample(600, shifted(4))
    signed = x @ law.directions.T * np.where(np.arange(6) == y[:, None], 1, -1)
    assert signed.min() >= law.margin - 1e-12
    assert np.linalg.norm(x, axis=1).max() <= 1 + 1e-15
    np.testing.assert_allclose(np.linalg.norm(law.directions, axis=1), 1, atol=1e-12)
    found = separability(x, y)
    assert found.separable
    # Round-off of a margin m is 1e-15/m of it.
    assert found.margin >= law.margin * (1 - 1e-12)


def test_without_noise_the_stated_margin_is_the_largest():
    # No free direction: all samples of a class lie on one ray that starts at its centre.
    for q, m in ((3, 3), (6, 6)):
        law = SeparableDistribution(m, q, margin=largest_margin(q), n_informative=m)
        assert separability(*law.sample(60, shifted())).margin == pytest.approx(
            law.margin, rel=1e-9
        )


@pytest.mark.parametrize("q", [4, 5, 8])
def test_three_directions_reach_the_margin_of_the_formula(q):
    c = np.cos(2 * np.pi / q)
    limit = (1 - c) / (3 + c)
    law = SeparableDistribution(3, q, margin=limit * (1 - 1e-12), n_informative=3)
    assert np.linalg.matrix_rank(law.directions, tol=1e-9) == 3
    assert separability(*law.sample(10 * q, shifted())).margin == pytest.approx(limit, rel=1e-9)
    with pytest.raises(ValueError, match=f"{q} classes in a cycle of 3 dimensions, got 0.45"):
        SeparableDistribution(3, q, margin=0.45, n_informative=3)


def test_cycles_of_more_dimensions_allow_larger_margins():
    limits = []
    for m in (3, 5, 7):
        with pytest.raises(ValueError, match="margin must be > 0 and <= ") as caught:
            SeparableDistribution(7, 7, margin=1, n_informative=m)
        limits.append(float(str(caught.value).split("<= ")[1].split(",")[0].split("= ")[-1]))
        law = SeparableDistribution(9, 7, margin=0.05, n_informative=m)
        assert np.linalg.matrix_rank(law.directions, tol=1e-9) == m
    assert limits[0] < limits[1] < limits[2]
    assert limits[2] == pytest.approx(7 / 17, abs=1e-6)


def test_class_sizes_follow_the_weights():
    law = SeparableDistribution(5, 3, margin=0.1, weights=[1, 2, 7])
    for n in (10, 103, 1000):
        counts = np.bincount(law.sample(n, shifted())[1], minlength=3)
        assert np.abs(counts - n * np.array([0.1, 0.2, 0.7])).max() <= 1
        assert counts.sum() == n


WIDER = Defect("10 % too wide", scaled(SeparableDistribution, "_draw_noise", 1.1))


@statistical(alarm=2e-4, defect=WIDER)
@pytest.mark.parametrize("noise", ["gaussian", "student"])
def test_noise_has_the_stated_tails(noise):
    scale, free = 0.1, 4
    law = SeparableDistribution(7, 3, margin=0.1, noise=noise, noise_scale=scale)
    x, _ = law.sample(4000, shifted())
    basis = np.linalg.svd(law.directions)[2]
    signal, w = x @ basis[:3].T, x @ basis[3:].T
    share = np.square(w).sum(axis=1) / (1 - np.square(signal).sum(axis=1))
    ratio = 4 * share / scale**2
    # |w|^2 is chi^2_4 / 4 or F(4, 2), up to the surface of the ball, where 0.25 % of the latter
    # end.
    expected = chi2(free).cdf(free * ratio) if noise == "gaussian" else f_law(free, 2).cdf(ratio)
    assert kstest(expected, "uniform").pvalue > 1e-5
    on_surface = np.mean(share > 1 - 1e-9)
    clipped = 0 if noise == "gaussian" else f_law(free, 2).sf(4 / scale**2)
    assert abs(on_surface - clipped) < 4 * np.sqrt(clipped / 4000) + 1e-12


MORE_WRONG = Defect("a quarter more labels are wrong than stated", _more_wrong_labels)


@statistical(alarm=1e-4, defect=MORE_WRONG)
def test_label_noise_is_said_and_seen():
    law = SeparableDistribution(6, 3, margin=0.2, label_noise=0.1)
    clean = SeparableDistribution(6, 3, margin=0.2)
    assert law.margin is None
    assert law.clean_margin == clean.margin == 0.2
    x, y = law.sample(12_000, shifted())
    same, truth = clean.sample(12_000, shifted())
    np.testing.assert_array_equal(x, same)
    assert abs(np.mean(y != truth) - 0.1) < 4.5 * np.sqrt(0.09 / 12_000)
    found = separability(x[:3000], y[:3000])
    assert [each.status for each in found.by_class] == ["not separable"] * 3
    assert "label_noise=0.1" in repr(law)


def test_one_call_takes_the_options_of_the_law():
    _, y = make_linearly_separable(
        100, 9, 3, margin=0.2, random_state=shifted(7), weights=[8, 1, 1]
    )
    assert np.bincount(y).tolist() == [80, 10, 10]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1, 2]}, r"weights must have one entry per class, \(4,\), got shape \(2,\)"),
        ({"weights": [1, 2, 0, 1]}, "weights must be finite and > 0"),
        ({"n_informative": 2}, "n_informative must be >= 3 and <= n_classes = 4, got 2"),
        ({"noise": "cauchy"}, "noise must be one of uniform, gaussian, student, got 'cauchy'"),
        ({"noise_scale": 2}, "noise_scale must be >= 0 and <= 1, got 2"),
        ({"label_noise": -0.1}, "label_noise must be >= 0 and <= 1, got -0.1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SeparableDistribution(20, 4, margin=0.1, **options)


def test_an_odd_number_of_classes_has_cycles_of_odd_dimension():
    with pytest.raises(ValueError, match="odd as n_classes is, got 4"):
        SeparableDistribution(20, 5, margin=0.1, n_informative=4)
