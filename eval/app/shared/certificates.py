"""Certificates as sentences and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from eval.app.shared.formats import finite, number
from gibbs import Certificate

__all__ = [
    "MEANING",
    "advice_for",
    "certificate_fields",
    "describe_certificate",
    "describe_certificates",
    "stored_certificate",
]


MEANING = (
    "The least free energy is that of the Gibbs minimizer: training loss plus 1/beta times the "
    "divergence of the law of the neurons from the prior. It is never below 0 and never above the "
    "free energy of the prior."
)

ROUND_OFF = 1e-9
"""Percentages below this are round-off, and are not printed."""


def describe_certificate(certificate: Certificate) -> str:
    """Say in one line whether it is certified: with what relative gap, or why not.

    Examples
    --------
    >>> certificate = Certificate(0.5, 0.5002, 2e-4, 5e-5, 1e-3, "monte_carlo", 900, 6, True, "")
    >>> describe_certificate(certificate)
    'certified: relative gap 0.04 % +- 0.01 %'
    """
    if not certificate.certified:
        return f"not certified: {certificate.reason}"
    percent = 100 * max(0.0, certificate.relative_gap)
    if not certificate.n_replays:
        size = f"{percent:.2g}" if percent > ROUND_OFF else f"below {ROUND_OFF:g}"
        return f"certified: relative gap {size} %, by quadrature"
    error = 100 * certificate.gap_stderr / certificate.dual
    return f"certified: relative gap {number(percent, '{:.2g}')} % +- {error:.1g} %"


def describe_certificates(certificates: Sequence[Certificate]) -> str:
    """The sentence of the first repetition and, of several, how many are certified."""
    first = describe_certificate(certificates[0])
    if len(certificates) == 1:
        return first
    good = sum(certificate.certified for certificate in certificates)
    return f"{first} ({good} of {len(certificates)} repetitions certified; this is the first)"


def advice_for(certificate: Certificate) -> str:
    """Say whether more particles can make the bounds better where one is trivial; else "".

    The dual value of a given G does not change with the number of particles: once it is known to
    be below 0, more do not help.
    """
    if all(certificate.informative):
        return ""
    if certificate.bounded and certificate.dual + 2 * certificate.dual_stderr < 0:
        return (
            "the dual value of these neurons is below 0, and more particles do not change that; a "
            "lower beta can"
        )
    return "more particles (--n-particles) may help, and a lower beta can"


def certificate_fields(certificate: Certificate) -> dict[str, Any]:
    """All fields and properties, for JSON; null where not finite."""
    fields = dataclasses.asdict(certificate) | {
        "relative_gap": certificate.relative_gap,
        "lower": certificate.lower,
        "upper": certificate.upper,
        "dual_interval": list(certificate.dual_interval),
    }
    return {name: finite(value) for name, value in fields.items()}


def stored_certificate(fields: dict[str, Any]) -> Certificate:
    """The certificate of :func:`certificate_fields`; null becomes NaN, a list a tuple.

    Older files do not hold the energy of the prior: their targets are one-hot.
    """
    known = {field.name for field in dataclasses.fields(Certificate)}
    restored = {n: _restored(value) for n, value in fields.items() if n in known}
    return Certificate(**{"prior_energy": 0.5} | restored)


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_restored(entry) for entry in value)
    return math.nan if value is None else value
