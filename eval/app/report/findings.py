"""The results of `gibbsnet certify` in sentences, from its certificate.json."""

from __future__ import annotations

from typing import Any

from eval.app.shared.certificates import (
    MEANING,
    advice_for,
    describe_certificate,
    stored_certificate,
)
from eval.app.shared.formats import number
from gibbs import describe_bounds

__all__ = ["findings"]


def findings(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and sentence of every finding."""
    lines = _bounds("neurons", content["certificate"])
    lines.append(("free energy", MEANING))
    if (warmer := content.get("warmer")) is not None:
        lines.append(("what would help", advice_for(stored_certificate(content["certificate"]))))
        lines.append(("a lower beta", _warmer(warmer)))
    if content["solved"] is None:
        return [*lines, ("minimizer", "not solved for: --solve compares the neurons with it")]
    lines += _bounds("minimizer", content["solved"]["certificate"])
    for part, name in (("train", "training"), ("test", "test")):
        lines.append((f"features, {name} samples", _features(content["feature_error"][part])))
    lines.append(("Stein discrepancy", _stein(content["stein"])))
    if content["phases"] is not None:
        lines.append(("humps of e(u)", _phases(content["phases"])))
    return lines


def _bounds(name: str, fields: dict[str, Any]) -> list[tuple[str, str]]:
    certificate = stored_certificate(fields)
    return [
        (name, describe_certificate(certificate)),
        (f"{name}, bounds", describe_bounds(certificate)),
    ]


def _warmer(warmer: dict[str, Any]) -> str:
    tried = ", ".join(f"{beta:g}" for beta in warmer["tried"])
    if warmer["interval"] is None:
        return (
            f"trained again at beta = {tried}, with draws of {warmer['n_particles']}: at none of "
            "them are both bounds better than the trivial ones"
        )
    low, high = warmer["interval"]
    return (
        f"trained again at beta = {warmer['tried'][-1]:g}, with draws of {warmer['n_particles']}, "
        f"the least free energy there is between {low:.6g} and {high:.6g}; that is "
        f"{warmer['command']}"
    )


def _features(error: dict[str, Any]) -> str:
    return (
        f"relative error {100 * error['value']:.2g} %; {error['n_neurons']} exact neurons have "
        f"{100 * error['same_law']:.2g} % +- {100 * error['same_law_sd']:.1g} %"
    )


def _stein(stein: dict[str, Any]) -> str:
    return (
        f"{number(stein['value'], '{:.3g}')}, p = {stein['p_value']:.2g}; "
        f"{stein['n_points']} exact neurons have {number(stein['same_law'], '{:.3g}')} "
        f"+- {stein['null_sd']:.2g}"
    )


def _phases(phases: dict[str, Any]) -> str:
    return (
        f"split at {number(phases['split'], '{:.3g}')} nats: "
        f"{100 * phases['share']:.1f} % of the minimizer above, "
        f"{100 * phases['share_of_cloud']:.1f} % of the neurons"
    )
