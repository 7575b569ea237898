"""Arrays and labels of every kind become the same numbers, and what is refused is named."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from eval import mismatch_error, nc1, separability
from eval.reading import read_classes, read_labelled, read_labels, read_matrix

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
LABELS = np.array(["b", "a", "b"])

MATRICES = {
    "list": X.tolist(),
    "columns": np.asfortranarray(X),
    "big-endian": X.astype(">f8"),
    "float32": X.astype(np.float32),
    "integers": X.astype(np.int16),
    "objects": X.astype(object),
    "tensor": torch.tensor(X, requires_grad=True),
    "bfloat16": torch.tensor(X, dtype=torch.bfloat16),
    "pandas": pd.DataFrame(X),
    "polars": pl.DataFrame(X),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_matrix_is_float64_in_the_order_of_rows(name):
    found = read_matrix(MATRICES[name], "X")
    assert found.dtype == np.float64
    assert found.flags.c_contiguous
    assert found.tobytes() == X.tobytes()


def test_a_read_only_matrix_is_not_copied():
    fixed = X.copy()
    fixed.flags.writeable = False
    assert np.shares_memory(read_matrix(fixed, "X"), fixed)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS.tolist(),
        LABELS.astype(object),
        pd.Series(LABELS),
        pd.Series(LABELS, dtype="category"),
        pl.Series(LABELS.tolist()),
    ],
)
def test_text_is_text_whatever_holds_it(labels):
    assert read_labels(labels, "y").dtype.kind == "U"
    classes, members = read_classes(labels, "y", 3, "row of X")
    assert classes.tolist() == ["a", "b"]
    assert members.tolist() == [1, 0, 1]


@pytest.mark.parametrize("labels", [[1, 0, 1], torch.tensor([1, 0, 1]), np.array([1, 0, 1], ">i2")])
def test_numbers_are_labels_too(labels):
    x, classes, members = read_labelled(X, labels)
    assert x.tolist() == X.tolist()
    assert classes.tolist() == [0, 1]
    assert members.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, np.nan, 1.0], "Input y contains NaN in row 1: every label must be known"),
        (["a", "b", None], "Input y contains None in row 2: every label must be known"),
        (pd.Series(["a", pd.NA, "b"], dtype=object), "Input y contains <NA> in row 1"),
        (["a", 1, "b"], "y must hold labels of one type, got 'a' and 1"),
        (np.array([0, "a", 1], object), "y must hold labels of one type, got 0 and 'a'"),
        ([[0], [1], [0]], r"y must have one entry per row of X, \(3,\), got shape \(3, 1\)"),
        ([0, 1], r"y must have one entry per row of X, \(3,\), got shape \(2,\)"),
        ([[0], [1, 2], [0]], "y must be an array"),
        ([1, 1, 1], r"y must hold at least 2 classes, got \[1\]"),
    ],
)
def test_unusable_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        read_labelled(X, labels)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0], [np.inf]], "X must be finite, got NaN or inf"),
        ([1.0, 2.0], r"X must be a matrix that is not empty, got shape \(2,\)"),
        ([["red"], ["blue"]], "X must hold numbers: could not convert string to float"),
        ([[1.0], [1.0, 2.0]], "X must be an array"),
    ],
)
def test_an_unusable_matrix_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        read_matrix(matrix, "X")


def test_one_wording_wherever_labels_come_in():
    message = "labels? contains NaN in row 1|y_true contains NaN in row 1|y contains NaN in row 1"
    labels = [0.0, np.nan, 1.0]
    for call in (
        lambda: nc1(X, labels),
        lambda: separability(X, labels),
        lambda: mismatch_error(labels, [0, 1, 0]),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_errors_are_measured_of_tensors():
    assert mismatch_error(torch.tensor([0, 0, 1]), [0, 1, 1]) == 0.25
