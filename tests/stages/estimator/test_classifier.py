import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.utils.estimator_checks import check_estimator
from support.seeds import shifted

from gibbs import describe_report, features
from stages import TwoStageClassifier, fit_linear

X, Y = load_iris(return_X_y=True)
SMALL = {"gamma": 3.0, "n_neurons": 60, "max_iter": 60, "random_state": shifted()}


@pytest.fixture(scope="module")
def fitted():
    return TwoStageClassifier(**SMALL).fit(X, Y)


def failed_checks(model):
    results = check_estimator(model, on_fail=None, on_skip=None)
    assert sum(r["status"] == "passed" for r in results) > 60
    return {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "settings",
    [{}, {"activation": "sigmoid", "intercept": 0.0}, {"dtype": "float64", "stage_two": "flow"}],
    ids=str,
)
def test_scikit_learn_contract(settings):
    assert failed_checks(TwoStageClassifier(n_neurons=100, max_iter=150, **settings)) == {}


@pytest.mark.filterwarnings("default")
@pytest.mark.slow
def test_scikit_learn_contract_of_the_defaults():
    assert failed_checks(TwoStageClassifier()) == {}


def test_predictions_are_the_formula(fitted):
    x = (X - X.mean(0)) / fitted.scale_
    x = np.column_stack([x, np.full(len(x), 0.5)]) / np.sqrt(1.25)
    assert np.linalg.norm((X - fitted.mean_) / fitted.scale_, axis=1).max() == pytest.approx(1)
    a, u = fitted.particles_.a.numpy(), fitted.particles_.u.numpy()
    h = np.tanh(x @ u.T) @ a / len(a)
    np.testing.assert_allclose(fitted.transform(X), h, atol=1e-12)
    np.testing.assert_allclose(fitted.decision_function(X), 3 * h @ fitted.coef_.T, atol=1e-12)
    assert fitted.coef_.shape == (3, 16)
    gram = fitted.initial_coef_ @ fitted.initial_coef_.T
    np.testing.assert_allclose(gram, np.eye(3), atol=1e-6)


def test_problem_is_what_stage_one_solved(fitted):
    problem = fitted.problem(X, Y)
    particles = fitted.particles_.to(torch.float32)
    h = features(problem.x, particles, problem.sigma)
    np.testing.assert_allclose(h.numpy(), fitted.transform(X), atol=1e-5)
    assert problem.y.argmax(1).tolist() == Y.tolist()
    np.testing.assert_array_equal(problem.w.numpy().T, fitted.initial_coef_)
    h = torch.tensor(fitted.transform(X))
    w = fit_linear(h, problem.y, gamma=3.0, lambda_w=1e-4)
    np.testing.assert_allclose(3 * h @ w, fitted.decision_function(X), atol=1e-3)
    with pytest.raises(ValueError, match="labels of the training set, got 7"):
        fitted.problem(X, np.full(len(X), 7))


@pytest.mark.parametrize(
    "names",
    [np.array(["a", "b", "c"]), np.array(["x", "y", "z"], dtype=object), np.array([-5, 0, 9])],
)
def test_labels_of_any_type(names):
    model = TwoStageClassifier(**SMALL).fit(X, names[Y])
    assert (model.classes_ == names).all()
    assert model.predict(X).dtype == names.dtype
    assert model.score(X, names[Y]) > 0.9


def test_two_classes_have_one_score():
    keep = Y < 2
    model = TwoStageClassifier(**SMALL).fit(X[keep], Y[keep] == 1)
    scores = model.decision_function(X[keep])
    assert scores.shape == (100,)
    assert (model.predict(X[keep]) == (scores > 0)).all()


def test_pandas_in_and_out():
    frame = pd.DataFrame(X, columns=["sl", "sw", "pl", "pw"])
    model = TwoStageClassifier(n_hidden_features=5, **SMALL).set_output(transform="pandas")
    out = model.fit(frame, pd.Series(Y)).transform(frame)
    assert list(out.columns) == [f"twostageclassifier{k}" for k in range(5)]
    assert list(model.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"sl": "other"}))


def test_float32_in_float32_out(fitted):
    assert fitted.transform(X.astype(np.float32)).dtype == np.float32
    assert fitted.transform(X).dtype == np.float64


def test_random_state_decides_everything():
    first, again = (TwoStageClassifier(**SMALL).fit(X, Y) for _ in range(2))
    assert np.array_equal(first.coef_, again.coef_)
    other = TwoStageClassifier(**SMALL | {"random_state": shifted(1)}).fit(X, Y)
    assert not np.allclose(first.coef_, other.coef_)
    drawn = [
        TwoStageClassifier(**SMALL | {"random_state": np.random.RandomState(shifted(3))}).fit(X, Y)
        for _ in range(2)
    ]
    assert np.array_equal(drawn[0].coef_, drawn[1].coef_)


def test_global_random_states_are_left_alone():
    before_np, before_torch = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    runs = [TwoStageClassifier(**SMALL | {"random_state": None}).fit(X, Y) for _ in range(2)]
    assert (np.random.get_state()[1] == before_np).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before_torch)
    assert not np.allclose(runs[0].coef_, runs[1].coef_)


def test_pickle_and_clone(fitted):
    restored = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(restored.decision_function(X), fitted.decision_function(X))
    assert clone(fitted).get_params() == fitted.get_params()


def test_parameters_after_fit_do_not_change_predictions():
    model = TwoStageClassifier(**SMALL).fit(X, Y)
    before = model.decision_function(X)
    model.set_params(gamma=50.0, activation="sigmoid", intercept=0.0)
    assert np.array_equal(model.decision_function(X), before)
    model.set_params(beta=7.0, lambda_rho=1.0, truncation=2.0, dtype="float64")
    problem = model.problem(X, Y)
    settings = (problem.gamma, problem.beta, problem.decay, problem.truncation, problem.dtype)
    assert settings == (3.0, 1e4, 1e-4, None, torch.float32)
    assert problem.sigma.name == "tanh"


def test_histories_and_observers():
    model = TwoStageClassifier(**SMALL)
    model.fit(X, Y, observers={"width": lambda state: state.features.shape[1]})
    assert model.history_["step"].tolist() == list(range(0, 61, 10))
    assert set(model.history_["width"]) == {16}
    assert (np.diff(model.history_["seconds"]) > 0).all()
    assert model.n_iter_ == 60
    assert model.certificate_ is None


@pytest.mark.filterwarnings("default")
@pytest.mark.slow
def test_scikit_learn_contract_of_the_solver():
    model = TwoStageClassifier(solver="gibbs", n_neurons=300, n_particles=500, beta=50.0, tol=0.5)
    # Other draws of one law: `test_the_solver_and_batches_agree_up_to_their_draws` has the bound.
    assert list(failed_checks(model)) == ["check_sample_weight_equivalence_on_dense_data"]


def test_solver_brings_a_certificate():
    model = TwoStageClassifier(
        solver="gibbs",
        activation="sigmoid",
        beta=100.0,
        gamma=1.0,
        n_particles=5000,
        tol=0.1,
        random_state=shifted(),
    ).fit(X, Y)
    certificate = model.certificate_
    assert certificate.certified, certificate.reason
    assert certificate.method == "monte_carlo"
    # The regularised loss of a law is a lower bound of no other: D <= E <= |Y|^2/(2n) = 1/2.
    assert 0 < certificate.dual <= certificate.primal <= 0.5
    assert model.n_iter_ == len(model.history_["dual"])
    assert model.score(X, Y) > 0.75  # this hot, the middle class is still blurred


def test_no_steps_leave_random_features():
    model = TwoStageClassifier(**SMALL | {"max_iter": 0}).fit(X, Y)
    assert model.n_iter_ == 0
    assert model.particles_.u.std() == pytest.approx(1, abs=0.1)


def test_progress_bar_goes_to_standard_error(capsys):
    TwoStageClassifier(**SMALL, verbose=True).fit(X, Y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "stage one" in err


@pytest.mark.parametrize("columns", [slice(1), slice(None)])  # by quadrature, and by draws
def test_solver_shows_what_it_is_doing(columns, capsys):
    told = []
    settings = {"solver": "gibbs", "beta": 20.0, "n_particles": 300, "random_state": shifted()}
    model = TwoStageClassifier(**settings, intercept=0, verbose=True)
    model.fit(X[:60, columns], Y[:60], on_newton_step=told.append)
    out, err = capsys.readouterr()
    assert out == ""
    assert told  # every report is shown, with the time, and told to the caller too
    places = [err.find(f"stage one: {describe_report(report)} [") for report in told]
    assert -1 not in places
    assert err.count("Newton step ") == model.n_iter_
    model.set_params(verbose=False).fit(X[:60, columns], Y[:60])
    assert capsys.readouterr() == ("", "")


CASES = [
    ({"solver": "newton"}, "solver must be one of langevin, gibbs, got 'newton'"),
    ({"stage_two": "none"}, "stage_two must be one of linear"),
    ({"dtype": "float16"}, "dtype must be one of float32, float64"),
    ({"n_neurons": 0}, "n_neurons must be an integer >= 1, got 0"),
    ({"n_neurons": 2.5}, "n_neurons must be an integer >= 1, got 2.5"),
    ({"max_iter": -1}, "max_iter must be an integer >= 0"),
    ({"n_hidden_features": 2}, r"n_hidden_features must be an integer >= 3 \(the classes\), got 2"),
    ({"beta": 0.0}, "beta must be > 0"),
    ({"beta": float("inf")}, "lambda_rho must be given when beta is inf"),
    ({"gamma": 0.0}, "gamma must be > 0"),
    ({"lambda_w": 0.0}, "lambda_w must be > 0"),
    ({"activation": "cos"}, "activation must be one of"),
    ({"truncation": -1.0}, "truncation must be > 0"),
    ({"step_size": -0.5}, "step_size must be a finite number > 0"),
    ({"batch_size": 151}, "batch_size must be an integer between 1 and n = 150"),
    ({"intercept": -1.0}, "intercept must be >= 0"),
    ({"random_state": -3}, "random_state must be an int >= 0"),
    ({"step_size": 1e4}, r"step_size=10000.0 diverged after step 0: take a smaller one, or 'auto'"),
]


@pytest.mark.parametrize(("change", "message"), CASES)
def test_bad_parameters_are_named_and_leave_nothing_fitted(change, message):
    model = TwoStageClassifier(**SMALL | change)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert not hasattr(model, "coef_")


DATA = [
    (np.where(X[3, 1] == X, np.nan, X), Y, "Input X contains NaN"),
    (np.where(X[3, 1] == X, np.inf, X), Y, "Input X contains infinity"),
    (X, np.zeros(150), "y must hold at least 2 classes"),
    (X, np.linspace(0, 1, 150), "Unknown label type: continuous"),
    (np.ones((150, 4)), Y, "X must not be constant"),
    (np.full((150, 4), 0.1), Y, "X must not be constant"),
    (X * 1e200, Y, "X must have norms below the largest float"),
    (X[:10], Y, "inconsistent numbers of samples"),
]


@pytest.mark.parametrize(("x", "y", "message"), DATA)
def test_bad_data_is_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        TwoStageClassifier(**SMALL).fit(x, y)


def test_wrong_width_in_scikit_learns_words(fitted):
    with pytest.raises(ValueError, match="X has 3 features, but TwoStageClassifier is expecting 4"):
        fitted.predict(X[:, :3])


def test_a_training_that_diverges_says_where():
    x, y = load_iris(return_X_y=True)
    settings = {"n_neurons": 20, "random_state": shifted()}
    flow = TwoStageClassifier(
        max_iter=30, stage_two="flow", step_size=0.1, lambda_w=1e4, **settings
    )
    with pytest.raises(ValueError, match="diverged after step 0 of the flow"):
        flow.fit(x, y)
    with pytest.raises(ValueError, match="diverged after step 0"):
        TwoStageClassifier(max_iter=5, gamma=1e30, **settings).fit(x, y)


def test_the_flow_as_stage_two_moves_neurons_and_layer():
    x, y = load_iris(return_X_y=True)
    settings = {"max_iter": 100, "n_neurons": 50, "random_state": shifted()}
    flow = TwoStageClassifier(stage_two="flow", flow_max_iter=60, **settings).fit(x, y)
    ridge = TwoStageClassifier(**settings).fit(x, y)
    assert np.array_equal(flow.history_["loss"], ridge.history_["loss"])
    history = flow.stage_two_history_
    assert history["step"].tolist() == list(range(0, 61, 10))
    assert history["loss"][0] == pytest.approx(flow.history_["loss"][-1], rel=1e-5)
    assert not np.allclose(flow.particles_.u, ridge.particles_.u)
    assert not np.allclose(flow.coef_, flow.initial_coef_)
    assert flow.score(x, y) > 0.9
