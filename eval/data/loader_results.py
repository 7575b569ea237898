"""What a loader or a module of the user returned becomes a data set or a distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.data.arrays import Origin, array_dataset
from eval.data.dataset import Dataset, Distribution
from eval.data.frames import frame_dataset
from eval.data.laws import try_law
from eval.data.torch_data import from_torch, is_torch
from eval.reading import as_array, check_entries, check_matrix

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_loaded"]


def as_loaded(name: str, loaded: Any) -> Dataset | Distribution:
    """Turn the result of a loader into a checked data set, or check and return a distribution.

    Parameters
    ----------
    name : str
        For a data set that has no name of its own, and for messages.
    loaded : Dataset, (X, y), (DataFrame, Series), torch data set or loader, or Distribution
        Pairs are taken for columns in unlike units: `standardize` is True.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If a value is not usable, see also :func:`eval.data.laws.try_law`.
    """
    if isinstance(loaded, Dataset):
        return array_dataset(Origin(name), loaded)
    if is_torch(loaded):
        return from_torch(loaded, name, standardize=True)
    if isinstance(loaded, tuple) and len(loaded) == 2:
        x, y = loaded
        if hasattr(x, "columns"):
            return _frame_pair(name, x, y)
        return array_dataset(Origin(name), Dataset(name, x, y, True))
    # A lone frame has a method `sample` too, of another meaning.
    if isinstance(loaded, Distribution) and not hasattr(loaded, "iloc"):
        try_law(loaded, name)
        return loaded
    raise TypeError(
        f"{name}: a loader must return a Dataset, a pair (X, y) or an object with "
        f"sample(n, random_state), got {type(loaded).__name__}"
    )


def _frame_pair(name: str, x: pd.DataFrame, y: Any) -> Dataset:
    import pandas as pd

    if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    if isinstance(y, pd.Series) and len(y) == len(x) and not x.index.equals(y.index):
        raise ValueError(f"{name}: X and y must have the same index")
    labels = y if isinstance(y, pd.Series) else as_array(y, f"{name}: y")
    check_matrix(x, f"{name}: X")
    check_entries(labels, f"{name}: y", len(x), "row of X")
    return frame_dataset(Origin(name), name, x, pd.Series(labels))
