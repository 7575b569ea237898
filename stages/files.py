"""Files that are written completely or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ["checksum", "whole_file", "write_arrays"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path, of the same suffix, which replaces `path` when the context ends.

    The file is flushed to the disk before that, and removed if the context ends with an error.
    What a link points to is replaced, not the link, and a file that is replaced hands on who may
    read it. A device or a pipe is refused: it would be replaced by a file, /dev/null too.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path} must name a file, is a device or a pipe")
    path = Path(os.path.realpath(path))
    scratch = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield scratch
        with scratch.open("r+b") as file:
            os.fsync(file.fileno())
        if path.is_file():
            shutil.copymode(path, scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def checksum(path: Path) -> str:
    """SHA-256 of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_arrays(
    target: Path | BinaryIO, arrays: Mapping[str, Any], *, compressed: bool = False
) -> None:
    """Write arrays as NPZ, without pickles.

    Raises
    ------
    TypeError
        If an array holds Python objects.
    """
    for name, values in arrays.items():
        if np.asarray(values).dtype.hasobject:
            raise TypeError(f"{name} must be an array of numbers or text, got Python objects")
    save = np.savez_compressed if compressed else np.savez
    save(target, **arrays)
