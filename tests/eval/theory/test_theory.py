import dataclasses

import pytest
import torch
from support.seeds import seeded

from eval import BoundCheck, TheoryTable, check_assumptions
from eval.theory.assumptions import first_of, need
from gibbs import Problem, kernel

X = torch.tensor([[0.3, 0.4], [0.6, -0.2], [-0.5, 0.1], [0.2, 0.2]])
Y = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 1])).float()
GOOD = Problem(X, Y, torch.eye(3)[:, :2], beta=1e4, truncation=10.0)


def test_a_problem_against_which_nothing_speaks():
    first, second, third = check_assumptions(GOOD)
    assert (first.outcome, second.outcome) == ("met", "met")
    # No data show that samples are i.i.d., and "large" is no number.
    assert third.met is None
    assert third.outcome.startswith("not known: i.i.d. sampling cannot be checked on data; R = 10")
    known = check_assumptions(GOOD, iid=True)[2]
    assert known.outcome == "not known: R = 10 must be large, and how large is not explicit"


def test_what_order_three_verdicts_have():
    yes, no, open_ = (need("", "", met, "why") for met in (True, False, None))
    assert (yes.reason, no.reason, open_.reason) == ("", "why", "why")
    assert first_of([yes, open_, no]) is no
    assert first_of([yes, open_]) is open_
    row = BoundCheck.compare("", "", "sharp", 2.0, 1.0, (yes, open_))
    assert (row.holds, row.assumptions_met) == (False, None)
    table = TheoryTable((row,))
    assert table.contradictions == ()
    assert "not known: why" in str(table)
    assert "not met" not in str(table)


def test_samples_that_are_known_not_to_be_iid():
    check = check_assumptions(GOOD, iid=False)[2]
    assert (check.met, check.reason) == (False, "not i.i.d. samples")


@pytest.mark.parametrize(("radius", "met"), [(0.66, False), (0.67, None)])
def test_a_radius_at_which_no_output_reaches_one(radius, met):
    # W_0 has one entry of 1 a column and tau_R is at most 3R/2: an output is at most 3R/2.
    check = check_assumptions(dataclasses.replace(GOOD, truncation=radius))[2]
    assert check.met is met
    assert ("an output is at most 0.99" in check.reason) == (met is False)


REPEATED = torch.tensor([[0.3, 0.4], [0.6, 0.4], [0.3, 0.1], [0.2, 0.2]])


@pytest.mark.parametrize(
    ("change", "number", "reason"),
    [
        ({"x": 2 * X}, 1, "norm > 1"),
        ({"w": 2 * GOOD.w}, 1, "not the identity"),
        ({"activation": "relu"}, 1, "relu is not smooth"),
        ({"activation": "softplus"}, 2, "softplus is not smooth"),
        ({"x": REPEATED}, 2, "pairwise distinct"),
        ({"x": torch.where(X.abs() > 0.35, X, 0.0)}, 2, "non-zero"),
        ({"gamma": 3.0}, 3, "gamma is 3, not 1"),
        ({"activation": "tanh"}, 3, "the activation is tanh"),
        ({"truncation": None}, 3, "not truncated"),
        ({"y": torch.eye(2)[[0, 0, 0, 1]]}, 3, "not balanced"),
        ({"sample_weight": torch.tensor([1.0, 1.0, 1.0, 2.0])}, 1, "different weights"),
        ({"sample_weight": torch.tensor([1.0, 1.0, 1.0, 2.0])}, 3, "different weights"),
    ],
)
def test_each_way_to_fail_is_told(change, number, reason):
    check = check_assumptions(dataclasses.replace(GOOD, **change))[number - 1]
    assert check.name == f"Assumption {number}"
    assert check.met is False
    assert reason in check.reason


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "erf"])
def test_symmetric_activations_need_inputs_distinct_up_to_sign(activation):
    # x and -x are distinct and non-zero in every coordinate, yet two such pairs have dependent
    # rows: the kernel of Lemma 4.7 is singular.
    opposite = torch.stack([X[0], -X[0], X[1], -X[1]])
    problem = dataclasses.replace(GOOD, x=opposite, activation=activation)
    assert not check_assumptions(problem)[1].met
    u = torch.randn(20_000, 2, generator=seeded(), dtype=torch.float64)
    k = kernel(opposite.double(), u, problem.sigma)
    assert float(torch.linalg.eigvalsh(k)[0]) < 1e-14
