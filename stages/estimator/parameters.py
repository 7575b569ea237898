"""Checks of a classifier's parameters, and the seed that its random_state stands for."""

from __future__ import annotations

from numbers import Integral

import numpy as np

__all__ = ["check_choice", "check_same", "seed_of"]


def check_same(name: str, what: str, found: int, before: int) -> None:
    """Refuse a size that is not that of the last fit."""
    if found != before:
        raise ValueError(
            f"{name} must be as in the last fit with warm_start, {before}{what and ' ' + what}, "
            f"got {found}"
        )


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is not among the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """A seed for torch; None asks the operating system, not NumPy's global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if not isinstance(random_state, Integral) or int(random_state) < 0:
        raise ValueError(
            f"random_state must be an int >= 0, a RandomState or None, got {random_state!r}"
        )
    return int(random_state)
