"""Lemmas 4.3 and 4.5: where a row holds, where it fails, where its assumption does."""

import dataclasses

import pytest
import torch
from support.gibbs_forms import gibbs_form, line_problem
from support.problems import small_problem
from support.seeds import seeded
from support.theory_cases import EIGHT, FOUR, S_Q, START, solved

from eval import check_theory, joint_stationary_point, law_of
from eval.theory.weights import layer_rows
from gibbs import solve_gibbs

# Lemma 4.3


def test_singular_values_of_w(cold, joint_table):
    table = check_theory(*cold)
    for row in (table.row(S_Q, "printed"), table.row(S_Q, "corrected")):
        assert row.holds
        assert row.assumptions_met
    assert not joint_table.row(S_Q, "printed").assumptions_met
    assert "Eq. 14" in joint_table.row(S_Q, "printed").as_dict()["assumptions"]
    for name in ("Lemma 4.3: |W|_F^2", "Lemma 4.3: s_q from below"):
        assert joint_table.row(name).holds
        assert joint_table.row(name).assumptions_met


@pytest.mark.parametrize(("lambda_rho", "second"), [(None, False), (1.0, True)])
def test_eq_14(lambda_rho, second):
    problem = line_problem(FOUR, beta=500.0, lambda_rho=lambda_rho)
    zero = torch.zeros_like(problem.y)
    measure = gibbs_form(problem, zero, zero)
    b = 500 * law_of(problem, measure).regularized_loss
    weight = 500 * problem.decay
    needed = [(2 * 4 * b / weight) ** 4, (4 * 2 / 4) ** 2, 64 * (2 * b) ** 2]
    assert (needed[2] > needed[0]) == second
    words = check_theory(problem, measure).row(S_Q, "printed").as_dict()["assumptions"]
    assert f"asks for {max(needed):.3g}" in words


def test_printed_lower_bound_has_no_gamma(cold):
    # (rho, W/t, t gamma) has the same outputs and no larger a loss, but singular values s/t.
    problem, measure = cold
    scaled = dataclasses.replace(problem, w=problem.w / 1e5, gamma=1e5 * problem.gamma)
    law = law_of(scaled, dataclasses.replace(measure, problem=scaled))
    rows = {(row.name, row.version): row for row in layer_rows(law)}
    printed, corrected = rows[S_Q, "printed"], rows[S_Q, "corrected"]
    assert (printed.holds, printed.assumptions_met) == (False, True)
    assert (corrected.holds, corrected.assumptions_met) == (True, True)
    assert rows["Lemma 4.3: s_q from below", "sharp"].holds


def test_sharp_lower_bound_for_any_law_and_imbalance():
    problem = line_problem(EIGHT, counts=[2, 6], beta=300.0, gamma=2.0)
    measure = solved(problem)
    for factor in (0.3, 1.0, 2.0):
        law = law_of(problem, measure, w=factor * problem.w)
        rows = {(row.name, row.version): row for row in layer_rows(law)}
        assert rows["Lemma 4.3: s_q from below", "sharp"].holds
        assert rows["Lemma 4.3: |W|_F^2", "printed"].holds
        assert not rows[S_Q, "printed"].assumptions_met


# Lemma 4.5


def test_balance_at_a_joint_stationary_point(joint, joint_table):
    law = joint.law
    assert joint.status == "converged"
    assert law.loss <= 0.05
    assert float(torch.linalg.matrix_norm(joint.w, 2)) >= 0.5
    # By hand, from the points of the measure.
    s = torch.sigmoid(joint.measure.points @ joint.measure.basis.T @ START.x.T)
    means = -(3.0 / START.decay) * s @ joint.measure.dual @ joint.w.T
    moment = (joint.measure.weights[:, None] * means).T @ means
    moment += torch.eye(3) / (START.beta * START.decay)
    gap = START.decay * moment - joint.lambda_w * joint.w @ joint.w.T - torch.eye(3) / START.beta
    assert float(torch.linalg.matrix_norm(gap, 2)) <= 1e-6 / START.beta
    for row in joint_table:
        if row.name.startswith("Lemma 4.5"):
            assert row.holds
            assert row.assumptions_met


def test_balance_fails_where_w_is_not_stationary():
    table = check_theory(START, solved(START))
    row = table.row("Lemma 4.5: balance", "printed")
    assert (row.holds, row.assumptions_met) == (False, False)
    assert "grad_W" in row.as_dict()["assumptions"]
    assert table.row("Lemma 4.5: balance", "sharp").holds
    assert not table.row("Lemma 4.5: no balance", "printed").assumptions_met
    assert table.row("Lemma 4.5: no balance", "sharp").holds


def test_no_balance_needs_p_above_q():
    problem = line_problem(FOUR, p=2, beta=40.0)
    row = check_theory(problem, solved(problem)).row("Lemma 4.5: no balance")
    assert (row.holds, row.assumptions_met) == (None, False)


def test_imbalance_of_a_cloud_for_every_c(cloud_table):
    row = cloud_table.row("Lemma 4.5: no balance", "sharp")
    assert row.holds
    assert row.left > 0.5
    assert not cloud_table.row("Lemma 4.5: balance", "sharp").assumptions_met
    assert "estimated" in cloud_table.row("Lemma 4.5: balance", "sharp").note


def test_the_joint_point_needs_quadrature_and_keeps_a_stationary_start(joint):
    with pytest.raises(ValueError, match="rank"):
        joint_stationary_point(small_problem(d=3))
    again = joint_stationary_point(joint.problem, n_alternations=0)
    assert again.n_solves <= 5
    assert float((again.w.T @ again.w - joint.w.T @ joint.w).norm()) < 1e-6


@pytest.mark.parametrize(
    ("beta", "status", "loss"), [(1.0, "zero_layer", 0.5), (4.0, "low_rank", 0.375)]
)
def test_a_layer_that_is_zero_is_named(beta, status, loss):
    # W = 0 with the prior is stationary whatever the data; before it was "converged".
    point = joint_stationary_point(line_problem(EIGHT, beta=beta))
    assert point.status == status
    assert point.converged
    assert point.law.loss == pytest.approx(loss, rel=1e-3)
    assert float(torch.linalg.svdvals(point.w)[-1]) < 1e-6
    assert float(torch.linalg.svdvals(point.w)[0] > 0.1) == (status == "low_rank")
    if status == "zero_layer":
        assert point.measure.kl_to_prior() == pytest.approx(0.0, abs=1e-8)


def test_a_search_that_is_cut_short_says_so():
    point = joint_stationary_point(START, n_alternations=0, max_steps=0)
    assert (point.status, point.converged) == ("not_converged", False)


def test_the_joint_point_lowers_the_energy(joint):
    ridge = joint.lambda_w / 2 * float(joint.w.square().sum())
    assert joint.energy == pytest.approx(joint.measure.free_energy() + ridge, rel=1e-10)
    start = solve_gibbs(START, generator=seeded()).certificate.dual + joint.lambda_w / 2 * 2
    assert joint.energy < 0.95 * start
    # phi has no smaller value near: W is a minimizer, not a saddle.
    for k in range(3):
        noise = torch.randn(joint.w.shape, generator=seeded(k), dtype=torch.float64)
        moved = dataclasses.replace(START, w=joint.w + 0.02 * noise)
        energy = solve_gibbs(moved, generator=seeded()).certificate.dual
        assert energy + joint.lambda_w / 2 * float(moved.w.square().sum()) > joint.energy
