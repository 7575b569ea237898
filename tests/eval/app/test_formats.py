"""Numbers as they are printed."""

import math

import numpy as np
import pytest

from eval import Interval
from eval.app.report.findings import findings
from eval.app.shared.certificates import describe_certificate
from eval.app.shared.formats import as_text, number
from eval.app.shared.scores import run_table
from eval.comparison.records import Record
from gibbs import Certificate, describe_bounds


@pytest.mark.parametrize("form", ["{:.4g}", "{:.2f}", "{:.3e}", "{:g}", "{:.0f}"])
@pytest.mark.parametrize("value", [-0.0, np.float64(-0.0), np.float32(-0.0), 0])
def test_zero_has_no_sign(value, form):
    assert number(value, form) == form.format(0.0)


def test_other_numbers_are_written_as_by_format():
    for value in (-1.5, 2.25e-7, -3e12, 1, math.inf, -math.inf, math.nan):
        assert number(value, "{:.4g}") == f"{value:.4g}"
    assert number(-0.004, "{:.2f}") == "0.00"
    assert number(-0.006, "{:.2f}") == "-0.01"


def test_no_text_of_a_result_holds_a_negative_zero():
    nothing = Certificate(-0.0, -0.0, -0.0, 0.0, 0.0, "quadrature", 10, 0, True, "")
    assert "-0" not in describe_bounds(nothing)
    assert "-0" not in describe_certificate(nothing)
    assert as_text(Interval(-0.0, -1e-9, 1e-9), "{:.2f}", 100) == "0.00 [0.00, 0.00]"
    content = {
        "certificate": {
            **{name: getattr(nothing, name) for name in Certificate.__dataclass_fields__}
        },
        "solved": None,
    }
    assert not any(" -0 " in sentence for _, sentence in findings(content))
    ends = {"test_error_low": 0.5, "test_error_high": 0.5, "fit_seconds": 1.0}
    score = Record(train_error=0.0, test_error=0.5, nc1_train=0.1, nc1_test=0.1, **ends)
    less = Record(train_error=-0.0, test_error=0.5 - 1e-9, nc1_train=None, nc1_test=None, **ends)
    shown = run_table({"two-stage network": [score] * 2, "other": [less] * 2}, 0.0)
    assert not any(text.startswith("-0") for text in shown.to_numpy().ravel())
