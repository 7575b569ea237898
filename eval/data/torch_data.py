"""Data sets and loaders of torch, read into arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data import Dataset as TorchDataset

from eval.data.arrays import Origin, array_dataset
from eval.data.dataset import Dataset
from eval.reading import as_array

__all__ = ["from_torch", "is_torch"]

MOST_SAMPLES = 10_000_000
"""Most samples of an iterable: one that gives more is taken for endless."""


def is_torch(value: object) -> bool:
    """Whether a value is a data set or a loader of torch."""
    return isinstance(value, (TorchDataset, DataLoader))


def from_torch(
    source: TorchDataset[Any] | DataLoader[Any],
    name: str = "torch",
    *,
    standardize: bool = False,
) -> Dataset:
    """Read a torch data set or loader of pairs (inputs, label) into arrays.

    Inputs of any shape become one row each, labels are integers or text. What a loader does
    (batches, order, its collate function) is done; a data set is read from its first
    item to its last.

    Parameters
    ----------
    source : torch.utils.data.Dataset or DataLoader
        Of pairs (x, y); x a tensor, array or number, y an int, a str or a tensor of one integer.
    name : str, default "torch"
        Of the data set, and for messages.
    standardize : bool, default False
        Whether columns have different units and need a common scale.

    Returns
    -------
    Dataset
        `x` (n, d) in float64 and `y` (n,).

    Raises
    ------
    TypeError
        If it is neither, or its items are no pairs.
    ValueError
        If items differ in shape, or a value is not usable; the message names the item.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> images = torch.arange(16.0).reshape(4, 2, 2)
    >>> from_torch(TensorDataset(images, torch.tensor([0, 1, 0, 1]))).x.shape
    (4, 4)
    """
    if not is_torch(source):
        raise TypeError(
            f"source must be a torch.utils.data.Dataset or DataLoader, got {type(source).__name__}"
        )
    batched = isinstance(source, DataLoader) and source.batch_size is not None
    batched = batched or (isinstance(source, DataLoader) and source.batch_sampler is not None)
    rows: list[NDArray[Any]] = []
    labels: list[Any] = []
    for number, item in enumerate(_items(source, name)):
        place = f"{name}: {'batch' if batched else 'item'} {number}"
        x, y = _pair(place, item)
        given = _labels(place, y, batched)
        block = _rows(place, x, len(given) if batched else None)
        if rows and block.shape[1] != rows[0].shape[1]:
            raise ValueError(
                f"{place}: inputs must have as many numbers as those before, {rows[0].shape[1]}, "
                f"got {block.shape[1]}"
            )
        rows.append(block)
        labels.extend(given)
        if len(labels) > MOST_SAMPLES:
            raise ValueError(f"{name}: more than {MOST_SAMPLES} items: is it endless?")
    if not rows:
        raise ValueError(f"{name}: there are no items")
    data = Dataset(name, np.vstack(rows), np.array(labels), standardize)
    return array_dataset(Origin(name), data)


def _items(source: Any, name: str) -> Iterator[Any]:
    if isinstance(source, (DataLoader, IterableDataset)):
        yield from source
        return
    if not hasattr(source, "__len__"):
        raise TypeError(f"{name}: a torch Dataset must have a length, or be an IterableDataset")
    for k in range(len(source)):
        yield source[k]


def _pair(place: str, item: Any) -> tuple[Any, Any]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        got = f"{len(item)} values" if isinstance(item, (tuple, list)) else type(item).__name__
        raise TypeError(f"{place}: must be a pair (inputs, label), got {got}")
    return item[0], item[1]


def _rows(place: str, x: Any, count: int | None) -> NDArray[Any]:
    """Inputs as rows: (1, d) of one sample, (count, d) of a batch."""
    array = as_array(x, f"{place}: inputs")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{place}: inputs must be numbers, got {_kind(x, array)}")
    if count is None:
        return array.reshape(1, -1)
    if array.ndim == 0 or len(array) != count:
        raise ValueError(f"{place}: {count} labels for inputs of shape {array.shape}")
    return array.reshape(count, -1)


def _labels(place: str, y: Any, batched: bool) -> list[Any]:
    if isinstance(y, str):
        return [y]
    array = as_array(y, f"{place}: labels")
    if array.dtype.kind not in "biuU":
        raise ValueError(f"{place}: labels must be integers or text, got {_kind(y, array)}")
    if array.ndim != int(batched) and not (not batched and array.size == 1):
        wanted = "one label a sample" if batched else "one label"
        raise ValueError(f"{place}: there must be {wanted}, got shape {array.shape}")
    values: list[Any] = array.reshape(-1).tolist()
    return values


def _kind(value: Any, array: NDArray[Any]) -> str:
    if array.dtype.kind == "O":
        return type(value).__name__
    return f"dtype {array.dtype}"
