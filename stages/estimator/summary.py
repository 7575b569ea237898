"""The table of a fitted classifier in a notebook, below scikit-learn's diagram."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any, Protocol

from numpy.typing import NDArray

from gibbs import Certificate, Particles, describe_bounds

__all__ = ["summary_html", "summary_rows"]

_CELL = "padding: 0.15em 0.8em; text-align: left; vertical-align: top"


class FittedNetwork(Protocol):
    """The attributes of a fitted :class:`stages.TwoStageClassifier` that the summary shows."""

    classes_: NDArray[Any]
    n_samples_: int
    n_features_in_: int
    n_iter_: int
    coef_: NDArray[Any]
    particles_: Particles
    certificate_: Certificate | None
    stage_two_history_: dict[str, NDArray[Any]]


def summary_rows(model: FittedNetwork) -> list[tuple[str, str]]:
    """Name and value of the sizes, losses and certificate of a fitted network."""
    losses = model.stage_two_history_["loss"]
    p, n_neurons = model.coef_.shape[1], len(model.particles_)
    steps = "steps of stage one" if model.certificate_ is None else "Newton steps of stage one"
    return [
        ("samples n", f"{model.n_samples_}"),
        ("inputs d", f"{model.n_features_in_}"),
        ("classes q", f"{len(model.classes_)}: {_listed(model.classes_.tolist())}"),
        ("features p, neurons N", f"{p}, {n_neurons}"),
        (steps, f"{model.n_iter_}"),
        ("training loss before stage two", f"{losses[0]:.4g}"),
        ("training loss after stage two", f"{losses[-1]:.4g}"),
        *_certificate_rows(model.certificate_),
    ]


def _listed(values: list[object], most: int = 8) -> str:
    shown = [str(value) for value in values[:most]]
    return ", ".join(shown + ["..."] * (len(values) > most))


def _certificate_rows(certificate: Certificate | None) -> list[tuple[str, str]]:
    if certificate is None:
        return [("certificate", "none: the dynamics bound no free energy")]
    outcome = "certified" if certificate.certified else f"not certified: {certificate.reason}"
    rows = [("certificate", outcome), ("bounds", describe_bounds(certificate))]
    if math.isfinite(certificate.relative_gap):
        rows.append(("relative gap", f"{certificate.relative_gap:.3g} ({certificate.method})"))
    return rows


def summary_html(rows: Iterable[tuple[str, str]]) -> str:
    """The rows as one HTML table, every text escaped."""
    body = "".join(
        f'<tr><th scope="row" style="{_CELL}">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return (
        '<table class="gibbsnet-summary" style="border-collapse: collapse">'
        f"<caption>Fitted two-stage network</caption><tbody>{body}</tbody></table>"
    )
