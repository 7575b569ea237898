import json
import math
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from support.seeds import numpy_generator

from eval import mean_interval, mismatch_error, mismatch_interval
from eval.accuracy import error_interval
from eval.app.compare.command import compare
from eval.app.compare.config import CompareConfig
from eval.app.shared.formats import as_text
from eval.app.shared.workspace import alone_in
from eval.comparison import compare_tuned
from eval.comparison.folds import OURS
from eval.comparison.ranking import corrected_test, holm

SMALL = [
    "--tuned",
    "--methods=ridge,k-NN",
    "--folds=2",
    "--repeats=1",
    "--neurons=5",
    "--steps=3",
    "--workers=1",
]
METHODS = [OURS, "ridge", "k-NN"]
NUMBERS = ["train_error", "test_error", "nc1_test", "chosen", "inner_errors", "settings"]


def invoke(*arguments):
    return CliRunner().invoke(compare, [*SMALL, *map(str, arguments)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A file of three overlapping classes with names."""
    rng = numpy_generator()
    y = np.repeat(["low", "mid", "top"], [24, 21, 15])
    x = rng.normal(size=(60, 3)) + 1.2 * np.unique(y, return_inverse=True)[1][:, None]
    frame = pd.DataFrame(x, columns=list("abc"))
    frame.insert(0, "kind", y)
    path = tmp_path_factory.mktemp("data") / "mine.csv"
    frame.to_csv(path, index=False)
    return path, frame


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A tuned comparison of the file, and what it printed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    result = invoke("--data", data[0], "--target", "kind", "--out", out, "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return out, result.stdout


def again(data, out, *arguments):
    return invoke("--data", data[0], "--target", "kind", "--out", out, "--resume", *arguments)


def test_files_tables_and_figures_are_written(whole):
    out, stdout = whole
    assert sorted(path.name for path in out.iterdir()) == [
        "compare.csv",
        "compare.md",
        "compare.png",
        "compare.svg",
        "config.json",
        "jobs",
        "predictions.csv",
        "spaces.json",
        "summary.csv",
    ]
    assert (
        "mine, n=60, d=3, q=3; mean of 2 stratified folds; 9 candidates a method, 3 inner" in stdout
    )
    assert re.search(r"two-stage network: rank \d of 3", stdout)
    records = pd.read_csv(out / "compare.csv")
    assert len(records) == 2 * 3 == len(list((out / "jobs").iterdir()))
    assert not records.duplicated(["data", "method", "fold"]).any()
    assert (records["n_candidates"] == 9).all()
    assert all(len(errors.split()) == 9 for errors in records["inner_errors"])
    spaces = json.loads((out / "spaces.json").read_text())
    assert [len(spaces[name]) for name in METHODS] == [9, 9, 9]
    config = json.loads((out / "config.json").read_text())
    assert (config["methods"], config["neurons"], config["steps"]) == (["ridge", "k-NN"], 5, 3)
    assert "scikit-learn" in config["versions"]
    with Image.open(out / "compare.png") as image:
        assert image.width > 1000
    assert (out / "compare.svg").read_text().startswith("<?xml")


def test_workers_give_what_one_process_gives(data, whole):
    frame = data[1]
    result = compare_tuned(
        frame[list("abc")].to_numpy(),
        frame["kind"].to_numpy(),
        folds=2,
        repeats=1,
        methods=CompareConfig(("mine",), methods=("ridge", "k-NN"), neurons=5, steps=3).spaces(),
    )
    stored = pd.read_csv(whole[0] / "compare.csv")
    errors = [record.test_error for record in result.records]
    assert stored["test_error"].tolist() == pytest.approx(errors, rel=1e-14)
    assert stored["chosen"].tolist() == [record.chosen for record in result.records]
    predicted = pd.read_csv(whole[0] / "predictions.csv")
    assert predicted["label"].tolist() == result.labels.tolist()
    for name in METHODS:
        assert predicted[name].tolist() == result.predictions[name].tolist()


def test_errors_and_places_are_those_of_the_csv_files(whole):
    out = whole[0]
    records = pd.read_csv(out / "compare.csv")
    predicted = pd.read_csv(out / "predictions.csv")
    summary = pd.read_csv(out / "summary.csv").set_index("method")
    for (method, fold), row in records.set_index(["method", "fold"]).iterrows():
        part = predicted[predicted["fold"] == fold]
        error = mismatch_error(part["label"], part[method])
        assert row["test_error"] == pytest.approx(error, rel=1e-14)
    errors = {name: rows["test_error"].to_numpy() for name, rows in records.groupby("method")}
    overlap = records["n_test"].sum() / records["n_train"].sum()
    means = {name: row.mean() for name, row in errors.items()}
    first = min(METHODS, key=means.__getitem__)
    others = sorted((name for name in METHODS if name != first), key=means.__getitem__)
    assert summary["rank"].to_dict() == {first: 1, **{k: i + 2 for i, k in enumerate(others)}}
    tests = [corrected_test(errors[name] - errors[first], overlap) for name in others]
    for name, (stderr, p), adjusted in zip(others, tests, holm([p for _, p in tests]), strict=True):
        row = summary.loc[name]
        interval = mean_interval(errors[name] - errors[first], overlap=overlap)
        columns = ["minus_first", "minus_first_low", "minus_first_high"]
        assert row[columns].tolist() == pytest.approx(interval)
        found = row[["minus_first_stderr", "p_value", "p_holm"]].tolist()
        assert found == pytest.approx([stderr, p, adjusted])
    assert math.isnan(summary.loc[first, "p_value"])
    for name in METHODS:
        pooled = mismatch_interval(predicted["label"], predicted[name])
        expected = error_interval(errors[name], pooled, overlap)
        row = summary.loc[name, ["test_error", "test_error_low", "test_error_high"]]
        assert row.tolist() == pytest.approx(expected)
        assert (
            f"| {name} | {as_text(expected, '{:.2f}', 100)} |" in (out / "compare.md").read_text()
        )


def test_jobs_that_are_missing_or_torn_are_done_again_and_no_others(data, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole[0], out)
    jobs = sorted((out / "jobs").iterdir())
    kept = {path.name: path.stat().st_mtime_ns for path in jobs[3:]}
    jobs[0].unlink()
    jobs[1].write_text(jobs[1].read_text()[:200])
    content = json.loads(jobs[2].read_text())
    jobs[2].write_text(json.dumps(content | {"predicted": content["predicted"][1:]}))
    (out / "jobs" / ".1-torn.json").write_text("{")
    (out / "compare.csv").unlink()
    result = again(data, out, "--json")
    assert result.exit_code == 0, result.output
    assert sorted((out / "jobs").iterdir()) == jobs
    for name, time in kept.items():
        assert (out / "jobs" / name).stat().st_mtime_ns == time
    first, second = (pd.read_csv(folder / "compare.csv") for folder in (whole[0], out))
    pd.testing.assert_frame_equal(first[NUMBERS], second[NUMBERS])
    assert (out / "predictions.csv").read_text() == (whole[0] / "predictions.csv").read_text()
    told = json.loads(result.stdout)
    assert told["folder"] == str(out)
    assert told["data"]["mine"]["verdict"] in whole[1]
    assert len(told["data"]["mine"]["records"]) == 6


def test_a_changed_file_or_option_is_refused(data, whole):
    path, frame = data
    before = path.read_text()
    try:
        frame.assign(a=frame["a"] + 1e-9).to_csv(path, index=False)
        refuse(again(data, whole[0]), r"was computed with data mine \w+, not \w+: choose another")
    finally:
        path.write_text(before)
    refuse(
        again(data, whole[0], "--seed=1"), r"is a comparison with --seed 0, not 1: give the same"
    )
    refuse(again(data, whole[0], "--methods=ridge"), r"--methods ridge,k-NN, not ridge")
    options = [option for option in SMALL if not option.startswith("--repeats")]
    arguments = ["--data", str(path), "--target=kind", "--out", str(whole[0]), "--resume"]
    refuse(
        CliRunner().invoke(compare, [*options, *arguments]),
        r"is a comparison with --repeats 1, not without: give the same",
    )
    refuse(
        invoke("--data", path, "--target", "kind", "--out", whole[0]),
        r"continue it by --resume, replace it by --force",
    )


def test_a_folder_that_another_process_fills_is_left_to_it(data, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole[0], out)
    message = r"run is in use by another process: wait for its end, or stop it"
    with alone_in(out):
        refuse(again(data, out), message)
        refuse(invoke("--data", data[0], "--target=kind", "--out", out, "--force"), message)
    assert again(data, out).exit_code == 0
    assert invoke("--data", data[0], "--target=kind", "--out", out, "--force").exit_code == 0


REFUSED = [
    (["--methods=ridge,ridge"], r"--methods must be different ones of .*, got 'ridge,ridge'"),
    (["--methods=two-stage network"], r"--methods must be different ones of logistic"),
    (["--controls"], r"--controls is not for --tuned"),
    (["--test-size=0.4"], r"--test-size is not for --tuned"),
    (["--data=nowhere.csv"], r"nowhere.csv: no such file"),
    (["--data=wine", "--folds=49"], r"--data wine: folds must be .* 48 of 2, got 49"),
    (["--resume", "--force"], r"--resume and --force exclude each other"),
    (["--neurons=0"], r"'--neurons': 0 is not in the range"),
    (["--repeats=0"], r"'--repeats': 0 is not in the range"),
    (["--workers=0"], r"'--workers': 0 is not in the range"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_bad_options_are_explained_and_leave_nothing(options, message, tmp_path):
    refuse(invoke("--data=iris", *options, "--out", tmp_path / "run"), message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "option", ["--methods=ridge", "--neurons=3", "--steps=0", "--repeats=2", "--resume"]
)
def test_options_of_tuning_are_refused_without_it(option, tmp_path):
    result = CliRunner().invoke(compare, ["--data=iris", option, "--out", str(tmp_path / "run")])
    refuse(result, rf"{option.partition('=')[0]} is for --tuned")
    assert not list(tmp_path.iterdir())


def refuse(result, message):
    assert result.exit_code == 2, result.output
    assert re.search(message, " ".join(result.output.split())), result.output


def test_the_default_is_all_methods():
    assert list(CompareConfig(("iris",)).spaces()) == [OURS, *CompareConfig(("iris",)).methods]
    assert len(CompareConfig(("iris",)).methods) == 8


def test_few_samples_are_cut_into_folds_again(data, whole, tmp_path):
    out = tmp_path / "run"
    once = invoke("--data", data[0], "--target=kind", "--repeats=3", "--out", out, "--quiet")
    assert once.exit_code == 0, once.output
    assert "mean of 3 x 2 stratified folds" in once.stdout
    records, first = (pd.read_csv(folder / "compare.csv") for folder in (out, whole[0]))
    assert len(records) == 3 * len(first)
    pd.testing.assert_frame_equal(
        records.loc[records["fold"] < 2, NUMBERS].reset_index(drop=True), first[NUMBERS]
    )
    predicted = pd.read_csv(out / "predictions.csv")
    for repeat, rows in predicted.groupby("repeat"):
        assert set(rows["fold"]) == {2 * repeat, 2 * repeat + 1}
        assert sorted(rows["sample"]) == list(range(len(data[1])))
    labels = data[1]["kind"].to_numpy()
    assert predicted["label"].tolist() == labels[predicted["sample"]].tolist()
    assert records["repeat"].tolist() == (records["fold"] // 2).tolist()
    shutil.rmtree(out)
    options = [option for option in SMALL if not option.startswith("--repeats")]
    arguments = ["--data", str(data[0]), "--target=kind", "--out", str(out), "--quiet"]
    default = CliRunner().invoke(compare, [*options, *arguments])
    assert default.exit_code == 0, default.output
    pd.testing.assert_frame_equal(pd.read_csv(out / "compare.csv")[NUMBERS], records[NUMBERS])
