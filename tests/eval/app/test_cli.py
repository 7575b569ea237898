import io
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_wine
from support.seeds import shifted

from eval.app.cli import main
from eval.app.run.config import RunConfig
from eval.app.run.model_store import read_model
from eval.app.run.runs import execute, history
from eval.app.run.splits import draw_split
from eval.app.shared.run_folder import read_run
from eval.app.shared.scores import paired_difference
from eval.app.shared.scores import test_error as error_of_runs
from eval.comparison.folds import OURS
from eval.comparison.records import Record

FAST = ["--neurons", "50", "--steps", "20", "--quiet"]
TINY = ["--n-samples", "40", "--n-features", "5", "--n-classes", "2", "--n-test", "100", *FAST]


def invoke(*arguments):
    return CliRunner().invoke(main, ["run", *map(str, arguments)])


@pytest.fixture
def wine(tmp_path):
    """scikit-learn's wine with text labels, as a file."""
    bunch = load_wine(as_frame=True)
    frame = bunch.frame.rename(columns={"target": "cultivar"})
    frame["cultivar"] = bunch.target_names[frame["cultivar"]]
    path = tmp_path / "wine.csv"
    frame.to_csv(path, index=False)
    return path


def test_run_tells_what_no_data_can_show(tmp_path):
    out = tmp_path / "run"
    words = ("--activation", "sigmoid", "--truncation", "10")
    result = invoke(*TINY, *words, "--out", out)
    assert result.exit_code == 0, result.output
    said = "i.i.d. sampling cannot be checked on data; R = 10 must be large"
    assert f"not known: {said}" in result.output
    check = json.loads((out / "metrics.json").read_text())["assumptions"][2]
    assert check["met"] is None
    assert f"not known</span>: {said}" in (out / "report.html").read_text()


def test_run_writes_all_that_is_needed_and_prints_a_table(tmp_path):
    out = tmp_path / "run"
    result = invoke(*TINY, "--controls", "--out", out)
    assert result.exit_code == 0, result.output
    for name in (OURS, "logistic regression", "RBF SVC", "MLP"):
        assert name in result.output
    for name in ("raw inputs", "untrained neurons", "shuffled labels", "Assumption 3"):
        assert name in result.output
    files = "columns.json config.json features.npz figures history.csv manifest.json metrics.json"
    assert sorted(p.name for p in out.iterdir()) == [
        *files.split(),
        "model.gibbsnet",
        "report.html",
    ]
    assert json.loads((out / "config.json").read_text())["model"] == {
        "n_neurons": 50,
        "max_iter": 20,
    }
    metrics = json.loads((out / "metrics.json").read_text())
    assert 0 <= metrics["scores"][OURS][0]["nc1_train"] <= 1
    history = pd.read_csv(out / "history.csv")
    assert list(history["stage"]) == ["one", "one", "one", "two", "two"]
    assert {"loss", "nc1", "gradient_norm", "seconds"} <= set(history.columns)


def test_config_repeats_the_run_to_the_bit(tmp_path):
    for name in ("a", "b"):
        assert invoke(*TINY, "--out", tmp_path / name).exit_code == 0
    stored = json.loads((tmp_path / "a" / "config.json").read_text())
    versions = stored.pop("versions")
    assert {"gibbsnet", "torch", "numpy", "python", "threads"} <= set(versions)
    again = execute(RunConfig(**stored), progress=False)
    first, second = (
        pd.read_csv(tmp_path / name / "history.csv").drop(columns="seconds") for name in "ab"
    )
    pd.testing.assert_frame_equal(first, second)
    ours = history(again.model).drop(columns="seconds")
    # pandas before 3 reads numbers to a few units of round-off.
    np.testing.assert_allclose(ours["loss"], first["loss"], rtol=1e-14)


def test_text_labels_from_a_csv_file(wine, tmp_path):
    result = invoke("--data", wine, "--target", "cultivar", *FAST, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "wine, n=106, 72 held out" in result.output


def test_a_file_is_read_and_parsed_once_in_a_run(wine, tmp_path, monkeypatch):
    reads, parses, read_csv, read_bytes = [], [], pd.read_csv, Path.read_bytes

    def count_parses(source, *arguments, **options):
        parses.append(source)
        return read_csv(source, *arguments, **options)

    def count_reads(path):
        reads.append(path)
        return read_bytes(path)

    monkeypatch.setattr(pd, "read_csv", count_parses)
    monkeypatch.setattr(Path, "read_bytes", count_reads)
    options = ("--repeats", "2", *FAST, "--out", tmp_path / "run")
    assert invoke("--data", wine, "--target", "cultivar", *options).exit_code == 0
    assert reads.count(wine) == 1
    assert sum(isinstance(source, io.StringIO) for source in parses) == 1


def test_repeats_give_means_intervals_and_paired_differences(tmp_path):
    result = invoke("--data", "iris", *FAST, "--repeats", "3", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "mean of 3 repetitions" in result.output
    assert "error minus ours" in result.output
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())["scores"]
    assert [len(rows) for rows in scores.values()] == [3, 3, 3, 3]


def test_repetitions_are_the_stratified_splits_of_their_seeds():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    expected = train_test_split(x, y, test_size=0.4, stratify=y, random_state=shifted(5))
    split = draw_split(RunConfig(data="digits", seed=shifted(3)), 2)
    np.testing.assert_array_equal(split.x, expected[0])
    np.testing.assert_array_equal(split.y_test.astype(int), expected[3])


def test_folders_are_numbered_when_none_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert invoke(*TINY).exit_code == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["separable", "separable-2"]


def test_force_replaces_a_run_but_nothing_else(tmp_path):
    out = tmp_path / "run"
    assert invoke(*TINY, "--out", out).exit_code == 0
    (out / "note.txt").write_text("old")
    assert invoke(*TINY, "--out", out, "--force").exit_code == 0
    assert not (out / "note.txt").exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter").write_text("dear")
    result = invoke(*TINY, "--out", other, "--force")
    assert result.exit_code == 2
    assert "not a folder that gibbsnet wrote" in " ".join(result.output.split())
    assert (other / "chapter").read_text() == "dear"


HEADER = "a,b,label\n"
ROWS = "1,2,x\n2,3,x\n3,5,y\n4,1,y\n"
FILES = [
    (HEADER + "1,2,x\n2,,y\n", [], r"line 3, column 'b': missing value"),
    (HEADER + "1,2,x\nred,3,y\n", [], r"line 3, column 'a': features must be.*got 'red'"),
    (HEADER + "1,inf,x\n2,3,y\n", [], r"line 2, column 'b': features must be finite"),
    (HEADER + "1,2,x\n2,3,x\n", [], r"column 'label' holds one class only, 'x'"),
    (HEADER + "1,2,x\n2,3,x\n3,4,y\n", [], r"class 'y' in column 'label' has one sample"),
    ("a,b,label\n1,2,0.5\n2,3,0.7\n", [], r"column 'label' looks continuous"),
    (HEADER + ROWS, ["--target", "species"], r"no column 'species'; there are a, b, label"),
    ("label\nx\ny\n", [], r"there must be feature columns beside 'label'"),
    ("", [], r"cannot be read as CSV"),
    (HEADER + "1,2,x\n1,2,3,4,5,6\n", [], r"cannot be read as CSV"),
    (HEADER + "1,1,x\n1,1,x\n1,1,x\n1,1,y\n1,1,y\n1,1,y\n", [], r"X must not be constant"),
]


@pytest.mark.parametrize(("content", "options", "message"), FILES)
def test_bad_files_are_explained_and_leave_nothing(content, options, message, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(content)
    result = invoke("--data", path, *options, *FAST, "--out", tmp_path / "out" / "run")
    check_refusal(result, message, tmp_path)


OPTIONS = [
    (["--data", "nowhere.csv"], r"nowhere.csv: no such file.*digits, wine"),
    (["--beta", "0"], r"beta must be > 0, got 0"),
    (["--beta", "inf"], r"--lambda-rho must be given when beta is inf"),
    (["--gamma", "0"], r"gamma must be > 0 and finite, got 0"),
    (["--step-size", "0"], r"--step-size must be a finite number > 0"),
    (["--step-size", "1e5"], r"step_size=100000.0 diverged"),
    (["--neurons", "0"], r"--neurons must be an integer >= 1, got 0"),
    (["--hidden-features", "3"], r"--hidden-features must be an integer >= 4"),
    (["--steps", "-1"], r"--steps must be an integer >= 0"),
    (["--batch-size", "1000"], r"--batch-size must be an integer between 1 and n = 400"),
    (["--activation", "cos"], r"activation must be one of sigmoid"),
    (["--margin", "0.7"], r"margin must be > 0 and <= q/\(3q - 4\) = 0.5"),
    (["--n-features", "3"], r"n_features must be >= n_classes = 4"),
    (["--n-classes", "1"], r"'--n-classes': 1 is not in the range"),
    (["--test-size", "1.5"], r"--test-size must be between 0 and 1"),
    (["--repeats", "0"], r"'--repeats': 0 is not in the range"),
    (["--seed", "-1"], r"'--seed': -1 is not in the range"),
    (["--beta", "warm"], r"'--beta': 'warm' is not a valid float"),
    (["--speed", "9"], r"No such option"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_bad_options_are_explained_and_leave_nothing(options, message, tmp_path):
    result = invoke(*FAST, *options, "--out", tmp_path / "out" / "run")
    check_refusal(result, message, tmp_path)


def check_refusal(result, message, tmp_path):
    import re

    assert result.exit_code == 2, result.output
    text = " ".join(result.output.split())
    assert re.search(message, text), text
    assert "Traceback" not in text
    assert not (tmp_path / "out" / "run").exists()
    assert not list(tmp_path.rglob(".run-*"))


def test_existing_or_impossible_folders_are_refused_before_training(tmp_path):
    (tmp_path / "taken").mkdir()
    result = invoke(*FAST, "--out", tmp_path / "taken")
    assert result.exit_code == 2
    assert "exists already: choose another --out, or --force" in result.output
    (tmp_path / "file").write_text("")
    result = invoke(*FAST, "--out", tmp_path / "file" / "run")
    assert result.exit_code == 2
    assert "cannot be written" in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken"]


def test_help_and_version():
    result = CliRunner().invoke(main, ["run", "--help"])
    assert result.exit_code == 0
    assert "gibbsnet run --data digits --repeats 10" in result.output
    assert CliRunner().invoke(main, ["--version"]).output.startswith("gibbsnet, version")


def record(error, low, high, collapse=None):
    """A record of a method with this test error and NC1."""
    return Record(
        train_error=0.0,
        test_error=error,
        test_error_low=low,
        test_error_high=high,
        fit_seconds=1.0,
        nc1_train=collapse,
        nc1_test=collapse,
    )


def test_interval_of_repetitions_without_errors_has_a_width():
    scores = [record(0.0, 0.0, 4e-4)] * 4
    assert error_of_runs(scores, 0.0) == pytest.approx((0.0, 0.0, 2e-4))
    assert error_of_runs(scores, 0.5) == pytest.approx((0.0, 0.0, 4e-4))
    spread = [record(e, e, e) for e in (0.1, 0.2, 0.3)]
    half = 4.302653 * 0.1
    for overlap, share in ((0.0, 1 / 3), (0.5, 5 / 6)):
        odds = 0.2 / 0.8 * math.exp(half * share**0.5 / (0.2 * 0.8))
        assert error_of_runs(spread, overlap).high == pytest.approx(odds / (1 + odds))
    assert error_of_runs([Record(nc1_train=0.5, nc1_test=0.5)], 0.0) is None
    pairs = {OURS: spread, "other": spread[::-1]}
    end = math.tanh(2 * half * (5 / 6) ** 0.5)
    assert paired_difference(pairs, "other", 0.5) == pytest.approx((0.0, -end, end))


def test_force_spares_foreign_folders_links_and_the_working_directory(tmp_path, monkeypatch):
    foreign = tmp_path / "model"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"layers": 12}')
    (foreign / "weights").write_text("dear")
    link = tmp_path / "link"
    link.symlink_to(foreign)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(foreign)
    for out in (foreign, link, dangling, Path(), tmp_path):
        result = invoke(*TINY, "--out", out, "--force")
        assert result.exit_code == 2, result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "link", "model"]
    assert (foreign / "weights").read_text() == "dear"


def start_run(out, *options):
    """A long run in a process of its own, once its training is under way."""
    command = [sys.executable, "-m", "eval.app", "run", "--steps", "1000000", "--neurons", "30"]
    process = subprocess.Popen(
        [*command, "--out", str(out), *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "classes" in process.stderr.readline() + process.stderr.readline()
    time.sleep(2)
    return process


def test_ctrl_c_keeps_a_valid_partial_folder_and_twice_leaves_nothing(tmp_path):
    out = tmp_path / "run"
    process = start_run(out, "--data", "iris")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "stopping; the result so far will be kept" in stderr
    assert "partial, stopped early" in stdout
    stored = read_run(out)
    assert not stored.complete
    assert 0 < stored.metrics["steps"] < 1_000_000
    assert list(stored.scores) == [OURS]
    assert "<strong>Partial run.</strong>" in (out / "report.html").read_text()
    assert read_model(out).predict(np.zeros((1, 4))).shape == (1,)

    process = start_run(tmp_path / "none", "--data", "iris")
    process.send_signal(signal.SIGSTOP)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
    process.communicate(timeout=60)
    if not (tmp_path / "none").exists():  # the second one came before the run could end
        assert process.returncode != 0
    assert {p.name for p in tmp_path.iterdir()} <= {"none", "none.partial", "run", "run.partial"}
    if process.returncode != 0:
        assert not (tmp_path / "none.partial").exists()


def test_json_for_scripts(tmp_path):
    result = invoke(*TINY, "--json", "--out", tmp_path / "run")
    assert json.loads(result.stdout)["scores"][OURS][0]["test_error"] >= 0
    assert result.stderr == ""
    report = CliRunner().invoke(main, ["report", str(tmp_path / "run"), "--json"])
    assert json.loads(report.stdout) == json.loads(result.stdout)


def test_data_are_described_before_training(tmp_path):
    words = [word for word in FAST if word != "--quiet"]
    result = invoke("--data", "wine", *words, "--out", tmp_path / "run")
    assert "class_0" in result.stderr
    assert "178" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell):
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0, result.output
    assert "_GIBBSNET_COMPLETE" in result.output
