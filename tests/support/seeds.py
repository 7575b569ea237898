"""Where every random draw of the tests begins, so that one option moves them all.

`pytest --seed-offset K` adds 1000 K to every seed. A test that passes for one K alone has learned
its draws by heart; one that only ever sees K = 0 does not know whether it has.
"""

from __future__ import annotations

import numpy as np
import torch

_offset = 0


def shift_seeds(offset: int) -> None:
    """Move all seeds of this process; called once, before any test is read."""
    global _offset  # noqa: PLW0603 -- seeds are also drawn while test modules are imported
    _offset = offset


def shifted(number: int = 0) -> int:
    """Seed with this number: what a `random_state` or `seed` takes."""
    return number + 1000 * _offset


def stated(number: int = 0) -> int:
    """A seed that no option moves, since the code under test draws with it too."""
    return number


def seeded(number: int = 0) -> torch.Generator:
    """Torch generator on the CPU, at the start of its stream."""
    return torch.Generator().manual_seed(shifted(number))


def unmoved(number: int = 0) -> torch.Generator:
    """Torch generator that no option moves: of the code under test, or of a chosen instance."""
    return torch.Generator().manual_seed(number)


def numpy_generator(number: int | list[int] = 0) -> np.random.Generator:
    """NumPy generator at the start of its stream; a list of numbers names one of its own."""
    if isinstance(number, list):
        return np.random.default_rng([*number, _offset])
    return np.random.default_rng(shifted(number))
