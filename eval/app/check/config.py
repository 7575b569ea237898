"""The configuration of a check."""

from __future__ import annotations

from dataclasses import dataclass

from eval.app.shared.options import setting
from eval.app.shared.uses import DRAWN, TABLES, Uses

__all__ = ["USES", "CheckConfig"]


@dataclass(frozen=True)
class CheckConfig:
    """Everything that a check depends on; `standardize` None follows the data set."""

    data: str
    target: str | None = None
    index: str | None = None
    separator: str | None = None
    standardize: bool | None = None
    n_samples: int = setting(400, "n.", least=2)
    seed: int = setting(0, least=0)


USES: Uses = {**TABLES, "n_samples": DRAWN, "seed": DRAWN}
