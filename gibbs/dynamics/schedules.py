"""Step sizes as functions of the step number, for the `step_size` of `run_langevin`."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

__all__ = ["Annealed", "Cosine", "Piecewise"]


@dataclass(frozen=True)
class Piecewise:
    """Constant between given steps: eta_k = sizes[i] from step starts[i - 1] on, sizes[0] before.

    Parameters
    ----------
    sizes : tuple of float
        Each > 0.
    starts : tuple of int
        Increasing, > 0, one fewer than sizes.

    Examples
    --------
    >>> schedule = Piecewise(sizes=(0.1, 1.0), starts=(500,))
    >>> schedule(0), schedule(499), schedule(500)
    (0.1, 0.1, 1.0)
    """

    sizes: tuple[float, ...]
    starts: tuple[int, ...]

    def __post_init__(self) -> None:
        for size in self.sizes:
            _check_positive("sizes", size)
        if len(self.sizes) != len(self.starts) + 1:
            raise ValueError(
                "sizes must be one more than starts, "
                f"got {len(self.sizes)} sizes and {len(self.starts)} starts"
            )
        bounds = (0, *self.starts)
        if any(a >= b for a, b in itertools.pairwise(bounds)):
            raise ValueError(f"starts must increase from above 0, got {self.starts}")

    def __call__(self, step: int) -> float:
        """Return the size of this step."""
        return self.sizes[sum(step >= start for start in self.starts)]


@dataclass(frozen=True)
class Cosine:
    r"""Half a cosine from one size to another, which it then keeps.

    .. math:: \eta_k = b + (a - b)\, (1 + \cos(\pi \min(k/K, 1)))/2

    Parameters
    ----------
    first, last : float
        a and b, > 0.
    n_steps : int
        K >= 1, where it reaches `last`.

    Examples
    --------
    >>> schedule = Cosine(first=1.0, last=0.1, n_steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100), schedule(200)
    (1.0, 0.55, 0.1, 0.1)
    """

    first: float
    last: float
    n_steps: int

    def __post_init__(self) -> None:
        _check_positive("first", self.first)
        _check_positive("last", self.last)
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be >= 1, got {self.n_steps}")

    def __call__(self, step: int) -> float:
        """Return the size of this step."""
        share = min(step / self.n_steps, 1.0)
        return self.last + (self.first - self.last) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Annealed:
    r"""A power of the step number, eta_k = a (1 + k/K)^(-alpha).

    For alpha in (1/2, 1] the sum of the sizes diverges and that of their squares does not: the
    chain reaches every state and its bias, of first order in the step size, dies out.

    Parameters
    ----------
    first : float
        a > 0.
    scale : float
        K > 0: the size starts to fall after about so many steps.
    power : float, default 0.6
        alpha >= 0.

    Examples
    --------
    >>> schedule = Annealed(first=1.0, scale=10, power=1.0)
    >>> schedule(0), schedule(10), schedule(90)
    (1.0, 0.5, 0.1)
    """

    first: float
    scale: float
    power: float = 0.6

    def __post_init__(self) -> None:
        _check_positive("first", self.first)
        _check_positive("scale", self.scale)
        if not 0 <= self.power < math.inf:
            raise ValueError(f"power must be finite and >= 0, got {self.power}")

    def __call__(self, step: int) -> float:
        """Return the size of this step."""
        return self.first * float((1 + step / self.scale) ** -self.power)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be > 0 and finite, got {value}")
