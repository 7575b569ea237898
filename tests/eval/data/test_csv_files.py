import bz2
import gzip
import lzma

import numpy as np
import pytest
from support.datafiles import HEADER, ROWS, check_same, saved, zipped

from eval.data.loading import load_dataset


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


REFUSED_TEXTS = {
    "missing": (HEADER + "1,2,x\n2,,y\n", r"line 3, column 'b': missing value"),
    "missing in a text column": (HEADER + "r,2,x\nNA,3,y\n", r"line 3, column 'a': missing value"),
    "missing label": (HEADER + "1,2,x\n2,3,\n", r"line 3, column 'label': missing value"),
    "after blank lines": ("\n" + HEADER + "\n1,2,x\n \n2,,y\n", r"line 6, column 'b': missing"),
    "after long fields": ('a,b,label\n"p\nq",2,x\nr,,y\n', r"line 4, column 'b': missing value"),
    "nan": (HEADER + "1,2,x\n2,nan,y\n", r"line 3, column 'b': missing value"),
    "inf": (HEADER + "1,2,x\n2,-inf,y\n", r"line 3, column 'b': features must be.*got -inf"),
    "overflow": (
        HEADER + "1,2,x\n2,1e999,y\n",
        r"line 3, column 'b': features must be.*got (inf|'1e999')",
    ),
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
