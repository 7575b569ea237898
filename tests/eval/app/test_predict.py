import io
import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from support.seeds import numpy_generator

from eval.app.cli import main


def invoke(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def table():
    rng = numpy_generator()
    kind = rng.choice(["red", "green", "blue"], 120)
    size = rng.normal(size=120)
    label = np.where((kind == "red") | (size > 0.5), "yes", "no")
    return pd.DataFrame({"kind": kind, "size": 40 + 7 * size, "label": label})


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    table.to_csv(folder / "train.csv", index=False)
    out = folder / "run"
    result = invoke(
        *("run", "--data", folder / "train.csv", "--target", "label", "--steps", 600),
        *("--neurons", 200, "--quiet", "--out", out),
    )
    assert result.exit_code == 0, result.output
    return out


def test_predictions_with_other_columns_in_another_order(run, table, tmp_path):
    shuffled = table.assign(note="x")[["note", "size", "label", "kind"]]
    shuffled.to_csv(tmp_path / "new.csv", index=False)
    result = invoke("predict", run, tmp_path / "new.csv", "--target", "label")
    assert result.exit_code == 0, result.output
    predicted = pd.read_csv(io.StringIO(result.stdout))
    assert (predicted["prediction"] == table["label"]).mean() > 0.9
    assert result.stderr.startswith("mismatch error")
    assert ((predicted["score"] > 0) == (predicted["prediction"] == "yes")).all()


def test_output_as_json_and_to_a_file(run, table, tmp_path):
    table.head(3).drop(columns="label").to_csv(tmp_path / "new.csv", index=False)
    result = invoke("predict", run, tmp_path / "new.csv", "--json")
    assert len(json.loads(result.stdout)) == 3
    out = tmp_path / "out.csv"
    assert invoke("predict", run, tmp_path / "new.csv", "--out", out).exit_code == 0
    assert len(pd.read_csv(out)) == 3
    again = invoke("predict", run, tmp_path / "new.csv", "--out", out)
    assert again.exit_code == 2
    assert "exists already" in again.output


def test_many_classes_have_a_score_each(tmp_path):
    out = tmp_path / "iris"
    words = ["run", "--data", "iris", "--steps", 5, "--neurons", 20, "--quiet", "--out", out]
    assert invoke(*words).exit_code == 0
    from eval import load_dataset

    data = load_dataset("iris")
    pd.DataFrame(data.x, columns=data.feature_names).to_csv(tmp_path / "x.csv", index=False)
    result = invoke("predict", out, tmp_path / "x.csv")
    frame = pd.read_csv(io.StringIO(result.stdout))
    assert list(frame.columns) == ["prediction", *(f"score {c}" for c in np.unique(data.y))]
    best = frame.filter(like="score").to_numpy().argmax(axis=1)
    assert (np.unique(data.y)[best] == frame["prediction"]).all()


CASES = [
    ("kind,weight\nred,1\n", "no column 'size', which the model was trained with"),
    ("kind,size\nred,1\npink,2\n", "line 3, column 'kind': level 'pink' was not in the training"),
    ("kind,size\nred,1\nred,tall\n", "line 3, column 'size': features must be finite numbers"),
    ("kind,size\nred,\n", "line 2, column 'size': missing value"),
]


@pytest.mark.parametrize(("content", "message"), CASES)
def test_files_that_do_not_fit_are_refused(run, tmp_path, content, message):
    (tmp_path / "new.csv").write_text(content)
    out = tmp_path / "out.csv"
    result = invoke("predict", run, tmp_path / "new.csv", "--out", out)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert not out.exists()


def test_missing_runs_and_files_are_named(run, tmp_path):
    result = invoke("predict", tmp_path / "nowhere", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert "nowhere: no such folder" in result.output
    result = invoke("predict", run, tmp_path / "x.csv")
    assert result.exit_code == 2
    assert "x.csv: no such file" in result.output
