"""Samples of a distribution: the one place where they are drawn and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.data.arrays import Origin, checked_arrays, refuse_one_class, telling
from eval.data.dataset import Dataset, Distribution

__all__ = ["draw_dataset", "draw_samples", "try_law"]

FEW = 200
"""Samples that are drawn to check a law."""


def draw_samples(
    law: Distribution, n: int, random_state: int, *, name: str | None = None
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Draw samples of a law and check them.

    Parameters
    ----------
    law : Distribution
    n : int
    random_state : int
    name : str, optional
        Of the law, for messages; None means that of its class.

    Returns
    -------
    x : ndarray (n, d)
    y : ndarray (n,)

    Raises
    ------
    ValueError
        If `sample` raises, or gives other than finite samples (n, d) with labels (n,) of one type
        and of two classes at least.

    Examples
    --------
    >>> from eval import SeparableDistribution
    >>> x, y = draw_samples(SeparableDistribution(3, 2, margin=0.1), 5, 0)
    >>> x.shape, y.shape
    ((5, 3), (5,))
    """
    origin, x, y = _drawn(law, n, random_state, name or type(law).__name__)
    refuse_one_class(origin, "y", y)
    return x, y


def draw_dataset(law: Distribution, n: int, random_state: int, *, name: str) -> Dataset:
    """Draw samples as by :func:`draw_samples`, as a data set that is used as it is."""
    x, y = draw_samples(law, n, random_state, name=name)
    return Dataset(name, x, y, standardize=False)


def try_law(law: Distribution, name: str) -> None:
    """Raise for a law that gives no samples, or does not draw them by `random_state`.

    Raises
    ------
    ValueError
        If `sample` gives what cannot be used, the same samples for two seeds, or others for the
        same seed.
    """
    _, first, labels = _drawn(law, FEW, 0, name)
    for seed, wanted, words in ((0, True, "other samples than"), (1, False, "the same samples as")):
        origin, x, y = _drawn(law, FEW, seed, name)
        if (np.array_equal(x, first) and np.array_equal(y, labels)) is not wanted:
            raise ValueError(
                f"{origin.name} gave {words} sample({FEW}, 0) before: its second argument, "
                "random_state, must decide what is drawn"
            )


def _drawn(
    law: Distribution, n: int, seed: int, name: str
) -> tuple[Origin, NDArray[np.float64], NDArray[Any]]:
    origin = Origin(f"{name}: sample({n}, {seed})")
    with telling(origin.name):
        drawn: Any = law.sample(n, seed)
    if not (isinstance(drawn, tuple | list) and len(drawn) == 2):
        got = f"{len(drawn)} values" if isinstance(drawn, tuple) else type(drawn).__name__
        raise ValueError(f"{origin.name} must return a pair X, y, got {got}")
    x, y, _ = checked_arrays(origin, drawn[0], drawn[1], n=n)
    return origin, x, y
