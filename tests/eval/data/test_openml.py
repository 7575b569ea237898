"""Data sets of OpenML, from a cache in scikit-learn's layout that the tests lay down."""

import gzip
import hashlib
import json
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
from click.testing import CliRunner

from eval import load_dataset
from eval.app.cli import main
from eval.data.loading import load_source

COLUMNS = {
    "width": "REAL",
    "colour": "{red,green,blue}",
    "id": "INTEGER",
    "kind": "{cat,'big dog'}",
}
ROWS = "0.5,red,1,cat\n1.5,blue,2,'big dog'\n2.5,red,3,cat\n-1,green,4,'big dog'\n"


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    asked = []

    def refuse(request, *args, **kwargs):
        asked.append(request.full_url)
        raise URLError("Name or service not known")

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", refuse)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return asked


def keep(home, number=77, target="kind", rows=ROWS, ignored=()):
    """Write what scikit-learn would keep of such a data set."""
    kinds = "".join(f"@ATTRIBUTE {name} {kind}\n" for name, kind in COLUMNS.items())
    arff = f"@RELATION pets\n{kinds}@DATA\n{rows}".encode()
    features = [
        {
            "index": str(i),
            "name": name,
            "data_type": "nominal" if kind[0] == "{" else "numeric",
            "is_target": str(name == target).lower(),
            "is_ignore": str(name in ignored).lower(),
            "is_row_identifier": "false",
            "number_of_missing_values": "0",
            **({"nominal_value": kind[1:-1].replace("'", "").split(",")} if kind[0] == "{" else {}),
        }
        for i, (name, kind) in enumerate(COLUMNS.items())
    ]
    about = {
        "id": str(number),
        "name": "pets",
        "version": "3",
        "description": "Four pets.",
        "format": "ARFF",
        "status": "active",
        "file_id": "4711",
        "url": "https://www.openml.org/data/v1/download/4711/pets.arff",
        "md5_checksum": hashlib.md5(arff).hexdigest(),
        **({"default_target_attribute": target} if target else {}),
    }
    quality = [{"name": "NumberOfInstances", "value": "4.0"}]
    api = f"api/v1/json/data/{{}}{number}"
    files = {
        api.format(""): json.dumps({"data_set_description": about}).encode(),
        api.format("features/"): json.dumps({"data_features": {"feature": features}}).encode(),
        api.format("qualities/"): json.dumps({"data_qualities": {"quality": quality}}).encode(),
        "data/v1/download/4711/pets.arff": arff,
    }
    for name, content in files.items():
        path = home / "openml" / "openml.org" / f"{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content))
    return path


def test_a_kept_data_set_is_read_without_a_network(tmp_path, no_network):
    keep(tmp_path)
    data = load_dataset("openml:77")
    assert data.name == "pets"
    assert data.feature_names == ("width", "colour=blue", "colour=green", "colour=red", "id")
    expected = [[0.5, 0, 0, 1, 1], [1.5, 1, 0, 0, 2], [2.5, 0, 0, 1, 3], [-1, 0, 1, 0, 4]]
    np.testing.assert_array_equal(data.x, expected)
    assert data.y.tolist() == ["cat", "big dog", "cat", "big dog"]
    assert data.standardize
    assert data.notes == (
        "OpenML data set 77, version 3",
        "column 'colour' is one-hot encoded, 3 levels",
    )
    assert no_network == []


def test_columns_may_be_chosen(tmp_path):
    rows = ROWS.replace("blue", "green")
    keep(tmp_path, rows=rows)
    data = load_dataset("openml:77", "colour", index="id")
    assert data.feature_names == ("width", "kind=big dog", "kind=cat")
    assert data.y.tolist() == ["red", "green", "red", "green"]
    assert load_source("openml:77", index=["id", "width"]).x.shape == (4, 2)


def test_columns_that_are_to_be_ignored_are(tmp_path):
    keep(tmp_path, ignored=("id",))
    assert "id" not in load_dataset("openml:77").feature_names


def test_the_command_line_takes_the_number(tmp_path):
    keep(tmp_path)
    result = CliRunner().invoke(main, ["check", "--data", "openml:77", "--index", "id"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("pets: n=4, d=4, q=2")
    keep(tmp_path, rows=ROWS.replace("1.5", "?"))
    result = CliRunner().invoke(main, ["check", "--data", "openml:77"])
    assert result.exit_code == 2
    assert "openml:77: row 2, column 'width': missing value" in result.output
    result = CliRunner().invoke(main, ["check", "--data", "openml:61"])
    assert result.exit_code == 2
    assert "openml.org cannot be reached" in result.output


def test_what_cannot_be_reached_is_told(tmp_path, no_network):
    with pytest.raises(ConnectionError, match=r"openml:61: not kept on this machine, and openml"):
        load_dataset("openml:61")
    assert no_network
    keep(tmp_path).write_bytes(b"not an archive")
    # Some versions of scikit-learn fetch it again, others stop.
    told = r"openml:77: (.*Name or service not known.*a file$|cannot be read from OpenML)"
    with pytest.raises((ConnectionError, ValueError), match=told):
        load_dataset("openml:77")


def test_an_answer_of_the_server_is_told(monkeypatch):
    def answer(request, *args, **kwargs):
        raise HTTPError(request.full_url, 503, "Service Unavailable", None, None)

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", answer)
    with pytest.raises(ConnectionError, match=r"openml:61: openml.org answered 503 Service Unav"):
        load_dataset("openml:61")


BAD = [
    ("openml:", {}, {}, "'openml:' must be followed by the number of a data set, as in openml:61"),
    ("openml:iris", {}, {}, "openml:iris: 'openml:' must be followed by the number"),
    ("openml:0", {}, {}, "openml:0: 'openml:' must be followed by the number"),
    ("openml:77", {"target": "nope"}, {}, "openml:77: no column 'nope'; there are width"),
    ("openml:77", {"index": "nope"}, {}, "no column 'nope'; there are width, colour, id, kind"),
    ("openml:77", {"separator": ";"}, {}, "openml:77: separator is for tables in files"),
    (
        "openml:77",
        {},
        {"target": "width,kind"},
        "target must be given, OpenML names width,kind; there",
    ),
    ("openml:77", {}, {"target": None}, "target must be given, OpenML names none; there are width"),
    ("openml:77", {"target": "width"}, {}, "column 'width' looks continuous"),
    ("openml:77", {}, {"rows": ROWS.replace("1.5", "?")}, "row 2, column 'width': missing value"),
]


@pytest.mark.parametrize(("source", "options", "kept", "message"), BAD)
def test_bad_input_is_named(source, options, kept, message, tmp_path):
    keep(tmp_path, **kept)
    with pytest.raises(ValueError, match=message):
        load_dataset(source, **options)
