"""The kernel, the loss along beta, and the table itself."""

import dataclasses
import math

import pytest
import torch
from support.gibbs_forms import gibbs_form, line_problem
from support.problems import small_problem
from support.seeds import seeded
from support.theory_cases import FOUR, LEMMA_4_7, START, solved

from eval import BoundCheck, TheoryTable, check_theory, law_of
from eval.theory.energy import explicit_loss_bound, second_moment_bound
from eval.theory.kernel import gaussian_kernel
from eval.theory.weights import balance_rows
from gibbs import Particles, get_activation, kernel, sample_normal, solve_gibbs

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
    assert printed.assumptions_met is None
    words = printed.as_dict()["assumptions"]
    assert "C_3 is not explicit" in words
    assert "one law has no time" in words
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


def test_second_moment_bound_of_what_is_not_known():
    assert math.isnan(second_moment_bound(math.nan, 14))
    assert second_moment_bound(-0.0024, 14) == 14


def test_other_weights_than_1_over_beta_are_told_at_theorem_4_8():
    problem = line_problem(FOUR, beta=20.0, lambda_rho=0.3)
    row = check_theory(problem, solved(problem), lambda_w=0.1).row("Theorem 4.8")
    assert row.assumptions_met is False
    assert "beta lambda_rho is 6 and beta lambda_w is 2" in row.as_dict()["assumptions"]


@pytest.mark.parametrize("change", [{"activation": "relu"}, {"activation": "softplus"}])
def test_no_kernel_of_the_prior_where_sigma_is_not_smooth_and_bounded(change):
    problem = line_problem(FOUR, beta=20.0, gamma=0.3, **change)
    table = check_theory(problem, solved(problem))
    assert table.row("Theorem 4.8 at the minimizer").holds is None
    assert table.contradictions == ()


def test_a_loose_tolerance_makes_no_contradictions(off):
    # Stationary "to 10" is no stationary point: what it leaves open is not decided.
    problem, measure = off
    table = check_theory(problem, measure, tol=10.0)
    assert table.row("Theorem 4.2: H is the resolvent's").holds is None
    assert table.contradictions == ()


@pytest.mark.parametrize("scale", [0.0, 1e-90, 1.0])
def test_extreme_layers_and_neurons(scale):
    problem = line_problem(FOUR, beta=20.0)
    table = check_theory(problem, solved(problem), w=scale * problem.w)
    assert table.contradictions == ()
    zeros = Particles(torch.zeros(60, 3).double(), torch.zeros(60, 1).double())
    tanh = dataclasses.replace(problem, activation="tanh")
    table = check_theory(tanh, zeros, w=scale * problem.w)
    assert table.contradictions == ()
    assert "NB = undefined" in table.row("Lemma 4.5: no balance", "printed").note


# The table


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
    assert BoundCheck.compare("", "", "sharp", 1.0, 0.99, doubt=0.02).holds is None
    assert BoundCheck.compare("", "", "sharp", 1.0, 0.97, doubt=0.02).holds is False
    assert BoundCheck.compare("", "", "sharp", 1.0, 0.1, doubt=math.inf).holds is None
    assert TheoryTable(()).contradictions == ()


def test_a_row_is_decided_beyond_its_noise():
    # Student's t with 5 degrees of freedom is above 9.68 once in 10,000 times.
    for left, right in ((0.0, 1.0), (1.0, 0.0)):
        row = BoundCheck.compare("", "", "sharp", left, right)
        assert row.with_error(1 / 9.6, 6).holds is None
        assert row.with_error(1 / 9.7, 6).holds is row.holds
        assert row.with_error(math.nan, 6).holds is None
        assert row.with_error(0.0, 6).holds is row.holds
        assert row.with_error(1 / 9.7, 2).holds is None
    # A theorem about every set of points is not made doubtful by their noise, nor by round-off.
    sure = BoundCheck.compare("", "", "sharp", 0.0, 1.0, any_points=True)
    assert sure.with_error(10.0, 6).holds
    tight = BoundCheck.compare("", "", "sharp", 1.0, 1.0 - 1e-16)
    assert tight.with_error(1e-15, 6).holds
    table = TheoryTable((row.with_error(0.25, 6),))
    assert "0.25" in str(table)
    assert "0.25" in table.markdown()
    assert table.as_dicts()[0]["stderr"] == 0.25


def test_balance_rows_of_a_cloud_without_noise():
    problem = dataclasses.replace(START, beta=math.inf)
    law = law_of(problem, sample_normal(problem, 40, generator=seeded()))
    rows = {(row.name, row.version): row for row in balance_rows(law, 1e-6)}
    # No entropy, no 1/beta: lambda_rho M - lambda_w W W^T = E[grad_a a^T] - W grad_W^T.
    assert rows["Lemma 4.5: balance", "sharp"].holds
    assert rows["Lemma 4.5: balance", "sharp"].assumptions_met
