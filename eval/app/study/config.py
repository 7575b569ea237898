"""The configuration of a study."""

from __future__ import annotations

from dataclasses import dataclass

from eval.app.shared.network_options import DEFAULTS
from eval.app.shared.options import setting

__all__ = ["STUDY", "StudyConfig"]

STUDY = "generalization"


@dataclass(frozen=True)
class StudyConfig:
    """Everything that the numbers of a study depend on; options of the command by their names."""

    margins: tuple[float, ...] = setting((0.01, 0.02, 0.05), "tau/M.")
    sizes: tuple[int, ...] = setting((16, 32, 64, 128, 256, 512, 1024), "n, training samples.")
    seeds: int = setting(5, "Repeat with seeds seed, seed+1, ...", least=1)
    seed: int = setting(0, least=0)
    n_features: int = setting(20, least=1)
    n_classes: int = setting(4, least=2)
    n_test: int = setting(20_000, "Fresh test samples of every run.", least=1)
    neurons: int = setting(500, "N.", least=1)
    steps: int = setting(DEFAULTS["max_iter"], "Steps of stage one.", least=0)
    beta: float = setting(DEFAULTS["beta"])
    gamma: float = setting(DEFAULTS["gamma"])
    activation: str = setting("sigmoid")
