import math

import numpy as np
import pytest
from scipy.stats import binom, norm
from seeds import numpy_generator
from sklearn.metrics import balanced_accuracy_score

from eval import Interval, mean_interval, mismatch_error, mismatch_interval
from eval.accuracy import error_interval, share_interval


@pytest.mark.parametrize("seed", range(5))
def test_mismatch_error_is_one_minus_balanced_accuracy(seed):
    rng = numpy_generator(seed)
    truth = rng.choice(4, size=300, p=[0.1, 0.2, 0.3, 0.4])
    predicted = np.where(rng.random(300) < 0.7, truth, rng.integers(0, 4, 300))
    expected = 1 - balanced_accuracy_score(truth, predicted)
    names = np.array(list("abcd"))
    assert mismatch_error(truth, predicted) == pytest.approx(expected, abs=1e-15)
    assert mismatch_error(names[truth], names[predicted]) == pytest.approx(expected, abs=1e-15)
    assert mismatch_interval(truth, predicted).estimate == mismatch_error(truth, predicted)


def test_one_class_gives_wilsons_interval():
    # Wilson's 95 % limits for 2 of 20, from the score equation |p - 0.1| = z sqrt(p(1-p)/20).
    low, high = mismatch_interval([0] * 20, [1] * 2 + [0] * 18)[1:]
    for p in (low, high):
        assert abs(p - 0.1) / np.sqrt(p * (1 - p) / 20) == pytest.approx(1.959964, abs=1e-6)
    assert low < 0.1 < high


def test_no_errors_still_have_an_upper_limit():
    truth = np.repeat([0, 1, 2, 3], 5000)
    estimate, low, high = mismatch_interval(truth, truth)
    assert (estimate, low) == (0, 0)
    assert 1e-4 < high < 8e-4


@pytest.mark.parametrize("errors", [(0.02, 0.02, 0.02), (0.3, 0.0, 0.05)])
def test_interval_covers_the_population_value(errors):
    # Exact counts, 4,000 repetitions: with 95 % coverage fewer than 92.5 % has chance < 1e-11.
    rng = numpy_generator()
    sizes = np.array([40, 200, 1000])
    truth = np.repeat([0, 1, 2], sizes)
    covered = 0
    for _ in range(4000):
        wrong = binom.rvs(sizes, errors, random_state=rng)
        predicted = np.concatenate(
            [
                np.where(np.arange(n) < k, 9, c)
                for c, (n, k) in enumerate(zip(sizes, wrong, strict=True))
            ]
        )
        _, low, high = mismatch_interval(truth, predicted)
        covered += low <= np.mean(errors) <= high
    assert covered / 4000 > 0.925


def test_higher_confidence_is_wider():
    truth, predicted = [0, 0, 1, 1, 1], [0, 1, 1, 1, 0]
    narrow = mismatch_interval(truth, predicted, confidence=0.5)
    wide = mismatch_interval(truth, predicted, confidence=0.99)
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


def test_mean_interval_is_students():
    from scipy.stats import ttest_1samp

    values = numpy_generator().normal(3, 2, 9)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    ours = mean_interval(values)
    assert ours == pytest.approx((values.mean(), expected.low, expected.high))
    assert np.isnan(mean_interval([1.0]).low)


def test_interval_of_overlapping_splits_covers_the_population_error():
    # Nearest class mean on 10 splits of 120 samples; the mean population error of its ten
    # classifiers is known by formula. 200 data sets: 95 % coverage gives < 88 % with chance
    # 4e-5. Student's interval without the correction covers far less.
    rng = numpy_generator()
    covered, naive = 0, 0
    for _ in range(200):
        y = np.arange(120) % 2
        x = rng.normal(size=(120, 4)) + 0.5 * (2 * y[:, None] - 1)
        errors, exact = [], []
        for _ in range(10):
            order = rng.permutation(120)
            train, test = order[:72], order[72:]
            low, high = (x[train][y[train] == k].mean(axis=0) for k in (0, 1))
            w, b = high - low, (high @ high - low @ low) / 2
            errors.append(mismatch_error(y[test], (x[test] @ w > b).astype(int)))
            scale = np.linalg.norm(w)
            wrong = [norm.cdf(s * (b - s * 0.5 * w.sum()) / scale) for s in (1, -1)]
            exact.append(np.mean(wrong))
        for overlap, count in ((48 / 72, "covered"), (0.0, "naive")):
            _, low, high = mean_interval(errors, overlap=overlap)
            hit = low <= np.mean(exact) <= high
            covered += hit and count == "covered"
            naive += hit and count == "naive"
    assert covered / 200 > 0.88
    assert naive / 200 < 0.85


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"of one length >= 1, got shapes \(2,\) and \(3,\)"):
        mismatch_error([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        mismatch_interval([0], [0], confidence=95)


def test_error_interval_is_the_wider_of_student_and_binomial():
    assert error_interval([0.0, 0.0], Interval(0.0, 0.0, 0.02)) == (0.0, 0.0, 0.02)
    spread = error_interval([0.1, 0.2, 0.3], Interval(0.21, 0.2, 0.22))
    half = 4.3026527 * 0.1 / math.sqrt(3)
    assert spread == pytest.approx((0.2, 0.0, 0.2 + half))
    near = error_interval([0.2, 0.2], Interval(0.3, 0.25, 0.4))
    assert near == pytest.approx((0.2, 0.15, 0.3))


def test_a_share_stays_between_0_and_1():
    values = [0.01, 0.02, 0.2]
    mean, low, high = mean_interval(values)
    assert low < 0
    assert share_interval(values) == (mean, 0.0, high)
    complements = share_interval([1 - value for value in values], overlap=0.25)
    assert complements.high == 1.0
    assert complements.low == mean_interval([1 - value for value in values], overlap=0.25).low
    one = share_interval([0.3])
    assert one.estimate == 0.3
    assert math.isnan(one.low)
    assert math.isnan(one.high)
