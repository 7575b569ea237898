"""No figure and no table shows a value that its quantity cannot take."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from eval import Interval
from eval.app.figure.recipe import mean_of
from eval.app.figure.recipes import RECIPES
from eval.app.figure.temperature import TemperatureSettings
from eval.app.figure.two_stage import STAGES, TwoStageSettings
from eval.app.shared.plots import interval_curve
from eval.app.study.config import StudyConfig
from eval.app.study.summary import error_of


def lowest(axes):
    """The lowest point of the bands and curves, and of the axis."""
    bands = [path.vertices[:, 1].min() for band in axes.collections for path in band.get_paths()]
    return min(bands, default=math.inf), axes.get_ylim()[0]


def test_means_of_positive_values_are_positive_at_both_ends():
    value = mean_of("norm", [0.01, 0.02, 0.3]).value
    assert 0 < value.low < value.estimate < value.high


def test_the_error_of_a_figure_has_the_interval_of_its_test_samples():
    runs = pd.DataFrame({"test_error": [0.0] * 4, "test_error_low": 0.0, "test_error_high": 0.02})
    assert error_of(runs) == Interval(0.0, 0.0, 0.01)


def generalization(errors):
    return pd.DataFrame(
        {"margin": 0.1, "n": n, "seed": seed, "test_error": error, "nc1_test": value}
        | {"test_error_low": error / 2, "test_error_high": 2 * error + 0.002}
        for n, error in errors.items()
        for seed, value in enumerate((0.001, 0.002, 0.3))
    )


def test_log_axes_of_generalization_end_at_the_resolution():
    frame = generalization({16: 0.3, 32: 0.01, 64: 0.0, 128: 0.0})
    figure = RECIPES["generalization"].draw(StudyConfig(n_test=1000), frame)
    errors, collapse = figure.axes
    low, axis = lowest(errors)
    assert low == pytest.approx(1e-3)
    assert axis > 1e-4
    # Student's interval of 0.001, 0.002 and 0.3 reaches below 0.
    low, axis = lowest(collapse)
    assert 0 < low < 0.1
    assert axis > 1e-6


def test_the_study_draws_intervals_without_ends_and_errors_never_seen():
    points = np.array([[16, 0.2, math.nan, math.nan], [32, 0.1, 0.05, 0.2]]).T
    axes = Figure().subplots()
    interval_curve(axes, points, "black", "NC1")
    errors = np.array([[16, 0.0, 0.0, 0.004], [32, 0.0, 0.0, 0.0]]).T
    interval_curve(axes, errors, "black", "error", floor=1e-3)
    axes.set_yscale("log")
    low, axis = lowest(axes)
    assert low == pytest.approx(1e-3)
    assert axis > 1e-4


def test_bands_against_beta_are_positive():
    settings = TemperatureSettings(fit_from=1.0)
    frame = pd.DataFrame(
        {"beta": beta, "run": run, "certified": True}
        | dict.fromkeys(("loss", "regularized_loss", "nc1"), factor / beta)
        for beta in (10.0, 100.0, 1000.0)
        for run, factor in enumerate((0.1, 0.2, 3.0))
    )
    for axes in RECIPES["beta"].draw(settings, frame).axes:
        assert 0 < lowest(axes)[0] < 1e-3


def test_numbers_and_points_of_both_stages_stay_in_their_range():
    frame = pd.DataFrame(
        {"run": run, "stage": stage, "step": step, "loss": loss, "nc1": loss / 10}
        | {"test_error": 0.0, "test_error_low": 0.0, "test_error_high": 0.002}
        for stage in STAGES
        for step in (0, 10)
        for run, loss in enumerate((0.001, 0.002, 0.3))
    )
    settings = TwoStageSettings(n_test=1000, steps=10)
    for measured in RECIPES["two-stage"].measure(settings, frame):
        assert (
            0
            <= measured.value.low
            < measured.value.high
            < (math.inf if "loss" in measured.quantity else 1)
        )
        if "test error" in measured.quantity:
            assert measured.value == pytest.approx((0, 0, 0.002 / math.sqrt(3)))
    for axes in RECIPES["two-stage"].draw(settings, frame).axes:
        bars = [segment for bar in axes.containers for segment in bar.lines[2][0].get_segments()]
        assert np.min(bars) > 0
        assert axes.get_ylim()[0] > 1e-6
