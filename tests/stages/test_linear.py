import math

import pytest
import torch
from sklearn.linear_model import Ridge
from support.seeds import seeded

from stages import fit_linear

GENERATOR = seeded()
H = torch.randn(30, 5, dtype=torch.float64, generator=GENERATOR)
Y = torch.nn.functional.one_hot(torch.arange(30) % 3, 3).double()
COUNTS = torch.randint(0, 4, (30,), generator=GENERATOR)
SETTINGS = {"gamma": 2.0, "lambda_w": 0.03}


def test_a_weight_is_so_many_copies():
    found = fit_linear(H, Y, sample_weight=COUNTS, **SETTINGS)
    h, y = (t.repeat_interleave(COUNTS, dim=0) for t in (H, Y))
    torch.testing.assert_close(found, fit_linear(h, y, **SETTINGS), rtol=1e-12, atol=1e-14)
    assert float((found - fit_linear(H, Y, **SETTINGS)).norm()) > 1e-3


@pytest.mark.parametrize("weight", [None, COUNTS.double(), torch.linspace(0.1, 7.0, 30).double()])
def test_ridge_of_scikit_learn(weight):
    total = 30 if weight is None else float(weight.sum())
    ridge = Ridge(alpha=0.03 * total, fit_intercept=False)
    ridge.fit(2 * H.numpy(), Y.numpy(), sample_weight=None if weight is None else weight.numpy())
    found = fit_linear(H, Y, sample_weight=weight, **SETTINGS)
    torch.testing.assert_close(found, torch.tensor(ridge.coef_.T), rtol=1e-9, atol=1e-11)


def test_gradient_vanishes():
    weight = torch.linspace(0.1, 7.0, 30).double()
    w = fit_linear(H, Y, sample_weight=weight, **SETTINGS)
    share = weight / weight.sum()
    gradient = 2 * H.T @ (share[:, None] * (2 * H @ w - Y)) + 0.03 * w
    assert float(gradient.abs().max()) < 1e-13


@pytest.mark.parametrize("scale", [1e-300, 0.5, 1e300])
def test_only_ratios_of_weights_matter(scale):
    weight = COUNTS.double()
    found = fit_linear(H, Y, sample_weight=scale * weight, **SETTINGS)
    once = fit_linear(H, Y, sample_weight=weight, **SETTINGS)
    torch.testing.assert_close(found, once, rtol=1e-12, atol=1e-14)
    equal = fit_linear(
        H, Y, sample_weight=torch.full((30,), scale, dtype=torch.float64), **SETTINGS
    )
    torch.testing.assert_close(equal, fit_linear(H, Y, **SETTINGS), rtol=1e-12, atol=1e-14)


def test_single_precision_in_and_out():
    found = fit_linear(H.float(), Y.float(), sample_weight=COUNTS.float(), **SETTINGS)
    assert found.dtype == torch.float32
    exact = fit_linear(H, Y, sample_weight=COUNTS, **SETTINGS)
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-6)


BAD = [
    ({"lambda_w": 0.0}, "lambda_w must be > 0, got 0.0"),
    ({"y": Y[:3]}, "features and y must have the same number of rows, got 30 and 3"),
    ({"sample_weight": COUNTS[:3]}, r"one number per row of features, \(30,\), got shape \(3,\)"),
    ({"sample_weight": torch.full((30,), -1.0)}, "finite, >= 0 and not 0 in every row"),
    ({"sample_weight": torch.full((30,), math.nan)}, "finite, >= 0 and not 0 in every row"),
    ({"sample_weight": torch.zeros(30)}, "finite, >= 0 and not 0 in every row"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        fit_linear(**{"features": H, "y": Y} | SETTINGS | change)
