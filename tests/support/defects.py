"""What a statistical test promises: how often it cries wolf, and a wolf that it sees.

`@statistical(alarm=1e-6, defect=NOISE_OFF)` runs a test twice. Once as it is: it may fail with
probability `alarm` over the seeds. Once with the defect built in: there it must fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from support.seeds import seeded

from gibbs import GibbsMeasure, Particles
from gibbs.dynamics.fused.engine import FusedEngine
from gibbs.dynamics.noise import Kick, Scheme
from gibbs.solver import minimizer

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


def normals_off(variance: float) -> Defect:
    """Normals whose variance is wrong by a factor."""
    factor = variance**0.5

    def build_in(monkeypatch: pytest.MonkeyPatch) -> None:
        scaled(torch, "randn", factor)(monkeypatch)
        sound = torch.Tensor.normal_

        def normal_(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            return sound(tensor, *args, **kwargs).mul_(factor)

        monkeypatch.setattr(torch.Tensor, "normal_", normal_)
        begun = FusedEngine.begin
        monkeypatch.setattr(
            FusedEngine,
            "begin",
            lambda self, kick: begun(self, Kick(factor * kick.before, factor * kick.after)),
        )

    return Defect(f"the variance of every normal is {variance:g} times what it should be", build_in)


NORMALS_OFF = normals_off(1.05)


def noise_off(factor: float) -> Defect:
    """Noise of the steps whose variance is wrong."""

    def build_in(monkeypatch: pytest.MonkeyPatch) -> None:
        sound = Scheme.kick
        monkeypatch.setattr(
            Scheme, "kick", lambda self, scale, first: sound(self, factor**0.5 * scale, first)
        )

    return Defect(f"the variance of the noise of a step is {factor - 1:.0%} too large", build_in)


NOISE_OFF = noise_off(1.05)


def _noise_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = torch.Tensor.normal_

    def normal_(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        sound(tensor, *args, **kwargs)
        return tensor.copy_(tensor[:, :1].clone()) if tensor.dim() == 2 else tensor

    monkeypatch.setattr(torch.Tensor, "normal_", normal_)
    quiet = FusedEngine.descend

    def descend(self: FusedEngine, eta: float) -> None:
        kick, self.noise.kick = self.noise.kick, Kick(0.0, 0.0)
        quiet(self, eta)
        self.noise.kick = kick
        generator = seeded(self.noise.seed % 2**31 + self.noise.step)
        panels = self.cloud.panels
        xi = torch.randn(panels.shape[1], 1, dtype=panels.dtype, generator=generator)
        panels.add_(kick.after * xi)
        panels[-1, :, self.cloud.n_last :] = 0

    monkeypatch.setattr(FusedEngine, "descend", descend)


NOISE_SHARED = Defect("all neurons get the same noise", _noise_shared)


def sample_off(factor: float) -> Defect:
    """Neurons drawn from a measure that is too wide."""

    def build_in(monkeypatch: pytest.MonkeyPatch) -> None:
        sound = GibbsMeasure.sample

        def sample(self: GibbsMeasure, *args: Any, **kwargs: Any) -> Particles:
            drawn = sound(self, *args, **kwargs)
            return Particles(factor * drawn.a, factor * drawn.u)

        monkeypatch.setattr(GibbsMeasure, "sample", sample)

    return Defect(f"drawn neurons are too large by {factor - 1:.0%}", build_in)


def dual_off(factor: float) -> Defect:
    """A lower bound from draws that is too high."""

    def build_in(monkeypatch: pytest.MonkeyPatch) -> None:
        sound = minimizer.replay_certificate

        def replay_certificate(*args: Any, **kwargs: Any) -> Any:
            certificate, phases = sound(*args, **kwargs)
            return replace(certificate, dual=factor * certificate.dual), phases

        monkeypatch.setattr(minimizer, "replay_certificate", replay_certificate)

    return Defect(f"the dual estimated from draws is too high by {factor - 1:.1%}", build_in)
