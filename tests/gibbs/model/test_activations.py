import math
import pickle

import pytest
import torch

from gibbs import ACTIVATIONS, get_activation, truncate, truncate_slope

REFERENCE = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "softplus": torch.nn.functional.softplus,
    "relu": torch.relu,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_value_and_slope_agree_with_torch_and_autograd(name, dtype, tolerance):
    z = torch.linspace(-12, 12, 1001, dtype=dtype)  # 0 among them: relu's slope there is 0
    reference = z.clone().requires_grad_()
    value = REFERENCE[name](reference)
    value.sum().backward()
    activation = get_activation(name)
    ours = activation(z)
    torch.testing.assert_close(ours, value.detach(), atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(
        activation.slope(ours), reference.grad, atol=5 * tolerance, rtol=5 * tolerance
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bounds_are_the_suprema(name):
    activation = get_activation(name)
    z = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    value = activation(z)
    slope = activation.slope(value)
    curvature = torch.diff(slope) / torch.diff(z)
    for measured, bound in (
        (value.abs().max(), activation.max_value),
        (slope.abs().max(), activation.max_slope),
        (curvature.abs().max(), activation.max_curvature),
    ):
        if math.isfinite(bound):
            assert float(measured) == pytest.approx(bound, rel=1e-6)
        else:
            assert float(measured) > 15  # grows with the range, or with 1/spacing


def test_only_bounded_smooth_ones_meet_assumption_1():
    assert [a.name for a in ACTIVATIONS.values() if not a.smooth_and_bounded] == [
        "softplus",
        "relu",
    ]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_symmetry_and_pickling(name):
    activation = get_activation(name)
    z = torch.linspace(-3, 3, 13, dtype=torch.float64)
    sums = activation(-z) + activation(z)  # constant where sigma less a constant is odd
    assert bool(torch.allclose(sums, sums[0])) == activation.symmetric
    assert pickle.loads(pickle.dumps(activation)) is activation


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"one of sigmoid, tanh.*got 'swish'"):
        get_activation("swish")


def test_truncation_is_identity_inside_constant_outside_and_c2():
    radius = 1.7
    z = torch.linspace(-8, 8, 160_001, dtype=torch.float64)
    value, slope = truncate(z, radius), truncate_slope(z, radius)
    inside, outside = z.abs() <= radius, z.abs() >= 2 * radius
    torch.testing.assert_close(value[inside], z[inside])
    torch.testing.assert_close(value[outside], torch.sign(z[outside]) * 1.5 * radius)
    step = float(z[1] - z[0])
    torch.testing.assert_close(torch.gradient(value, spacing=step)[0], slope, atol=1e-7, rtol=0)
    second = torch.gradient(slope, spacing=step)[0]
    # |tau''| = 6 t (1 - t) / R <= 1.5/R, and it has no jump: |tau'''| <= 6/R^2.
    assert float(second.abs().max()) == pytest.approx(1.5 / radius, rel=1e-6)
    assert float(second.diff().abs().max()) <= 6 / radius**2 * step * 1.01


def test_no_truncation_returns_the_very_tensor():
    a = torch.ones(3)
    assert truncate(a, None) is a
