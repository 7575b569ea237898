"""What a statistical test promises: how often it cries wolf, and a wolf that it sees.

`@statistical(alarm=1e-6, defect=NOISE_OFF)` runs a test twice. Once as it is: it may fail with
probability `alarm` over the seeds. Once with the defect built in: there it must fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

LARGEST_ALARM = 1e-3
"""Two false alarms of one test in 20 runs have a chance below 2e-4 then."""


@dataclass(frozen=True)
class Defect:
    """A mistake with its size, and how to build it in."""

    description: str
    build_in: Callable[[pytest.MonkeyPatch], None]


def statistical(*, alarm: float, defect: Defect | None = None) -> pytest.MarkDecorator:
    """Mark of a test that draws: its false-alarm rate, and a defect that it catches.

    None for a test that holds a defect of its own, and says so.
    """
    if not 0 < alarm <= LARGEST_ALARM:
        raise ValueError(f"alarm must be > 0 and <= {LARGEST_ALARM}, got {alarm}")
    return pytest.mark.statistical(alarm=alarm, defect=defect)


def scaled(owner: Any, name: str, factor: float) -> Callable[[pytest.MonkeyPatch], None]:
    """Build a function in that gives `factor` times what it gave."""

    def build_in(monkeypatch: pytest.MonkeyPatch) -> None:
        sound = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **kwargs: factor * sound(*args, **kwargs))

    return build_in


def _normals_off(monkeypatch: pytest.MonkeyPatch) -> None:
    factor = 1.05**0.5
    scaled(torch, "randn", factor)(monkeypatch)
    sound = torch.Tensor.normal_

    def normal_(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return sound(tensor, *args, **kwargs).mul_(factor)

    monkeypatch.setattr(torch.Tensor, "normal_", normal_)


NORMALS_OFF = Defect("the variance of every normal is 5 % too large", _normals_off)
