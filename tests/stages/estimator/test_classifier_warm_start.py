"""Fits that go on from the last one."""

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from support.defects import Defect, statistical
from support.seeds import shifted

from gibbs.dynamics.fused.engine import CounterNoise
from stages import TwoStageClassifier

X, Y = load_iris(return_X_y=True)
COLD = {
    "n_neurons": 40,
    "max_iter": 30,
    "step_size": 0.5,
    "beta": math.inf,
    "lambda_rho": 1e-3,
    "dtype": "float64",
    "random_state": shifted(),
    "warm_start": True,
}
SOLVED = {
    "solver": "gibbs",
    "activation": "sigmoid",
    "beta": 100.0,
    "gamma": 1.0,
    "n_neurons": 40,
    "intercept": 0.0,
    "random_state": shifted(),
    "warm_start": True,
}


def test_two_fits_are_one_of_both_lengths():
    twice = TwoStageClassifier(**COLD).fit(X, Y).fit(X, Y)
    once = TwoStageClassifier(**COLD | {"max_iter": 60}).fit(X, Y)
    np.testing.assert_allclose(twice.particles_.a, once.particles_.a, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(twice.coef_, once.coef_, rtol=1e-7, atol=1e-10)
    assert np.array_equal(twice.initial_coef_, once.initial_coef_)
    assert twice.history_["loss"][0] == pytest.approx(once.history_["loss"][3], rel=1e-9)
    assert twice.n_iter_ == 30


def test_without_it_every_fit_begins_anew():
    model = TwoStageClassifier(**COLD | {"warm_start": False})
    first = model.fit(X, Y).coef_
    assert np.array_equal(model.fit(X, Y).coef_, first)
    assert np.array_equal(TwoStageClassifier(**COLD).fit(X, Y).coef_, first)


def _anew(monkeypatch):
    sound = torch.Tensor.normal_

    def normal_(tensor, *args, generator, **kwargs):
        return sound(tensor, *args, generator=generator.manual_seed(shifted()), **kwargs)

    monkeypatch.setattr(torch.Tensor, "normal_", normal_)
    begun = CounterNoise.__init__

    def __init__(self, generator):
        begun(self, generator.manual_seed(shifted()))

    monkeypatch.setattr(CounterNoise, "__init__", __init__)


STREAM_ANEW = Defect("every draw of noise begins the stream anew", _anew)


@statistical(alarm=1e-4, defect=STREAM_ANEW)
def test_random_numbers_go_on():
    # With the same noise in both fits the second would move as the first did, but for its start.
    noise = COLD | {"beta": 1.0, "max_iter": 1, "lambda_rho": 1e-6, "gamma": 1e-9}
    model = TwoStageClassifier(**noise).fit(X, Y)
    places = [model.particles_.u.numpy()]
    places += [model.fit(X, Y).particles_.u.numpy() for _ in range(2)]
    first, second = np.diff(places, axis=0)
    # 200 independent pairs: |correlation| < 0.35 but for one seed in 1e6.
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.35
    assert first.std() == pytest.approx(1, abs=0.2)


def test_a_stored_fit_goes_on_as_the_original():
    model = TwoStageClassifier(**COLD | {"beta": 1e3}).fit(X, Y)
    stored = pickle.loads(pickle.dumps(model))
    assert np.array_equal(model.fit(X, Y).coef_, stored.fit(X, Y).coef_)
    fresh = clone(model)
    assert not hasattr(fresh, "coef_")


def test_other_samples_of_the_same_classes():
    model = TwoStageClassifier(**COLD).fit(X[::2], Y[::2])
    before = model.particles_.u
    model.set_params(max_iter=0).fit(X, Y)
    assert np.array_equal(model.particles_.u, before)
    assert model.n_samples_ == 150


def test_solver_starts_from_its_measure():
    # Rank 1: quadrature, whose Newton steps from the solution are few.
    model = TwoStageClassifier(**SOLVED).fit(X[:, 2:3], Y)
    steps, dual = model.n_iter_, model.certificate_.dual
    model.fit(X[:, 2:3], Y)
    assert model.n_iter_ < steps
    assert model.certificate_.dual == pytest.approx(dual, rel=1e-9)
    # Along a path of temperatures the answer is that of a cold start.
    model.set_params(beta=150.0).fit(X[:, 2:3], Y)
    cold = TwoStageClassifier(**SOLVED | {"beta": 150.0}).fit(X[:, 2:3], Y)
    assert model.certificate_.dual == pytest.approx(cold.certificate_.dual, rel=1e-8)


def test_solver_starts_from_a_cloud_and_dynamics_from_a_sample():
    model = TwoStageClassifier(**SOLVED | {"solver": "langevin", "max_iter": 20})
    model.fit(X[:, 2:3], Y)
    assert model.measure_ is None
    model.set_params(solver="gibbs").fit(X[:, 2:3], Y)
    assert model.certificate_.certified, model.certificate_.reason
    cloud = model.particles_.u
    model.set_params(solver="langevin", max_iter=0).fit(X[:, 2:3], Y)
    np.testing.assert_allclose(model.particles_.u, cloud, rtol=1e-6)
    assert model.certificate_ is None


BAD = [
    ({}, X[:, :3], Y, "X has 3 features, but TwoStageClassifier is expecting 4"),
    ({}, X[:100], Y[:100], r"y must hold the classes .*, \[0, 1, 2\], got \[0, 1\]"),
    ({"n_neurons": 41}, X, Y, "n_neurons must be as in the last fit with warm_start, 40, got 41"),
    ({"n_hidden_features": 5}, X, Y, "n_hidden_features must be as in the last .*, 16, got 5"),
    ({"intercept": 0.0}, X, Y, r"X \(with the intercept\) must be as .*, 5 columns, got 4"),
]


@pytest.mark.parametrize(("change", "x", "y", "message"), BAD)
def test_what_does_not_fit_is_named_and_nothing_is_lost(change, x, y, message):
    model = TwoStageClassifier(**COLD).fit(X, Y)
    before, expected = model.coef_, model.predict(X)
    with pytest.raises(ValueError, match=message):
        model.set_params(**change).fit(x, y)
    assert model.coef_ is before
    np.testing.assert_array_equal(model.predict(X), expected)
