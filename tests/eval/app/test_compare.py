import functools
import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.linear_model import RidgeClassifier
from sklearn.neural_network import MLPClassifier
from support.seeds import shifted

import eval.app.compare.fixed as app
from eval import Interval, compare_baselines, make_linearly_separable, separability
from eval.app.compare.command import compare
from eval.app.shared.formats import flat, markdown
from eval.app.shared.sources import SEPARABLE, samples_of
from stages import TwoStageClassifier


@pytest.fixture
def fast(monkeypatch):
    """Two quick methods beside a small network, in place of the fixed settings."""
    models = {
        "ridge": RidgeClassifier(),
        "MLP": MLPClassifier((5,), solver="lbfgs", max_iter=5000, random_state=shifted()),
    }
    network = TwoStageClassifier(n_neurons=30, max_iter=20, random_state=shifted())
    small = functools.partial(compare_baselines, models=models, network=network)
    monkeypatch.setattr(app, "measure", small)


def invoke(*arguments):
    return CliRunner().invoke(compare, [*map(str, arguments), "--quiet"])


def test_compare_writes_tables_and_figures(fast, tmp_path):
    out = tmp_path / "run"
    result = invoke("--data", "wine,separable", "--folds", 3, "--controls", "--out", out)
    assert result.exit_code == 0, result.output
    for text in ("wine, n=178, d=13, q=3; mean of 3", "separable, n=400", "two-stage network"):
        assert text in result.output
    assert sorted(path.name for path in out.iterdir()) == [
        "compare.csv",
        "compare.md",
        "compare.png",
        "compare.svg",
        "config.json",
        "summary.csv",
    ]
    records = pd.read_csv(out / "compare.csv")
    assert len(records) == 2 * 4 * 3
    assert not records.duplicated(["data", "method", "fold"]).any()
    summary = pd.read_csv(out / "summary.csv").set_index(["data", "method"])
    means = records.groupby(["data", "method"])["test_error"].mean()
    pd.testing.assert_series_equal(summary["test_error"].sort_index(), means.sort_index())
    with Image.open(out / "compare.png") as image:
        assert image.width > 1000
    assert (out / "compare.svg").read_text().startswith("<?xml")
    tables = (out / "compare.md").read_text()
    assert "| method | train error % | test error % [95 %] |" in tables
    config = json.loads((out / "config.json").read_text())
    assert config["data"] == ["wine", "separable"]
    assert config["folds"] == 3
    assert "scikit-learn" in config["versions"]


def test_json_alone_is_on_standard_output_and_holds_the_numbers(fast, tmp_path):
    out = tmp_path / "run"
    result = invoke("--data", "iris", "--test-size", 0.4, "--json", "--out", out)
    content = json.loads(result.stdout)
    rows = content["data"]["iris"]["summary"]
    assert [row["method"] for row in rows] == ["two-stage network", "ridge", "MLP"]
    assert rows[1]["difference"] == pytest.approx(rows[1]["test_error"] - rows[0]["test_error"])
    assert rows[1]["difference_low"] is None
    assert rows[0]["test_error_low"] <= rows[0]["test_error"] <= rows[0]["test_error_high"]
    assert len(content["data"]["iris"]["records"]) == 3
    assert content["folder"] == str(out)


def test_the_same_seed_gives_the_same_numbers(fast, tmp_path):
    frames = []
    for name in "ab":
        assert invoke("--data", "iris", "--folds", 2, "--out", tmp_path / name).exit_code == 0
        frame = pd.read_csv(tmp_path / name / "compare.csv")
        frames.append(frame.drop(columns=["fit_seconds", "predict_seconds"]))
    pd.testing.assert_frame_equal(*frames)


def test_files_and_their_target_stand_beside_names(fast, tmp_path):
    x, y = make_linearly_separable(60, 4, 2, random_state=shifted())
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame.insert(0, "kind", np.array(["u", "v"])[y])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    data = f"iris,{tmp_path / 'mine.csv'}"
    result = invoke("--data", data, "--target", "kind", "--folds", 2, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "mine, n=60, d=4, q=2" in result.output


def test_the_separable_family_is_drawn_by_name():
    drawn = {name: samples_of(law, name, 400, shifted(3)) for name, law in SEPARABLE.items()}
    x, y = make_linearly_separable(400, random_state=shifted(3))
    np.testing.assert_array_equal(drawn["separable"].x, x)
    np.testing.assert_array_equal(drawn["separable"].y, y)
    margins = {name: separability(data.x, data.y) for name, data in drawn.items()}
    assert not margins.pop("separable-noisy").separable
    assert all(found.margin >= 0.05 for found in margins.values())
    assert len(margins) == 4
    counts = np.bincount(drawn["separable-imbalanced"].y)
    np.testing.assert_allclose(counts / 400, np.array([8, 4, 2, 1]) / 15, atol=0.1)


REFUSED = [
    (["--data", "nowhere.csv"], r"nowhere.csv"),
    (["--data", "wine,,iris"], r"--data must be names with commas between, got 'wine,,iris'"),
    (["--data", "wine,wine"], r"--data must name every data set once, got wine more than once"),
    (["--data", "wine", "--folds", "49"], r"--data wine: folds must be .* 48 of .*, got 49"),
    (["--data", "wine", "--target", "a"], r"--target is for the columns of CSV"),
    (["--folds", "1"], r"'--folds': 1 is not in the range"),
    (["--test-size", "1"], r"'--test-size': 1.0 is not in the range"),
    (["--seed", "-1"], r"'--seed': -1 is not in the range"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_bad_options_are_explained_and_leave_nothing(options, message, tmp_path):
    result = invoke(*options, "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert re.search(message, " ".join(result.output.split())), result.output
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_refused_before_any_work(tmp_path):
    (tmp_path / "run").mkdir()
    result = invoke("--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "exists already: choose another --out, or --force" in result.output


def test_intervals_are_spread_over_columns_and_nan_is_none():
    row = flat({"method": "a", "error": Interval(0.5, float("nan"), float("nan")), "nc1": None})
    assert row == {"method": "a", "error": 0.5, "error_low": None, "error_high": None, "nc1": None}


def test_markdown_is_a_table():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "-"]})
    assert markdown(frame) == "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | - |"
