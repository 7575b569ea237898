"""CSV files become tables: .csv, .tsv and .txt, as they are or compressed."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from eval.data.arrays import Origin
from eval.data.frames import Table, refuse_duplicates
from eval.extras import needed

__all__ = ["OPENERS", "TEXT", "is_text", "read_text"]

TEXT = (".csv", ".tsv", ".txt")
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
FIRST_RECORDS = 20


def is_text(path: Path) -> bool:
    """Whether the ending of a name is one of text, compressed or not."""
    suffix, inner = path.suffix.lower(), Path(path.stem).suffix.lower()
    return suffix in TEXT or (suffix in OPENERS and inner in {"", *TEXT})


def read_text(path: Path, separator: str | None) -> Table:
    """Read a table from text in UTF-8 with a header line; None means to find the separator.

    Raises
    ------
    ValueError
        If it cannot be read, has rows of several lengths, or two columns of one name.
    ModuleNotFoundError
        If pandas is missing.
    """
    (pandas,) = needed("reading CSV files", "pandas")
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
            **_precisely(pandas),
        )
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as CSV: {str(error).strip()}") from error
    if len(frame) != len(lines):
        raise ValueError(f"{path}: cannot be read as CSV: quotes or line ends are ambiguous")
    unnamed = columns[0] if columns[0] == "Unnamed: 0" else None
    return Table(_stem(path), origin, frame, unnamed, (*notes, *_header_notes(columns)))


def _precisely(pandas: Any) -> dict[str, str]:
    """Numbers to the last bit, which is no default before pandas 3."""
    return {"float_precision": "round_trip"} if int(pandas.__version__.split(".")[0]) < 3 else {}


def _header_notes(columns: list[str]) -> Iterator[str]:
    for name in columns:
        try:
            float(name)
        except ValueError:
            continue
        if not name.isdecimal():
            yield f"column name {name!r} is a number: the first line is taken as header"
            return


def _stem(path: Path) -> str:
    return Path(path.stem).stem if path.suffix.lower() in OPENERS else path.stem


def _decoded(path: Path) -> str:
    raw = _decompressed(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: cannot be read as CSV: line {line} is not UTF-8 text "
            f"(byte {raw[error.start]:#04x}): save it as UTF-8"
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
        where, hint = "", ""
        if isinstance(error, csv.Error):
            where = f"after line {lines[-1]}: " if lines else ""
            hint = ": is a quote not closed?" if "end of data" in str(error) else ""
        raise ValueError(f"{path}: cannot be read as CSV: {where}{error}{hint}") from error
    return header, lines
