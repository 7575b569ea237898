"""Metrics are the same to the bit, whatever holds the numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from support.layouts import all_layouts, tensor_layouts
from support.seeds import numpy_generator, seeded, shifted

from eval import (
    CollapseAccumulator,
    balancedness,
    collapse_metrics,
    collapse_of,
    compare_baselines,
    feature_error,
    law_of,
    make_linearly_separable,
    nc1,
    separability,
    sliced_wasserstein,
    stein_discrepancy,
    wasserstein,
)
from gibbs import Problem, solve_gibbs
from stages import TwoStageClassifier

RNG = numpy_generator()
Y = np.arange(60) % 3
X = RNG.normal(size=(60, 7)) + Y[:, None]
OTHER = RNG.normal(size=(40, 7))
W = RNG.normal(size=(7, 3))
SEPARABLE, SIDES = make_linearly_separable(60, 7, 3, margin=0.1, random_state=shifted())
LAYOUTS = sorted(all_layouts(X))


def values(metrics):
    """The numbers of collapse metrics, by name."""
    return {name: metric.value for name, metric in metrics.as_dict().items()}


def in_batches(x, w):
    first = CollapseAccumulator()
    for rows in (slice(0, 25), slice(25, None)):
        first.update(x[rows], Y[rows])
    return values(first.compute(w))


def margins(x):
    found = separability(x, SIDES)
    return found.margin, found.directions, found.support


METRICS = {
    "nc1": lambda x, w: nc1(x, Y),
    "collapse_metrics": lambda x, w: values(collapse_metrics(x, Y, w)),
    "accumulator": in_batches,
    "balancedness": balancedness,
    "wasserstein": lambda x, w: wasserstein(x, OTHER, n_null=2),
    "sliced_wasserstein": lambda x, w: sliced_wasserstein(OTHER, x, n_null=2),
    "stein_discrepancy": lambda x, w: stein_discrepancy(x, -X, n_bootstrap=20),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", METRICS)
def test_metrics(name, layout):
    x, w = all_layouts(X)[layout], all_layouts(W)[layout]
    np.testing.assert_equal(METRICS[name](x, w), METRICS[name](X, W))


def test_big_endian_features_do_not_overflow():
    large = 1e200 * X
    assert nc1(large.astype(">f8"), Y) == nc1(large, Y) == pytest.approx(nc1(X, Y))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_margins(layout):
    np.testing.assert_equal(margins(all_layouts(SEPARABLE)[layout]), margins(SEPARABLE))


@pytest.fixture(scope="module")
def model():
    return TwoStageClassifier(n_neurons=30, max_iter=10, random_state=shifted()).fit(X, Y)


@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_collapse_of_a_classifier(layout, model):
    found = values(collapse_of(model, all_layouts(X)[layout], Y))
    np.testing.assert_equal(found, values(collapse_of(model, X, Y)))


def compared(x, model):
    """Records without seconds, and the predictions."""
    others = {"1-NN": KNeighborsClassifier(1)}
    found = compare_baselines(x, Y, folds=2, models=others, network=model)
    return [replace(r, fit_seconds=0, predict_seconds=0) for r in found.records], found.predictions


def test_comparison(model):
    expected = compared(X, model)
    for layout in ("fortran", "every other column", "big-endian", "pandas", "polars"):
        np.testing.assert_equal(compared(all_layouts(X)[layout], model), expected)


def test_feature_error_and_theory(model):
    problem = Problem(
        *(torch.tensor(v) for v in (X[:9, :3] / 9, np.eye(3)[Y[:9]], np.eye(3))), beta=9.0
    )
    measure = solve_gibbs(problem, n_particles=500, tol=0.5, generator=seeded()).measure
    neurons = measure.sample(20, generator=seeded(1))
    x = X[9:, :3]
    expected = feature_error(neurons, measure, x, n_null=2)
    for layout, same in all_layouts(x).items():
        assert feature_error(neurons, measure, same, n_null=2) == expected, layout
    w = torch.tensor(W[:3])
    loss = law_of(problem, neurons, w=w).regularized_loss
    for layout, same in tensor_layouts(w).items():
        assert law_of(problem, neurons, w=same).regularized_loss == loss, layout
