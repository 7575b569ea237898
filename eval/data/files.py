"""Files of every format, by the ending of their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval.data.dataset import Dataset
from eval.data.npz import load_npz, npz_frame
from eval.data.parquet import read_parquet
from eval.data.tables import Table, table_dataset
from eval.data.text import OPENERS, TEXT, is_text, read_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_file", "read_table", "refuse_options"]


def read_table(path: str | Path, *, separator: str | None = None) -> pd.DataFrame:
    r"""Read a file as :func:`eval.load_dataset` does, but take rows and columns as they are.

    Values may be missing, and there need be no labels. An .npz file gives columns x0, x1, ...
    of "X" and, if it is there, "y".

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it cannot be read, or has two columns of one name.
    ModuleNotFoundError
        If an optional dependency is missing.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "new.csv")
    ...     _ = path.write_text("a;colour\n1.5;red\n")
    ...     read_table(path).columns.tolist()
    ['a', 'colour']
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if _suffix(path) != ".npz":
        return _read(path, separator).frame
    refuse_options(str(path), separator=separator)
    return npz_frame(path)


def load_file(
    path: Path, target: str | None, index: str | Sequence[str] | None, separator: str | None
) -> Dataset:
    """Load a data set from a file, as :func:`eval.load_dataset` does."""
    if _suffix(path) == ".npz":
        refuse_options(str(path), target=target, index=index, separator=separator)
        return load_npz(path)
    return table_dataset(_read(path, separator), target, index)


def refuse_options(name: str, **options: object) -> None:
    """Raise ValueError if an option for tables is given where it means nothing."""
    for option, value in options.items():
        if value is not None:
            raise ValueError(f"{name}: {option} is for tables in files, got {option}={value!r}")


def _suffix(path: Path) -> str:
    if path.is_dir():
        raise ValueError(f"{path}: must be a file, is a directory")
    return path.suffix.lower()


def _read(path: Path, separator: str | None) -> Table:
    if _suffix(path) == ".parquet":
        refuse_options(str(path), separator=separator)
        return read_parquet(path)
    if is_text(path):
        return read_text(path, separator)
    raise ValueError(
        f"{path}: must end in {', '.join(TEXT)} (or one of these and {', '.join(OPENERS)}), "
        f".parquet or .npz"
    )
