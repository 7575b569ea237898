"""Linear separability in the sense of Definition 5.2, decided exactly.

`margins` finds the largest margin of every class, by the shortest vectors of `minimum_norm`;
`farkas` proves in rational arithmetic that there is none. `labelled` reads samples with labels.
"""

from eval.separability.farkas import FarkasCertificate, exact_certificate, verify_farkas
from eval.separability.margins import (
    ClassSeparability,
    Separability,
    SeparabilityStatus,
    largest_margin,
    separability,
)

__all__ = [
    "ClassSeparability",
    "FarkasCertificate",
    "Separability",
    "SeparabilityStatus",
    "exact_certificate",
    "largest_margin",
    "separability",
    "verify_farkas",
]
