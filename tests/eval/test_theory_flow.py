"""Statements along a run and over betas, and the rate of the test error, with known answers."""

import dataclasses
import math

import numpy as np
import pytest
from gibbs_forms import gibbs_form, line_problem
from problems import small_problem
from seeds import numpy_generator, seeded

from eval import check_flow, check_sequence, fit_rate, law_of
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
    assert spent.assumptions_met
    fall = history["free_energy"][0] - history["free_energy"][-1]
    assert spent.right == pytest.approx(fall)
    assert spent.left == pytest.approx(fall, rel=1e-3)
    above = table.row("Lemma 4.6: time with eps_S > eps")
    assert above.holds
    assert above.left > 0.5
    assert table.row("Lemma 4.6: eps_S").holds


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
    assert row.assumptions_met
    assert row.left == pytest.approx(row.right, rel=0.02)


def test_a_gradient_that_does_not_fit_its_energy_is_found():
    history = gaussian_flow()
    table = check_flow(history | {"eps_S": 1.2 * history["eps_S"]}, beta=BETA, epsilon=1e-3)
    assert table.row("Lemma 4.6: dissipation").holds is False
    assert table.row("Lemma 4.6: dissipation").assumptions_met
    assert table.row("Lemma 4.6: eps_S").holds is False


def test_an_energy_that_rises_is_no_gradient_flow():
    history = gaussian_flow()
    table = check_flow(history | {"free_energy": history["free_energy"][::-1]}, beta=BETA)
    for name in ("Lemma 4.6: dissipation", "Lemma 4.6: time with eps_S > eps"):
        assert not table.row(name).assumptions_met
    lone = check_flow({name: history[name] for name in ("t", "eps_S")}, beta=BETA)
    row = lone.row("Lemma 4.6: dissipation")
    assert (row.holds, row.assumptions_met) == (None, False)


def test_loss_and_collapse_along_a_run():
    t = np.linspace(0, 10, 101)
    history = {"t": t, "loss": 0.02 + np.exp(-t), "nc1": np.exp(-t)}
    table = check_flow(history, beta=100.0)
    assert table.row("Theorem 4.8: beta L_lambda").holds
    assert table.row("Theorem 4.8: beta L_lambda").left == pytest.approx(100 * history["loss"][50])
    assert (
        not check_flow(history, beta=100.0, c4=2.0, t0=3.0).row("Theorem 4.8: beta L_lambda").holds
    )
    assert check_flow(history, beta=100.0, c4=2.6, t0=6.0).row("Theorem 4.8: beta L_lambda").holds
    collapse = check_flow(history, beta=100.0, delta=1e-3, t0=5.0)
    assert collapse.row("Corollary 4.9: NC1 (lim inf)").holds
    every = collapse.row("Corollary 4.9: NC1 (all times)")
    assert every.holds is False
    assert "for a time of 1.9" in every.note


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"t": [0.0, 1.0], "loss": [1.0]}, "one length"),
        ({"t": [0.0, 0.0], "loss": [1.0, 1.0]}, "must rise"),
        ({"t": [0.0]}, "k >= 2"),
    ],
)
def test_histories_that_do_not_fit(history, message):
    with pytest.raises(ValueError, match=message):
        check_flow(history, beta=1.0)


def at(beta, x=(-1, -0.6, 0.5, 0.9)):
    problem = line_problem(list(x), beta=beta)
    return beta, solve_gibbs(problem, generator=seeded()).measure


def test_minimizers_at_rising_beta():
    points = [at(beta) for beta in (1e2, 1e3, 1e4)]
    table = check_sequence(points)
    assert len(table) == 8
    assert all(row.holds and row.assumptions_met for row in table)
    energies = [table.row(f"Theorem 4.8 at beta = {beta:g}").left for beta, _ in points]
    assert energies[2] < 0.2 * energies[1]


def test_a_sequence_that_is_not_stationary_or_does_not_fit():
    beta, measure = at(1e2)
    problem = line_problem([-1, -0.6, 0.5, 0.9], beta=1e3)
    off = gibbs_form(problem, -0.05 * problem.y, -0.05 * problem.y)
    table = check_sequence([(beta, measure), (1e3, off)])
    assert not table.row("Theorem 4.8: beta L_lambda").assumptions_met
    assert not table.row("Corollary 4.9: NC1 falls with beta").assumptions_met
    with pytest.raises(TypeError, match="measures"):
        check_sequence([(beta, 3)])
    with pytest.raises(ValueError, match="that of its measure"):
        check_sequence([(3.0, measure)])
    with pytest.raises(ValueError, match="rise"):
        check_sequence([(beta, measure), (beta, measure)])


def test_collapse_that_does_not_grow_with_beta():
    # With few and near inputs of a class NC1 is larger at the colder of two problems.
    near = at(1e2, (-1, -0.99, 0.98, 1.0))
    far = at(1e3, (-1, -0.02, 0.01, 1.0))
    row = check_sequence([near, far]).row("Corollary 4.9: NC1 falls with beta")
    assert row.holds is False


SIZES = np.array([100, 200, 400, 800, 1600])


def test_the_rate_of_the_theorem_is_found_in_noise():
    rng = numpy_generator()
    exact = 0.7 * np.sqrt(np.log(SIZES) / SIZES)
    fit = fit_rate(SIZES, exact[:, None] * np.exp(0.05 * rng.standard_normal((5, 4))))
    assert fit.low < 0.5 < fit.high
    assert fit.high - fit.low < 0.3
    assert fit.consistent
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


def test_errors_that_fall_faster_accord_and_slower_do_not():
    assert fit_rate(SIZES, 1 / SIZES).consistent
    slow = fit_rate(SIZES, SIZES**-0.1 * np.array([1, 1.01, 0.99, 1.01, 1.0]))
    assert not slow.consistent
    assert slow.slope < 0.2


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
