"""`run --solver gibbs` and `certify` in every end that the solver has, on the command line.

Which end a problem comes to can hang on luck and on the processor; where it does, one inner
function is made to answer as it does in that end.
"""

import json
import os
import re
import shlex
import signal

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from support.seeds import numpy_generator, shifted

from eval.app.cli import main
from eval.app.report.figures import figures_of
from eval.app.report.report import _number
from eval.app.shared.run_folder import read_run
from gibbs.solver.ascent import Ascent
from gibbs.solver.domain import Edge

TINY = "--n-samples 24 --n-features 3 --n-classes 2 --margin 0.2 --n-test 50"
TINY += " --neurons 100 --activation sigmoid --beta 20"
DRAWS = ["--n-particles", "200", "--tol", "0.9"]
SOLVER = ["--solver", "gibbs", *DRAWS]
NO_BRIDGE = "no bridge to mu_G within 60 levels: raise n_particles, or lower beta or gamma"

TRIVIAL = "least free energy between 0 and 0.5: nothing better is known than the trivial bounds"


def invoke(*words):
    """The command line, which must not fail for a reason of its own."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.output
    return result


def run(out, *options):
    return invoke("run", *TINY.split(), "--seed", shifted(), *options, "--out", out)


def no_way(ascent, _):
    """An ascent that gives up after one step."""
    ascent.log.record(0.01, 0.4, 0.5, 60.0)
    return False


def one_step(ascent, _):
    """An ascent that has arrived where it begins."""
    ascent.log.record(0.0, 0.4, 1.0, 60.0)
    return True


def no_step(_, __):
    """An ascent that gives up before its first step."""
    return False


def no_bridge(*_, **__):
    raise ArithmeticError(NO_BRIDGE)


def beyond(small, *_, **__):
    return Edge(1.25, torch.eye(small.n_inputs, dtype=torch.float64)[0], 1.5, exact=False)


ASCENT, DESCENT_ALONE, PROPOSAL = (
    {"gibbs.solver.ascent.Ascent.run": no_way, "gibbs.solver.minimizer.build_bridge": no_bridge},
    {"gibbs.solver.ascent.Ascent.run": no_step, "gibbs.solver.minimizer.build_bridge": no_bridge},
    {
        "gibbs.solver.ascent.Ascent.propose": no_bridge,
        "gibbs.solver.minimizer.build_bridge": no_bridge,
    },
)
OUTSIDE = {"gibbs.solver.ascent.Ascent.run": one_step, "gibbs.solver.minimizer.edge": beyond}
RELU = ["--activation", "relu"]
# Options, what is patched, words of the refusal of the solver, and of the neurons.
DESCENT = "the measure is that of a descent in the law of u"
EDGE = "kappa = (gamma/lambda) |W G^T max(0, X v)| is 1.25 >= 1"
ENDS = {
    "certified": ([], {}, "", ""),
    "refused by the ascent": ([], ASCENT, DESCENT, "no bridge to mu_G"),
    "refused by the ascent, before a step": ([], DESCENT_ALONE, DESCENT, "no bridge to mu_G"),
    "refused by the bridge": ([], PROPOSAL, DESCENT, "no bridge to mu_G"),
    "refused by the ascent, relu": (
        RELU,
        ASCENT | {"gibbs.solver.minimizer.edge": beyond},
        DESCENT,
        EDGE,
    ),
    "refused by the edge": (RELU, OUTSIDE, EDGE, EDGE),
}


@pytest.fixture(params=ENDS)
def end(request, monkeypatch):
    """Options and words of one end, which the solver now comes to."""
    options, patches, *words = ENDS[request.param]
    for name, value in patches.items():
        monkeypatch.setattr(name, value)
    monkeypatch.setattr("eval.app.certify.warmer.MOST_DECADES", 1)
    return [options, *words]


def check_bounds(fields, refused):
    """Bounds that are told lie within what is known, and are 0 and 0.5 where nothing else is."""
    low, high = fields["dual_interval"]
    assert 0 <= low <= high <= fields["prior_energy"] == 0.5
    assert (fields["certified"], refused in fields["reason"]) == (not refused, True)
    if refused:
        assert (low, high) == (fields["lower"], fields["upper"]) == (0, 0.5)
        assert fields["dual"] is None  # -inf, as it was computed


def check_words(text, refused):
    assert TRIVIAL in text if refused else "% interval over 6 replays)" in text
    assert not re.search(r"between (-|nan)|and (inf|nan)|dual -0\b", text), text


def check_folder(out, out_of):
    """Report, prediction and figures of a run that ended so."""
    again = invoke("report", out)
    assert again.exit_code == 0, again.output
    stored = read_run(out)
    names = {kind.name for kind in figures_of(stored)}
    assert {"features", "confusion"} <= names
    points = numpy_generator().normal(size=(5, 3))
    pd.DataFrame(points, columns=["x0", "x1", "x2"]).to_csv(out_of / "new.csv", index=False)
    predicted = invoke("predict", out, out_of / "new.csv")
    assert predicted.exit_code == 0, predicted.output
    assert len(predicted.stdout.splitlines()) == 6
    return stored


def test_run_of_the_solver_in_every_end(end, tmp_path):
    options, refused, _ = end
    result = run(tmp_path / "run", *SOLVER, *options)
    assert result.exit_code == 0, result.output
    check_words(result.stdout, refused)
    assert ("gibbsnet certify" in result.stdout) == bool(refused)
    stored = check_folder(tmp_path / "run", tmp_path)
    check_bounds(stored.metrics["certificate"], refused)
    check_words(re.sub(r"<[^>]*>", " ", (tmp_path / "run/report.html").read_text()), refused)
    one = stored.history.query("stage == 'one'")
    assert len(one) == stored.metrics["steps"] == result.stderr.count("Newton step ")
    if options or not refused:
        return
    assert "descent in the law of u, round 150 of 150" in result.stderr
    judged = invoke("certify", tmp_path / "run", "--quiet")
    assert judged.exit_code == 0, judged.output


def test_certify_and_solve_in_every_end(end, tmp_path):
    options, refused, neurons = end
    out = tmp_path / "run"
    assert run(out, *options, "--steps", "50", "--quiet").exit_code == 0
    result = invoke("certify", out, "--solve", *DRAWS)
    assert result.exit_code == 0, result.output
    check_words(result.stdout, refused)
    stored = check_folder(out, tmp_path)
    check_bounds(stored.certification["certificate"], neurons)
    check_bounds(stored.certification["solved"]["certificate"], refused)
    steps = stored.certification["solved"]["history"]["dual"]
    assert len(steps) == len(re.findall(r"^Newton step", result.stderr, flags=re.M)) or refused
    assert ("a lower beta: trained again at beta = 2," in result.stdout) == bool(refused)
    figures = {kind.name for kind in figures_of(stored)}
    assert "marginals" in figures
    assert ("closing" in figures) == bool(steps)


@pytest.mark.parametrize("ascent", [one_step, no_step])
def test_frames_of_the_joint_flow_are_not_taken_for_stage_one(ascent, monkeypatch, tmp_path):
    monkeypatch.setattr(Ascent, "run", ascent)
    out = tmp_path / "run"
    result = run(out, *SOLVER, "--stage-two", "flow", "--flow-steps", "20")
    assert result.exit_code == 0, result.output
    stored = check_folder(out, tmp_path)
    assert "before" not in stored.arrays
    assert len(stored.arrays["steps"]) == 1
    assert (
        "Scatter plot of the training features after stage one" in (out / "report.html").read_text()
    )


def interrupts(name, monkeypatch, *, first=1):
    """Ctrl-C at a call of a function, which then goes on as ever."""
    module, _, function = name.rpartition(".")
    real, calls = getattr(__import__(module, fromlist=[function]), function), []

    def call(*arguments, **options):
        calls.append(name)
        if len(calls) == first:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **options)

    monkeypatch.setattr(name, call)


MOMENTS = {
    "ascent": ("gibbs.solver.ascent.gap_of", {}),
    "descent": ("gibbs.solver.marginal_descent.mala", {"gibbs.solver.ascent.Ascent.run": no_way}),
    "replays": ("gibbs.solver.minimizer.Replay", {}),
}


@pytest.fixture(params=MOMENTS)
def moment(request, monkeypatch):
    name, patches = MOMENTS[request.param]
    for patched, value in patches.items():
        monkeypatch.setattr(patched, value)
    return name


def test_ctrl_c_in_the_first_solve_leaves_nothing(moment, monkeypatch, tmp_path):
    interrupts(moment, monkeypatch)
    result = run(tmp_path / "run", *SOLVER)
    assert result.exit_code == 130, result.output
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_second_repetition_keeps_the_first(monkeypatch, tmp_path):
    from eval.app.run import runs

    real = runs.draw_split

    def draw_split(config, repeat, source):
        if repeat == 1:
            interrupts("gibbs.solver.ascent.gap_of", monkeypatch)
        return real(config, repeat, source)

    monkeypatch.setattr(runs, "draw_split", draw_split)
    result = run(tmp_path / "run", *SOLVER, "--repeats", "2")
    assert result.exit_code == 0, result.output
    assert "partial, stopped early; one repetition" in result.stdout
    stored = check_folder(tmp_path / "run", tmp_path)
    assert not stored.complete
    assert len(stored.metrics["certificates"]) == 1
    assert "Partial run" in (tmp_path / "run/report.html").read_text()
    refused = invoke("certify", tmp_path / "run")
    assert refused.exit_code == 2
    assert "is a partial run" in refused.output


def test_ctrl_c_in_certify_leaves_the_run_as_it_was(moment, monkeypatch, tmp_path):
    out = tmp_path / "run"
    assert run(out, "--steps", "20", "--quiet").exit_code == 0
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    interrupts(moment, monkeypatch)
    assert invoke("certify", out, "--solve", *DRAWS).exit_code == 130
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


FEW = ["--neurons", "10", "--steps", "200", "--beta", "20000"]


def test_lower_beta_that_is_named_tells_something_when_tried(tmp_path):
    """Ten neurons are few for 20 directions: their dual value is far below 0 when it is cold."""
    words = ["--n-samples", "40", "--n-features", "6", "--n-classes", "2", "--n-test", "50", *FEW]
    first = tmp_path / "first"
    assert invoke("run", *words, "--seed", shifted(1), "--out", first).exit_code == 0
    result = invoke("certify", first, "--seed", shifted(5), "--n-particles", 300)
    assert result.exit_code == 0, result.output
    content = json.loads((first / "certificate.json").read_text())
    warmer, judged = content["warmer"], content["certificate"]
    assert judged["lower"] == 0  # the clouds of so few neurons bound nothing from below
    assert judged["dual"] is None or judged["dual"] < 0 or not judged["bounded"]
    assert "what would help: " in result.stdout
    assert warmer["command"] in result.stdout
    assert warmer["tried"] == [2000.0, 200.0, 20.0, 2.0][: len(warmer["tried"])]
    check_warmer(warmer, tmp_path / "second")
    again = invoke("certify", tmp_path / "second", "--seed", shifted(5), "--n-particles", 300)
    assert again.exit_code == 0, again.output
    found = json.loads((tmp_path / "second/certificate.json").read_text())
    assert found["certificate"]["dual_interval"] == warmer["interval"]
    assert found["warmer"] is None


def check_warmer(warmer, out):
    """The command that was named runs; the bounds that were told are better than 0 and 0.5."""
    assert 0 < warmer["interval"][0] < warmer["interval"][1] < 0.5
    gibbsnet, *words = shlex.split(warmer["command"])
    assert gibbsnet == "gibbsnet"
    result = invoke(*words, "--out", out)
    assert result.exit_code == 0, result.output
    return result


def test_lower_beta_of_the_solver_has_the_bounds_that_were_told(monkeypatch, tmp_path):
    ascent = Ascent.run
    monkeypatch.setattr(
        Ascent,
        "run",
        lambda self, n: no_way(self, n) if self.small.beta > 5 else ascent(self, n),
    )
    monkeypatch.setattr("gibbs.solver.minimizer.build_bridge", no_bridge)
    assert run(tmp_path / "first", *SOLVER).exit_code == 0
    assert invoke("certify", tmp_path / "first").exit_code == 0
    warmer = json.loads((tmp_path / "first/certificate.json").read_text())["warmer"]
    assert warmer["tried"] == [2.0]
    result = check_warmer(warmer, tmp_path / "second")
    metrics = json.loads((tmp_path / "second/metrics.json").read_text())
    assert metrics["certificate"]["dual_interval"] == warmer["interval"]
    low, high = warmer["interval"]
    assert f"least free energy between {low:.6g} and {high:.6g}" in result.stdout


def test_nothing_is_named_where_no_lower_beta_helped(monkeypatch, tmp_path):
    monkeypatch.setattr("gibbs.solver.minimizer.build_bridge", no_bridge)
    monkeypatch.setattr("eval.app.certify.warmer.MOST_DECADES", 2)
    assert run(tmp_path / "run", "--steps", "20", "--quiet").exit_code == 0
    result = invoke("certify", tmp_path / "run", *DRAWS)
    assert "trained again at beta = 2, 0.2, with draws of 200: at none of them" in result.stdout
    shown = re.sub(r"\s+", " ", (tmp_path / "run/report.html").read_text())
    assert "at none of them" in shown


def test_ctrl_c_in_the_search_for_a_lower_beta_keeps_the_verdict(monkeypatch, tmp_path):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("eval.app.certify.certification.find_warmer", interrupted)
    monkeypatch.setattr("gibbs.solver.minimizer.build_bridge", no_bridge)
    assert run(tmp_path / "run", "--steps", "20", "--quiet").exit_code == 0
    result = invoke("certify", tmp_path / "run", *DRAWS)
    assert result.exit_code == 0, result.output
    assert "the certificate is kept without one" in result.stderr
    content = json.loads((tmp_path / "run/certificate.json").read_text())
    assert content["warmer"] is None
    assert content["certificate"]["certified"] is False


def test_older_verdicts_and_certificates_are_still_shown(tmp_path):
    """Before there were bounds that are never worse trivial ones."""
    from eval.app.shared.run_folder import seal

    out = tmp_path / "run"
    assert run(out, *SOLVER, "--quiet").exit_code == 0
    assert invoke("certify", out, "--quiet").exit_code == 0
    for name in ("metrics.json", "certificate.json"):
        content = json.loads((out / name).read_text())
        content.pop("warmer", None)
        for field in ("prior_energy", "lower", "upper"):
            del content["certificate"][field]
        (out / name).write_text(json.dumps(content))
    seal(out, complete=True)
    result = invoke("report", out)
    assert result.exit_code == 0, result.output
    assert "least free energy between" in (out / "report.html").read_text()


def test_numbers_of_the_report():
    shown = [_number(v) for v in (None, "", [], -0.0, 0.25, [1.0, None], 7, True)]
    assert shown == ["not known", "-", "-", "0", "0.25", "[1, not known]", "7", "True"]
