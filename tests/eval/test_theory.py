import dataclasses

import pytest
import torch
from seeds import seeded

from eval import check_assumptions
from gibbs import Problem, kernel

X = torch.tensor([[0.3, 0.4], [0.6, -0.2], [-0.5, 0.1], [0.2, 0.2]])
Y = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 1])).float()
GOOD = Problem(X, Y, torch.eye(3)[:, :2], beta=1e4, truncation=10.0)


def test_a_problem_that_meets_all():
    assert [(c.met, c.reason) for c in check_assumptions(GOOD)] == [(True, "")] * 3


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
    ],
)
def test_each_way_to_fail_is_told(change, number, reason):
    check = check_assumptions(dataclasses.replace(GOOD, **change))[number - 1]
    assert check.name == f"Assumption {number}"
    assert not check.met
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
