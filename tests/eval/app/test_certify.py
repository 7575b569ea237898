import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from support.seeds import numpy_generator, shifted

from eval.app.certify.marginals import find_split
from eval.app.cli import main
from eval.app.report.report import command_line
from eval.app.run.model_store import read_model
from eval.app.shared.certificates import (
    certificate_fields,
    describe_certificate,
    describe_certificates,
    stored_certificate,
)
from eval.app.shared.endings import InputError, explained
from eval.app.shared.run_folder import read_run, seal
from gibbs import Certificate

# Two columns and no constant coordinate: rank 2, so that the certificate is by quadrature.
PLANE = ["--intercept", "0", "--beta", "100", "--gamma", "1", "--activation", "sigmoid"]
FAST = ["--neurons", "200", "--quiet"]


def invoke(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def made(folder, *options):
    out = folder / "run"
    result = invoke("run", "--data", folder / "plane.csv", *PLANE, *FAST, *options, "--out", out)
    assert result.exit_code == 0, result.output
    return out, result


@pytest.fixture
def data(tmp_path):
    write_data(tmp_path)
    return tmp_path


def write_data(folder):
    rng = numpy_generator()
    points = rng.normal(size=(30, 2))
    label = np.where(points[:, 0] + 0.3 * points[:, 1] > 0, "right", "left")
    frame = pd.DataFrame({"a": points[:, 0], "b": points[:, 1], "label": label})
    frame.to_csv(folder / "plane.csv", index=False)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A run of the solver, and what it printed."""
    folder = tmp_path_factory.mktemp("gibbs")
    write_data(folder)
    return made(folder, "--solver", "gibbs", "--n-particles", "500", "--tol", "0.05")


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A run of the dynamics."""
    folder = tmp_path_factory.mktemp("langevin")
    write_data(folder)
    return made(folder, "--steps", "300")[0]


@pytest.fixture
def run(sampled, tmp_path):
    """A copy of the run of the dynamics, to write into."""
    return shutil.copytree(sampled, tmp_path / "run")


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_run_with_the_solver_tells_its_certificate(solved):
    out, result = solved
    assert re.search(r"stage one certified: relative gap .* %, by quadrature", result.output)
    metrics = json.loads((out / "metrics.json").read_text())
    certificate = metrics["certificate"]
    assert metrics["certificates"] == [certificate]
    assert set(Certificate.__dataclass_fields__) | {"lower", "upper"} <= set(certificate)
    assert certificate["certified"]
    assert certificate["relative_gap"] < 1e-10
    assert certificate["dual_interval"] == [certificate["dual"]] * 2
    assert (metrics["parameters"]["n_particles"], metrics["parameters"]["tol"]) == (500, 0.05)
    stored = read_model(out).classifier.certificate_
    assert certificate_fields(stored) == certificate
    one = pd.read_csv(out / "history.csv").query("stage == 'one'")
    assert list(one["step"]) == list(range(1, metrics["steps"] + 1))
    assert one[["dual", "gap", "fraction", "effective_size"]].notna().all().all()
    assert one["dual"].iloc[-1] == pytest.approx(certificate["dual"], rel=1e-9)


def test_report_of_the_solver_has_the_figures_of_what_there_is(solved):
    out, _ = solved
    text = (out / "report.html").read_text()
    assert "Certificate of stage one" in text
    assert "certified: relative gap" in text
    assert "The features along stage one" not in text
    names = {path.stem for path in (out / "figures").iterdir()}
    assert names == {"closing", "features", "spectrum", "confusion", "comparison"}
    with Image.open(out / "figures" / "closing.png") as image:
        assert min(image.size) > 200
    command = command_line(read_run(out).config)
    for words in ("--solver gibbs", "--n-particles 500", "--tol 0.05"):
        assert words in command


def test_dynamics_have_no_certificate(sampled):
    metrics = json.loads((sampled / "metrics.json").read_text())
    assert metrics["certificate"] is None
    assert metrics["certificates"] == []
    text = (sampled / "report.html").read_text()
    assert "Certificate" not in text
    assert "Certification of the neurons" not in text
    assert not (sampled / "figures" / "closing.png").exists()
    assert read_model(sampled).classifier.certificate_ is None


def test_cloud_of_the_dynamics_is_certified_and_compared(run):
    result = invoke("certify", run, "--solve", "--seed", str(shifted(3)))
    assert result.exit_code == 0, result.output
    for words in (
        "neurons: ",
        "minimizer: certified",
        "exact neurons",
        "Stein discrepancy",
        "p = ",
    ):
        assert words in result.stdout
    assert "Newton step 1: dual" in result.stderr
    assert "Newton step" not in result.stdout
    content = json.loads((run / "certificate.json").read_text())
    cloud, solved = content["certificate"], content["solved"]["certificate"]
    assert cloud["method"] == solved["method"] == "quadrature"
    assert 0 < cloud["dual"] <= solved["primal"] <= cloud["primal"]
    assert content["options"] == {"n_particles": 20_000, "tol": 0.01, "seed": 3, "solve": True}
    for part in ("train", "test"):
        error = content["feature_error"][part]
        assert 0 < error["value"] < 3 * error["same_law"]
    assert content["stein"]["n_points"] == content["n_neurons"] == 200
    assert content["stein"]["same_law"] is not None
    stored = read_run(run)
    assert stored.certification == content
    assert len(stored.certification_arrays["exact_u2"]) == 5000
    assert stored.certification_arrays["masses"].sum() == pytest.approx(1, abs=1e-3)
    for name in ("closing", "marginals", "tilts", "curves"):
        with Image.open(run / "figures" / f"{name}.png") as image:
            assert min(image.size) > 200
    assert "Certification of the neurons" in (run / "report.html").read_text()


def test_without_solving_there_is_a_bound_and_old_comparisons_go(run):
    assert invoke("certify", run, "--solve", "--quiet").exit_code == 0
    result = invoke("certify", run, "--tol", "1e-9", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    content = json.loads(result.stdout)
    assert content == json.loads((run / "certificate.json").read_text())
    assert not content["certificate"]["certified"]
    assert "tol 1e-09" in content["certificate"]["reason"]
    assert (content["solved"], content["feature_error"], content["stein"]) == (None, None, None)
    assert not (run / "figures" / "marginals.png").exists()
    assert (run / "figures" / "tilts.png").exists()
    assert "not certified: relative gap" in (run / "report.html").read_text()
    assert invoke("report", run).exit_code == 0


def test_cloud_of_the_solver_is_judged_with_its_noise_back(solved, tmp_path):
    run = shutil.copytree(solved[0], tmp_path / "run")
    assert invoke("certify", run, "--solve", "--quiet").exit_code == 0
    content = json.loads((run / "certificate.json").read_text())
    assert content["options"]["n_particles"] == 500
    assert content["stein"]["p_value"] > 0.01
    error = content["feature_error"]["train"]
    assert 0 < error["value"] < 3 * error["same_law"]
    assert "a was drawn again given u" in (run / "report.html").read_text()


def rewrite(run, name, change):
    content = json.loads((run / name).read_text())
    change(content)
    (run / name).write_text(json.dumps(content))
    seal(run, complete=True)


REFUSED = [
    (["--beta", "inf", "--lambda-rho", "0.01", "--lambda-w", "0.01"], "beta must be finite"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_runs_without_a_gibbs_minimizer_are_refused_and_left_alone(data, options, message):
    out, _ = made(data, "--steps", "5", *options)
    check_refusal(out, message)


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_solver_refuses_the_same_and_leaves_nothing(data, options, message):
    words = ["run", "--data", data / "plane.csv", *PLANE, *FAST, "--solver", "gibbs"]
    result = invoke(*words, *options, "--out", data / "run")
    check_message(result, message)
    assert [path.name for path in data.iterdir()] == ["plane.csv"]


def check_message(result, message):
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def check_refusal(run, message, *options):
    before = contents(run)
    check_message(invoke("certify", run, *options), message)
    assert contents(run) == before
    assert not list(run.parent.glob(".run-*"))


def test_folders_that_cannot_be_judged_are_refused(run, monkeypatch):
    check_message(invoke("certify", run.parent / "nowhere"), "nowhere: no such folder")
    check_message(invoke("certify", run / "figures"), "is not the folder of a run")
    check_refusal(run, "is not in the range x>=100", "--n-particles", "10")
    check_refusal(run, "is not in the range x>0", "--tol", "0")
    monkeypatch.chdir(run)
    check_refusal(run, "is or holds the working directory")
    monkeypatch.undo()
    seal(run, complete=False)
    check_refusal(run, "is a partial run")
    seal(run, complete=True)
    (run / "history.csv").write_text("")
    check_refusal(run, "history.csv was altered or cut short")


def test_other_data_than_the_runs_are_noticed(run, tmp_path):
    write_data(tmp_path)
    frame = pd.read_csv(tmp_path / "plane.csv")
    path = str(tmp_path / "other.csv")
    rewrite(run, "config.json", lambda config: config.update(data=path))
    check_refusal(run, "no such file")
    for other in (frame.assign(a=frame["a"][::-1].to_numpy()), frame.head(20)):
        other.to_csv(path, index=False)
        check_refusal(run, "no longer gives the samples that the run was trained on")
    frame.to_csv(path, index=False)
    assert invoke("certify", run, "--quiet").exit_code == 0


def test_nothing_is_written_when_the_work_is_interrupted(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    before = contents(run)
    for name in (
        "eval.app.certify.certification.solve_gibbs",
        "eval.app.report.report.write_report",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, interrupted)
            assert invoke("certify", run, "--solve", "--quiet").exit_code != 0
        assert contents(run) == before
        assert not list(run.parent.glob(".run-*"))


def test_a_solver_stopped_on_its_way_leaves_nothing(data, monkeypatch):
    from eval.app.run.recorder import Stopper

    monkeypatch.setattr("eval.app.run.recorder.Stopper", lambda: raised(Stopper()))
    monkeypatch.setattr("eval.app.run.runs.Stopper", lambda: raised(Stopper()))
    words = ["run", "--data", data / "plane.csv", *PLANE, *FAST, "--solver", "gibbs"]
    assert invoke(*words, "--out", data / "run").exit_code == 130
    assert [path.name for path in data.iterdir()] == ["plane.csv"]


def raised(stopper):
    """A stopper that Ctrl-C reaches at the first Newton step."""
    looks = iter([False])
    kind = type("Late", (type(stopper),), {"raised": property(lambda _: next(looks, True))})
    kind.__init__ = lambda self: None
    return kind()


def test_solver_that_cannot_go_on_is_an_error_of_the_input():
    with pytest.raises(InputError, match="too cold"), explained():
        raise ArithmeticError("too cold")
    with pytest.raises(ZeroDivisionError), explained():
        1 / 0  # noqa: B018


def certificate(**changes):
    fields = {
        **{"dual": 0.5, "primal": 0.5002, "gap": 2e-4, "gap_stderr": 5e-5, "dual_stderr": 1e-3},
        **{"method": "monte_carlo", "effective_size": 900.0, "n_replays": 6},
        **{"certified": True, "reason": "", "prior_energy": 0.5},
    }
    return Certificate(**fields | changes)


def test_certificates_in_words_and_back_from_json():
    sound = certificate()
    missed = certificate(dual=-1.0, certified=False, reason="the dual is <= 0")
    assert describe_certificate(missed) == "not certified: the dual is <= 0"
    text = "certified: relative gap 0.04 % +- 0.01 %"
    assert describe_certificates([sound]) == text
    assert describe_certificates([sound, missed]).startswith(
        f"{text} (1 of 2 repetitions certified"
    )
    fields = json.loads(json.dumps(certificate_fields(missed), allow_nan=False))
    assert fields["relative_gap"] is None
    assert stored_certificate(fields) == missed


def test_split_is_where_two_humps_meet_and_nowhere_else():
    rng = numpy_generator()
    edges = np.linspace(0, 40, 51)
    low, high = rng.exponential(2, 9000), rng.normal(30, 3, 1000)
    assert find_split(edges, np.histogram(low, edges)[0]) is None
    split = find_split(edges, np.histogram(np.concatenate([low, high]), edges)[0])
    assert 12 < split < 25
