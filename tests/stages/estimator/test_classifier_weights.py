"""Weights of samples and classes: so many copies, or none."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.utils.class_weight import compute_sample_weight
from support.defects import Defect, statistical
from support.seeds import numpy_generator, shifted

from gibbs import features
from stages import TwoStageClassifier
from stages.estimator import classifier
from stages.estimator.samples import total_weights

X, Y = load_iris(return_X_y=True)
COUNTS = numpy_generator().integers(0, 4, len(Y))
REPEATED = np.repeat(np.arange(len(Y)), COUNTS)
COLD = {
    "n_neurons": 40,
    "max_iter": 30,
    "step_size": 0.5,
    "beta": math.inf,
    "lambda_rho": 1e-3,
    "dtype": "float64",
    "random_state": shifted(),
}


def fitted(x=X, y=Y, weight=None, **settings):
    return TwoStageClassifier(**COLD | settings).fit(x, y, sample_weight=weight)


def check_same_network(this, that, rtol=1e-7):
    np.testing.assert_allclose(this.particles_.a, that.particles_.a, rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(this.particles_.u, that.particles_.u, rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(this.coef_, that.coef_, rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(this.mean_, that.mean_, rtol=1e-12)
    assert this.scale_ == pytest.approx(that.scale_, rel=1e-12)


@pytest.mark.parametrize(
    "settings",
    [{}, {"activation": "sigmoid", "truncation": 1.0}, {"center": False}, {"beta": 1e3}],
    ids=str,
)
def test_a_weight_is_so_many_copies(settings):
    weighted, repeated = fitted(weight=COUNTS, **settings), fitted(X[REPEATED], Y[REPEATED])
    if settings:
        repeated = fitted(X[REPEATED], Y[REPEATED], **settings)
    check_same_network(weighted, repeated)
    losses, expected = (m.stage_two_history_["loss"] for m in (weighted, repeated))
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    np.testing.assert_allclose(weighted.history_["loss"], repeated.history_["loss"], rtol=1e-9)
    assert np.abs(weighted.coef_ - fitted(**settings).coef_).max() > 1e-4


ONCE = np.unique(np.column_stack([X, Y]), axis=0, return_index=True)[1]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": "float64", "center": False},
        {"stage_two": "flow", "flow_max_iter": 30},
        {"activation": "sigmoid", "truncation": 1.0, "scheme": "leimkuhler_matthews"},
    ],
    ids=str,
)
def test_weights_and_copies_are_the_same_to_the_bit(settings):
    shuffled = numpy_generator(1).permutation(ONCE)
    copies = numpy_generator(2).permutation(np.repeat(ONCE, COUNTS[ONCE]))
    model = TwoStageClassifier(n_neurons=40, max_iter=40, random_state=shifted(), **settings)
    weighted = clone(model).fit(X[shuffled], Y[shuffled], COUNTS[shuffled])
    repeated = clone(model).fit(X[copies], Y[copies])
    check_same_bits(weighted, repeated)
    assert np.array_equal(weighted.decision_function(X), repeated.decision_function(X))
    # All samples twice, or a weight of 2 for all, is the same as all once.
    plain = clone(model).fit(X[ONCE], Y[ONCE])
    check_same_bits(clone(model).fit(np.repeat(X[ONCE], 2, 0), np.repeat(Y[ONCE], 2)), plain)
    check_same_bits(clone(model).fit(X[ONCE], Y[ONCE], np.full(len(ONCE), 2.0)), plain)


def check_same_bits(this, that):
    for name in ("a", "u"):
        assert torch.equal(getattr(this.particles_, name), getattr(that.particles_, name)), name
    for name in ("coef_", "mean_", "scale_"):
        assert np.array_equal(getattr(this, name), getattr(that, name)), name
    for histories in ("history_", "stage_two_history_"):
        found, expected = getattr(this, histories), getattr(that, histories)
        for name in expected.keys() - {"seconds"}:
            assert np.array_equal(found[name], expected[name]), name


NO_WEIGHTS = Defect(
    "weights are ignored",
    lambda monkeypatch: monkeypatch.setattr(classifier, "total_weights", lambda *_: None),
)


@statistical(alarm=1e-6, defect=NO_WEIGHTS)
@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        ({"solver": "gibbs", "n_particles": 2000, "beta": 50.0, "tol": 0.5}, 0.23),
        ({"batch_size": 8, "max_iter": 300}, 0.08),
    ],
)
def test_the_solver_and_batches_agree_up_to_their_draws(settings, bound):
    # Four data sets like those of scikit-learn's check. Of one, the outputs differ by 0.13 +- 0.03
    # and 0.012 +- 0.005 of their norm (ten seeds), the features of the measure by 0.040 +- 0.009;
    # without the weights by 0.44 +- 0.08 and 0.33 +- 0.11. Together the bounds are 6 standard
    # deviations or more above the first two, and 4.5 or more below the last two.
    squares = np.zeros(2)
    for number in range(4):
        rng = numpy_generator(4 + number)
        x, y = rng.random((15, 30)), np.arange(15) % 3
        counts = np.where(y == 0, 6, np.arange(15) % 4)
        repeated = np.repeat(np.arange(15), counts)
        model = TwoStageClassifier(n_neurons=300, random_state=shifted(number), **settings)
        this, that = clone(model).fit(x, y, counts), clone(model).fit(x[repeated], y[repeated])
        found, expected = this.decision_function(x), that.decision_function(x)
        squares += np.square(found - expected).sum(), np.square(expected).sum()
        if this.measure_ is not None:
            points = this.problem(x, y).x
            found, expected = this.measure_.features(points), that.measure_.features(points)
            assert (found - expected).norm() < 0.13 * expected.norm()
    assert squares[0] < bound**2 * squares[1]


def test_observers_see_every_sample_that_has_a_weight():
    shapes = []
    model = TwoStageClassifier(n_neurons=20, max_iter=10, random_state=shifted())
    watch = {"rows": lambda state: shapes.append((len(state.features), len(state.outputs))) or 0.0}
    model.fit(X[REPEATED], Y[REPEATED], observers=watch)
    assert set(shapes) == {(len(REPEATED), len(REPEATED))}


def test_stage_two_is_the_weighted_ridge():
    model = fitted(weight=COUNTS)
    h, s = model.transform(X), COUNTS / COUNTS.sum()
    y = np.eye(3)[Y]
    w = np.linalg.solve(h.T @ (s[:, None] * h) + 1e-3 * np.eye(16), h.T @ (s[:, None] * y))
    np.testing.assert_allclose(model.coef_.T, w, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 0.25, 1e200])
def test_a_factor_on_all_weights_changes_nothing(scale):
    this, that = fitted(weight=scale * COUNTS), fitted(weight=COUNTS)
    check_same_network(this, that, rtol=1e-9)
    equal, none = fitted(weight=np.full(len(Y), scale)), fitted()
    assert np.array_equal(equal.coef_, none.coef_)


def test_a_weight_of_zero_leaves_the_sample_out():
    keep = COUNTS > 0
    x = np.where(keep[:, None], X, 1e6)  # nothing of those samples is looked at
    weighted, without = fitted(x, weight=keep), fitted(X[keep], Y[keep])
    assert np.array_equal(weighted.coef_, without.coef_)
    assert weighted.n_samples_ == keep.sum()
    two = fitted(weight=Y != 1)
    assert two.classes_.tolist() == [0, 2]
    assert np.array_equal(two.coef_, fitted(X[Y != 1], Y[Y != 1]).coef_)


def test_class_weights_are_weights_of_their_samples():
    factors = np.array([1.0, 5.0, 0.5])
    this = fitted(class_weight={0: 1.0, 1: 5.0, 2: 0.5}, weight=1 + COUNTS)
    check_same_network(this, fitted(weight=factors[Y] * (1 + COUNTS)), rtol=1e-9)
    assert fitted(class_weight={2: 0.0}).classes_.tolist() == [0, 1]


def test_balanced_is_scikit_learns():
    keep = np.r_[0:50, 50:70, 100:140]
    found = total_weights(None, "balanced", Y[keep])
    np.testing.assert_allclose(found, compute_sample_weight("balanced", Y[keep]))
    assert total_weights(None, "balanced", Y) is None
    this = fitted(X[keep], Y[keep], class_weight="balanced")
    check_same_network(this, fitted(X[keep], Y[keep], weight=found), rtol=1e-12)
    # The same classes, each with its total weight, from copies.
    weights = total_weights(COUNTS, "balanced", Y)
    copies = compute_sample_weight("balanced", Y[REPEATED])
    np.testing.assert_allclose(weights[REPEATED] / COUNTS[REPEATED], copies)
    totals = np.bincount(Y, weights)
    np.testing.assert_allclose(totals, totals[0])


@statistical(alarm=1e-4, defect=NO_WEIGHTS)
def test_class_weights_move_the_boundary_as_they_should():
    # Two classes overlap; a weight of 9 on the rare one is what an even split would give.
    rng = numpy_generator(3)
    y = (rng.random(1500) < 0.1).astype(int)
    x = rng.normal(size=(1500, 1)) + 1.5 * y[:, None]
    plain = TwoStageClassifier(n_neurons=100, max_iter=200, random_state=shifted())
    shares = []
    for weight in (None, "balanced"):
        model = plain.set_params(class_weight=weight).fit(x, y)
        shares.append(model.predict(x[y == 1]).mean())
    assert shares[1] > shares[0] + 0.3


def test_minimizer_of_weighted_samples_by_quadrature():
    # One column and no constant coordinate: rank 1, so that the solver is exact.
    x, keep = X[:, 2:3], slice(None, None, 5)
    settings = {
        "solver": "gibbs", "activation": "sigmoid", "beta": 50.0, "gamma": 1.0,
        "lambda_rho": None, "intercept": 0.0, "n_neurons": 50,
    }  # fmt: skip
    counts = COUNTS[keep] + 1
    y = Y[keep]
    this = fitted(x[keep], y, weight=counts, **settings)
    that = fitted(np.repeat(x[keep], counts, 0), np.repeat(y, counts), **settings)
    assert this.certificate_.method == "quadrature"
    assert this.certificate_.certified, this.certificate_.reason
    assert this.certificate_.dual == pytest.approx(that.certificate_.dual, rel=1e-7)
    points = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        this.measure_.features(points), that.measure_.features(points), rtol=1e-5, atol=1e-7
    )


def test_problem_takes_the_weights():
    model = fitted(weight=COUNTS)
    problem = model.problem(X, Y, sample_weight=COUNTS)
    torch.testing.assert_close(problem.sample_weight, torch.tensor(COUNTS / COUNTS.mean()))
    h = features(problem.x, model.particles_, problem.sigma)
    residual = problem.gamma * h @ torch.tensor(model.coef_.T) - problem.y
    loss = (problem.sample_weight * residual.square().sum(1)).mean() / 2
    assert float(loss) == pytest.approx(model.stage_two_history_["loss"][1], rel=1e-9)


BAD = [
    ({"weight": COUNTS[:5]}, r"sample_weight must have one number per sample, shape \(150,\), got"),
    ({"weight": np.ones((150, 2))}, r"shape \(150,\), got \(150, 2\)"),
    ({"weight": 2.0}, r"shape \(150,\), got \(\)"),
    ({"weight": ["a"] * 150}, "sample_weight must hold numbers: could not convert string"),
    ({"weight": np.where(COUNTS == 2, np.nan, 1)}, "must be finite and >= 0, got nan in row"),
    ({"weight": np.where(COUNTS == 2, -1, 1)}, "must be finite and >= 0, got -1.0 in row"),
    ({"weight": np.zeros(150)}, "sample_weight must not be zero in every row"),
    ({"weight": Y == 1}, "y must hold at least 2 classes, got the one class 1"),
    ({"class_weight": "even"}, "class_weight must be a dict, 'balanced' or None, got 'even'"),
    ({"class_weight": {0: -1.0}}, "finite numbers >= 0, got -1.0 for class 0"),
    ({"class_weight": {0: "x"}}, "finite numbers >= 0, got 'x' for class 0"),
    ({"class_weight": {7: 2.0}}, r"its keys among the classes \[0, 1, 2\], got 7"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, "class_weight must leave some sample a weight > 0"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_weights_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        fitted(**change)
