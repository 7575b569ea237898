"""The same numbers give the same bits, whatever holds them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.layouts import all_layouts
from support.seeds import numpy_generator, shifted

from stages import TwoStageClassifier

N, D = 60, 7
X = np.round(numpy_generator().normal(size=(N, D)), 2)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
LAYOUTS = sorted(all_layouts(X))
SETTINGS = [
    {},
    {"intercept": 0.0, "activation": "sigmoid", "dtype": "float64"},
    {"batch_size": 16, "stage_two": "flow", "center": False},
]


def fit(x, **settings):
    model = TwoStageClassifier(n_neurons=40, max_iter=20, random_state=shifted(), **settings)
    return model.fit(x, Y)


def assert_same_bits(this, that):
    for name in ("coef_", "mean_", "scale_"):
        assert np.array_equal(getattr(this, name), getattr(that, name)), name
    for name in ("a", "u"):
        assert torch.equal(getattr(this.particles_, name), getattr(that.particles_, name)), name
    for histories in ("history_", "stage_two_history_"):
        found, expected = getattr(this, histories), getattr(that, histories)
        for name in expected.keys() - {"seconds"}:
            assert np.array_equal(found[name], expected[name]), name


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def plain(request):
    return request.param, fit(X, **request.param)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fits_are_the_same_to_the_bit(layout, plain):
    settings, expected = plain
    assert_same_bits(fit(all_layouts(X)[layout], **settings), expected)


@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")
@pytest.mark.parametrize("n", [N, 2, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_predictions_are_the_same_to_the_bit(layout, n, plain):
    _, model = plain
    for method in ("predict", "decision_function", "transform"):
        found = getattr(model, method)(all_layouts(X)[layout][:n])
        assert np.array_equal(found, getattr(model, method)(X[:n].copy())), method


def test_single_precision_is_read_exactly(plain):
    settings, _ = plain
    single = X.astype(np.float32)
    this, that = fit(single, **settings), fit(single.astype(np.float64), **settings)
    assert_same_bits(this, that)
    double = single.astype(np.float64)
    assert np.array_equal(this.decision_function(single), this.decision_function(double))
    assert this.transform(single).dtype == np.float32
    assert np.array_equal(this.transform(single), this.transform(double).astype(np.float32))


def test_problems_are_the_same_to_the_bit(plain):
    _, model = plain
    expected = model.problem(X, Y).x
    for layout, x in all_layouts(X).items():
        if "pandas" not in layout and layout != "polars":
            assert torch.equal(model.problem(x, Y).x, expected), layout


@pytest.mark.slow
@pytest.mark.parametrize(
    "processor",
    [
        {"ATEN_CPU_CAPABILITY": "avx2"},
        {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
    ],
    ids=str,
)
def test_also_with_the_instructions_of_other_processors(processor):
    tests = Path(__file__).parents[2]
    files = [
        "stages/estimator/test_classifier_layout.py",
        "gibbs/model/test_tensor_layout.py",
        "eval/collapse/test_metric_layout.py",
    ]
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"--seed-offset={shifted() // 1000}", *(str(tests / name) for name in files)]
    done = subprocess.run(
        command, env=os.environ | processor, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
