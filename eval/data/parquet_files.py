"""Parquet files become tables."""

from __future__ import annotations

from pathlib import Path

from eval.data.arrays import Origin
from eval.data.frames import Table, refuse_duplicates
from eval.extras import needed

__all__ = ["read_parquet"]


def read_parquet(path: Path) -> Table:
    """Read a table from a Parquet file; its pandas index becomes a column without a name.

    Raises
    ------
    ValueError
        If it cannot be read, or has two columns of one name.
    ModuleNotFoundError
        If pandas or pyarrow is missing.
    """
    pandas, pyarrow, parquet = needed(
        "reading Parquet files", "pandas", "pyarrow", "pyarrow.parquet"
    )
    try:
        with path.open("rb") as stream:
            table = parquet.ParquetFile(stream).read()
        table.validate(full=True)
        frame = table.to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: cannot be read as Parquet: {error}") from error
    frame.columns = frame.columns.map(str)
    unnamed = None
    if frame.index.nlevels > 1:
        raise ValueError(f"{path}: the pandas index must have one level: save it as columns")
    if not isinstance(frame.index, pandas.RangeIndex):
        unnamed = str(frame.index.name or "index")
        frame = frame.reset_index(names=unnamed, allow_duplicates=True)
    origin = Origin(str(path))
    refuse_duplicates(origin, frame.columns)
    return Table(path.stem, origin, frame, unnamed, ())
