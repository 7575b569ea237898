"""Statements along a run and over betas, and the rate of the test error, with known answers."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from support.gibbs_forms import gibbs_form, line_problem
from support.problems import small_problem
from support.seeds import numpy_generator, seeded

from eval import check_flow, check_sequence, fit_rate, law_of, nc1
from gibbs import run_langevin, sample_normal, solve_gibbs

BETA, DECAY, DIMENSION = 50.0, 0.3, 7


def gaussian_flow(start=4.0, end=6.0, count=601):
    """Without data rho_t = N(0, v_t I): everything is in closed form."""
    t = np.linspace(0, end, count)
    rest = 1 / (BETA * DECAY)
    v = rest + (start - rest) * np.exp(-2 * DECAY * t)
    eps = np.sqrt(DIMENSION * v) * np.abs(DECAY - 1 / (BETA * v))
    energy = DIMENSION / 2 * (v / rest - 1 - np.log(v / rest)) / BETA
    return {"t": t, "eps_S": eps, "free_energy": energy}


def test_dissipation_of_a_gaussian_flow():
    history = gaussian_flow()
    table = check_flow(history, beta=BETA, epsilon=0.5)
    spent = table.row("Lemma 4.6: dissipation")
    assert spent.holds
    # Records at times do not show that what lies between is the flow.
    assert spent.assumptions_met is None
    fall = history["free_energy"][0] - history["free_energy"][-1]
    assert spent.right == pytest.approx(fall)
    assert spent.left == pytest.approx(fall, rel=1e-3)
    above = table.row("Lemma 4.6: time with eps_S > eps")
    assert above.holds
    assert above.left > 0.5
    assert table.row("Lemma 4.6: eps_S").holds


def ideal(end=20.0):
    """A run that does all that the paper says, at once."""
    t = np.linspace(0, end, 2001)
    return {
        "t": t,
        "eps_S": np.exp(-t),
        "free_energy": 0.5 * np.exp(-2 * t),
        "loss": 0.02 + 0.5 * np.exp(-t),
        "nc1": np.exp(-t),
    }


def stuck():
    """A run in which nothing has been learned."""
    t = np.linspace(0, 20, 201)
    return {"t": t} | {name: np.full(201, 0.7) for name in ("eps_S", "loss", "nc1")}


def test_without_levels_nothing_is_said_of_any_run():
    # Before: the ideal run contradicted Corollary 4.9, and the one that is stuck was told yes.
    for history in (ideal(), stuck()):
        table = check_flow(history, beta=100.0)
        for row in table:
            if row.name != "Lemma 4.6: dissipation":
                assert row.holds is None
        assert table.contradictions == ()
        assert "undecided without your C_4 and t_0" in table.row("Theorem 4.8: beta L_lambda").note


def test_what_the_levels_of_a_user_decide():
    levels = {"epsilon": 0.1, "delta": 0.1, "c4": 3.0, "t0": 5.0}
    good = {row.name: row.holds for row in check_flow(ideal(), beta=100.0, **levels)}
    assert good == {
        "Lemma 4.6: eps_S": True,
        "Lemma 4.6: dissipation": True,
        "Lemma 4.6: time with eps_S > eps": True,
        "Theorem 4.8: beta L_lambda": True,
        "Corollary 4.9: NC1 reaches delta_0": True,
        # Whether a set of times without end has finite measure, no run tells.
        "Corollary 4.9: time with NC1 > delta_0": None,
    }
    bad = check_flow(stuck(), beta=100.0, **levels)
    assert {row.name: row.holds for row in bad} == {
        "Lemma 4.6: eps_S": None,
        "Lemma 4.6: dissipation": None,
        # Only a level claimed from a time on can be contradicted.
        "Theorem 4.8: beta L_lambda": False,
        "Corollary 4.9: NC1 reaches delta_0": None,
        "Corollary 4.9: time with NC1 > delta_0": None,
    }
    assert bad.contradictions == ()
    words = bad.row("Theorem 4.8: beta L_lambda").as_dict()["assumptions"]
    for hypothesis in ("gamma", "weights", "Assumptions 1, 2", "gradient flow"):
        assert hypothesis in words or hypothesis in str(bad.row("Theorem 4.8: beta L_lambda"))
    assert bad.row("Theorem 4.8: beta L_lambda").assumptions_met is None


def test_the_time_above_a_level_is_that_of_the_run():
    table = check_flow(ideal(), beta=100.0, epsilon=0.1, delta=0.5)
    assert table.row("Lemma 4.6: time with eps_S > eps").left == pytest.approx(
        math.log(10), abs=0.01
    )
    assert table.row("Corollary 4.9: time with NC1 > delta_0").left == pytest.approx(
        math.log(2), abs=0.01
    )
    # eps_S^2 at its largest throughout: the bound is attained, and holds.
    t = np.linspace(0, 3, 301)
    flat = {"t": t, "eps_S": np.ones(301), "free_energy": 3.0 - t}
    row = check_flow(flat, beta=1.0, epsilon=1 - 1e-12).row("Lemma 4.6: time with eps_S > eps")
    assert row.holds
    assert row.left == pytest.approx(row.right)


def test_dissipation_of_gradient_descent_on_data():
    # At beta = inf a cloud has no entropy: energy and eps_S are exact, and W_0 stays.
    problem = dataclasses.replace(small_problem(), beta=math.inf)
    start = sample_normal(problem, 40, generator=seeded())
    observers = {
        "eps_S": lambda state: law_of(problem, state.particles).stationarity.value,
        "free_energy": lambda state: law_of(problem, state.particles).regularized_loss,
    }
    run = run_langevin(
        problem,
        start,
        n_steps=200,
        step_size=0.02,
        generator=seeded(),
        observers=observers,
        every=1,
    )
    history = {name: run.history[name].numpy() for name in observers}
    table = check_flow(history | {"t": 0.02 * run.history["step"].numpy()}, beta=1.0)
    row = table.row("Lemma 4.6: dissipation")
    assert row.holds
    assert row.left == pytest.approx(row.right, rel=0.02)


def test_a_gradient_that_does_not_fit_its_energy_is_found():
    history = gaussian_flow()
    table = check_flow(history | {"eps_S": 1.2 * history["eps_S"]}, beta=BETA, epsilon=1e-3)
    assert table.row("Lemma 4.6: dissipation").holds is False
    # A longer run may reach epsilon.
    assert table.row("Lemma 4.6: eps_S").holds is None


def test_an_energy_that_rises_is_no_gradient_flow():
    history = gaussian_flow()
    table = check_flow(history | {"free_energy": history["free_energy"][::-1]}, beta=BETA)
    for name in ("Lemma 4.6: dissipation", "Lemma 4.6: time with eps_S > eps"):
        assert table.row(name).assumptions_met is False
    lone = check_flow({name: history[name] for name in ("t", "eps_S")}, beta=BETA)
    row = lone.row("Lemma 4.6: dissipation")
    assert (row.holds, row.assumptions_met) == (None, False)


def test_loss_from_a_time_on():
    t = np.linspace(0, 10, 101)
    history = {"t": t, "loss": 0.02 + np.exp(-t)}
    name = "Theorem 4.8: beta L_lambda"
    early = check_flow(history, beta=100.0, c4=2.0, t0=3.0).row(name)
    assert early.holds is False
    assert early.left == pytest.approx(100 * history["loss"][30])
    assert check_flow(history, beta=100.0, c4=2.6, t0=6.0).row(name).holds
    for given in ({"c4": 2.6}, {"t0": 6.0}):
        assert check_flow(history, beta=100.0, **given).row(name).holds is None
    late = check_flow(history, beta=100.0, c4=2.6, t0=11.0).row(name)
    assert late.holds is None
    assert "the run ends at t = 10" in late.note


def test_records_that_are_not_defined_decide_nothing():
    history = ideal() | {"nc1": np.full(2001, np.nan), "loss": np.full(2001, np.nan)}
    table = check_flow(history, beta=100.0, delta=0.1, c4=3.0, t0=5.0)
    for row in table:
        if "Lemma" not in row.name:
            assert row.holds is None


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"t": [0.0, 1.0], "loss": [1.0]}, "one length"),
        ({"t": [0.0, 0.0], "loss": [1.0, 1.0]}, "must rise"),
        ({"t": [0.0], "nc1": [1.0]}, "k >= 2"),
        ({"t": [0.0, 1.0]}, "any of 'eps_S', 'loss', 'nc1'"),
        ({"loss": [0.0, 1.0]}, "a column 't'"),
    ],
)
def test_histories_that_do_not_fit(history, message):
    with pytest.raises(ValueError, match=message):
        check_flow(history, beta=1.0)


def test_a_level_without_its_column_and_a_beta_that_is_none():
    history = {"t": [0.0, 1.0], "loss": [1.0, 1.0]}
    for level, column in (("epsilon", "eps_S"), ("delta", "nc1")):
        with pytest.raises(ValueError, match=f"'{column}' for {level}"):
            check_flow(history, beta=1.0, **{level: 0.1})
    with pytest.raises(ValueError, match="beta must be > 0"):
        check_flow(history, beta=0.0)


def at(beta, **changes):
    problem = line_problem([-1, -0.6, 0.5, 0.9], beta=beta)
    problem = dataclasses.replace(problem, **changes)
    return beta, solve_gibbs(problem, generator=seeded()).measure


def test_minimizers_at_rising_beta():
    points = [at(beta) for beta in (1e2, 1e3, 1e4)]
    table = check_sequence(points)
    assert len(table) == 3 * 5 + 1
    for row in table:
        if row.name.startswith("Theorem 4.8"):
            assert row.holds
            assert row.assumptions_met
    energies = [table.row(f"Theorem 4.8 at beta = {beta:g}").left for beta, _ in points]
    assert energies[2] < 0.2 * energies[1]
    # One C_4 for all: that of the largest beta L_lambda.
    laws = [law_of(measure.problem, measure) for _, measure in points]
    c4 = max(law.problem.beta * law.regularized_loss for law in laws)
    for beta, _ in points:
        row = table.row(f"Corollary 4.9 at beta = {beta:g}: NC1", "corrected")
        assert row.right == pytest.approx(4 * c4**2 * 2 / beta ** (1 / 3))
    limit = table.row("Corollary 4.9: NC1 -> 0 as beta grows")
    assert (limit.holds, limit.left) == (None, nc1(laws[2].features, [0, 0, 1, 1]))


def test_a_sequence_says_nothing_of_two_betas_whose_nc1_rises():
    # NC1 -> 0 is a limit. From the prior to the minimizer at a beta that is hardly larger it may
    # rise, and no statement of the paper says otherwise.
    warm, cold = at(1e2), at(1e3)
    problem = cold[1].problem
    zero = torch.zeros_like(problem.y)
    flat = gibbs_form(problem, -1e-3 * problem.y, zero)
    table = check_sequence([warm, (1e3, flat)])
    limit = table.row("Corollary 4.9: NC1 -> 0 as beta grows")
    before = law_of(warm[1].problem, warm[1])
    assert limit.left > nc1(before.features, [0, 0, 1, 1])
    assert limit.holds is None
    assert table.contradictions == ()


def test_a_sequence_is_of_one_problem():
    first = at(1e2)
    other = torch.tensor([[-1.0], [-0.5], [0.5], [0.9]], dtype=torch.float64)
    targets = first[1].problem.y.flip(0)
    for name, value in (("x", other), ("y", targets), ("gamma", 2.0), ("activation", "tanh")):
        with pytest.raises(ValueError, match=f"one problem .* {name} differ"):
            check_sequence([first, at(1e3, **{name: value})])
    with pytest.raises(ValueError, match=r"one problem .* w differ"):
        check_sequence([first, at(1e3, w=-first[1].problem.w)])
    # lambda_rho is 1/beta at both, or the same at both.
    assert check_sequence([first, at(1e3)])
    assert check_sequence([at(1e2, lambda_rho=0.01), at(1e3, lambda_rho=0.01)])
    with pytest.raises(ValueError, match=r"one problem .* lambda_rho differ"):
        check_sequence([first, at(1e3, lambda_rho=0.02)])


def test_a_sequence_with_kinks_has_no_explicit_constant():
    # Before: the rule for smooth functions integrated relu, and the bound was wrong.
    points = []
    for beta in (10.0, 20.0):
        problem = line_problem([-1, -0.6, 0.5, 0.9], beta=beta, activation="relu")
        zero = torch.zeros_like(problem.y)
        points.append((beta, gibbs_form(problem, zero, zero)))
    table = check_sequence(points)
    for row in table:
        if row.name.startswith("Theorem 4.8"):
            assert math.isnan(row.right)
            assert row.holds is None


def test_a_sequence_that_is_not_stationary_or_does_not_fit():
    beta, measure = at(1e2)
    problem = line_problem([-1, -0.6, 0.5, 0.9], beta=1e3)
    off = gibbs_form(problem, -0.05 * problem.y, -0.05 * problem.y)
    table = check_sequence([(beta, measure), (1e3, off)])
    for row in table:
        if "beta = 1000" in row.name:
            assert not row.assumptions_met
    with pytest.raises(TypeError, match="measures"):
        check_sequence([(beta, 3)])
    with pytest.raises(ValueError, match="that of its measure"):
        check_sequence([(3.0, measure)])
    with pytest.raises(ValueError, match="rise"):
        check_sequence([(beta, measure), (beta, measure)])


SIZES = np.array([100, 200, 400, 800, 1600])


def test_the_rate_of_the_theorem_is_found_in_noise():
    rng = numpy_generator()
    exact = 0.7 * np.sqrt(np.log(SIZES) / SIZES)
    fit = fit_rate(SIZES, exact[:, None] * np.exp(0.05 * rng.standard_normal((5, 4))))
    assert fit.low < 0.5 < fit.high
    assert fit.high - fit.low < 0.3
    assert fit.not_rejected
    assert fit.sizes == (100, 200, 400, 800, 1600)


def test_the_interval_covers_as_often_as_it_says():
    rng = numpy_generator(1)
    exact = np.sqrt(np.log(SIZES) / SIZES)
    hits = [
        fit.low < 0.5 < fit.high
        for fit in (
            fit_rate(SIZES, exact * np.exp(0.1 * rng.standard_normal(5))) for _ in range(400)
        )
    ]
    assert 0.92 < np.mean(hits) < 0.98


def test_errors_that_fall_faster_are_not_rejected_and_slower_are():
    assert fit_rate(SIZES, 1 / SIZES).not_rejected
    slow = fit_rate(SIZES, SIZES**-0.1 * np.array([1, 1.01, 0.99, 1.01, 1.0]))
    assert not slow.not_rejected
    assert slow.slope < 0.2


def test_noise_rejects_nothing_and_is_no_evidence():
    # Errors that do not fall at all, and an interval that holds everything.
    fit = fit_rate([100, 400, 1600], [0.3, 0.001, 0.3])
    assert abs(fit.slope) < 0.1
    assert fit.low < -5 < 5 < fit.high
    assert fit.not_rejected


def test_errors_of_zero_are_left_out_and_told():
    fit = fit_rate(SIZES, [0.3, 0.2, 0.15, 0.1, 0.0])
    assert fit.left_out == (1600,)
    with pytest.raises(ValueError, match="at least 3 sizes"):
        fit_rate(SIZES, [0.3, 0.2, 0, 0, 0])


@pytest.mark.parametrize(
    ("sizes", "errors", "message"),
    [
        ([1, 2, 3], [0.1, 0.1, 0.1], ">= 3"),
        ([10, 20], [0.1], "shapes"),
        ([10, 20, 30], [0.1, -0.1, 0.1], ">= 0 and finite"),
    ],
)
def test_rates_that_cannot_be_fitted(sizes, errors, message):
    with pytest.raises(ValueError, match=message):
        fit_rate(sizes, errors)


def test_what_is_infinite_or_hardly_recorded_confirms_nothing():
    diverged = {"t": [0, 1, 2], "loss": [1, 10, math.inf], "nc1": [math.inf] * 3}
    table = check_flow(diverged, beta=100.0, c4=5.0, t0=0.0, delta=0.1)
    assert table.row("Theorem 4.8: beta L_lambda").holds is False
    assert all(row.holds is not True for row in table)
    for t in ([0.0, 4.0], [0.0, 1e-6, 4.0], [0.0, 2.0, 4.0]):
        eps = np.exp(-np.array(t))
        exact = {"t": t, "eps_S": eps, "free_energy": 0.5 * eps**2}
        assert check_flow(exact, beta=100.0).row("Lemma 4.6: dissipation").holds is None
    with pytest.raises(ValueError, match=r"history\['eps_S'\] must be >= 0, got -1"):
        check_flow({"t": [0, 1], "eps_S": [1, -1]}, beta=10.0)
