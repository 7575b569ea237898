import numpy as np
import pytest
import torch
from support.seeds import numpy_generator

from eval import balancedness, nc1
from gibbs import Particles


def transcription(features, labels):
    """NC1 as the paper writes it, with one-hot matrices and columns as samples."""
    h = np.asarray(features, dtype=float).T
    y = (np.unique(labels)[:, None] == np.asarray(labels)[None]).astype(float)
    n = h.shape[1]
    centred = h - h @ np.ones((n, n)) / n
    means = centred @ y.T @ np.diag(1 / y.sum(1)) @ y
    return np.trace((centred - means).T @ (centred - means)) / np.trace(centred.T @ centred)


@pytest.mark.parametrize(("n", "p", "k"), [(30, 2, 3), (200, 16, 10), (50, 60, 2)])
def test_nc1_is_the_formula(n, p, k):
    rng = numpy_generator()
    labels = rng.permutation(np.arange(n) % k)
    features = rng.normal(size=(n, p)) + 3 * rng.normal(size=(k, p))[labels] + 100
    assert nc1(features, labels) == pytest.approx(transcription(features, labels), rel=1e-10)
    names = np.array(list("abcdefghij"))[labels]
    assert nc1(torch.tensor(features), names) == nc1(features, torch.tensor(labels))


def test_nc1_ends():
    labels = np.repeat([0, 1, 2], 5)
    means = numpy_generator().normal(size=(3, 4))
    assert nc1(means[labels], labels) == pytest.approx(0, abs=1e-30)
    same = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert nc1(same, [0, 0, 1, 1]) == pytest.approx(1)


def test_nc1_in_float32_is_that_of_the_values_cast_up():
    rng = numpy_generator()
    labels = np.repeat([0, 1], 500)
    features = (1000 + 1e-4 * labels[:, None] + 1e-3 * rng.normal(size=(1000, 8))).astype(
        np.float32
    )
    expected = transcription(features.astype(np.float64), labels)
    assert nc1(features, labels) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e10])
@pytest.mark.parametrize("n", [6, 1000, 60_000])
def test_constant_features_have_no_nc1(value, n):
    with pytest.raises(ValueError, match="total variance 0"):
        nc1(np.full((n, 3), value), np.arange(n) % 3)


@pytest.mark.parametrize("scale", [1e-200, 1e160])
def test_nc1_knows_no_scale(scale):
    features = numpy_generator().normal(size=(30, 4))
    labels = np.arange(30) % 3
    assert nc1(scale * features, labels) == pytest.approx(nc1(features, labels), rel=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="features must be finite"):
        nc1([[np.nan], [1.0]], [0, 1])
    with pytest.raises(
        ValueError, match=r"one entry per row of features, \(2,\), got shape \(3,\)"
    ):
        nc1([[0.0], [1.0]], [0, 1, 1])
    with pytest.raises(ValueError, match=r"features must be a matrix.*got shape \(2,\)"):
        nc1([0.0, 1.0], [0, 1])


def test_balancedness_against_a_search_over_c():
    rng = numpy_generator()
    a, w = rng.normal(size=(40, 5)), rng.normal(size=(5, 2))
    moment, target = a.T @ a / 40, w @ w.T
    grid = np.linspace(-5, 5, 200_001)
    squares = np.vdot(moment, moment) - 2 * grid * np.vdot(moment, target)
    c = grid[np.argmin(squares + grid**2 * np.vdot(target, target))]
    expected = np.linalg.norm(moment - c * target, 2) / np.linalg.norm(moment, 2)
    assert balancedness(a, w) == pytest.approx(expected, rel=1e-4)
    cloud = Particles(torch.tensor(a), torch.zeros(40, 1, dtype=torch.float64))
    assert balancedness(cloud, torch.tensor(w)) == balancedness(a, w)


def test_balanced_layers_have_zero_and_bad_ones_are_named():
    w = numpy_generator().normal(size=(4, 2))
    assert balancedness(3 * w.T, w) == pytest.approx(0, abs=1e-15)
    with pytest.raises(ValueError, match=r"one row per column of a, \(4, q\), got shape \(3, 2\)"):
        balancedness(w.T, w[:3])
    with pytest.raises(ValueError, match="must not be 0"):
        balancedness(np.zeros((3, 4)), w)
