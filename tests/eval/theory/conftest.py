"""Measures and tables that the tests of the theory share."""

import pytest
import torch
from support.gibbs_forms import gibbs_form, line_problem
from support.seeds import seeded
from support.theory_cases import FOUR, START, solved

from eval import check_theory, joint_stationary_point
from gibbs import sample_normal


@pytest.fixture(scope="session")
def joint():
    return joint_stationary_point(START)


@pytest.fixture(scope="session")
def joint_table(joint):
    return check_theory(joint.problem, joint.measure)


@pytest.fixture(scope="session")
def cold():
    problem = line_problem([-1, -0.8, 0.7, 0.95], p=2, beta=1e9, gamma=30.0)
    return problem, solved(problem)


@pytest.fixture(scope="session")
def off():
    """A Gibbs form that is not stationary, and a W that is not W_0."""
    problem = line_problem(FOUR, beta=40.0, gamma=1.5, lambda_rho=0.1)
    noise = torch.randn(2, 4, 2, generator=seeded(), dtype=torch.float64)
    return problem, gibbs_form(problem, 0.1 * noise[0], 0.1 * noise[1])


@pytest.fixture(scope="session")
def cloud_table():
    return check_theory(START, sample_normal(START, 500, generator=seeded()))
