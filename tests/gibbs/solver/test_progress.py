import dataclasses
import math

import pytest
import torch
from support.problems import small_problem
from support.seeds import seeded

from gibbs import (
    BridgeLevel,
    DescentRound,
    NewtonStep,
    Replay,
    certify,
    describe_report,
    sample_prior,
    solve_gibbs,
)
from gibbs.solver.ascent import Ascent
from gibbs.solver.bridge import build_bridge, standard_mixture
from gibbs.solver.progress import StepLog

FIELDS = {"dual": "dual", "gap": "gap", "step": "fraction", "effective_size": "effective_size"}


def reports_of(**options):
    told = []
    settings = {"n_particles": 400, "tol": 0.5, "generator": seeded(1), "progress": told.append}
    return solve_gibbs(small_problem(**options), **settings), told


def check_history(result, told):
    """The Newton steps that were told are the history, numbered from 1."""
    steps = [report for report in told if isinstance(report, NewtonStep)]
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert set(result.history) == set(FIELDS)
    for name, field in FIELDS.items():
        values = torch.tensor([getattr(step, field) for step in steps], dtype=torch.float64)
        assert torch.equal(result.history[name], values)


@pytest.mark.parametrize("d", [2, 3])
def test_newton_steps_are_reported_as_they_stand_in_the_history(d):
    result, told = reports_of(d=d, beta=5.0)
    check_history(result, told)
    assert len(result.history["dual"]) > 0
    replays = [report for report in told if isinstance(report, Replay)]
    rounds = 1 if d == 3 else 0
    assert replays == [Replay(k, 6) for k in range(1, 7)] * rounds


@pytest.mark.parametrize("steps", [0, 2])
def test_a_flow_alone_is_reported_and_leaves_a_history(monkeypatch, steps):
    def no_way(ascent, _):
        for _ in range(steps):
            ascent.log.record(0.1, 0.2, 1.0, 50.0)
        return False

    monkeypatch.setattr(Ascent, "run", no_way)
    result, told = reports_of(d=3)
    check_history(result, told)
    flow = [report for report in told if isinstance(report, DescentRound)]
    assert [(each.number, each.total) for each in flow] == [(k, 150) for k in range(10, 151, 10)]
    assert all(each.mean_log_tilt > 0 for each in flow)
    assert (result.status, result.certificate.dual) == ("not certified", -math.inf)


def test_bridge_tells_its_levels():
    problem, told = small_problem(d=3), []
    dual = -problem.y / 6
    near = standard_mixture(3, 1 / math.sqrt(problem.beta * problem.decay), device=problem.device)
    settings = {"n_moves": 2, "generator": seeded(2), "log": StepLog(told.append)}
    bridge, _ = build_bridge(problem, dual, near, 300, **settings)
    assert len(bridge.levels) > 1
    assert told == [BridgeLevel(k, t) for k, t in enumerate(bridge.levels, 1)]


def test_certify_tells_its_replays():
    problem, told = small_problem(d=3, beta=5.0), []
    cloud = sample_prior(problem, 200, generator=seeded(3))
    certify(problem, cloud, n_particles=300, generator=seeded(4), progress=told.append)
    assert [r for r in told if isinstance(r, Replay)] == [Replay(k, 6) for k in range(1, 7)]


def test_what_progress_raises_ends_the_solution():
    class StopError(Exception):
        pass

    def stop(_):
        raise StopError

    with pytest.raises(StopError):
        solve_gibbs(small_problem(), generator=seeded(), progress=stop)


REPORTS = [
    (NewtonStep(1, 0.25, 0.125, 1.0, 9.0), "Newton step 1: dual 0.25, gap 0.12"),
    (NewtonStep(2, -0.0, -0.0, 1.0, 9.0), "Newton step 2: dual 0, gap 0"),
    (NewtonStep(3, -math.inf, math.nan, 0.0, 1.0), "Newton step 3: dual -inf, gap nan"),
    (DescentRound(10, 150, 2.5), "descent in the law of u, round 10 of 150: mean of e(u) 2.5"),
    (BridgeLevel(4, 0.125), "bridge to mu_G, level 4: t = 0.125"),
    (Replay(2, 6), "replay 2 of 6"),
]


@pytest.mark.parametrize(("report", "words"), REPORTS)
def test_every_report_has_words_and_cannot_be_changed(report, words):
    assert describe_report(report) == words
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.number = 7
