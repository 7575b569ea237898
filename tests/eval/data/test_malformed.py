"""Input that is no input: every message says what is wrong, where, and what was expected."""

import io
import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris
from support.datafiles import HEADER, ROWS, saved, truncated
from support.seeds import shifted

from eval import load_dataset
from stages import TwoStageClassifier

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=["sepal", "width", "petal", "length"])
SETTINGS = {"n_neurons": 10, "max_iter": 2, "random_state": shifted()}


def changed(value, row=3, column=1, of=X):
    """The samples with one value changed, in a frame if `of` is one."""
    if isinstance(of, pd.DataFrame):
        out = of.copy().astype(object if isinstance(value, str) else float)
        out.iloc[row, column] = value
        return out
    out = of.astype(object) if isinstance(value, str) else of.copy()
    out[row, column] = value
    return out


ARRAYS = {
    "NaN": (changed(math.nan), Y, "X contains NaN in row 3, column 1: every value must be finite"),
    "infinity": (changed(-math.inf), Y, "X contains infinity in row 3, column 1: every value"),
    "NaN in a frame": (changed(math.nan, of=FRAME), Y, "X contains NaN in row 3, column 'width'"),
    "NA of pandas": (FRAME.convert_dtypes().mask(FRAME > 7.8), Y, "NaN in row 131, column 'sepal'"),
    "masked": (np.ma.masked_equal(X, X[3, 1]), Y, "no masked values, got one in row 3, column 1"),
    "norms too large": (X * 1e200, Y, "X must have norms below the largest float, got up to 7.9e"),
    "text": (changed("red"), Y, "X must hold numbers, got 'red' in row 3, column 1"),
    "text in a frame": (changed("red", of=FRAME), Y, "got 'red' in row 3, column 'width'"),
    "text in lists": ([["1", "2"], ["3", "x"]], [0, 1], "got 'x' in row 1, column 1"),
    "dates": (FRAME.assign(day=pd.Timestamp("2020")), Y, "got dates or times in column 'day'"),
    "complex": (X + 1j, Y, "Complex data not supported"),
    "ragged": (
        [[1, 2], [3, 4, 5]],
        [0, 1],
        "rows of one length, got 2 values in row 0 and 3 in row 1",
    ),
    "one dimension": (X[:, 0], Y, "Expected 2D array, got 1D array instead"),
    "three dimensions": (X[:, :, None], Y, "Found array with dim 3, while dim <= 2 is required"),
    "no rows": (X[:0], Y[:0], r"Found array with 0 sample\(s\) \(shape=\(0, 4\)\) while a minimum"),
    "no columns": (
        X[:, :0],
        Y,
        r"Found array with 0 feature\(s\) \(shape=\(150, 0\)\) while a min",
    ),
    "None": (None, Y, r"X must be an array or a frame of shape \(n, d\), got None"),
    "a number": (3.0, Y, r"X must be an array or a frame of shape \(n, d\), got 3.0"),
    "a dict": ({"a": X}, Y, r"X must be an array or a frame of shape \(n, d\), got dict"),
    "one sample in every row": (
        np.ones((150, 4)),
        Y,
        "X must not be constant, got the same sample",
    ),
    "columns of one name": (
        FRAME.set_axis(list("abca"), axis=1),
        Y,
        "X must have columns of different names, got several named 'a'",
    ),
    "a name that is a number": (
        FRAME.set_axis([0, "a", "b", "c"], axis=1),
        Y,
        "only supported if all input features have string names",
    ),
    "no labels": (X, None, "requires y to be passed, but the target y is None"),
    "too few labels": (X, Y[:-1], "X and y have inconsistent numbers of samples, 150 and 149"),
    "labels one-hot": (
        X,
        np.eye(3)[Y],
        r"y should be a 1d array, got an array of shape \(150, 3\)",
    ),
    "NaN as label": (
        X,
        np.where(Y == 1, math.nan, Y),
        "y contains NaN in row 50: every label must",
    ),
    "None as label": (X, ["a", None, "b"] * 50, "y contains None in row 1"),
    "None as label in a series": (X, pd.Series(["a", None, "b"] * 50), "y contains .* in row 1"),
    "labels of two types": (X, ["a", 1, "b"] * 50, "labels of one type, got 'a' and 1"),
    "labels between integers": (X, Y + 0.5, "Unknown label type: continuous"),
    "one class": (X, np.zeros(150, int), "y must hold at least 2 classes, got the one class 0"),
    "one sample": (X[:1], Y[:1], "y must hold at least 2 classes, got the one class 0"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_and_frames(name):
    x, y, message = ARRAYS[name]
    model = TwoStageClassifier(**SETTINGS)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(x, y)
    assert not hasattr(model, "coef_")


def test_a_tensor_with_a_gradient():
    with pytest.raises(RuntimeError, match=r"requires grad. Use tensor.detach\(\).numpy\(\)"):
        TwoStageClassifier(**SETTINGS).fit(torch.tensor(X, requires_grad=True), Y)


PREDICTED = {
    "more columns": (np.c_[X, X], "X has 8 features, but TwoStageClassifier is expecting 4"),
    "fewer columns": (X[:, :3], "X has 3 features, but TwoStageClassifier is expecting 4"),
    "one row": (X[0], r"Expected 2D array, got 1D array instead:\narray"),
    "no rows": (X[:0], r"Found array with 0 sample\(s\)"),
    "NaN": (changed(math.nan), "X contains NaN in row 3, column 1"),
    "text": (changed("red"), "X must hold numbers, got 'red' in row 3, column 1"),
    "another name": (FRAME.rename(columns={"width": "w"}), "unseen at fit time:\n- w\n"),
    "a column missing": (FRAME.drop(columns="width"), "yet now missing:\n- width"),
    "another order": (FRAME[FRAME.columns[::-1]], "must be in the same order as they were in fit"),
}


@pytest.fixture(scope="module")
def fitted():
    return TwoStageClassifier(**SETTINGS).fit(FRAME, Y)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("method", ["predict", "transform", "decision_function"])
@pytest.mark.parametrize("name", PREDICTED)
def test_predictions(name, method, fitted):
    x, message = PREDICTED[name]
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(x)


def test_a_model_that_is_not_fitted():
    with pytest.raises(ValueError, match=r"is not fitted yet\. Call 'fit' with"):
        TwoStageClassifier().predict(X)


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


GOOD = HEADER + ROWS
COMMAS = "a;b;label\n1,5;2;x\n2,5;3;x\n3,5;5;y\n4,5;1;y\n"
UNLIKE = "".join(f"n{i},{'xy'[i % 2]}\n" for i in range(300))
FILES = {
    "too few fields": ("a.csv", GOOD + "1,2\n", {}, "a.csv: .*line 6 has 2 fields, the header 3"),
    "too many fields": ("a.csv", GOOD + "1,2,x,9\n", {}, "line 6 has 4 fields, the header 3"),
    "wrong separator": ("a.csv", GOOD, {"separator": ";"}, "'a,b,label', got none: is the separ"),
    "spaces between": ("a.csv", GOOD.replace(",", " "), {}, "'a b label', got none: is the separ"),
    "two characters": ("a.csv", GOOD, {"separator": ",,"}, "one character, not a quote, got ',,'"),
    "latin-1": (
        "a.csv",
        GOOD.replace("x", "é").encode("latin-1"),
        {},
        r"line 2 is not UTF-8 .*0xe9",
    ),
    "utf-16": ("a.csv", GOOD.encode("utf-16"), {}, r"line 1 is not UTF-8 .*: save it as UTF-8"),
    "empty": ("a.csv", "", {}, "a.csv: cannot be read as CSV: it is empty"),
    "header alone": ("a.csv", HEADER, {}, "a.csv: there are no rows below the header"),
    "web page": (
        "a.csv",
        "<html><body>404</body></html>",
        {},
        "there are no rows below the header",
    ),
    "open quote": ("a.csv", GOOD + '"1,2,x\n', {}, "after line 5: .*: is a quote not closed"),
    "missing value": ("a.csv", GOOD.replace("3,5", "3,"), {}, "line 4, column 'b': missing value"),
    "question mark": ("a.csv", GOOD.replace("3,5", "3,?"), {}, "line 4, column 'b': .* got '?'"),
    "infinity": ("a.csv", GOOD.replace("3,5", "3,inf"), {}, "line 4, column 'b': .*, got inf"),
    "a word": ("a.csv", GOOD.replace("3,5", "3,abc"), {}, "line 4, column 'b': .*, got 'abc'"),
    "decimal comma": ("a.csv", COMMAS, {}, "line 2, column 'a': .*'1,5': write a point before"),
    "missing label": (
        "a.csv",
        GOOD.replace("3,5,y", "3,5,"),
        {},
        "line 4, column 'label': missing",
    ),
    "no such target": (
        "a.csv",
        GOOD,
        {"target": "kind"},
        "no column 'kind'; there are a, b, label",
    ),
    "no such index": ("a.csv", GOOD, {"index": "id"}, "no column 'id'; there are a, b, label"),
    "target and index": (
        "a.csv",
        GOOD,
        {"target": "a", "index": "a"},
        "'a' is both target and ind",
    ),
    "columns of one name": ("a.csv", GOOD.replace("a,b", "a,a"), {}, "several columns named 'a'"),
    "labels alone": ("a.csv", "y\n0\n1\n0\n1\n", {}, "feature columns beside 'y', got none$"),
    "one class": ("a.csv", GOOD.replace("y", "x"), {}, "column 'label' holds one class only, 'x'"),
    "class of one": ("a.csv", GOOD + "1,1,z\n", {}, "class 'z' in column 'label' has one sample"),
    "continuous": (
        "a.csv",
        GOOD.replace("x", "0.1").replace("y", "0.2"),
        {},
        "'label' looks contin",
    ),
    "identifiers": (
        "a.csv",
        "id,label\n" + UNLIKE,
        {},
        "'id' holds 300 different texts, .*as index",
    ),
    "not compressed": ("a.csv.gz", GOOD, {}, "a.csv.gz: cannot be read: Not a gzipped file"),
    "spreadsheet": (
        "a.xlsx",
        GOOD,
        {},
        r"a.xlsx: must end in .csv, .tsv, .txt .*, .parquet or .npz",
    ),
    "not Parquet": ("a.parquet", GOOD, {}, "a.parquet: cannot be read as Parquet: Parquet magic"),
    "cut off": (
        "a.npz",
        truncated(npz(X=X, y=Y)),
        {},
        "as NPZ: not an archive of arrays, or cut off",
    ),
    "one array": ("a.npz", npy(X), {}, "a.npz: cannot be read as NPZ: not an archive of arrays"),
    "no y": ("a.npz", npz(X=X), {}, "a.npz: no array 'y'; there are X"),
    "no X": ("a.npz", npz(data=X, y=Y), {}, "a.npz: no array 'X'; there are data, y"),
    "lengths": (
        "a.npz",
        npz(X=X, y=Y[:5]),
        {},
        r"a.npz: y must have one entry per row of X, \(150,\), got shape \(5,\)",
    ),
    "dimensions": (
        "a.npz",
        npz(X=X[:, :, None], y=Y),
        {},
        r"X must be a matrix that is not empty, got shape \(150, 4",
    ),
    "one-hot": (
        "a.npz",
        npz(X=X, y=np.eye(3)[Y]),
        {},
        r"y must have one entry per row of X, \(150,\), got shape \(150, 3\)",
    ),
    "pickled": (
        "a.npz",
        npz(X=X.astype(object), y=Y),
        {},
        "'X' must hold numbers or text, not pickl",
    ),
    "text as X": ("a.npz", npz(X=X.astype(str), y=Y), {}, "X must be numeric, got dtype <U32"),
    "complex": ("a.npz", npz(X=X + 1j, y=Y), {}, "X must be numeric, got dtype complex128"),
    "NaN": (
        "a.npz",
        npz(X=changed(math.nan), y=Y),
        {},
        "row 4, column 'x1': .* finite .*, got nan",
    ),
    "NaN labels": (
        "a.npz",
        npz(X=X, y=np.where(Y == 1, math.nan, Y)),
        {},
        "row 51, column 'y': labels",
    ),
    "options": (
        "a.npz",
        npz(X=X, y=Y),
        {"target": "y"},
        "target is for tables in files, got target=",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name, tmp_path):
    file, content, options, message = FILES[name]
    with pytest.raises(ValueError, match=message):
        load_dataset(saved(tmp_path, content, file), **options)


def test_what_the_cases_are_changed_from_is_read(tmp_path):
    assert load_dataset(saved(tmp_path, GOOD)).x.shape == (4, 2)
    assert load_dataset(saved(tmp_path, npz(X=X, y=Y), "a.npz")).x.shape == (150, 4)
