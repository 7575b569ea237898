import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.stats import linregress
from support.seeds import numpy_generator, shifted
from support.waiting import kill_at_first_job

from eval import Interval, SeparableDistribution, mismatch_error, mismatch_interval, nc1
from eval.app.shared.workspace import Workspace
from eval.app.study.command import study
from eval.app.study.config import StudyConfig
from eval.app.study.jobs import MEASURED, Job, execute, run_job
from eval.app.study.summary import fit_power_law, fit_rates, summarize
from stages import TwoStageClassifier

TINY = [
    "--margins=0.1,0.3",
    "--sizes=8,16,32",
    "--seeds=2",
    "--n-test=200",
    "--neurons=20",
    "--steps=100",
    "--workers=1",
]
N_JOBS = 12


def invoke(*arguments):
    return CliRunner().invoke(study, ["generalization", *map(str, arguments)])


def start(out):
    """A real process, in a folder whose eval.py must not be found."""
    code = "from eval.app.study.command import study; study()"
    command = [sys.executable, "-P", "-W", "error", "-c", code, "generalization", *TINY]
    return subprocess.Popen(
        [*command, "--out", str(out)],
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that was not interrupted, and what it printed."""
    out = tmp_path_factory.mktemp("whole") / "study"
    result = invoke(*TINY, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return out, result.stdout


def test_a_study_writes_results_means_rates_and_figures(whole):
    out, stdout = whole
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "jobs",
        "rates.csv",
        "results.csv",
        "study.csv",
        "study.md",
        "study.png",
        "study.svg",
    ]
    results = pd.read_csv(out / "results.csv")
    assert len(results) == N_JOBS == len(list((out / "jobs").iterdir()))
    means = results.groupby(["margin", "n"])[["test_error", "nc1_train", "nc1_test"]].mean()
    stored = pd.read_csv(out / "study.csv").set_index(["margin", "n"])
    pd.testing.assert_frame_equal(stored[means.columns], means)
    with Image.open(out / "study.png") as image:
        assert image.width > 1000
    content = json.loads(stdout)
    assert content["config"]["sizes"] == [8, 16, 32]
    assert len(content["rows"]) == 6
    assert [(row["quantity"], row["margin"]) for row in content["rates"]] == [
        ("test_error", 0.1),
        ("test_error", 0.3),
        ("nc1_test", 0.1),
        ("nc1_test", 0.3),
    ]


def test_a_killed_study_resumes_to_the_same_results(whole, tmp_path):
    out = tmp_path / "study"
    (tmp_path / "eval.py").write_text("raise SystemExit('the eval.py of the user')")
    process = start(out)
    kept = kill_at_first_job(process, out, 60)
    assert 0 < len(kept) < N_JOBS
    assert not (out / "results.csv").exists()
    (out / "jobs" / ".1-torn.json").write_text('{"margin":')
    assert invoke(*TINY, "--out", out, "--resume", "--quiet").exit_code == 0
    for name, text in kept.items():
        assert (out / "jobs" / name).read_text() == text
    assert len(list((out / "jobs").iterdir())) == N_JOBS
    again, first = (pd.read_csv(folder / "results.csv") for folder in (out, whole[0]))
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), first.drop(columns="seconds"))
    for name in ("study.csv", "rates.csv", "study.md"):
        assert (out / name).read_text() == (whole[0] / name).read_text()


def test_a_worker_gives_what_the_job_gives_here(whole):
    config = StudyConfig((0.1, 0.3), (8, 16, 32), 2, n_test=200, neurons=20, steps=100)
    job = Job(0.3, 16, 1)
    stored = json.loads((whole[0] / "jobs" / job.file).read_text())
    assert run_job(job, config) | {"seconds": 0} == stored | {"seconds": 0}


def test_a_job_is_one_run_on_the_law_of_its_seed():
    config = StudyConfig(n_features=6, n_classes=3, n_test=300, neurons=20, steps=10, gamma=2.0)
    result = run_job(Job(0.2, 30, shifted(7)), config)
    train, test, network = np.random.SeedSequence((shifted(7), 30)).generate_state(3)
    law = SeparableDistribution(6, 3, margin=0.2, random_state=shifted(7))
    x, y = law.sample(30, int(train))
    x_test, y_test = law.sample(300, int(test))
    model = TwoStageClassifier(
        n_neurons=20, max_iter=10, activation="sigmoid", gamma=2.0, random_state=int(network)
    ).fit(x, y)
    interval = mismatch_interval(y_test, model.predict(x_test))
    assert tuple(result[f"test_error{end}"] for end in ("", "_low", "_high")) == interval
    assert result["train_error"] == mismatch_error(y, model.predict(x))
    assert result["nc1_train"] == nc1(model.transform(x), y)
    assert result["nc1_test"] == nc1(model.transform(x_test), y_test)


def test_a_finished_study_is_written_again_without_work(whole):
    out = whole[0]
    before = {path.name: path.stat().st_mtime_ns for path in (out / "jobs").iterdir()}
    result = invoke(*TINY, "--out", out, "--resume", "--quiet")
    assert result.exit_code == 0, result.output
    assert "r of n^-r [95 %]" in result.output
    assert before == {path.name: path.stat().st_mtime_ns for path in (out / "jobs").iterdir()}


@pytest.mark.slow
def test_a_job_that_fails_ends_the_study_with_its_message(tmp_path):
    config = StudyConfig((0.1,), (8,), 1, n_test=100, neurons=0, steps=1)
    before = dict(os.environ)
    with pytest.raises(ValueError, match="n_neurons must be an integer >= 1, got 0"):
        execute(config, Workspace(tmp_path, workers=1))
    assert os.environ == before
    assert not list(tmp_path.iterdir())


DIFFERENT = [
    ("--margins=0.1", r"is a study with --margins 0.1,0.3, not 0.1: give the same, or choose"),
    ("--sizes=8,16", r"--sizes 8,16,32, not 8,16"),
    ("--n-test=100", r"--n-test 200, not 100"),
    ("--beta=10", r"--beta 10000.0, not 10.0"),
    ("--neurons=21", r"--neurons 20, not 21"),
]


@pytest.mark.parametrize(("option", "message"), DIFFERENT)
def test_another_configuration_is_refused_by_its_first_option(option, message, whole):
    refuse(invoke(*TINY, option, "--out", whole[0], "--resume"), message)


def test_another_version_is_refused(whole, monkeypatch):
    from eval.app.shared import workspace as module

    versions = module.versions() | {"numpy": "0.1"}
    monkeypatch.setattr(module, "versions", lambda: versions)
    refuse(invoke(*TINY, "--out", whole[0], "--resume"), r"with numpy [\d.]+\w*, not 0.1: choose")


def test_folders_in_the_way_are_refused(whole, tmp_path):
    message = "continue it by --resume, replace it by --force, or choose another --out"
    refuse(invoke(*TINY, "--out", whole[0]), message)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("dear")
    message = "is not the folder of a generalization study: it is not changed"
    refuse(invoke(*TINY, "--out", tmp_path / "thesis", "--resume"), message)
    assert invoke(*TINY, "--out", tmp_path / "thesis", "--force").exit_code == 2
    assert (tmp_path / "thesis" / "chapter").read_text() == "dear"


REFUSED = [
    (["--margins=0.7"], r"margin must be > 0 and <= q/\(3q - 4\) = 0.5"),
    (["--margins=0.1,0.1"], r"'--margins': must be different numbers > 0 .*, got '0.1,0.1'"),
    (["--sizes=8,x"], r"'--sizes': must be different integers > 0 .*, got '8,x'"),
    (["--sizes=2"], r"--sizes must be >= --n-classes = 4, got 2"),
    (["--beta=0"], r"beta must be > 0"),
    (["--gamma=0"], r"gamma must be > 0"),
    (["--activation=cos"], r"activation must be one of"),
    (["--n-features=3"], r"n_features must be >= n_classes = 4"),
    (["--workers=0"], r"'--workers': 0 is not in the range"),
    (["--seeds=0"], r"'--seeds': 0 is not in the range"),
    (["--resume", "--force"], r"--resume and --force exclude each other"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_bad_options_are_explained_and_leave_nothing(options, message, tmp_path):
    refuse(invoke(*TINY, *options, "--out", tmp_path / "study"), message)
    assert not list(tmp_path.iterdir())


def test_resume_needs_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse(invoke(*TINY, "--resume"), "--resume needs --out")


def refuse(result, message):
    assert result.exit_code == 2, result.output
    assert re.search(message, " ".join(result.output.split())), result.output


def test_the_rate_of_a_power_law_is_found_without_error():
    sizes = [16, 32, 64, 128]
    fit = fit_power_law(sizes, [3 * n**-0.7 for n in sizes])
    assert fit.rate == pytest.approx((0.7, 0.7, 0.7))
    assert fit.constant == pytest.approx(3)
    assert fit.sizes == (16, 32, 64, 128)


def test_the_interval_of_the_rate_is_students():
    sizes = np.array([1024, 16, 64, 256])
    values = np.array([0.012, 0.5, 0.09, 0.06])
    x, y = np.log(sizes), np.log(values)
    slope = ((x - x.mean()) * y).sum() / ((x - x.mean()) ** 2).sum()
    residuals = y - y.mean() - slope * (x - x.mean())
    half = 4.3026527 * math.sqrt((residuals**2).sum() / 2 / ((x - x.mean()) ** 2).sum())
    fit = fit_power_law(sizes.tolist(), values)
    assert fit.rate == pytest.approx((-slope, -slope - half, -slope + half))


def test_the_interval_of_the_rate_covers():
    """200 noisy power laws: 95 % +- 4 binomial standard deviations (6.2 %), alarm < 1e-4."""
    rng = numpy_generator()
    sizes = [16, 32, 64, 128, 256]
    rates = [
        fit_power_law(sizes, [n**-0.5 * math.exp(0.1 * rng.normal()) for n in sizes]).rate
        for _ in range(200)
    ]
    assert np.mean([rate.low <= 0.5 <= rate.high for rate in rates]) == pytest.approx(
        0.95, abs=0.062
    )


def test_zeros_do_not_take_part_and_too_few_sizes_have_no_rate():
    fit = fit_power_law([8, 16, 32, 64, 128], [0.4, 0.1, 0.02, 1e-4, 0.0], floor=1e-3)
    assert fit.sizes == (8, 16, 32)
    expected = -linregress(np.log([8, 16, 32]), np.log([0.4, 0.1, 0.02])).slope
    assert fit.rate.estimate == pytest.approx(expected)
    none = fit_power_law([8, 16, 32, 64], [0.4, 0.1, 0.0, 0.0], floor=1e-3)
    assert (none.rate, none.constant, none.sizes) == (None, None, (8, 16))
    assert none.note == "no fit: 2 sizes with a mean above 0.001, at least 3 are needed"


def result(margin, n, seed, error, ends, collapse):
    values = (margin, n, seed, 0.0, error, *ends, collapse, 2 * collapse)
    return dict(zip(("margin", "n", "seed", *MEASURED), values, strict=True))


def test_means_intervals_and_rates_of_known_results():
    config = StudyConfig(margins=(0.1,), sizes=(64, 16, 256), seeds=3, n_test=1000)
    results = [
        result(0.1, n, seed, 8 / n * (1 + 0.1 * (seed - 1)), (8 / n, 8 / n), 1 / n)
        for n in config.sizes
        for seed in range(3)
    ]
    rows = summarize(config, pd.DataFrame(results))
    assert [(row["margin"], row["n"], row["seeds"]) for row in rows] == [
        (0.1, 16, 3),
        (0.1, 64, 3),
        (0.1, 256, 3),
    ]
    # On the scale of log odds, whose slope at 1/2 is 4.
    reach = math.exp(4 * 4.3026527 * 0.05 / math.sqrt(3))
    assert rows[0]["test_error"] == pytest.approx((0.5, 1 / (1 + reach), reach / (1 + reach)))
    assert rows[0]["nc1_test"] == pytest.approx((1 / 8, math.nan, math.nan), nan_ok=True)
    for rate in fit_rates(config, rows):
        assert rate["rate"] == pytest.approx((1.0, 1.0, 1.0))


def test_errors_never_seen_keep_an_interval():
    config = StudyConfig(margins=(0.1,), sizes=(16,), seeds=4, n_test=1000)
    results = [result(0.1, 16, seed, 0.0, (0.0, 0.004), 0.5) for seed in range(4)]
    assert summarize(config, pd.DataFrame(results))[0]["test_error"] == Interval(0.0, 0.0, 0.002)
