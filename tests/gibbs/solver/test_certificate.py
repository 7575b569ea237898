import dataclasses
import math

import pytest
import torch
from support.problems import small_problem
from support.quadrature import gibbs_minimizer
from support.seeds import seeded

from gibbs import (
    Certificate,
    Particles,
    data_loss,
    describe_bounds,
    features,
    outputs,
    sample_prior,
)
from gibbs.model.energy import prior_energy
from gibbs.solver.certificate import refusal
from gibbs.solver.quadrature import certificate_at


def certificate(dual, primal, *, stderr=0.0, n_replays=0, **changes):
    """A certificate with these bounds, of one-hot targets."""
    fields = {
        **{"dual": dual, "primal": primal, "gap": primal - dual, "gap_stderr": 0.0},
        **{"dual_stderr": stderr, "method": "quadrature", "effective_size": 9.0},
        **{"n_replays": n_replays, "certified": False, "reason": "", "prior_energy": 0.5},
    }
    return Certificate(**fields | changes)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("truncation", [None, 0.1])
def test_energy_of_the_prior_is_that_of_neurons_and_their_opposites(activation, truncation):
    """With (a, u) and (-a, u) in pairs, as under the prior, the outputs are 0."""
    weights = torch.tensor([1.0, 3.0, 0.0, 2.0, 5.0, 1.0], dtype=torch.float64)
    problem = small_problem(
        activation=activation, truncation=truncation, sample_weight=weights, seed=4
    )
    half = sample_prior(problem, 50, generator=seeded())
    cloud = Particles(torch.cat([half.a, -half.a]), torch.cat([half.u, half.u]))
    h = features(problem.x, cloud, problem.sigma, problem.truncation)
    z = outputs(h, problem.w, problem.gamma)
    loss = float(data_loss(z, problem.y, problem.sample_weight))
    assert prior_energy(problem) == pytest.approx(loss, rel=1e-12)
    assert prior_energy(problem) == pytest.approx(0.5, rel=1e-12)  # one-hot targets


def test_energy_of_the_prior_of_other_targets_and_weights():
    problem = small_problem(n=4)
    y = torch.tensor([[3.0, 4.0], [0, 1], [0, 0], [2, 0]], dtype=torch.float64)
    plain = dataclasses.replace(problem, y=y)
    assert prior_energy(plain) == pytest.approx((25 + 1 + 0 + 4) / 8, rel=1e-15)
    s = torch.tensor([1.0, 2.0, 3.0, 0.0], dtype=torch.float64)
    weighted = dataclasses.replace(plain, sample_weight=s)
    assert prior_energy(weighted) == pytest.approx((25 + 2 * 1) / (2 * 6), rel=1e-15)


@pytest.mark.parametrize("scale", [0.0, 0.1, 0.9, 1.0, 3.0])
def test_bounds_hold_and_are_never_worse_than_the_trivial_ones(scale):
    """At the best G times a number: far from it D falls below 0, and the gap grows."""
    problem = small_problem()
    best = gibbs_minimizer(problem)
    found = certificate_at(problem, scale * torch.as_tensor(best.dual_point), 1e-2)
    low, high = found.dual_interval
    assert 0 <= low <= best.dual * (1 + 1e-9)
    assert best.dual * (1 - 1e-9) <= high <= prior_energy(problem) == found.prior_energy
    assert (found.lower, found.upper) == (max(0.0, found.dual), min(found.primal, high))
    if scale == 3.0:
        assert found.dual < 0  # as it was computed
        assert found.primal > 0.5
        assert (found.lower, found.upper) == (0.0, 0.5)


TRIVIAL = (
    "least free energy between 0 and 0.5: nothing better is known than the trivial bounds, 0 and "
    "the free energy of the prior"
)
WORDS = [
    (certificate(0.1, 0.2), "least free energy between 0.1 and 0.2 (quadrature)"),
    (
        certificate(-0.0576, 0.4767),
        "least free energy between 0 and 0.4767 (quadrature; the lower bound is 0: no better one "
        "is known)",
    ),
    (
        certificate(0.125, 0.585, n_replays=6),
        "least free energy between 0.125 and 0.5 (95 % interval over 6 replays; the upper bound "
        "is the free energy of the prior: no better one is known)",
    ),
    (certificate(-0.46, 0.585), TRIVIAL),
    (certificate(-0.0, 0.5), TRIVIAL),
    (certificate(-math.inf, math.inf), TRIVIAL),
    (certificate(math.nan, math.nan), TRIVIAL),
    (certificate(0.6, 0.7), TRIVIAL),  # D above the energy of the prior: no lower bound
    (certificate(0.1, 0.2, bounded=False), TRIVIAL),
    (certificate(0.01, 0.49, stderr=0.1, n_replays=6), TRIVIAL),
    (refusal("no bridge", 0.5), TRIVIAL),
]


@pytest.mark.parametrize(("judged", "words"), WORDS)
def test_bounds_in_words(judged, words):
    assert describe_bounds(judged) == words


@pytest.mark.parametrize("bound", [-math.inf, -0.46, -0.0, 0.3, 0.585, math.inf, math.nan])
@pytest.mark.parametrize("other", [-math.inf, -0.46, -0.0, 0.3, 0.585, math.inf, math.nan])
def test_ends_are_numbers_in_order_whatever_came_out(bound, other):
    judged = certificate(bound, other, stderr=0.01, n_replays=6)
    assert 0 <= judged.lower <= 0.5
    assert 0 <= judged.upper <= 0.5
    low, high = judged.dual_interval
    assert 0 <= low <= high <= 0.5
    assert math.copysign(1, low) == 1  # no -0
    assert judged.dual is bound
