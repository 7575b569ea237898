"""What a notebook shows of a classifier."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_iris
from support.seeds import shifted

from gibbs import describe_bounds
from stages import TwoStageClassifier
from stages.estimator.summary import summary_html, summary_rows

X, Y = load_iris(return_X_y=True)
SMALL = {"n_neurons": 40, "max_iter": 30, "random_state": shifted()}
VOID = {"br", "img", "input", "link", "meta", "path", "circle", "rect", "line", "hr"}


class Parser(HTMLParser):
    """Checks that elements close in order; collects rows of tables and the names of elements."""

    def __init__(self, page):
        super().__init__()
        self.open, self.names, self.rows = [], set(), {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.row = []

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag == "tr":
            self.rows[self.row[0]] = " ".join(self.row[1:]) if self.row else ""

    def handle_data(self, data):
        if "tr" in self.open and data.strip():
            self.row.append(data.strip())


def page_of(model):
    page = model._repr_html_()
    assert model._repr_mimebundle_()["text/html"].count("gibbsnet-summary") == page.count(
        "gibbsnet-summary"
    )
    return page


def test_a_fitted_network_tells_its_sizes_and_losses():
    model = TwoStageClassifier(**SMALL).fit(X, Y, sample_weight=(Y < 2) + (Y == 2) * 0.5)
    page = page_of(model)
    rows = Parser(page).rows
    assert rows["samples n"] == "150"
    assert rows["inputs d"] == "4"
    assert rows["classes q"] == "3: 0, 1, 2"
    assert rows["features p, neurons N"] == "16, 40"
    assert rows["steps of stage one"] == "30"
    residual = model.decision_function(X) - np.eye(3)[Y]
    weights = np.where(Y == 2, 0.5, 1.0)
    loss = (weights * np.square(residual).sum(1)).sum() / (2 * weights.sum())
    assert float(rows["training loss after stage two"]) == pytest.approx(loss, rel=1e-3)
    assert rows["certificate"].startswith("none")
    assert "n_neurons" in page


def test_before_the_fit_there_is_the_diagram_alone():
    page = page_of(TwoStageClassifier(**SMALL))
    assert "TwoStageClassifier" in page
    assert "gibbsnet-summary" not in page


@pytest.mark.parametrize("tol", [0.1, 1e-9])
def test_the_verdict_of_the_certificate(tol):
    settings = {"solver": "gibbs", "activation": "sigmoid", "beta": 100.0, "gamma": 1.0}
    model = TwoStageClassifier(**settings, n_particles=1000, tol=tol, random_state=shifted())
    certificate = model.fit(X[:60, 1:], Y[:60]).certificate_
    rows = Parser(page_of(model)).rows
    verdict = "certified" if tol == 0.1 else f"not certified: {certificate.reason}"
    assert certificate.certified == (tol == 0.1)
    assert rows["certificate"] == verdict
    assert rows["bounds"] == describe_bounds(certificate)
    low, high = re.findall(r"between (\S+) and (\S+) \(", rows["bounds"])[0]
    assert 0 < float(low) <= certificate.dual <= certificate.primal <= float(high) < 0.5
    assert rows["relative gap"].endswith("(monte_carlo)")


def test_names_of_classes_cannot_run():
    names = np.array(["<script>alert(1)</script>", "a & b", "c"])
    model = TwoStageClassifier(**SMALL).fit(X, names[Y])
    parsed = Parser(summary_html(summary_rows(model)))
    assert "script" not in parsed.names
    assert "<script>alert(1)</script>" in parsed.rows["classes q"]
    assert "a & b" in parsed.rows["classes q"]
    assert "<script>alert(1)" not in page_of(model)


def test_many_classes_are_cut_short():
    y = np.arange(150) // 10
    rows = dict(summary_rows(TwoStageClassifier(**SMALL).fit(X, y)))
    assert rows["classes q"] == "15: 0, 1, 2, 3, 4, 5, 6, 7, ..."


def test_as_text_there_is_no_page():
    with sklearn.config_context(display="text"):
        model = TwoStageClassifier(**SMALL).fit(X, Y)
        assert not hasattr(model, "_repr_html_")
        assert "text/html" not in model._repr_mimebundle_()
        assert repr(model).startswith("TwoStageClassifier(")
