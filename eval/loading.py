"""Data sets by name, from a file or from Python code, checked before anything is trained."""

from __future__ import annotations

import bz2
import csv
import gzip
import importlib
import importlib.util
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from eval.registry import (
    BUILTIN,
    DRAWN,
    Dataset,
    Distribution,
    Origin,
    array_dataset,
    as_loaded,
    describe,
    frame_dataset,
    load_registered,
    refuse_duplicates,
    register_dataset,
    registered_datasets,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BUILTIN",
    "Dataset",
    "describe",
    "load_dataset",
    "load_distribution",
    "load_plugin",
    "load_source",
    "read_table",
    "register_dataset",
    "registered_datasets",
]

TEXT = (".csv", ".tsv", ".txt")
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
FIRST_RECORDS = 20


def load_dataset(
    source: str | Path,
    target: str | None = None,
    *,
    index: str | Sequence[str] | None = None,
    separator: str | None = None,
) -> Dataset:
    """Load a data set by its name, from a file, or from Python code.

    Tables are .csv, .tsv, .txt (also as .gz, .bz2, .xz, .zip) in UTF-8 with a header line, and
    .parquet. Numeric columns stay as they are; text, categorical and boolean columns are
    one-hot encoded. A first column without a name that counts the rows from 0 or 1 is
    dropped. An .npz file holds arrays "X" (n, d) and "y" (n,); nothing pickled is loaded.

    Parameters
    ----------
    source : str or Path
        One of :func:`registered_datasets`, a file, or code as in :func:`load_plugin`.
    target : str, optional
        Column of the labels in a table; None means the last one.
    index : str or sequence of str, optional
        Columns of a table to drop, such as identifiers of the samples.
    separator : str, optional
        One character; None means the one of , ; tab | that splits the first lines alike.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If a column or value is not usable; the message names it and its line or row.
    TypeError
        If code returns what is not a data set.
    ModuleNotFoundError
        If an optional dependency is missing.

    Examples
    --------
    >>> data = load_dataset("wine")
    >>> data.x.shape, data.feature_names[0], sorted(set(data.y.tolist()))
    ((178, 13), 'alcohol', ['class_0', 'class_1', 'class_2'])
    """
    loaded = load_source(source, target, index=index, separator=separator)
    if not isinstance(loaded, Dataset):
        raise ValueError(f"{source} is a distribution, not a data set: use load_distribution")
    return loaded


def load_distribution(source: str | Path) -> Distribution | None:
    """Load a distribution by its registered name or from code; None if it is a data set.

    Examples
    --------
    >>> load_distribution("wine") is None
    True
    """
    if str(source) not in registered_datasets() and Path(source).exists():
        return None
    loaded = load_source(source)
    return None if isinstance(loaded, Dataset) else loaded


def load_source(
    source: str | Path,
    target: str | None = None,
    *,
    index: str | Sequence[str] | None = None,
    separator: str | None = None,
) -> Dataset | Distribution:
    """Load what :func:`load_dataset` or :func:`load_distribution` would, whichever it is."""
    name, path = str(source), Path(source)
    options = {"target": target, "index": index, "separator": separator}
    if name == DRAWN:
        raise ValueError(f"{name!r} is drawn, not loaded: use SeparableDistribution")
    if name in registered_datasets():
        _refuse_options(name, **options)
        return load_registered(name)
    if path.exists():
        return _load_file(path, target, index, separator)
    if _is_plugin(name):
        _refuse_options(name, **options)
        return load_plugin(name)
    raise FileNotFoundError(_not_found(name))


def _refuse_options(name: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise ValueError(f"{name}: {option} is for tables in files, got {option}={value!r}")


def _not_found(source: str) -> str:
    names = [*registered_datasets(), DRAWN]
    close = get_close_matches(source, names)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"{source}: no such file, and not one of the data sets {', '.join(names)}{hint}"


# Files


def read_table(path: str | Path, *, separator: str | None = None) -> pd.DataFrame:
    r"""Read a file as :func:`load_dataset` does, but take rows and columns as they are.

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
    _refuse_options(str(path), separator=separator)
    (pandas,) = _needed("NPZ", "pandas")
    with _opened_npz(path) as archive:
        x = _member(path, archive, "X")
        if x.ndim != 2:
            raise ValueError(f"{path}: X must have shape (n, d), got {x.shape}")
        frame: pd.DataFrame = pandas.DataFrame(x, columns=[f"x{j}" for j in range(x.shape[1])])
        return frame.assign(y=_member(path, archive, "y")) if "y" in archive.files else frame


def _load_file(
    path: Path, target: str | None, index: str | Sequence[str] | None, separator: str | None
) -> Dataset:
    if _suffix(path) == ".npz":
        _refuse_options(str(path), target=target, index=index, separator=separator)
        return _load_npz(path)
    return _from_table(_read(path, separator), target, index)


def _suffix(path: Path) -> str:
    if path.is_dir():
        raise ValueError(f"{path}: must be a file, is a directory")
    return path.suffix.lower()


def _read(path: Path, separator: str | None) -> _Table:
    suffix, inner = _suffix(path), Path(path.stem).suffix.lower()
    if suffix == ".parquet":
        _refuse_options(str(path), separator=separator)
        return _read_parquet(path)
    if suffix in TEXT or (suffix in OPENERS and inner in {"", *TEXT}):
        return _read_text(path, separator)
    raise ValueError(
        f"{path}: must end in {', '.join(TEXT)} (or one of these and {', '.join(OPENERS)}), "
        f".parquet or .npz"
    )


@dataclass(frozen=True, eq=False)
class _Table:
    path: Path
    origin: Origin
    frame: pd.DataFrame
    unnamed: str | None
    notes: tuple[str, ...]


def _from_table(table: _Table, target: str | None, index: str | Sequence[str] | None) -> Dataset:
    origin, frame = table.origin, table.frame
    if len(frame) == 0:
        raise ValueError(f"{origin.name}: there are no rows below the header")
    dropped = [index] if isinstance(index, str) else list(index or ())
    for name in [*dropped, *([] if target is None else [target])]:
        if name not in frame.columns:
            raise ValueError(
                f"{origin.name}: no column {name!r}; there are {', '.join(frame.columns)}"
            )
    if target in dropped:
        raise ValueError(f"{origin.name}: column {target!r} is both target and index")
    notes = [*table.notes, *(f"column {name!r} is dropped, as asked" for name in dropped)]
    frame = frame.drop(columns=dropped)
    if table.unnamed is not None and table.unnamed not in [*dropped, target]:
        notes.append(_refuse_or_tell_unnamed(table))
        frame = frame.drop(columns=table.unnamed)
    column = target or ["the labels", *frame.columns][-1]
    if frame.shape[1] < 2:
        raise ValueError(
            f"{origin.name}: there must be feature columns beside {column!r}, got none"
        )
    features, labels = frame.drop(columns=column), frame[column]
    return frame_dataset(origin, _stem(table.path), features, labels, notes)


def _stem(path: Path) -> str:
    return Path(path.stem).stem if path.suffix.lower() in OPENERS else path.stem


def _refuse_or_tell_unnamed(table: _Table) -> str:
    values = table.frame[table.unnamed].to_numpy()
    rows = np.arange(len(values))
    if values.dtype.kind in "iu" and (
        np.array_equal(values, rows) or np.array_equal(values, rows + 1)
    ):
        return f"column {table.unnamed!r} is dropped: it numbers the rows"
    raise ValueError(
        f"{table.origin.name}: column {table.unnamed!r} looks like an index but does not number "
        f"the rows: give it a name in the file, or drop it as index"
    )


def _needed(kind: str, *modules: str) -> list[ModuleType]:
    try:
        return [importlib.import_module(module) for module in modules]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"reading {kind} files needs {' and '.join(modules)}: pip install 'gibbsnet[app]'"
        ) from error


def _read_text(path: Path, separator: str | None) -> _Table:
    (pandas,) = _needed("CSV", "pandas")
    text = _decoded(path)
    chosen, notes = _separator(path, text, separator)
    header, lines = _scanned(path, text, chosen)
    origin = Origin(str(path), lines)
    columns = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(header)]
    refuse_duplicates(origin, columns)
    try:
        frame = pandas.read_csv(
            io.StringIO(text, newline=""),
            sep=chosen,
            header=0,
            names=columns,
            index_col=False,
            skipinitialspace=chosen != " ",
            low_memory=False,
        )
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as CSV: {str(error).strip()}") from error
    if len(frame) != len(lines):
        raise ValueError(f"{path}: cannot be read as CSV: quotes or line ends are ambiguous")
    unnamed = columns[0] if columns[0] == "Unnamed: 0" else None
    return _Table(path, origin, frame, unnamed, (*notes, *_header_notes(columns)))


def _header_notes(columns: list[str]) -> Iterator[str]:
    for name in columns:
        try:
            float(name)
        except ValueError:
            continue
        if not name.isdecimal():
            yield f"column name {name!r} is a number: the first line is taken as header"
            return


def _decoded(path: Path) -> str:
    raw = _decompressed(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: cannot be read as CSV: line {line} is not UTF-8 text "
            f"(byte {raw[error.start]:#04x})"
        ) from error


def _decompressed(path: Path) -> bytes:
    read = OPENERS.get(path.suffix.lower(), Path.read_bytes)
    try:
        return read(path)
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error


def _opened_by(module: Any) -> Callable[[Path], bytes]:
    def read(path: Path) -> bytes:
        with module.open(path) as stream:
            return bytes(stream.read())

    return read


def _unzipped(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and "__MACOSX/" not in n]
        if len(names) != 1:
            raise ValueError(f"it must hold one file, got {', '.join(names) or 'none'}")
        return archive.read(names[0])


OPENERS: dict[str, Callable[[Path], bytes]] = {
    ".gz": _opened_by(gzip),
    ".bz2": _opened_by(bz2),
    ".xz": _opened_by(lzma),
    ".zip": _unzipped,
}


def _separator(path: Path, text: str, given: str | None) -> tuple[str, tuple[str, ...]]:
    if given is not None:
        if len(given) != 1 or given in '"\r\n':
            raise ValueError(f"separator must be one character, not a quote, got {given!r}")
        return given, ()
    if ".tsv" in [ending.lower() for ending in path.suffixes[-2:]]:
        return "\t", ()
    found = max(SEPARATORS, key=lambda separator: _splits_alike(text, separator))
    notes = () if found == "," else (f"columns are separated by {SEPARATORS[found]}",)
    return found, notes


def _splits_alike(text: str, separator: str) -> tuple[bool, int]:
    try:
        widths = [len(record) for _, record in islice(_records(text, separator), FIRST_RECORDS)]
    except csv.Error:
        return False, 0
    columns = widths[0] if widths else 0
    return columns > 1 and len(set(widths)) == 1, columns


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, each with the line it begins in."""
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=separator, skipinitialspace=separator != " ", strict=True)
    line = 1
    for record in reader:
        if len(record) > 1 or "".join(record).strip():
            yield line, record
        line = reader.line_num + 1


def _scanned(path: Path, text: str, separator: str) -> tuple[list[str], list[int]]:
    records = _records(text, separator)
    lines: list[int] = []
    try:
        _, header = next(records, (0, []))
        if not header:
            raise ValueError("it is empty")
        for line, record in records:
            lines.append(line)
            if len(record) != len(header):
                raise ValueError(f"line {line} has {len(record)} fields, the header {len(header)}")
    except (csv.Error, ValueError) as error:
        where = f"after line {lines[-1]}: " if isinstance(error, csv.Error) and lines else ""
        raise ValueError(f"{path}: cannot be read as CSV: {where}{error}") from error
    return header, lines


def _read_parquet(path: Path) -> _Table:
    pandas, pyarrow = _needed("Parquet", "pandas", "pyarrow")
    try:
        with path.open("rb") as stream:
            table = importlib.import_module("pyarrow.parquet").ParquetFile(stream).read()
        table.validate(full=True)
        frame = table.to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: cannot be read as Parquet: {error}") from error
    frame.columns = frame.columns.map(str)
    unnamed = None
    if frame.index.nlevels > 1:
        raise ValueError(f"{path}: the pandas index must have one level: use reset_index()")
    if not isinstance(frame.index, pandas.RangeIndex):
        unnamed = str(frame.index.name or "index")
        frame = frame.reset_index(names=unnamed, allow_duplicates=True)
    origin = Origin(str(path))
    refuse_duplicates(origin, frame.columns)
    return _Table(path, origin, frame, unnamed, ())


@contextmanager
def _opened_npz(path: Path) -> Iterator[Any]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: cannot be read as NPZ: not an archive of arrays")
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


def _load_npz(path: Path) -> Dataset:
    with _opened_npz(path) as archive:
        x, y = (_member(path, archive, name) for name in "Xy")
        others = [name for name in archive.files if name not in {"X", "x", "y"}]
    notes = (f"arrays not used: {', '.join(others)}",) if others else ()
    return array_dataset(Origin(str(path)), Dataset(path.stem, x, y, True, notes=notes))


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


# Python code


def load_plugin(spec: str) -> Dataset | Distribution:
    """Import a data set, a distribution, or a function that returns one.

    Parameters
    ----------
    spec : str
        "module:attribute" or "path/to/file.py:attribute". What can be called is called,
        without arguments; what comes is taken as from a loader of :func:`register_dataset`.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError
        If there is no such file or module.
    ValueError
        If `spec` has another form, there is no such attribute, or the code raises.
    TypeError
        If it gives nothing that a loader may return.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "mine.py")
    ...     _ = path.write_text("def ends(): return [[0.0], [1.0]] * 3, ['low', 'high'] * 3")
    ...     load_plugin(f"{path}:ends").x.shape
    (6, 1)
    """
    place, _, attribute = spec.rpartition(":")
    if not place or not attribute.isidentifier():
        raise ValueError(f"{spec}: must be module:attribute or path/to/file.py:attribute")
    with _search_path(place):
        module = _module_from_file(place) if place.endswith(".py") else _module_by_name(place)
        if not hasattr(module, attribute):
            raise ValueError(f"{spec}: {place} has no attribute {attribute!r}")
        value = getattr(module, attribute)
        if callable(value):
            with _telling(spec):
                value = value()
    return as_loaded(spec, value)


def _is_plugin(source: str) -> bool:
    place, colon, _ = source.rpartition(":")
    if place.endswith(".py") or not colon:
        return bool(colon)
    try:
        return importlib.util.find_spec(place) is not None
    except ModuleNotFoundError as error:
        return not place.startswith(error.name or place)
    except ValueError:
        return False
    except Exception:
        # A parent package raises: it exists, and importing it tells why.
        return True


def _module_from_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        raise FileNotFoundError(f"{place}: no such file")
    name = f"gibbsnet_plugin_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ValueError(f"{place}: cannot be imported")
    # Dataclasses look their module up by its name.
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    with _telling(place):
        found.loader.exec_module(module)
    return module


def _module_by_name(place: str) -> ModuleType:
    with _telling(place):
        if not _is_plugin(f"{place}:"):
            raise ModuleNotFoundError(
                f"{place}: no such module; code in a file is given as path/to/file.py:attribute",
                name=place,
            )
        return importlib.import_module(place)


@contextmanager
def _telling(name: str) -> Iterator[None]:
    """Say whose code raised, and what."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise
        raise ValueError(f"{name}: raised {type(error).__name__}: {error}") from error


@contextmanager
def _search_path(place: str) -> Iterator[None]:
    """Let a file import its neighbours, as when Python runs it."""
    folder = str(Path(place).parent.resolve())
    if not place.endswith(".py"):
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
