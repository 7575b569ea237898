import bz2
import gzip
import lzma

import numpy as np
import pandas as pd
import pytest
from support.datafiles import HEADER, ROWS, X, Y, saved, truncated, zipped

from eval.data.file_formats import read_table
from eval.data.loading import load_dataset


def test_tables_for_prediction_keep_rows_and_columns_as_they_are(frame, tmp_path):
    content = "a;colour\n1.5;red\n;blue\n"
    expected = pd.DataFrame({"a": [1.5, np.nan], "colour": ["red", "blue"]})
    expected.to_parquet(tmp_path / "data.parquet")
    for path in (saved(tmp_path, content), tmp_path / "data.parquet"):
        pd.testing.assert_frame_equal(read_table(path), expected)
    pd.testing.assert_frame_equal(read_table(saved(tmp_path, content), separator=";"), expected)
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "data.npz"), pd.DataFrame(X, columns=["x0", "x1"]).assign(y=Y)
    )
    np.savez(tmp_path / "data.npz", X=X)
    assert list(read_table(tmp_path / "data.npz").columns) == ["x0", "x1"]


def test_tables_for_prediction_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: no such file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=r"must be a file, is a directory"):
        read_table(tmp_path)
    with pytest.raises(ValueError, match=r"data\.csv: cannot be read as CSV: line 2 has 2 fields"):
        read_table(saved(tmp_path, "a\n1,2\n"))
    np.savez(tmp_path / "data.npz", X=Y)
    with pytest.raises(
        ValueError, match=r"data\.npz: X must be a matrix that is not empty, got shape \(4,\)"
    ):
        read_table(tmp_path / "data.npz")


LONG = (HEADER + ROWS * 500).encode()

BROKEN_FILES = {
    "truncated.csv.gz": truncated(gzip.compress(LONG)),
    "plain.csv.gz": LONG,
    "garbled.csv.gz": gzip.compress(LONG)[:10] + b"\xff" * 50,
    "truncated.csv.bz2": truncated(bz2.compress(LONG)),
    "truncated.csv.xz": truncated(lzma.compress(LONG)),
    "plain.csv.xz": LONG,
    "truncated.zip": truncated(zipped(LONG, "data.csv")),
    "two.zip": zipped(LONG, "a.csv", "b.csv"),
    "none.zip": zipped(LONG),
    "plain.parquet": LONG,
    "empty.parquet": b"",
    "plain.npz": LONG,
    "empty.npz": b"",
    "data.xlsx": LONG,
    "data.tar.gz": LONG,
    "data": LONG,
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_broken_files_are_refused_by_name(name, tmp_path):
    path = saved(tmp_path, BROKEN_FILES[name], name)
    with pytest.raises(ValueError, match=r"cannot be read|must end in") as caught:
        load_dataset(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_truncated_parquet_or_npz_file_is_refused_by_name(frame, tmp_path):
    frame.to_parquet(tmp_path / "whole.parquet")
    np.savez(tmp_path / "whole.npz", X=frame[["a"]], y=np.arange(12) % 2)
    for name in ("whole.parquet", "whole.npz"):
        path = saved(tmp_path, truncated((tmp_path / name).read_bytes()), f"half-{name}")
        with pytest.raises(ValueError, match=rf"half-{name}: cannot be read as"):
            load_dataset(path)


def test_a_directory_is_refused(tmp_path):
    (tmp_path / "data.csv").mkdir()
    with pytest.raises(ValueError, match=r"data\.csv: must be a file, is a directory"):
        load_dataset(tmp_path / "data.csv")


def test_files_with_a_colon_in_their_name_are_files(tmp_path):
    path = saved(tmp_path, HEADER + ROWS, "json:dumps.csv")
    assert load_dataset(path).x.shape == (4, 2)
