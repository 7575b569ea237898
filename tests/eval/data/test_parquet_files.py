import numpy as np
import pandas as pd
import pytest
from support.datafiles import check_same, saved

from eval.data.loading import load_dataset


def test_parquet_gives_back_the_same_bits_with_and_without_an_index(frame, tmp_path):
    path = tmp_path / "data.parquet"
    frame.to_parquet(path)
    assert load_dataset(path).notes == ()
    check_same(load_dataset(path), frame)
    frame.iloc[3:].to_parquet(path)
    check_same(load_dataset(path), frame.iloc[3:])
    frame.set_axis(list(range(1, 13))).to_parquet(path)
    data = load_dataset(path)
    check_same(data, frame)
    assert data.notes == ("column 'index' is dropped: it numbers the rows",)


def test_pandas_index_that_does_not_number_the_rows_is_refused_until_dropped(frame, tmp_path):
    path = tmp_path / "data.parquet"
    frame.set_index(pd.Index([f"p{i}" for i in range(12)], name="patient")).to_parquet(path)
    with pytest.raises(ValueError, match=r"data.parquet: column 'patient' looks like an index"):
        load_dataset(path)
    check_same(load_dataset(path, index="patient"), frame)
    frame.set_index(["a", "b"]).to_parquet(path)
    with pytest.raises(ValueError, match=r"data.parquet: the pandas index must have one level"):
        load_dataset(path)


REFUSED_COLUMNS = {
    "missing number": ([1.0, None, 2.0, 3.0], r"row 2, column 'a': missing value"),
    "missing text": (["p", "q", None, "p"], r"row 3, column 'a': missing value"),
    "infinite": ([1.0, 2.0, np.inf, 3.0], r"row 3, column 'a': features must be.*got inf"),
    "text among numbers": (["1", "2", "3", "q"], r"row 4, column 'a': features must.*got 'q'"),
    "date": (pd.date_range("2026-01-01", periods=4), r"row 1, column 'a': features must.*or text"),
    "list": ([[1], [2], [3], [4]], r"row 1, column 'a': features must be finite numbers or text"),
    "bytes": ([b"p", b"q", b"p", b"q"], r"row 1, column 'a': features must.*or text, got b'p'"),
}


@pytest.mark.parametrize("case", REFUSED_COLUMNS)
def test_bad_parquet_values_are_refused_with_file_row_and_column(case, tmp_path):
    values, message = REFUSED_COLUMNS[case]
    path = tmp_path / "data.parquet"
    pd.DataFrame({"a": values, "label": list("xxyy")}).to_parquet(path)
    with pytest.raises(ValueError, match=r"data\.parquet: " + message):
        load_dataset(path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pd.date_range("2026-01-01", periods=4), r"row 1, column 'label': class labels must be"),
        ([None, "x", "x", "y"], r"row 1, column 'label': missing value"),
        ([0.5, 1.0, 0.5, 1.0], r"column 'label' looks continuous"),
    ],
)
def test_bad_parquet_labels_are_refused(labels, message, tmp_path):
    path = tmp_path / "data.parquet"
    pd.DataFrame({"a": [1, 2, 3, 4], "label": labels}).to_parquet(path)
    with pytest.raises(ValueError, match=r"data\.parquet: " + message):
        load_dataset(path)


def test_text_in_parquet_that_is_not_utf8_is_refused(tmp_path):
    frame = pd.DataFrame({"a": ["word"] * 4, "label": list("xxyy")})
    frame.to_parquet(tmp_path / "data.parquet", compression=None, use_dictionary=False)
    content = (tmp_path / "data.parquet").read_bytes().replace(b"word", b"w\xffrd")
    with pytest.raises(ValueError, match=r"data\.parquet: cannot be read as Parquet"):
        load_dataset(saved(tmp_path, content, "data.parquet"))
