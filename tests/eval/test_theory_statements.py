"""Every row of check_theory: where it holds, where it fails, where its assumption does."""

import contextlib
import dataclasses
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from gibbs_forms import gibbs_form, line_problem
from problems import seeded, small_problem

from eval import BoundCheck, TheoryTable, check_theory, joint_stationary_point, law_of, nc1
from eval.theory.assumptions import activation_constant
from eval.theory.energy import explicit_loss_bound, second_moment_bound
from eval.theory.features import centred_square, collapse_rows, feature_rows, remainder
from eval.theory.kernel import gaussian_kernel
from eval.theory.weights import balance_rows, layer_rows
from gibbs import get_activation, kernel, sample_normal, solve_gibbs

EIGHT = [-1, -0.9, -0.8, -0.7, 0.65, 0.75, 0.85, 0.95]
FOUR = [-1, -0.6, 0.5, 0.9]
START = line_problem(EIGHT, beta=1e3, gamma=3.0)
LEMMA_4_7 = "Lemma 4.7: 0 < lambda_min(K)"
S_Q = "Lemma 4.3: beta^-1/2 <= s_q"


def solved(problem):
    return solve_gibbs(problem, generator=seeded()).measure


@pytest.fixture(scope="module")
def joint():
    return joint_stationary_point(START)


@pytest.fixture(scope="module")
def joint_table(joint):
    return check_theory(joint.problem, joint.measure)


@pytest.fixture(scope="module")
def cold():
    problem = line_problem([-1, -0.8, 0.7, 0.95], p=2, beta=1e9, gamma=30.0)
    return problem, solved(problem)


@pytest.fixture(scope="module")
def off():
    """A Gibbs form that is not stationary, and a W that is not W_0."""
    problem = line_problem(FOUR, beta=40.0, gamma=1.5, lambda_rho=0.1)
    noise = torch.randn(2, 4, 2, generator=seeded(), dtype=torch.float64)
    return problem, gibbs_form(problem, 0.1 * noise[0], 0.1 * noise[1])


@pytest.fixture(scope="module")
def cloud_table():
    return check_theory(START, sample_normal(START, 500, generator=seeded()))


# Theorem 4.2


@pytest.mark.parametrize(
    "name",
    [
        "Definition 4.1: eps_S",
        "Theorem 4.2: H is the resolvent's",
        "Theorem 4.2: identity with S",
        "Theorem 4.2: E_2 is an orthogonal sum",
    ],
)
def test_identities_at_the_minimizer(joint_table, name):
    row = joint_table.row(name)
    assert row.holds
    assert row.assumptions_met
    assert row.left < 1e-8


def test_what_asks_for_stationarity_fails_off_it_and_says_so(off):
    table = check_theory(*off)
    for name in ("Definition 4.1: eps_S", "Theorem 4.2: H is the resolvent's"):
        row = table.row(name)
        assert row.holds is False
        assert "eps_S is" in row.as_dict()["assumptions"]
        assert row not in table.contradictions


@pytest.mark.parametrize("scale", [None, 0.5])
def test_what_holds_off_stationarity(off, scale):
    problem, measure = off
    w = None if scale is None else problem.w @ torch.tensor([[1.0, scale], [0.0, 0.7]]).double()
    table = check_theory(problem, measure, w=w)
    for name in (
        "Theorem 4.2: identity with S",
        "Theorem 4.2: E_2 is an orthogonal sum",
        "Lemma 4.5: identity off stationarity",
    ):
        row = table.row(name)
        assert row.assumptions_met
        assert row.left < 1e-12
    for name in ("Theorem 4.2: |E_1|^2", "Theorem 4.2: |E_2|^2"):
        rows = [row for row in table if row.name == name]
        assert all(row.holds and row.assumptions_met for row in rows)
        # The sharp bound is the least.
        assert min(row.right for row in rows) == rows[-1].right
        assert rows[-1].left > 1e-4 * rows[-1].right


def test_right_sides_of_eq_7_and_eq_10(off):
    problem, measure = off
    law, table = law_of(problem, measure), check_theory(problem, measure)
    eps, n, decay, gamma = law.stationarity, 4, 0.1, 1.5
    first = 2 * (gamma**4 / decay**4 + 1 / decay**2) * n * eps.value**2
    assert table.row("Theorem 4.2: |E_1|^2", "printed").right == pytest.approx(first)
    second = 2 * n * law.loss / gamma**2 + 2 * n * eps.value**2 / decay**2
    assert table.row("Theorem 4.2: |E_2|^2", "printed").right == pytest.approx(first + second)
    top = float(np.linalg.eigvalsh(law.kernel.numpy())[-1])
    sharp = top * eps.in_a**2 / decay**2
    assert table.row("Theorem 4.2: |E_1|^2", "sharp").right == pytest.approx(sharp)
    sharp += 2 * n * law.loss / gamma**2
    assert table.row("Theorem 4.2: |E_2|^2", "sharp").right == pytest.approx(sharp)
    # C_1 of tanh is 2, to the second power as printed, and to the fourth by the proof.
    tanh = dataclasses.replace(problem, activation="tanh")
    zero = torch.zeros_like(problem.y)
    table = check_theory(tanh, gibbs_form(tanh, zero, zero))
    square = law_of(tanh, gibbs_form(tanh, zero, zero)).stationarity.value ** 2
    for version, power in (("printed", 4), ("corrected", 16)):
        right = 2 * (power * gamma**4 / decay**4 + 1 / decay**2) * 4 * n * square
        assert table.row("Theorem 4.2: |E_1|^2", version).right == pytest.approx(right)


def test_eq_7_and_eq_10_need_a_bounded_activation():
    problem = line_problem(FOUR, beta=40.0, activation="softplus", gamma=0.5)
    table = check_theory(problem, solved(problem))
    for name, version in (("|E_1|^2", "printed"), ("|E_1|^2", "corrected"), ("|E_2|^2", "printed")):
        row = table.row(f"Theorem 4.2: {name}", version)
        assert (row.holds, row.assumptions_met, row.right) == (None, False, math.inf)
    for name in ("|E_1|^2", "|E_2|^2"):
        row = table.row(f"Theorem 4.2: {name}", "sharp")
        assert row.holds
        assert row.assumptions_met


def test_clouds_lack_a_density_and_identities_that_are_their_definition(cloud_table):
    names = {row.name for row in cloud_table}
    assert "Theorem 4.2: identity with S" not in names
    assert "Theorem 4.2: E_2 is an orthogonal sum" not in names
    for version in ("printed", "sharp"):
        row = cloud_table.row("Theorem 4.2: |E_2|^2", version)
        assert "estimated" in row.note
        assert not row.assumptions_met
        assert row.holds
    lemma = cloud_table.row("Lemma A.3")
    assert (lemma.holds, lemma.assumptions_met) == (None, False)
    assert "no entropy" in lemma.note


def test_a_singular_w_and_a_truncation_are_left_out():
    problem = line_problem(FOUR, beta=40.0)
    singular = dataclasses.replace(problem, w=problem.w @ torch.ones(2, 2).double())
    zero = torch.zeros_like(problem.y)
    rows = {
        row.name: row for row in feature_rows(law_of(singular, gibbs_form(singular, zero, zero)), 1)
    }
    assert rows["Theorem 4.2: |E_2|^2"].holds is None
    assert not rows["Theorem 4.2: |E_2|^2"].assumptions_met
    cut = dataclasses.replace(problem, truncation=5.0)
    table = check_theory(cut, gibbs_form(cut, zero, zero))
    for name in ("Theorem 4.2", "Lemma 4.5: balance"):
        assert table.row(name).holds is None
        assert table.row(name).assumptions[0].reason == "a is truncated"


def test_the_constant_of_assumption_1():
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64, requires_grad=True)
    for name, function in (("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("erf", torch.erf)):
        derivatives = [function(z)]
        for _ in range(3):
            derivatives += torch.autograd.grad(derivatives[-1].sum(), z, create_graph=True)
        (mixed,) = torch.autograd.grad((z * derivatives[1]).sum(), z)
        largest = max(float(part.detach().abs().max()) for part in (*derivatives, mixed))
        assert activation_constant(get_activation(name)) == pytest.approx(largest, abs=1e-5)
    assert activation_constant(get_activation("relu")) == math.inf


# Corollary 4.4


def test_printed_bound_fails_at_gamma_10_and_the_others_hold():
    problem = line_problem(FOUR, beta=1e4, gamma=10.0)
    table = check_theory(problem, solved(problem))
    name = "Corollary 4.4: NC1"
    printed = table.row(name, "printed")
    assert printed.assumptions_met
    assert printed.holds is False
    assert printed in table.contradictions
    assert printed.left > 3 * printed.right
    for row in (table.row(name, "corrected"), table.row(name, "sharp")):
        assert row.holds
        assert row.assumptions_met
    assert table.row(name, "sharp").right < 1.01 * printed.left


def test_all_hold_at_gamma_below_the_threshold(joint_table):
    rows = [row for row in joint_table if row.name.startswith("Corollary 4.4")]
    assert len(rows) == 5
    assert all(row.holds and row.assumptions_met for row in rows)
    assert rows[0].left == pytest.approx(
        nc1(joint_stationary_point(START).law.features, START.y.argmax(1)), rel=1e-6
    )


def test_the_bound_by_the_loss_needs_the_condition_of_w():
    turned = torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) / math.sqrt(2)
    problem = line_problem([-1, -0.2, 0.1, 0.3], beta=1e3)
    w = problem.w @ torch.diag(torch.tensor([3.0, 0.2], dtype=torch.float64)) @ turned.T
    problem = dataclasses.replace(problem, w=w.contiguous())
    row = check_theory(problem, solved(problem)).row("Corollary 4.4: NC1 by loss and eps_S")
    assert row.holds
    assert row.left > row.right / 15**2


def test_eq_16_fails_where_features_have_not_collapsed(cloud_table):
    for version in ("printed", "corrected"):
        row = cloud_table.row("Corollary 4.4: NC1", version)
        assert not row.assumptions_met
        assert "|E_2|_F^2" in row.as_dict()["assumptions"]
    assert not cloud_table.row("Corollary 4.4: NC1 by loss and eps_S").assumptions_met


@pytest.mark.parametrize("counts", [[3, 3], [1, 5], [2, 1, 3]])
def test_sharp_bound_for_any_features_and_imbalanced_classes(counts):
    problem = line_problem(
        [-1, -0.6, -0.2, 0.1, 0.5, 0.9], q=len(counts), counts=counts, beta=40.0, gamma=2.0
    )
    zero = torch.zeros_like(problem.y)
    law = law_of(problem, gibbs_form(problem, zero, zero))
    shares = problem.y.mean(0)
    assert centred_square(problem.y) == pytest.approx(6 * (1 - float(shares.square().sum())))
    generator = seeded()
    for k in range(200):
        w, h = (torch.randn(size, generator=generator).double() for size in (law.w.shape, (6, 3)))
        target = problem.y @ torch.linalg.pinv(w) / 2
        moved = dataclasses.replace(law.problem, w=w)
        features = target + 10 ** -(k / 60) * target.norm() / h.norm() * h
        rows = collapse_rows(dataclasses.replace(law, problem=moved, features=features))
        for row in rows:
            assert row.holds or not row.assumptions_met or row.version == "printed"
            if row.version == "sharp" and "loss" not in row.name:
                assert row.holds
                assert row.assumptions_met
    assert rows[0].assumptions_met == (len(set(counts)) == 1)


def test_sharp_bound_is_attained():
    # E_2 with a part -t M~/|M~| between classes, t = e^2/m, and the rest within.
    problem = line_problem(FOUR, beta=40.0, gamma=2.0)
    zero = torch.zeros_like(problem.y)
    law = law_of(problem, gibbs_form(problem, zero, zero))
    target = problem.y @ torch.linalg.pinv(problem.w) / 2
    centred = target - target.mean(0)
    m, e = float(centred.norm()), 0.3 * float(centred.norm())
    t = e**2 / m
    within = torch.tensor([1.0, -1.0, 1.0, -1.0]).double()[:, None] * problem.w[:, 0]
    h = target - t / m * centred + math.sqrt(e**2 - t**2) / within.norm() * within
    law = dataclasses.replace(law, features=h)
    assert float(remainder(law).norm()) == pytest.approx(e)
    row = next(row for row in collapse_rows(law) if row.version == "sharp")
    assert row.left == pytest.approx(0.09, rel=1e-12)
    assert row.right == pytest.approx(0.09, rel=1e-12)


def test_labels_and_targets_that_are_no_classes():
    problem = dataclasses.replace(START, y=START.y + 0.1 * START.x)
    zero = torch.zeros_like(problem.y)
    measure = gibbs_form(problem, zero, zero)
    row = check_theory(problem, measure).row("Corollary 4.4: NC1")
    assert (row.holds, row.assumptions_met) == (None, False)
    scaled = dataclasses.replace(START, y=2 * START.y)
    table = check_theory(scaled, solved(scaled), labels=np.repeat(["b", "a"], 4))
    assert table.row("Corollary 4.4: NC1", "sharp").holds
    assert table.row("Corollary 4.4: NC1", "sharp").assumptions_met
    assert not table.row("Corollary 4.4: NC1", "printed").assumptions_met
    with pytest.raises(ValueError, match="labels must have shape"):
        check_theory(problem, measure, labels=[0, 1])


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
    assert joint.converged
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


# Lemma 4.7


def test_kernel_of_gaussian_neurons():
    x = torch.randn(5, 3, generator=seeded(), dtype=torch.float64)
    found = gaussian_kernel(x, get_activation("erf"))
    squares = 1 + 2 * x.square().sum(1)
    exact = 2 / math.pi * torch.asin(2 * x @ x.T / (squares[:, None] * squares).sqrt())
    assert torch.allclose(found, exact, rtol=0, atol=1e-13)
    u = torch.randn(100_000, 3, generator=seeded(), dtype=torch.float64)
    for name in ("sigmoid", "tanh"):
        sigma = get_activation(name)
        assert torch.allclose(gaussian_kernel(x, sigma), kernel(x, u, sigma), rtol=0, atol=0.01)
    assert torch.allclose(
        gaussian_kernel(torch.zeros(1, 2), get_activation("sigmoid")), torch.tensor(0.25).double()
    )


def lemma_4_7(x, activation):
    x = torch.tensor(x, dtype=torch.float64)
    y = torch.ones(len(x), 1, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    problem = small_problem(n=4, d=2, p=1, q=1)
    problem = dataclasses.replace(problem, x=x, y=y, w=one, activation=activation)
    table = check_theory(problem, sample_normal(problem, 5, generator=seeded()))
    return [(row.holds, row.assumptions_met) for row in table if row.name == LEMMA_4_7]


GENERIC = [[0.9, 0.1], [-0.5, 0.7], [0.2, -0.8]]


@pytest.mark.parametrize(
    ("x", "activation", "expected"),
    [
        (GENERIC, "tanh", [(True, True)] * 3),
        # As printed it fails: x, -x meets Assumption 2, and the kernel is singular.
        ([[0.9, 0.1], [-0.9, -0.1]], "tanh", [(False, True), (False, False), (False, False)]),
        # Of sigmoid one such pair is harmless, two are not.
        ([[0.9, 0.1], [-0.9, -0.1]], "sigmoid", [(True, True), (True, False), (True, True)]),
        ([[0.9], [-0.9], [0.4], [-0.4]], "sigmoid", [(False, True)] + [(False, False)] * 2),
        ([[0.0], [0.9], [-0.9]], "sigmoid", [(False, False)] * 3),
        # No coordinate tells all inputs apart, and the kernel is positive definite.
        ([[0.9, 0.1], [0.9, 0.4], [0.3, 0.1]], "erf", [(True, False), (True, False), (True, True)]),
        ([[0.9, 0.1], [0.9, 0.1]], "tanh", [(False, False)] * 3),
        # Too near for float64 to decide.
        ([[0.9], [0.9 + 1e-9]], "tanh", [(None, True)] * 3),
        (GENERIC, "softplus", [(None, False)]),
    ],
)
def test_positive_definite_kernel(x, activation, expected):
    assert lemma_4_7(x, activation) == expected


# Theorem 4.8, Corollary 4.9, Lemma A.3


@pytest.mark.parametrize("beta", [20.0, 1e3])
def test_explicit_loss_bound_at_the_minimizer(beta):
    problem = line_problem(FOUR, beta=beta)
    table = check_theory(problem, solved(problem))
    rows = [row for row in table if row.name.startswith("Theorem 4.8 at the minimizer")]
    assert len(rows) == 2
    assert all(row.holds and row.assumptions_met for row in rows)
    assert rows[0].right < rows[1].right
    printed = table.row("Theorem 4.8")
    assert printed.holds is None
    assert printed.assumptions_met
    law = law_of(problem, solved(problem))
    assert printed.left == pytest.approx(beta * law.regularized_loss)


def test_explicit_loss_bound_is_the_energy_of_the_prior_in_u():
    problem = line_problem(FOUR, beta=20.0, gamma=2.0)
    zero = torch.zeros_like(problem.y)
    prior = law_of(problem, gibbs_form(problem, zero, zero))
    first, second = explicit_loss_bound(prior)
    a = torch.kron(prior.kernel, problem.w.T @ problem.w) * problem.gamma**2 / problem.decay
    a += 4 * torch.eye(8, dtype=torch.float64)
    y = problem.y.flatten()
    assert first == pytest.approx(0.5 * float(y @ torch.linalg.solve(a, y)), rel=1e-10)
    rest = a - 4 * torch.eye(8, dtype=torch.float64)
    assert second == pytest.approx(0.5 * 4 / float(torch.linalg.eigvalsh(rest)[0]), rel=1e-4)


def test_off_the_minimizer_its_assumption_fails(off):
    problem, measure = off
    table = check_theory(problem, measure)
    for name in ("Theorem 4.8 at the minimizer", "Theorem 4.8 at the minimizer, C/beta"):
        assert not table.row(name).assumptions_met
    unbounded = line_problem([1.5, -0.6, 0.5, 0.9], beta=40.0)
    row = check_theory(unbounded, solved(unbounded)).row("Theorem 4.8")
    assert "norm > 1" in row.as_dict()["assumptions"]


def test_corollary_4_9(cold, joint_table):
    table = check_theory(*cold)
    for version in ("printed", "corrected"):
        row = table.row("Corollary 4.9: NC1", version)
        assert row.holds
        assert row.assumptions_met
        warm = joint_table.row("Corollary 4.9: NC1", version)
        assert not warm.assumptions_met
        assert "beta is 1e+03" in warm.as_dict()["assumptions"]
    problem, measure = cold
    c4 = problem.beta * law_of(problem, measure).regularized_loss
    printed, corrected = 640 * c4**3 / 900 / 1000, 4 * 900 * c4**2 * 2 / 1000
    assert table.row("Corollary 4.9: NC1", "printed").right == pytest.approx(printed)
    assert table.row("Corollary 4.9: NC1", "corrected").right == pytest.approx(corrected)


def test_lemma_a3(joint_table, off):
    for table in (joint_table, check_theory(*off)):
        rows = [row for row in table if row.name.startswith("Lemma A.3")]
        assert len(rows) == 7
        assert all(row.holds and row.assumptions_met for row in rows)


def test_lemma_a3_as_printed_fails_for_a_narrow_prior():
    # At rho = rho_0 with beta lambda = 1e4: E|theta|^2 = D/(beta lambda) > 0 > the bound.
    problem = line_problem(FOUR, beta=1e5, lambda_rho=0.1)
    zero = torch.zeros_like(problem.y)
    table = check_theory(problem, gibbs_form(problem, zero, zero))
    name = "Lemma A.3: E|theta|^2"
    assert table.row(name, "printed").left == pytest.approx(4e-4)
    assert table.row("Lemma A.3: L", "printed").holds
    energy = dataclasses.replace(problem, y=problem.y * 1e-3)
    table = check_theory(energy, gibbs_form(energy, zero, zero))
    printed = table.row(name, "printed")
    assert printed.right < 0 < printed.left
    assert printed.holds is False
    assert printed in table.contradictions
    for version in ("corrected", "sharp"):
        assert table.row(name, version).holds
    # rho_0 itself attains the sharp bound.
    assert table.row(name, "sharp").right == pytest.approx(printed.left, rel=1e-6)


@pytest.mark.parametrize("v", [1.0, 1.5, 40.0])
def test_second_moment_bound_is_attained_by_a_wider_gaussian(v):
    kl = 2.5 * (v - 1 - math.log(v))
    assert second_moment_bound(kl, 5) == pytest.approx(5 * v, rel=1e-7)


# The table


def test_the_run_in_the_docs_prints_what_they_say():
    text = (Path(__file__).parents[2] / "docs" / "theory.md").read_text(encoding="utf-8")
    code, said = (re.search(rf"```{kind}\n(.*?)```", text, re.S)[1] for kind in ("python", "text"))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert words(printed.getvalue()) == words(said)


def words(text):
    """Without numbers, which differ in round-off."""
    return re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?|nan|inf\b", "#", text).split()


def test_a_sampled_measure():
    problem = small_problem(n=6, d=3, p=4, q=2, beta=30.0, lambda_rho=0.1)
    measure = solve_gibbs(problem, n_particles=1000, generator=seeded()).measure
    table = check_theory(problem, measure)
    assert table[0].left > 1e-6
    assert "sum over" in table[0].note
    assert table.contradictions == ()
    for name in ("Theorem 4.2: identity with S", "Lemma 4.5: identity off stationarity"):
        assert table.row(name).holds
    for row in table:
        assert row.holds is not False or not row.assumptions_met


def test_a_table_prints_and_exports(joint_table):
    text, markdown = str(joint_table), joint_table.markdown()
    assert text.count("\n") == len(joint_table)
    assert markdown.count("\n") == len(joint_table) + 1
    assert "\\|E_2\\|^2" in markdown
    header, *lines = joint_table.csv().splitlines()
    assert header.startswith("name,equation,version,left,right,holds,slack,assumptions_met")
    assert len(lines) == len(joint_table)
    first = joint_table.as_dicts()[0]
    assert first["name"] == joint_table[0].name
    assert list(joint_table) == list(joint_table.rows)


def test_a_row_is_found_by_name_and_version(joint_table):
    with pytest.raises(KeyError, match="0 rows"):
        joint_table.row("Theorem 9")
    with pytest.raises(KeyError, match="rows have name"):
        joint_table.row("Corollary 4.4: NC1")


def test_comparisons_that_cannot_be_decided():
    assert BoundCheck.compare("", "", "sharp", math.nan, 1.0).holds is None
    assert BoundCheck.compare("", "", "sharp", 1.0, math.inf).holds is None
    assert BoundCheck.compare("", "", "sharp", 1.0, 1.0 - 1e-12).holds
    assert BoundCheck.compare("", "", "sharp", 1.0, 0.99).holds is False
    assert TheoryTable(()).contradictions == ()


def test_balance_rows_of_a_cloud_without_noise():
    problem = dataclasses.replace(START, beta=math.inf)
    law = law_of(problem, sample_normal(problem, 40, generator=seeded()))
    rows = {(row.name, row.version): row for row in balance_rows(law, 1e-6)}
    # No entropy, no 1/beta: lambda_rho M - lambda_w W W^T = E[grad_a a^T] - W grad_W^T.
    assert rows["Lemma 4.5: balance", "sharp"].holds
    assert rows["Lemma 4.5: balance", "sharp"].assumptions_met
