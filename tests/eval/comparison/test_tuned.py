import math
import pickle

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.datasets import load_iris, load_wine
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support.seeds import numpy_generator, shifted

from eval import compare_baselines, comparison_models, mean_interval
from eval.comparison import (
    Method,
    compare_tuned,
    default_repeats,
    describe_ranking,
    inner_splits,
    outer_splits,
    rank_methods,
    tune_fold,
    tuned_methods,
)
from eval.comparison.folds import OURS, Comparison
from eval.comparison.memory import peak_memory, reset_peak
from eval.comparison.ranking import corrected_test, holm
from eval.comparison.records import FoldRecord
from stages import TwoStageClassifier

SMALL = tuned_methods(n_neurons=20, n_steps=5)


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


def first_fold(x, y, method, *, standardize=True, random_state=None):
    random_state = shifted() if random_state is None else random_state
    train, test = outer_splits(y, 5, random_state)[0]
    options = {"fold": 0, "standardize": standardize, "random_state": random_state}
    return tune_fold(x, y, train, test, method, **options)


def fixed(model, n_candidates=3):
    """A method whose candidates are all the same."""
    return Method("fixed", lambda n, d, seed: model, ({},) * n_candidates)


def test_every_method_has_as_many_different_candidates():
    methods = tuned_methods()
    assert list(methods) == [OURS, *comparison_models()]
    assert {len(method.candidates) for method in methods.values()} == {9}
    for method in methods.values():
        built = [method.build(100, 5, 0, **settings) for settings in method.candidates]
        assert len({repr(sorted(model.get_params().items())) for model in built}) == 9
        assert len({type(model) for model in built}) == 1
        again = pickle.loads(pickle.dumps(method)).build(100, 5, 0, **method.candidates[0])
        assert again.get_params() == built[0].get_params()


def test_candidates_of_ours_differ_in_nothing_but_beta_and_gamma():
    method = tuned_methods(n_neurons=70, n_steps=80)[OURS]
    for n, batch_size in ((2000, None), (2001, 256)):
        for settings in method.candidates:
            expected = TwoStageClassifier(
                n_neurons=70,
                max_iter=80,
                batch_size=batch_size,
                random_state=shifted(3),
                **settings,
            )
            assert method.build(n, 5, shifted(3), **settings).get_params() == expected.get_params()


def test_the_kernel_is_scaled_by_d_and_no_more_neighbours_are_asked_for_than_there_are():
    svc = SMALL["RBF SVC"].build(100, 8, 0, C=10.0, scaled_gamma=3.0)
    assert (svc.C, svc.gamma) == (10.0, 3 / 8)
    assert SMALL["k-NN"].build(12, 8, 0, n_neighbors=31).n_neighbors == 12


def test_inner_errors_and_choice_are_those_of_a_grid_search(wine):
    x, y = wine
    record, predicted = first_fold(x, y, SMALL["ridge"])
    train, test = outer_splits(y, 5, shifted())[0]
    alphas = [settings["alpha"] for settings in SMALL["ridge"].candidates]
    model = make_pipeline(StandardScaler(), RidgeClassifier())
    search = GridSearchCV(
        model,
        {"ridgeclassifier__alpha": alphas},
        scoring="balanced_accuracy",
        cv=list(inner_splits(y[train], 0, shifted())),
    ).fit(x[train], y[train])
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(1 - scores, record.inner_errors)
    assert len(set(record.inner_errors)) > 3
    assert record.chosen == np.flatnonzero(scores > scores.max() - 1e-12)[0]
    assert record.settings == f"alpha={alphas[record.chosen]}"
    model.set_params(ridgeclassifier__alpha=alphas[record.chosen])
    np.testing.assert_array_equal(predicted, model.fit(x[train], y[train]).predict(x[test]))
    assert record.test_error == pytest.approx(1 - balanced_accuracy_score(y[test], predicted))
    assert record.n_candidates == 9


@pytest.mark.parametrize("name", [OURS, "ridge", "k-NN", "RBF SVC"])
@pytest.mark.parametrize("standardize", [True, False])
def test_outer_test_samples_and_labels_take_no_part_in_the_choice(name, standardize, wine):
    x, y = wine
    train, test = outer_splits(y, 5, shifted())[0]
    spoilt_x, spoilt_y = x.copy(), y.copy()
    rng = numpy_generator()
    spoilt_x[test] = 1e3 * rng.normal(size=(len(test), x.shape[1]))
    spoilt_y[test] = rng.permutation(y[test])
    options = {"fold": 0, "standardize": standardize, "random_state": shifted()}
    first, _ = tune_fold(x, y, train, test, SMALL[name], **options)
    second, _ = tune_fold(spoilt_x, spoilt_y, train, test, SMALL[name], **options)
    assert (first.chosen, first.inner_errors) == (second.chosen, second.inner_errors)
    assert (first.train_error, first.nc1_train) == (second.train_error, second.nc1_train)
    assert second.test_error > first.test_error + 0.2


def test_the_first_of_equals_is_chosen_and_what_cannot_be_trained_is_not(wine):
    x, y = wine
    assert first_fold(x, y, fixed(DummyClassifier()))[0].chosen == 0

    def build(n, d, seed, k):
        return KNeighborsClassifier(k)

    method = Method("k", build, ({"k": -1}, {"k": 0}, {"k": 3}))
    record, _ = first_fold(x, y, method)
    assert record.chosen == 2
    assert record.inner_errors[:2] == (1.0, 1.0)


def test_inner_folds_are_three_or_one_split_of_many_samples():
    labels = np.repeat([0, 1, 2], [500, 1000, 1499])
    folds = list(inner_splits(labels, 1, 5))
    np.testing.assert_array_equal(np.sort(np.concatenate([j for _, j in folds])), np.arange(2999))
    for fit, judge in folds:
        assert not set(fit) & set(judge)
        assert len(fit) + len(judge) == 2999
        np.testing.assert_allclose(np.bincount(labels[judge]), [500 / 3, 1000 / 3, 500], atol=1)
    ((fit, judge),) = inner_splits(np.append(labels, 2), 1, 5)
    assert (len(fit), len(judge)) == (2000, 1000)
    assert not set(fit) & set(judge)
    again, other = (next(inner_splits(labels, fold, 5))[0] for fold in (1, 2))
    np.testing.assert_array_equal(again, folds[0][0])
    assert not np.array_equal(other, folds[0][0])


class _Recorder(DummyClassifier):
    """Keeps what it was given."""

    def fit(self, X, y):
        self.seen = X
        return super().fit(X, y)

    def predict(self, X):
        self.asked = X
        return super().predict(X)


def test_columns_get_one_scale_or_each_its_own_from_the_training_samples(wine):
    x, y = wine
    train, test = outer_splits(y, 5, 0)[0]
    mean = x[train].mean(axis=0)
    own = x[train].std(axis=0)
    for standardize, scale in ((True, own), (False, np.sqrt((own**2).mean()))):
        model = _Recorder()
        tune_fold(
            x,
            y,
            train[np.r_[:142]],
            test,
            fixed(model, 1),
            fold=0,
            standardize=standardize,
            random_state=shifted(),
        )
        np.testing.assert_allclose(model.seen, (x[train] - mean) / scale)
        assert (model.seen**2).mean() == pytest.approx(1)


def test_outer_folds_are_those_of_the_fixed_comparison(wine):
    few = {name: SMALL[name] for name in (OURS, "ridge")}
    tuned = compare_tuned(*wine, folds=2, repeats=1, methods=few, random_state=shifted(7))
    plain = compare_baselines(
        *wine,
        folds=2,
        random_state=shifted(7),
        models={"ridge": RidgeClassifier()},
        network=TwoStageClassifier(n_neurons=5, max_iter=0, random_state=shifted()),
    )
    np.testing.assert_array_equal(tuned.labels, plain.labels)
    assert [row.nc1_inputs for row in tuned.of("ridge")] == pytest.approx(
        [row.nc1_inputs for row in plain.of("ridge")]
    )
    again = compare_tuned(*wine, folds=2, repeats=1, methods=few, random_state=shifted(7))
    for name in few:
        np.testing.assert_array_equal(tuned.predictions[name], again.predictions[name])
        assert [r.inner_errors for r in tuned.of(name)] == [r.inner_errors for r in again.of(name)]
    assert tuned.methods == (OURS, "ridge")


def test_a_fit_that_was_cut_short_is_told(wine):
    short = MLPClassifier((3,), max_iter=1, random_state=shifted())
    assert not first_fold(*wine, fixed(short))[0].converged
    assert first_fold(*wine, SMALL["k-NN"])[0].converged


def test_nc1_is_told_of_ours_and_of_the_mlp_alone(wine):
    mlp = fixed(MLPClassifier((3,), solver="lbfgs", max_iter=5000, random_state=shifted()), 1)
    for method, told in ((SMALL[OURS], True), (mlp, True), (SMALL["ridge"], False)):
        record, _ = first_fold(*wine, method)
        assert (record.nc1_test is not None) is told


def test_memory_is_the_peak_since_the_reset():
    if peak_memory() is None:
        pytest.skip("this system does not tell")
    reset_peak()
    before = peak_memory()
    np.ones(60 * 2**17)
    assert peak_memory() - before == pytest.approx(60, abs=10)
    reset_peak()
    assert peak_memory() < before + 20


def test_the_corrected_test_is_students_with_more_variance():
    d = np.array([0.01, 0.03, -0.02, 0.04, 0.02])
    plain = ttest_1samp(d, 0)
    stderr, p = corrected_test(d, overlap=0.0)
    assert (stderr, p) == pytest.approx((d.std(ddof=1) / math.sqrt(5), plain.pvalue))
    larger, p_larger = corrected_test(d, overlap=40 / 160)
    assert larger == pytest.approx(stderr * math.sqrt((1 / 5 + 1 / 4) * 5))
    assert p_larger > p
    # Its 5 % level is where the 95 % interval touches 0.
    interval = mean_interval(d, overlap=1 / 4)
    touching = d - interval.low
    assert corrected_test(touching, overlap=1 / 4)[1] == pytest.approx(0.05)
    assert corrected_test([0.0, 0.0], 0.25) == (0.0, 1.0)
    assert corrected_test([0.5, 0.5], 0.25) == (0.0, 0.0)


def test_the_corrected_test_keeps_its_level_where_the_plain_one_does_not():
    """Equicorrelated folds, rho = 1/5: 500 draws, 5 % +- 4 binomial deviations (3.9 %)."""
    rng = numpy_generator()
    draws = math.sqrt(0.2) * rng.normal(size=(500, 1)) + math.sqrt(0.8) * rng.normal(size=(500, 5))
    for overlap, rejected in ((20 / 80, 0.05), (0.0, 0.17)):
        p = np.array([corrected_test(row, overlap)[1] for row in draws])
        assert (p < 0.05).mean() == pytest.approx(rejected, abs=0.039)


def test_holm_multiplies_in_order_and_never_falls():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def comparison(**errors):
    """A comparison with given test errors by fold, of 20 test and 80 training samples."""
    names = {"ours": OURS}
    records = [
        FoldRecord(
            method=names.get(name, name),
            fold=fold,
            n_train=80,
            n_test=20,
            train_error=0.0,
            test_error=e,
            test_error_low=e,
            test_error_high=e,
            fit_seconds=1.0,
            predict_seconds=1.0,
            nc1_inputs=None,
            nc1_train=None,
            nc1_test=None,
        )
        for name, row in errors.items()
        for fold, e in enumerate(row)
    ]
    labels = np.zeros(20 * len(errors["ours"]))
    return Comparison(tuple(records), labels, dict.fromkeys(errors, labels), np.arange(len(labels)))


def test_ranks_differences_and_p_values_of_known_errors():
    ours, other, bad = [0.1, 0.2, 0.3], [0.1, 0.1, 0.25], [0.5, 0.6, 0.9]
    rows = rank_methods(comparison(ours=ours, other=other, bad=bad))
    assert [(row.rank, row.method) for row in rows] == [(1, "other"), (2, OURS), (3, "bad")]
    d = np.array([0, 0.1, 0.05])
    half = 4.3026527 * math.sqrt((1 / 3 + 1 / 4) * d.var(ddof=1))
    assert rows[1].difference == pytest.approx((0.05, 0.05 - half, 0.05 + half))
    assert rows[1].stderr == pytest.approx(half / 4.3026527)
    assert rows[0].difference == pytest.approx((0, math.nan, math.nan), nan_ok=True)
    assert math.isnan(rows[0].p_value)
    assert (rows[1].p_value, rows[2].p_value) == pytest.approx(
        [corrected_test(row, 1 / 4)[1] for row in (d, np.subtract(bad, other))]
    )
    assert [row.p_holm for row in rows[1:]] == pytest.approx(
        holm([row.p_value for row in rows[1:]])
    )


def test_equal_means_share_a_rank():
    rows = rank_methods(comparison(ours=[0.1, 0.3], a=[0.3, 0.1], b=[0.0, 0.6]))
    assert [(row.rank, row.method) for row in rows] == [(1, OURS), (1, "a"), (3, "b")]


SENTENCES = [
    ([0.1, 0.2], [0.2, 0.4], "rank 1 of 2, first; next is a, 15.00 % (standard error 6.12 %)"),
    ([0.2, 0.1], [0.1, 0.12], "rank 2 of 2, 4.00 % (standard error 7.35 %) behind a: within one"),
    ([0.3, 0.4], [0.1, 0.12], "24.00 % (standard error 4.90 %) behind a: more than one"),
]


@pytest.mark.parametrize(("ours", "a", "told"), SENTENCES)
def test_the_verdict_says_first_or_how_far_behind(ours, a, told):
    assert told in describe_ranking(rank_methods(comparison(ours=ours, a=a)))


def test_classes_too_small_for_inner_folds_and_other_methods_are_refused():
    x, y = load_iris(return_X_y=True)
    y = np.where(np.arange(150) < 3, 9, y)
    with pytest.raises(ValueError, match=r"at least 3 samples of every class .* 3 folds, got 2 of"):
        compare_tuned(x, y, folds=3)
    with pytest.raises(ValueError, match="methods must hold 'two-stage network', got ridge"):
        compare_tuned(x, y, methods={"ridge": SMALL["ridge"]})
    with pytest.raises(ValueError, match=r"folds must be between 2 and .* got 4"):
        compare_tuned(x, y, folds=4)


def test_stratified_outer_folds_hold_every_sample_once(wine):
    y = wine[1]
    expected = StratifiedKFold(5, shuffle=True, random_state=shifted(2)).split(y, y)
    for (train, test), (train_, test_) in zip(
        outer_splits(y, 5, shifted(2)), expected, strict=True
    ):
        np.testing.assert_array_equal(train, train_)
        np.testing.assert_array_equal(test, test_)


def test_repeats_begin_with_the_same_folds_and_go_on_with_others(wine):
    y = wine[1]
    splits = outer_splits(y, 5, shifted(2), repeats=3)
    assert len(splits) == 15
    for (train, test), (train_, test_) in zip(splits, outer_splits(y, 5, shifted(2)), strict=False):
        np.testing.assert_array_equal(train, train_)
        np.testing.assert_array_equal(test, test_)
    for again in range(3):
        tested = np.concatenate([test for _, test in splits[5 * again : 5 * again + 5]])
        np.testing.assert_array_equal(np.sort(tested), np.arange(len(y)))
    assert len({tuple(test) for _, test in splits}) == 15
    with pytest.raises(ValueError, match="repeats must be >= 1, got 0"):
        outer_splits(y, 5, 2, repeats=0)
    assert [default_repeats(n) for n in (3, 999, 1000, 70_000)] == [3, 3, 1, 1]


def test_repeats_do_not_make_test_samples_more(wine):
    """Where no fold errs, the upper end is that of n samples, not of 3 n."""
    x, y = np.where(wine[1] == 2, 1.0, 0.0)[:, None], np.where(wine[1] == 2, 1, 0)
    few = {name: SMALL[name] for name in (OURS, "k-NN")}
    once, thrice = (compare_tuned(x, y, folds=2, repeats=k, methods=few) for k in (1, 3))
    assert len(thrice.labels) == 3 * len(once.labels)
    assert thrice.test_error("k-NN").estimate == 0
    assert thrice.test_error("k-NN") == pytest.approx(once.test_error("k-NN"))
    assert once.test_error("k-NN").high > 0


def test_the_network_takes_batches_of_many_samples_and_more_steps_of_them():
    for n, n_steps, expected in (
        (2000, None, (None, 1500)),
        (2001, None, (256, 4000)),
        (2001, 7, (256, 7)),
    ):
        method = tuned_methods(n_steps=n_steps)[OURS]
        model = method.build(n, 5, 0, **method.candidates[-1])
        assert (model.batch_size, model.max_iter) == expected
        assert (model.beta, model.gamma, model.activation) == (1e6, 1.0, "relu")
