"""The classifier inside of scikit-learn, with frames of several libraries, and stored."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris
from sklearn.inspection import permutation_importance
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags
from support.seeds import numpy_generator, shifted

from stages import TwoStageClassifier

X, Y = load_iris(return_X_y=True)
SMALL = {"n_neurons": 40, "max_iter": 40, "random_state": shifted()}
FOLDS = StratifiedKFold(3, shuffle=True, random_state=shifted())


@pytest.fixture(scope="module")
def fitted():
    return TwoStageClassifier(**SMALL).fit(X, Y)


@pytest.fixture(autouse=True)
def safe_path(monkeypatch):
    """Worker processes look for packages as this one does."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")


def test_grid_search_in_two_processes_is_the_one_in_one():
    grid = {"twostageclassifier__beta": [1e2, 1e4], "twostageclassifier__gamma": [1.0, 3.0]}
    model = make_pipeline(StandardScaler(), TwoStageClassifier(**SMALL, n_threads=1))
    one, two = (GridSearchCV(model, grid, cv=FOLDS, n_jobs=jobs).fit(X, Y) for jobs in (1, 2))
    for name in one.cv_results_:
        if "time" not in name:
            assert np.array_equal(one.cv_results_[name], two.cv_results_[name]), name
    assert len(set(one.cv_results_["mean_test_score"])) > 1
    best, other = (search.best_estimator_[-1] for search in (one, two))
    for name in ("coef_", "initial_coef_", "mean_"):
        assert np.array_equal(getattr(best, name), getattr(other, name))
    assert torch.equal(best.particles_.a, other.particles_.a)
    assert torch.equal(best.particles_.u, other.particles_.u)


def test_cross_validation_in_two_processes_is_the_one_in_one():
    model = TwoStageClassifier(**SMALL, n_threads=1)
    one, two = (
        cross_validate(model, X, Y, cv=FOLDS, n_jobs=jobs, return_estimator=True) for jobs in (1, 2)
    )
    assert np.array_equal(one["test_score"], two["test_score"])
    for this, that in zip(one["estimator"], two["estimator"], strict=True):
        assert np.array_equal(this.coef_, that.coef_)


def test_the_number_of_threads_is_given_back():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        seen = []
        TwoStageClassifier(**SMALL, n_threads=2).fit(
            X, Y, observers={"threads": lambda state: seen.append(torch.get_num_threads()) or 0.0}
        )
        assert set(seen) == {2}
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="diverged"):
            TwoStageClassifier(**SMALL, n_threads=1, step_size=1e4).fit(X, Y)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_fixed_number_of_threads_makes_fits_the_same_to_the_bit():
    x, y = load_digits(return_X_y=True)
    before, found = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            model = TwoStageClassifier(max_iter=3, random_state=shifted(), n_threads=1).fit(x, y)
            found.append((model.coef_, model.decision_function(x)))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize(("method", "error"), [("sigmoid", 0.03), ("isotonic", 0.05)])
def test_there_is_no_probability_but_by_calibration(method, error):
    assert not hasattr(TwoStageClassifier(), "predict_proba")
    rng = numpy_generator()
    y = rng.integers(0, 2, 6000)
    x = rng.normal(size=(6000, 2)) + np.outer(2 * y - 1, [0.6, 0.3])
    chance = 1 / (1 + np.exp(-2 * x @ [0.6, 0.3]))  # P(y = 1 | x), exactly
    model = TwoStageClassifier(n_neurons=60, max_iter=60, random_state=shifted())
    calibrated = CalibratedClassifierCV(model, method=method, cv=3).fit(x[:2000], y[:2000])
    found, chance = calibrated.predict_proba(x[2000:]), chance[2000:]
    np.testing.assert_allclose(found.sum(1), 1)
    assert np.abs(found[:, 1] - chance).mean() < error
    # Among those told a chance near p, a share near p is of the class: Bonferroni over 10 bins of
    # binomial errors, one seed in 1e4, and the bias of a calibration on 2000 samples.
    for low in np.arange(0, 1, 0.1):
        told = (found[:, 1] >= low) & (found[:, 1] < low + 0.1)
        if told.sum() > 50:
            expected = found[told, 1].mean()
            most = 4.3 * np.sqrt(expected * (1 - expected) / told.sum()) + 0.04
            assert abs(y[2000:][told].mean() - expected) < most


def test_calibration_of_several_classes_takes_weights():
    model = CalibratedClassifierCV(TwoStageClassifier(**SMALL), cv=3)
    found = model.fit(X, Y, sample_weight=1 + Y).predict_proba(X)
    assert found.shape == (150, 3)
    assert (found.argmax(1) == Y).mean() > 0.9


def test_permutation_importance_finds_the_column_that_matters():
    rng = numpy_generator()
    x = rng.normal(size=(200, 4))
    y = (x[:, 2] > 0).astype(int)
    model = TwoStageClassifier(**SMALL | {"max_iter": 100}).fit(x, y)
    importances = permutation_importance(model, x, y, n_repeats=3, random_state=shifted(), n_jobs=1)
    assert importances.importances_mean.argmax() == 2
    assert importances.importances_mean[2] > 5 * np.delete(importances.importances_mean, 2).max()


def test_clones_scorers_and_out_of_fold_predictions():
    model = TwoStageClassifier(**SMALL, class_weight={0: 2.0}, warm_start=True)
    assert clone(model).get_params() == model.get_params()
    assert is_classifier(model)
    predicted = cross_val_predict(model, X, Y, cv=FOLDS)
    assert (predicted == Y).mean() > 0.9
    score = make_scorer(recall_score, average="macro")
    assert cross_validate(model, X, Y, cv=FOLDS, scoring=score)["test_score"].min() > 0.8
    weighted = model.fit(X, Y).score(X, Y, sample_weight=(Y == 0).astype(float))
    assert weighted == (model.predict(X[Y == 0]) == 0).mean()


def test_weights_go_through_a_pipeline():
    steps = make_pipeline(StandardScaler(), TwoStageClassifier(**SMALL))
    steps.fit(X, Y, twostageclassifier__sample_weight=1 + Y)
    direct = TwoStageClassifier(**SMALL).fit(StandardScaler().fit_transform(X), Y, 1 + Y)
    assert np.array_equal(steps[-1].coef_, direct.coef_)


def test_weights_are_routed():
    weights = 1.0 + Y
    with sklearn.config_context(enable_metadata_routing=True):
        model = TwoStageClassifier(**SMALL).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=False)
        found = cross_validate(
            model, X, Y, cv=FOLDS, params={"sample_weight": weights}, return_estimator=True
        )
    for part, (train, _) in zip(found["estimator"], FOLDS.split(X, Y), strict=True):
        direct = TwoStageClassifier(**SMALL).fit(X[train], Y[train], weights[train])
        assert np.array_equal(part.coef_, direct.coef_)


def test_features_and_names_through_a_pipeline():
    steps = make_pipeline(StandardScaler(), TwoStageClassifier(**SMALL, n_hidden_features=4))
    frame = pd.DataFrame(X, columns=list("abcd"))
    out = steps.set_output(transform="pandas").fit(frame, Y).transform(frame)
    assert out.columns.tolist() == steps.get_feature_names_out().tolist()
    assert out.shape == (150, 4)


def test_pandas_frames_keep_names_and_labels(fitted):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"], index=np.arange(150) + 7)
    labels = pd.Series(pd.Categorical.from_codes(Y, ["x", "y", "z"]), index=frame.index)
    model = TwoStageClassifier(**SMALL).fit(frame, labels, pd.Series(np.ones(150)))
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert set(model.predict(frame)) == {"x", "y", "z"}
    assert np.array_equal(model.coef_, fitted.coef_)


def test_polars_frames_in_and_out(fitted):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({name: X[:, j] for j, name in enumerate("abcd")})
    model = TwoStageClassifier(**SMALL).fit(frame, polars.Series(Y))
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert np.array_equal(model.coef_, fitted.coef_)
    assert np.array_equal(model.predict(frame), fitted.predict(X))
    out = model.set_output(transform="polars").transform(frame)
    assert isinstance(out, polars.DataFrame)
    assert out.columns == model.get_feature_names_out().tolist()
    assert np.array_equal(out.to_numpy(), fitted.transform(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename({"a": "other"}))


def test_torch_tensors_as_arrays(fitted):
    model = TwoStageClassifier(**SMALL).fit(torch.tensor(X), torch.tensor(Y))
    assert np.array_equal(model.coef_, fitted.coef_)
    assert np.array_equal(model.predict(torch.tensor(X)), fitted.predict(X))


@pytest.mark.parametrize("layout", ["read-only", "fortran", "strided", "big-endian"])
def test_arrays_of_any_layout_are_left_as_they_are(layout, fitted):
    x = {
        "read-only": X.copy(),
        "fortran": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=0)[::2],
        "big-endian": X.astype(">f8"),
    }[layout]
    y, weight = Y.copy(), 1.0 + (Y == 5)
    for array in (x, y, weight):
        array.setflags(write=False)
    model = TwoStageClassifier(**SMALL).fit(x, y, sample_weight=weight)
    assert np.array_equal(model.coef_, fitted.coef_)
    assert np.array_equal(model.transform(x), model.transform(X))
    assert (x == X).all()


CONTAINERS = ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array", "coo_array"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_sparse_input_is_refused_and_may_be_converted(container, fitted):
    x = getattr(sparse, container)(X)
    for call in (lambda: TwoStageClassifier(**SMALL).fit(x, Y), lambda: fitted.predict(x)):
        with pytest.raises(TypeError, match=r"[Ss]parse.*dense data is required.*toarray"):
            call()
    dense = FunctionTransformer(lambda matrix: matrix.toarray(), accept_sparse=True)
    steps = make_pipeline(dense, TwoStageClassifier(**SMALL)).fit(x, Y)
    assert np.array_equal(steps[-1].coef_, fitted.coef_)


def test_tags_say_so():
    tags = get_tags(TwoStageClassifier())
    assert not tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert tags.target_tags.required
    assert tags.estimator_type == "classifier"


@pytest.mark.parametrize("solver", ["langevin", "gibbs"])
def test_stored_models_predict_the_same(solver, tmp_path):
    model = TwoStageClassifier(
        **SMALL, solver=solver, beta=50.0, gamma=1.0, activation="sigmoid", intercept=0.0
    ).fit(X[:, 2:], Y)
    joblib.dump(model, tmp_path / "model.joblib")
    for stored in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        assert np.array_equal(stored.decision_function(X[:, 2:]), model.decision_function(X[:, 2:]))
        assert stored.get_params() == model.get_params()
        assert (stored.certificate_ is None) == (solver == "langevin")
    if solver == "gibbs":
        x = model.measure_.problem.x
        assert torch.equal(stored.measure_.features(x), model.measure_.features(x))
