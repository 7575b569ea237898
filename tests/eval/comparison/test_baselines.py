import dataclasses
import math
import warnings

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from support.defects import Defect, statistical
from support.seeds import numpy_generator, shifted

from eval import (
    SeparableDistribution,
    baseline_models,
    compare_baselines,
    comparison_models,
    mean_interval,
    mismatch_interval,
    nc1,
)
from eval.accuracy import error_interval
from eval.comparison.folds import OURS, RANDOM_FEATURES
from eval.comparison.records import hidden_activations
from stages import TwoStageClassifier


def tiny(**changes):
    return TwoStageClassifier(
        **{"n_neurons": 50, "max_iter": 30, "random_state": shifted()} | changes
    )


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def three_folds(iris):
    mlp = MLPClassifier((7, 5), max_iter=2000, random_state=shifted())
    models = {"1-NN": KNeighborsClassifier(1), "MLP": mlp}
    return compare_baselines(
        *iris, folds=3, models=models, network=tiny(), controls=True, random_state=shifted(4)
    )


def folds_of(iris, k, random_state):
    x, y = iris
    splitter = StratifiedKFold(k, shuffle=True, random_state=random_state)
    for train, test in splitter.split(x, y):
        scaler = StandardScaler().fit(x[train])
        yield scaler.transform(x[train]), y[train], scaler.transform(x[test]), y[test]


def test_the_eight_baselines_hold_the_three_of_a_run():
    models = comparison_models(3)
    assert list(models) == [
        "logistic regression",
        "ridge",
        "linear SVC",
        "RBF SVC",
        "MLP",
        "k-NN",
        "random forest",
        "gradient boosting",
    ]
    few = baseline_models(3)
    assert list(few) == ["logistic regression", "RBF SVC", "MLP"]
    assert all(repr(models[name]) == repr(model) for name, model in few.items())


def test_records_are_those_of_scikit_learn_on_the_same_folds(iris, three_folds):
    for record, (x, y, x_test, y_test) in zip(
        three_folds.of("1-NN"), folds_of(iris, 3, shifted(4)), strict=True
    ):
        model = KNeighborsClassifier(1).fit(x, y)
        predicted = model.predict(x_test)
        assert record.test_error == pytest.approx(1 - balanced_accuracy_score(y_test, predicted))
        assert record.train_error == pytest.approx(1 - balanced_accuracy_score(y, model.predict(x)))
        ends = (record.test_error_low, record.test_error_high)
        assert ends == mismatch_interval(y_test, predicted)[1:]
        assert (record.n_train, record.n_test) == (len(y), len(y_test)) == (100, 50)
        assert record.nc1_inputs == pytest.approx(nc1(x_test, y_test))
        assert record.nc1_train is record.nc1_test is None


def test_nc1_is_that_of_our_features_with_and_without_training(iris, three_folds):
    for method, network in ((OURS, tiny()), (RANDOM_FEATURES, tiny(max_iter=0))):
        x, y, x_test, y_test = next(folds_of(iris, 3, shifted(4)))
        model = network.fit(x, y)
        record = three_folds.of(method)[0]
        assert record.nc1_train == pytest.approx(nc1(model.transform(x), y))
        assert record.nc1_test == pytest.approx(nc1(model.transform(x_test), y_test))


def test_nc1_of_the_mlp_is_that_of_its_last_hidden_layer(iris, three_folds):
    x, y, x_test, y_test = next(folds_of(iris, 3, shifted(4)))
    mlp = MLPClassifier((7, 5), max_iter=2000, random_state=shifted()).fit(x, y)
    first = np.maximum(x_test @ mlp.coefs_[0] + mlp.intercepts_[0], 0)
    second = np.maximum(first @ mlp.coefs_[1] + mlp.intercepts_[1], 0)
    means = np.array([second[y_test == k].mean(axis=0) for k in range(3)])
    within = ((second - means[y_test]) ** 2).sum()
    expected = within / ((second - second.mean(axis=0)) ** 2).sum()
    assert three_folds.of("MLP")[0].nc1_test == pytest.approx(expected)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_the_output_layer_on_the_hidden_activations_gives_the_predictions(activation, iris):
    x, y = iris
    mlp = MLPClassifier(
        (6,), activation=activation, solver="lbfgs", max_iter=5000, random_state=shifted()
    )
    mlp.fit(x / 10, y)
    outputs = hidden_activations(mlp, x / 10) @ mlp.coefs_[-1] + mlp.intercepts_[-1]
    shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, mlp.predict_proba(x / 10), atol=1e-12)


def test_corrected_interval_is_the_formula_of_nadeau_and_bengio():
    values = np.array([0.01, 0.03, -0.02, 0.04, 0.02])
    s2 = ((values - 0.016) ** 2).sum() / 4
    half = 2.7764451 * math.sqrt((1 / 5 + 40 / 160) * s2)
    expected = (0.016, 0.016 - half, 0.016 + half)
    assert mean_interval(values, overlap=40 / 160) == pytest.approx(expected)
    one = mean_interval([0.25], overlap=40 / 160)
    assert one.estimate == 0.25
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def _half_overlap(monkeypatch):
    monkeypatch.setitem(
        globals(), "mean_interval", lambda row, overlap: sound_interval(row, overlap=overlap / 2)
    )


sound_interval = mean_interval


@statistical(alarm=1e-4, defect=Defect("half of the overlap of the folds", _half_overlap))
def test_corrected_interval_covers_where_the_uncorrected_one_does_not():
    """Equicorrelated folds, rho = n_test/(n_train+n_test) = 1/5: the variance is then unbiased.

    5,000 draws: 95 % +- 4 binomial standard deviations (1.2 %). The t law is
    exact here: mean and s^2 of equicorrelated normals are independent, and the corrected
    variance is (1/k + rho/(1-rho)) s^2 = Var(mean) chi^2_{k-1}/(k-1).
    """
    rng = numpy_generator()
    k, rho = 5, 0.2
    shared, own = rng.normal(size=(5000, 1)), rng.normal(size=(5000, k))
    draws = math.sqrt(rho) * shared + math.sqrt(1 - rho) * own
    covered = [
        interval.low <= 0 <= interval.high
        for interval in (mean_interval(row, overlap=20 / 80) for row in draws)
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.0124)


def test_differences_are_paired_by_fold(three_folds):
    other = np.array([record.test_error for record in three_folds.of("1-NN")])
    ours = np.array([record.test_error for record in three_folds.of(OURS)])
    half = student.ppf(0.975, 2) * math.sqrt((1 / 3 + 50 / 100) * (other - ours).var(ddof=1))
    mean = (other - ours).mean()
    # On the scale of artanh, for differences lie between -1 and 1.
    ends = np.tanh(np.arctanh(mean) + half / (1 - mean**2) * np.array([-1, 1]))
    assert three_folds.difference("1-NN") == pytest.approx((mean, *ends))
    summary = {row.method: row for row in three_folds.summary()}
    assert summary["1-NN"].difference == three_folds.difference("1-NN")
    assert summary[OURS].difference is None


def test_folds_test_every_sample_once_and_pool_for_the_interval(iris, three_folds):
    np.testing.assert_array_equal(np.bincount(three_folds.labels), [50, 50, 50])
    expected = [y_test for *_, y_test in folds_of(iris, 3, shifted(4))]
    np.testing.assert_array_equal(three_folds.labels, np.concatenate(expected))
    pooled = mismatch_interval(three_folds.labels, three_folds.predictions["1-NN"])
    errors = [record.test_error for record in three_folds.of("1-NN")]
    assert three_folds.test_error("1-NN") == error_interval(errors, pooled, three_folds.overlap)


def test_one_split_has_the_binomial_interval(iris):
    x, y = iris
    result = compare_baselines(
        x,
        y,
        test_size=0.4,
        standardize=False,
        random_state=shifted(2),
        models={"1-NN": KNeighborsClassifier(1)},
        network=tiny(),
    )
    parts = train_test_split(x, y, test_size=0.4, stratify=y, random_state=shifted(2))
    predicted = KNeighborsClassifier(1).fit(parts[0], parts[2]).predict(parts[1])
    assert result.test_error("1-NN") == pytest.approx(mismatch_interval(parts[3], predicted))
    assert len(result.records) == 2
    assert math.isnan(result.difference("1-NN").low)


def test_small_error_without_collapse_and_collapse_with_small_error():
    """Two lights on separable data: an MLP classifies without collapse, our features collapse.

    The training never drives the hidden layer of the MLP to its class means; random features
    have the NC1 of the inputs.
    """
    x, y = SeparableDistribution(20, 4, margin=0.1).sample(240, random_state=shifted(1))
    result = compare_baselines(
        x,
        y,
        folds=3,
        standardize=False,
        models={"MLP": MLPClassifier(max_iter=3000, random_state=shifted())},
        network=tiny(n_neurons=200, max_iter=400, gamma=1.0),
        controls=True,
    )
    rows = {row.method: row for row in result.summary()}
    assert rows["MLP"].test_error.estimate == rows[OURS].test_error.estimate == 0
    assert rows[OURS].nc1_test.estimate < 0.1
    assert rows["MLP"].nc1_test.estimate > 0.3
    assert rows[RANDOM_FEATURES].nc1_test.estimate > 0.5


def test_nc1_of_equal_features_is_not_defined(iris):
    x, y = iris
    result = compare_baselines(
        x,
        y,
        folds=2,
        standardize=False,
        models={
            "dead": _Dead((1,), max_iter=1, random_state=shifted()),
            "dummy": DummyClassifier(),
        },
        network=tiny(),
    )
    assert [record.nc1_test for record in result.of("dead")] == [None, None]
    assert result.summary()[1].nc1_test is None


class _Dead(MLPClassifier):
    """A network whose hidden neurons are all off."""

    def fit(self, X, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().fit(X, y)
        self.coefs_[0][:] = 0
        self.intercepts_[0][:] = -1
        return self


def test_records_are_told_as_they_come_and_frozen(iris):
    told = []
    result = compare_baselines(
        *iris,
        folds=2,
        models={"1-NN": KNeighborsClassifier(1)},
        network=tiny(),
        on_record=told.append,
    )
    assert [(r.method, r.fold) for r in told] == [(OURS, 0), ("1-NN", 0), (OURS, 1), ("1-NN", 1)]
    assert sorted(told, key=lambda r: r.method) == sorted(result.records, key=lambda r: r.method)
    with pytest.raises(dataclasses.FrozenInstanceError):
        told[0].fold = 9


def test_text_labels_give_the_same_errors(iris):
    x, y = iris
    names = np.array(["b", "c", "a"])[y]
    options = {"folds": 2, "models": {"1-NN": KNeighborsClassifier(1)}, "network": tiny()}
    first, second = compare_baselines(x, y, **options), compare_baselines(x, names, **options)
    assert [r.test_error for r in first.of("1-NN")] == [r.test_error for r in second.of("1-NN")]


BAD = [
    ({"folds": 1}, r"folds must be between 2 and the size of the smallest class, 50 of 0, got 1"),
    ({"folds": 51}, r"smallest class, 50 of 0, got 51"),
    ({"test_size": 1.0}, r"test_size must be between 0 and 1, got 1.0"),
    ({"models": {OURS: DummyClassifier()}}, r"models must not be named 'two-stage network'"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_arguments_are_refused(options, message, iris):
    with pytest.raises(ValueError, match=message):
        compare_baselines(*iris, **options)


def test_one_class_and_unknown_methods_are_refused(iris, three_folds):
    with pytest.raises(ValueError, match="y must hold at least 2 classes, got the one class 0"):
        compare_baselines(iris[0], np.zeros(150, dtype=int))
    with pytest.raises(KeyError, match="method must be one of two-stage network"):
        three_folds.of("perceptron")
