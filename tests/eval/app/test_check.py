import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from support.seeds import shifted

from eval import separability, verify_farkas
from eval.app.check.checking import execute, table
from eval.app.check.config import CheckConfig
from eval.app.cli import main


def invoke(*words):
    return CliRunner().invoke(main, ["check", *map(str, words)])


@pytest.fixture
def line(tmp_path):
    """Three classes on a line: the middle one is not separable, the outer ones are with b."""
    path = tmp_path / "line.csv"
    frame = pd.DataFrame({"x": [1.0, 2.0, 4.0, 5.0, 7.0, 9.0], "kind": list("aabbcc")})
    frame.to_csv(path, index=False)
    return path


def test_table_of_a_file(line):
    result = invoke(line, "--raw")
    assert result.exit_code == 0, result.output
    rows = [row.split() for row in result.output.splitlines()]
    assert rows[0][:4] == ["line:", "n=6,", "d=1,", "q=3;"]
    # Half the distance of the hulls over the largest norm, 9: 1/9 and 1/9.
    assert ["a", "2", "no", "-", "2", "yes", "0.1111", "2"] in rows
    assert ["b", "2", "no", "-", "2", "no", "-", "3"] in rows
    assert ["c", "2", "no", "-", "2", "yes", "0.1111", "2"] in rows
    assert "with an intercept: not separable" in result.output


def test_a_separable_law_states_the_bound():
    result = invoke("--data", "separable", "--seed", shifted(3), "--n-samples", 200)
    assert result.exit_code == 0, result.output
    assert "4 classes in the unit ball have at most 0.5\n" in result.output
    margin = float(result.output.split("tau/M = ")[1].split(";")[0])
    assert 0.05 <= margin < 0.1


def test_folder_holds_numbers_that_prove_themselves(line, tmp_path):
    out = tmp_path / "out"
    result = invoke(line, "--raw", "--out", out)
    assert result.exit_code == 0, result.output
    assert f"written to {out}" in result.output
    names = sorted(path.name for path in out.iterdir())
    assert names == ["check.csv", "check.json", "check.png", "check.svg", "config.json"]
    content = json.loads((out / "check.json").read_text())
    frame = pd.read_csv(line)
    x, y = frame[["x"]].to_numpy(), frame["kind"]
    for each in content["with_intercept"]["classes"]:
        if each["status"] == "not separable":
            alpha = dict(zip(each["support"], each["multipliers"], strict=True))
            assert verify_farkas(x, y, each["label"], alpha, intercept=True, tol=1e-14)
        else:
            scores = x @ each["direction"] + each["offset"]
            signed = np.where(y == each["label"], 1, -1) * scores
            assert signed.min() == pytest.approx(each["margin"], abs=1e-12)
    with Image.open(out / "check.png") as image:
        assert image.size == (1100, 627)
    columns = pd.read_csv(out / "check.csv").columns
    assert list(columns[-3:]) == [
        "separable_with_intercept",
        "margin_with_intercept",
        "support_with_intercept",
    ]
    assert invoke(line, "--out", out).exit_code == 2
    assert invoke(line, "--raw", "--out", out, "--force", "--json").exit_code == 0
    config = json.loads((out / "config.json").read_text())
    config.pop("versions")
    again = execute(CheckConfig(**config))
    pd.testing.assert_frame_equal(
        table(again), table(execute(CheckConfig(str(line), None, None, None, False)))
    )


def test_json_is_what_the_library_says():
    content = json.loads(invoke("--data", "iris", "--json").stdout)
    assert content["standardized"]
    checked = execute(CheckConfig("iris"))
    np.testing.assert_allclose(checked.x.std(axis=0), 1)
    found = separability(checked.x, checked.y)
    assert content["through_the_origin"]["status"] == found.status
    stored = [each["margin"] for each in content["through_the_origin"]["classes"]]
    assert stored == found.margins.tolist()


def test_own_distribution(tmp_path):
    (tmp_path / "rings.py").write_text(
        "import numpy as np\n"
        "class Rings:\n"
        "    def sample(self, n, random_state):\n"
        "        y = np.arange(n) % 2\n"
        "        angle = np.random.default_rng(random_state).uniform(0, 6.28, size=n)\n"
        "        return (1 + y)[:, None] * np.c_[np.cos(angle), np.sin(angle)], y\n"
    )
    result = invoke("--data", f"{tmp_path / 'rings.py'}:Rings", "--n-samples", 100)
    assert result.exit_code == 0, result.output
    assert "with an intercept: not separable" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either FILE or --data"),
        (["a.csv", "--data", "iris"], "give either FILE or --data"),
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["--data", "iris", "--target", "x"], "iris"),
        (["--data", "iris", "--n-samples", "1"], "--n-samples"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(words, message):
    result = invoke(*words)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_bad_values_of_a_file(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("x,kind\n1,a\n,a\n2,b\n3,b\n")
    result = invoke(path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "missing value" in result.output
    assert not (tmp_path / "out").exists()
