import numpy as np
import pandas as pd
import pytest
from support.datafiles import HEADER, ROWS, X, saved

from eval.data.loading import load_dataset
from eval.data.registry import register_dataset


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("3 3 5 5", np.array([3, 3, 5, 5])),
        ("1.0 1.0 2.0 2.0", np.array([1.0, 1.0, 2.0, 2.0])),
        ("True False True False", np.array([True, False, True, False])),
        ("b a b a", np.array(["b", "a", "b", "a"])),
        ("b 1 b 1", np.array(["b", "1", "b", "1"])),
    ],
)
def test_labels_of_every_type_are_the_same_from_text_and_parquet(labels, expected, tmp_path):
    lines = "".join(f"{i},{label}\n" for i, label in enumerate(labels.split()))
    path = saved(tmp_path, "a,label\n" + lines)
    first = load_dataset(path).y
    pd.read_csv(path).to_parquet(tmp_path / "data.parquet")
    for y in (first, load_dataset(tmp_path / "data.parquet").y):
        np.testing.assert_array_equal(y, expected)
        assert y.dtype == expected.dtype


def test_target_may_be_any_column(tmp_path):
    path = saved(tmp_path, "label,a\n" + "x,1\ny,2\n" * 2)
    data = load_dataset(path, "label")
    np.testing.assert_array_equal(data.x, [[1.0], [2.0]] * 2)
    assert data.y.tolist() == ["x", "y"] * 2


ENCODED = {
    "size=1.5": [1.5, 2.5, 0.0, 1.0],
    "colour=blue": [0, 1, 0, 0],
    "colour=green": [0, 0, 1, 0],
    "colour=red": [1, 0, 0, 1],
    "alive=False": [0, 1, 0, 1],
    "alive=True": [1, 0, 1, 0],
}


def mixed_frame():
    return pd.DataFrame(
        {
            "size=1.5": ENCODED["size=1.5"],
            "colour": ["red", "blue", "green", "red"],
            "alive": [True, False, True, False],
            "label": ["x", "x", "y", "y"],
        }
    )


def test_text_and_booleans_are_one_hot_encoded_the_same_from_every_source(tmp_path):
    frame = mixed_frame()
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_parquet(tmp_path / "data.parquet")
    frame.astype({"colour": "category", "alive": object}).to_parquet(tmp_path / "more.parquet")
    register_dataset("mixed", lambda: (frame.drop(columns="label"), frame["label"]))
    for source in ("data.csv", "data.parquet", "more.parquet"):
        check_encoded(load_dataset(tmp_path / source))
    check_encoded(load_dataset("mixed"))


def check_encoded(data):
    assert data.feature_names == tuple(ENCODED)
    np.testing.assert_array_equal(data.x, np.array(list(ENCODED.values())).T)
    assert data.notes == (
        "column 'colour' is one-hot encoded, 3 levels",
        "column 'alive' is one-hot encoded, 2 levels",
    )


def test_declared_categories_are_encoded_in_their_natural_order():
    month = pd.Series([12, 2, 12, 2], dtype="category")
    register_dataset("months", lambda: (month.to_frame("month"), list("xxyy")))
    data = load_dataset("months")
    assert data.feature_names == ("month=2", "month=12")
    np.testing.assert_array_equal(data.x, [[0, 1], [1, 0]] * 2)
    register_dataset("labels", lambda: (X, month))
    assert load_dataset("labels").y.tolist() == [12, 2, 12, 2]


def test_numbers_in_nullable_decimal_and_text_columns_are_numbers(tmp_path):
    from decimal import Decimal

    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, 2, 3, 4], dtype="Int64"),
            "decimal": [Decimal("1.5"), Decimal("2"), Decimal("0"), Decimal("-1")],
            "text": ["1", "2.5", "-3", "1e2"],
            "label": pd.array([1, 2, 1, 2], dtype="Int64"),
        }
    )
    frame.to_parquet(tmp_path / "data.parquet")
    data = load_dataset(tmp_path / "data.parquet")
    expected = [[1, 2, 3, 4], [1.5, 2, 0, -1], [1, 2.5, -3, 100]]
    np.testing.assert_array_equal(data.x, np.transpose(expected))
    assert data.y.tolist() == [1, 2, 1, 2]
    assert data.y.dtype == np.int64


def test_hundred_levels_are_encoded_and_one_more_is_refused(tmp_path):
    for levels in (100, 101):
        lines = "".join(f"id-{i},{i},{i % 2}\n" for i in range(levels))
        saved(tmp_path, "id,a,label\n" + lines, f"{levels}.csv")
    assert load_dataset(tmp_path / "100.csv").x.shape == (100, 101)
    with pytest.raises(ValueError, match=r"101.csv: column 'id' holds 101 different texts, and at"):
        load_dataset(tmp_path / "101.csv")
    data = load_dataset(tmp_path / "101.csv", index="id")
    assert data.feature_names == ("a",)
    assert data.notes == ("column 'id' is dropped, as asked",)


def test_index_columns_are_dropped_and_told(tmp_path):
    path = saved(tmp_path, ",id,a,label\n1,p,1,x\n2,q,2,x\n3,r,3,y\n4,s,4,y\n")
    data = load_dataset(path, index="id")
    assert data.feature_names == ("a",)
    assert data.notes == (
        "column 'id' is dropped, as asked",
        "column 'Unnamed: 0' is dropped: it numbers the rows",
    )
    assert load_dataset(path, index=["Unnamed: 0", "id"]).feature_names == ("a",)
    path = saved(tmp_path, ",a,label\n0,1,x\n2,2,x\n1,3,y\n3,4,y\n")
    with pytest.raises(ValueError, match=r"column 'Unnamed: 0' looks like an index but does not"):
        load_dataset(path)
    assert load_dataset(path, index="Unnamed: 0").feature_names == ("a",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "species"}, r"no column 'species'; there are a, b, label"),
        ({"index": "id"}, r"no column 'id'; there are a, b, label"),
        ({"index": "a", "target": "a"}, r"column 'a' is both target and index"),
    ],
)
def test_options_that_do_not_fit_the_columns_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=r"data\.csv: " + message):
        load_dataset(saved(tmp_path, HEADER + ROWS), **options)
