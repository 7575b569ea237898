import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import balanced_accuracy_score
from support.defects import Defect, statistical
from support.seeds import numpy_generator

from eval import Interval, mean_interval, mismatch_error, mismatch_interval
from eval.accuracy import error_interval, interval_of_counts


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


@pytest.mark.parametrize("wrong", [0, 1, 2, 10, 19, 20])
def test_one_class_gives_the_interval_of_clopper_and_pearson(wrong):
    expected = binomtest(wrong, 20).proportion_ci(0.95, "exact")
    interval = mismatch_interval([0] * 20, [1] * wrong + [0] * (20 - wrong))
    assert interval == pytest.approx((wrong / 20, expected.low, expected.high), abs=1e-12)


def test_equal_classes_without_an_error_are_one_large_class():
    # 20,000 hits: (1 - u)^20000 = 0.025.
    truth = np.repeat([0, 1, 2, 3], 5000)
    estimate, low, high = mismatch_interval(truth, truth)
    assert (estimate, low) == (0, 0)
    assert high == pytest.approx(1 - 0.025 ** (1 / 20_000), rel=0.01)
    assert mismatch_interval(truth, truth + 1) == pytest.approx((1, 1 - high, 1))


def test_errors_and_hits_change_places():
    sizes = np.array([3, 40, 1000])
    wrong = numpy_generator().integers(0, sizes + 1, size=(200, 3))
    low, high = interval_of_counts(wrong, sizes)
    other_low, other_high = interval_of_counts(sizes - wrong, sizes)
    np.testing.assert_allclose(low, 1 - other_high, atol=1e-12)
    np.testing.assert_allclose(high, 1 - other_low, atol=1e-12)


@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.95, 0.9999])
def test_interval_of_any_counts_holds_the_estimate_and_stays_between_0_and_1(confidence):
    rng = numpy_generator()
    for _ in range(300):
        sizes = rng.integers(1, rng.choice([2, 5, 100, 10_000]), size=rng.integers(1, 12))
        for wrong in (rng.integers(0, sizes + 1), sizes * rng.integers(0, 2, len(sizes))):
            low, high = interval_of_counts(wrong, sizes, confidence=confidence)
            assert 0 <= low <= (wrong / sizes).mean() + 1e-12
            assert (wrong / sizes).mean() - 1e-12 <= high <= 1


CASES = [
    ([36] * 10, [0.01]),
    ([10] * 100, [0.05]),
    ([5000] * 4, [1e-4]),
    ([100, 1], [0.1]),
    ([1] * 20, [0.3]),
    ([36] * 10, [0.99]),
    ([40, 200, 1000], [0.3, 0.0, 0.05]),
    ([40] * 4, [0.5]),
    ([5000] * 4, [0.76]),
    ([250, 250], [0.02, 0.98]),
]


def _limits_of_50_percent(monkeypatch):
    monkeypatch.setitem(
        globals(), "interval_of_counts", lambda x, n: sound_limits(x, n, confidence=0.5)
    )


sound_limits, sound_mean = interval_of_counts, mean_interval
SHORT = Defect("limits that miss 25 % on a side", _limits_of_50_percent)


@statistical(alarm=1e-7, defect=SHORT)
@pytest.mark.parametrize(("sizes", "errors"), CASES)
def test_interval_misses_on_either_side_as_rarely_as_it_says(sizes, errors):
    # 4,000 sets of counts. A miss of 2.5 % on a side is seen as more than 4 % with chance 1e-8.
    # The limits of every class added in squares miss by 9 to 17 % in the first six.
    n, p = np.array(sizes), np.broadcast_to(errors, len(sizes))
    wrong = numpy_generator().binomial(n, p, size=(4000, len(n)))
    low, high = interval_of_counts(wrong, n)
    assert np.mean(p.mean() < low - 1e-12) < 0.04
    assert np.mean(p.mean() > high + 1e-12) < 0.04
    if min((n * p).min(), (n * (1 - p)).min()) >= 5:
        stderr = np.sqrt((p * (1 - p) / n).sum()) / len(n)
        assert np.mean(high - low) < 1.25 * 3.92 * stderr


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


@statistical(alarm=1e-4, defect=None)  # the interval without the overlap is in it
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
    student = mean_interval([0.1, 0.2, 0.3], within=(0, 1))
    assert error_interval([0.1, 0.2, 0.3], Interval(0.21, 0.2, 0.22)) == student
    within = error_interval([0.19, 0.2, 0.21], Interval(0.2, 0.1, 0.3))
    assert within == pytest.approx((0.2, 0.1, 0.3))
    beside = error_interval([0.2, 0.2], Interval(0.3, 0.25, 0.4))
    assert beside == pytest.approx((0.2, 0.2, 0.4))


def test_interval_of_positive_values_is_symmetric_on_a_log_scale():
    values = [0.01, 0.02, 0.2]
    mean, low, high = mean_interval(values, within=(0, math.inf))
    plain = mean_interval(values)
    assert plain.low < 0 < low < mean == plain.estimate < high
    reach = (plain.high - mean) / mean
    assert (low, high) == pytest.approx((mean * math.exp(-reach), mean * math.exp(reach)))


def test_interval_of_shares_stays_between_0_and_1_from_both_sides():
    values = [0.01, 0.02, 0.2]
    mean, low, high = mean_interval(values, within=(0, 1), overlap=0.25)
    assert 0 < low < mean < high < 1
    complements = mean_interval([1 - value for value in values], within=(0, 1), overlap=0.25)
    assert complements == pytest.approx((1 - mean, 1 - high, 1 - low))
    doubled = mean_interval([2 * value - 1 for value in values], within=(-1, 1), overlap=0.25)
    assert doubled == pytest.approx((2 * mean - 1, 2 * low - 1, 2 * high - 1))
    # Far from the ends of the range it is Student's.
    near = [0.5, 0.5001, 0.5002]
    assert mean_interval(near, within=(0, 1)) == pytest.approx(mean_interval(near), abs=1e-9)


@pytest.mark.parametrize("within", [(-math.inf, math.inf), (0, math.inf), (0, 1)])
@pytest.mark.parametrize("values", [[0.3], [0.3, 0.3, 0.3], [0.0, 0.0], [1.0, 1.0]])
def test_values_without_spread_have_no_interval(values, within):
    mean, low, high = mean_interval(values, within=within)
    assert mean == pytest.approx(values[0])
    assert math.isnan(low)
    assert math.isnan(high)


def test_values_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r"values must lie between 0 and 1, got 0.2 to 1.5"):
        mean_interval([0.2, 1.5], within=(0, 1))
    with pytest.raises(ValueError, match=r"values must lie between 0 and inf, got -1 to 2"):
        mean_interval([-1.0, 2.0], within=(0, math.inf))


NO_RANGE = Defect(
    "the range is not used",
    lambda monkeypatch: monkeypatch.setitem(
        globals(), "mean_interval", lambda row, within: sound_mean(row)
    ),
)


@statistical(alarm=1e-6, defect=NO_RANGE)
def test_the_range_mends_the_interval_of_skewed_values():
    # Exponential values of mean 0.04, five at a time, 4,000 times: their mean lies above
    # Student's interval in 11.4 % and above that within (0, 1) in 5.2 %, by 10^6 draws. More than
    # 7 % of the latter, or less than 9 % of the former, have chance < 1e-6.
    values = numpy_generator().exponential(0.04, size=(4000, 5))
    above, above_student = (
        np.mean([mean_interval(row, within=within).high < 0.04 for row in values])
        for within in ((0, 1), (-math.inf, math.inf))
    )
    assert above < 0.07
    assert above_student > 0.09
