"""Files of every format become tables and data sets: the ending of the name decides who reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval.data.arrays import Origin
from eval.data.csv_files import OPENERS, TEXT, is_text, read_text
from eval.data.dataset import Dataset
from eval.data.frames import Table, table_dataset
from eval.data.npz_files import load_npz, npz_frame
from eval.data.parquet_files import read_parquet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OPTIONS", "load_file", "options_of_file", "read_file", "read_table", "refuse_options"]


OPTIONS = ("target", "index", "separator")
"""Options of tables; text takes all of them, other tables the first two."""


def options_of_file(path: Path) -> tuple[str, ...]:
    """Which of :data:`OPTIONS` mean something for a file, by the ending of its name."""
    return {".npz": (), ".parquet": OPTIONS[:2]}.get(path.suffix.lower(), OPTIONS)


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
    return read_file(Path(path), separator).frame


def read_file(path: Path, separator: str | None = None) -> Table:
    """Read a file as :func:`read_table` does, with where its rows come from."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    refuse_options(str(path), options_of_file(path), separator=separator)
    if _suffix(path) == ".npz":
        return Table(path.stem, Origin(str(path)), npz_frame(path), None, ())
    return _read(path, separator)


def load_file(
    path: Path, target: str | None, index: str | Sequence[str] | None, separator: str | None
) -> Dataset:
    """Load a data set from a file, as :func:`eval.load_dataset` does; the options fit the file."""
    if _suffix(path) == ".npz":
        return load_npz(path)
    return table_dataset(_read(path, separator), target, index)


def refuse_options(name: str, taken: Sequence[str], **options: object) -> None:
    """Raise ValueError if an option for tables is given that is not among those taken."""
    for option, value in options.items():
        if value is not None and option not in taken:
            raise ValueError(f"{name}: {option} is for tables in files, got {option}={value!r}")


def _suffix(path: Path) -> str:
    if path.is_dir():
        raise ValueError(f"{path}: must be a file, is a directory")
    return path.suffix.lower()


def _read(path: Path, separator: str | None) -> Table:
    if _suffix(path) == ".parquet":
        return read_parquet(path)
    if is_text(path):
        return read_text(path, separator)
    raise ValueError(
        f"{path}: must end in {', '.join(TEXT)} (or one of these and {', '.join(OPENERS)}), "
        f".parquet or .npz"
    )
