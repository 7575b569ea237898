"""NPZ files become arrays; nothing pickled is loaded."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from eval.data.arrays import Origin, array_dataset
from eval.data.dataset import Dataset
from eval.extras import needed
from eval.reading import check_matrix

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_npz", "npz_frame"]


def load_npz(path: Path) -> Dataset:
    """Load the arrays "X" (n, d) and "y" (n,), checked.

    Raises
    ------
    ValueError
        If the file or a value is not usable.
    """
    with _opened_npz(path) as archive:
        x, y = (_member(path, archive, name) for name in "Xy")
        others = [name for name in archive.files if name not in {"X", "x", "y"}]
    notes = (f"arrays not used: {', '.join(others)}",) if others else ()
    return array_dataset(Origin(str(path)), Dataset(path.stem, x, y, True, notes=notes))


def npz_frame(path: Path) -> pd.DataFrame:
    """Read columns x0, x1, ... of "X" and, if it is there, "y", unchecked.

    Raises
    ------
    ValueError
        If the file cannot be read, or "X" is not of two dimensions.
    ModuleNotFoundError
        If pandas is missing.
    """
    (pandas,) = needed("reading NPZ files", "pandas")
    with _opened_npz(path) as archive:
        x = _member(path, archive, "X")
        check_matrix(x, f"{path}: X")
        frame: pd.DataFrame = pandas.DataFrame(x, columns=[f"x{j}" for j in range(x.shape[1])])
        return frame.assign(y=_member(path, archive, "y")) if "y" in archive.files else frame


@contextmanager
def _opened_npz(path: Path) -> Iterator[Any]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: cannot be read as NPZ: not an archive of arrays, or cut off")
    try:
        with path.open("rb") as stream, _npz_file(path, stream) as archive:
            yield archive
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read as NPZ: {error}") from error


def _npz_file(path: Path, stream: BinaryIO) -> Any:
    try:
        archive = np.load(stream, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as NPZ: {error}") from error
    if isinstance(archive, np.ndarray):
        raise ValueError(f"{path}: cannot be read as NPZ: it holds one array without a name")
    return archive


def _member(path: Path, archive: Any, name: str) -> NDArray[Any]:
    for key in (name, name.lower()):
        if key in archive.files:
            try:
                return np.asarray(archive[key])
            except ValueError as error:
                raise ValueError(
                    f"{path}: array {key!r} must hold numbers or text, not pickled objects: {error}"
                ) from error
    raise ValueError(f"{path}: no array {name!r}; there are {', '.join(archive.files) or 'none'}")
