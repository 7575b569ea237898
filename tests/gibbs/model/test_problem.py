import dataclasses
import math

import pytest
import torch
from support.defects import NORMALS_OFF, statistical
from support.problems import small_problem
from support.seeds import seeded

from gibbs import Particles, Problem, sample_normal, sample_prior

X, Y, W = torch.eye(3), torch.eye(3)[:, :2], torch.eye(4)[:, :2]


def test_defaults_and_sizes():
    problem = Problem(X, Y, W, beta=100)
    assert problem.lambda_rho == problem.decay == 0.01
    assert problem.temperature == 0.01
    sizes = (problem.n_samples, problem.n_inputs, problem.n_outputs, problem.n_features)
    assert sizes == (3, 3, 2, 4)
    assert problem.sigma.name == "sigmoid"
    assert (problem.dtype, problem.device.type) == (torch.float32, "cpu")


def test_zero_temperature_has_no_noise_and_may_have_no_decay():
    problem = Problem(X, Y, W, beta=math.inf, lambda_rho=0)
    assert problem.temperature == problem.decay == 0


NAN = X.clone()
NAN[1, 2] = math.nan
BAD = [
    ({"x": [[1.0]]}, TypeError, r"x must be a torch.Tensor, got list"),
    ({"x": X[0]}, ValueError, r"x must have 2 dimensions, got shape \(3,\)"),
    ({"y": torch.tensor([0, 1, 0])}, ValueError, r"y must have 2 dim.*one_hot"),
    ({"y": Y.long()}, TypeError, r"y must be float32 or float64, got torch.int64.*one_hot"),
    ({"x": X.half()}, TypeError, r"x must be float32 or float64"),
    ({"y": Y.double()}, TypeError, r"y must have the dtype of x, torch.float32, got torch.float64"),
    ({"w": W.to("meta")}, ValueError, r"w must be on the device of x, cpu, got meta"),
    ({"x": X[:0], "y": Y[:0]}, ValueError, r"x must not be empty"),
    ({"x": NAN}, ValueError, r"x must be finite, got nan in row 1, column 2"),
    ({"y": Y[:2]}, ValueError, r"same number of rows, got 3 and 2"),
    ({"w": torch.eye(4)}, ValueError, r"w must have one column per output, \(p, 2\)"),
    ({"w": W[:1]}, ValueError, r"w must have at least as many rows .*got shape \(1, 2\)"),
    ({"beta": 0}, ValueError, r"beta must be > 0, got 0"),
    ({"beta": -1}, ValueError, r"beta must be > 0"),
    ({"beta": math.nan}, ValueError, r"beta must be > 0, got nan"),
    ({"beta": math.inf}, ValueError, r"lambda_rho must be given when beta is inf"),
    ({"gamma": 0}, ValueError, r"gamma must be > 0 and finite, got 0"),
    ({"gamma": math.inf}, ValueError, r"gamma must be > 0 and finite"),
    ({"lambda_rho": -0.1}, ValueError, r"lambda_rho must be >= 0"),
    ({"lambda_rho": 0}, ValueError, r"lambda_rho must be > 0 where beta is finite"),
    ({"truncation": 0}, ValueError, r"truncation must be > 0"),
    ({"activation": "cos"}, ValueError, r"activation must be one of"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_input_is_named(change, error, message):
    arguments = {"x": X, "y": Y, "w": W, "beta": 10.0} | change
    with pytest.raises(error, match=message):
        Problem(arguments.pop("x"), arguments.pop("y"), arguments.pop("w"), **arguments)


def test_particles_must_belong_together():
    with pytest.raises(ValueError, match=r"same N >= 1, got \(2, 3\) and \(4, 5\)"):
        Particles(torch.zeros(2, 3), torch.zeros(4, 5))
    with pytest.raises(ValueError, match="share dtype and device"):
        Particles(torch.zeros(2, 3), torch.zeros(2, 3).double())
    cloud = Particles(torch.zeros(2, 3), torch.zeros(2, 5))
    assert len(cloud) == 2
    assert cloud.to(torch.float64).u.dtype == torch.float64
    copy = cloud.clone()
    copy.a.add_(1)
    assert not cloud.a.any()


@statistical(alarm=1e-5, defect=NORMALS_OFF)
@pytest.mark.parametrize(
    ("sample", "variance"), [(sample_prior, 1 / (50 * 0.05)), (sample_normal, 1.0)]
)
def test_start_laws(sample, variance):
    problem = small_problem()
    cloud = sample(problem, 20_000, generator=seeded())
    # Mean square of 40,000 (u) and 60,000 (a) normals: 5 standard errors.
    for values in (cloud.a, cloud.u):
        error = 5 * math.sqrt(2 / values.numel())
        assert float(values.square().mean()) == pytest.approx(variance, rel=error)
    assert cloud.a.shape == (20_000, 3)
    assert cloud.u.shape == (20_000, 2)
    again = sample(problem, 20_000, generator=seeded())
    assert torch.equal(cloud.a, again.a)


def test_prior_needs_a_temperature_and_a_size():
    with pytest.raises(ValueError, match="beta must be finite"):
        sample_prior(small_problem(beta=math.inf), 10, generator=seeded())
    with pytest.raises(ValueError, match="n_particles must be >= 1, got 0"):
        sample_normal(small_problem(), 0, generator=seeded())


def test_a_problem_in_another_dtype_keeps_all_else():
    weight = torch.tensor([1.0, 2.0, 0.0, 1.0, 3.0, 0.7], dtype=torch.float64)
    problem = dataclasses.replace(small_problem(truncation=2.0), sample_weight=weight)
    single = problem.to(torch.float32)
    for name in ("x", "y", "w"):
        assert torch.equal(getattr(single, name), getattr(problem, name).float()), name
    assert single.sample_weight.double() == pytest.approx(problem.sample_weight, rel=1e-6)
    assert problem.to(torch.float64) is problem
    for name in ("beta", "gamma", "lambda_rho", "activation", "truncation"):
        assert getattr(single, name) == getattr(problem, name), name
    assert single.to(torch.float64).dtype == torch.float64
    assert small_problem().to(torch.float32).sample_weight is None
