import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from support.problems import small_problem
from support.seeds import numpy_generator, seeded, shifted

from eval import (
    COLLAPSE_DEFINITIONS,
    CollapseStatus,
    collapse_metrics,
    collapse_observers,
    collapse_of,
    nc1,
)
from gibbs import LangevinResult
from stages import Langevin, TwoStageClassifier, train_two_stage

SMALL = {"n_neurons": 60, "max_iter": 35, "dtype": "float64", "random_state": shifted()}


def values(metrics):
    return {name: value.value for name, value in metrics.as_dict().items()}


def data(load, names=False):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return X, np.array(["setosa", "versicolor", "virginica"])[y] if names else y


class Linear:
    """The inputs are the features."""

    def __init__(self, classes=(), coef=None):
        self.classes_ = np.array(classes)
        if coef is not None:
            self.coef_ = np.array(coef)

    def transform(self, X):
        return X


@pytest.mark.parametrize(
    ("load", "names"), [(load_iris, False), (load_iris, True), (load_breast_cancer, False)]
)
def test_a_fitted_classifier_has_the_metrics_of_its_features_and_its_layer(load, names):
    X, y = data(load, names)
    model = TwoStageClassifier(**SMALL).fit(X, y, observers=collapse_observers())
    of_model = values(collapse_of(model, X, y))
    h = model.transform(X)
    assert of_model == pytest.approx(values(collapse_metrics(h, y, model.coef_.T)), nan_ok=True)
    assert of_model["nc1"] == pytest.approx(nc1(h, y))
    before = values(collapse_metrics(h, y, model.initial_coef_.T))
    for name in COLLAPSE_DEFINITIONS:
        assert len(model.history_[name]) == len(model.history_["step"]) == 5
        assert model.history_[name][-1] == pytest.approx(before[name], rel=1e-9)
        after = [before[name], of_model[name]]
        assert model.stage_two_history_[name] == pytest.approx(after, rel=1e-9, abs=1e-12)
    assert np.ptp(model.history_["nc1"]) > 0.01


def test_a_class_that_is_not_there_is_absent_and_not_forgotten():
    X, y = data(load_iris, names=True)
    model = TwoStageClassifier(**SMALL).fit(X, y)
    metrics = collapse_of(model, X[y != "setosa"], y[y != "setosa"])
    assert metrics.nc3.status is CollapseStatus.ABSENT_CLASS
    assert metrics.nc3.reason == "every class must have samples, got none of setosa"
    assert metrics.nc1.status is CollapseStatus.OK


def test_layer_and_bias_follow_the_classes_of_the_model():
    rng = numpy_generator()
    y = np.arange(60) % 3
    means, b = 4 * rng.normal(size=(3, 5)), rng.normal(size=3)
    X, w = means[y] + rng.normal(size=(60, 5)), means.T + rng.normal(size=(5, 3))
    expected = values(collapse_metrics(X, y, w))
    assert values(collapse_of(Linear([0, 1, 2], w.T), X, torch.tensor(y))) == pytest.approx(
        expected, rel=1e-12
    )
    order = [2, 0, 1]
    model = Linear(order, w.T[order])
    assert values(collapse_of(model, X, y)) == pytest.approx(expected, rel=1e-12)
    model.intercept_ = 1e3 * b[order]
    assert values(collapse_of(model, X, y)) == values(collapse_metrics(X, y, w, bias=1e3 * b))
    assert collapse_of(model, X, y).nc4.value != expected["nc4"]


def test_what_does_not_fit_is_named():
    X, y = data(load_iris)
    model = TwoStageClassifier(**SMALL).fit(X, y)
    with pytest.raises(TypeError, match=r"model must have the method transform, got a Logistic"):
        collapse_of(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(NotFittedError, match=r"model must be a fitted .* without classes_ and co"):
        collapse_of(TwoStageClassifier(), X, y)
    with pytest.raises(NotFittedError, match=r"got a Linear without coef_$"):
        collapse_of(Linear([0, 1, 2]), X, y)
    with pytest.raises(ValueError, match=r"3 features, but TwoStageClassifier is expecting 4"):
        collapse_of(model, X[:, :3], y)
    with pytest.raises(ValueError, match=r"entry per row of X, \(150,\), got shape \(149,\)"):
        collapse_of(model, X, y[:-1])
    for unknown, got in ((y + 1, "3"), (y.astype(str), "'0'")):
        with pytest.raises(ValueError, match=rf"y must be among model.classes_, got {got}"):
            collapse_of(model, X, unknown)
    with pytest.raises(ValueError, match=r"model.coef_ must .*, \(2, 4\), got shape \(1, 4\)"):
        collapse_of(Linear([0, 1], np.ones((1, 4))), X[:100], y[:100])
    with pytest.raises(ValueError, match=r"names must be among nc1, .*, nc4, got 'nc5'"):
        collapse_observers("nc1", "nc5")


def test_observers_are_chosen_by_name_and_measure_what_is_undefined_as_nan():
    assert list(collapse_observers("cdnv", "nc1")) == ["cdnv", "nc1"]
    assert list(collapse_observers()) == list(COLLAPSE_DEFINITIONS)
    problem = small_problem(n=3, q=3, p=4)
    result = train_two_stage(
        problem,
        Langevin(n_neurons=20, n_steps=10),
        generator=seeded(),
        observers=collapse_observers("nc1", "nc2_simplex"),
    )
    assert isinstance(result.stage_one, LangevinResult)
    assert result.stage_one.history["nc1"].isnan().all()  # one sample in every class
    assert result.stage_two_history["nc2_simplex"].isfinite().all()


def test_the_solver_has_them_after_its_stage():
    X, y = data(load_iris)
    model = TwoStageClassifier(solver="gibbs", n_particles=500, tol=10, n_neurons=50, beta=20)
    model.set_params(random_state=shifted(), dtype="float64").fit(
        X[::5], y[::5], observers=collapse_observers("papyan", "nc4")
    )
    assert "papyan" not in model.history_
    metrics = collapse_of(model, X[::5], y[::5])
    assert model.stage_two_history_["papyan"][-1] == pytest.approx(metrics.papyan.value, rel=1e-9)
    assert model.stage_two_history_["nc4"][-1] == metrics.nc4.value
