"""Data by name, from a file or from Python code, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from eval.data.dataset import Dataset, Distribution
from eval.data.file_formats import OPTIONS, load_file, options_of_file, refuse_options
from eval.data.openml import PREFIX, load_openml
from eval.data.plugins import is_plugin, load_plugin
from eval.data.registry import DRAWN, load_registered, registered_datasets

__all__ = ["load_dataset", "load_distribution", "load_source", "options_of"]


def load_dataset(
    source: str | Path,
    target: str | None = None,
    *,
    index: str | Sequence[str] | None = None,
    separator: str | None = None,
) -> Dataset:
    """Load a data set by its name, from a file, from OpenML, or from Python code.

    Tables are .csv, .tsv, .txt (also as .gz, .bz2, .xz, .zip) in UTF-8 with a header line, and
    .parquet. Numeric columns stay as they are; text, categorical and boolean columns are
    one-hot encoded. A first column without a name that counts the rows from 0 or 1 is
    dropped. An .npz file holds arrays "X" (n, d) and "y" (n,); nothing pickled is loaded.
    "openml:61" is number 61 of openml.org, downloaded once by scikit-learn.

    Parameters
    ----------
    source : str or Path
        One of :func:`eval.registered_datasets`, a file, "openml:" and a number, or code as in
        :func:`eval.load_plugin`.
    target : str, optional
        Column of the labels in a table; None means the last one, or the one that OpenML names.
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
    ConnectionError
        If a data set of OpenML is not kept on this machine and cannot be downloaded.

    Examples
    --------
    >>> data = load_dataset("wine")
    >>> data.x.shape, data.feature_names[0], sorted(set(data.y.tolist()))
    ((178, 13), 'alcohol', ['class_0', 'class_1', 'class_2'])
    """
    loaded = load_source(source, target, index=index, separator=separator)
    if not isinstance(loaded, Dataset):
        raise ValueError(f"{source} is a distribution, not a data set: draw samples of it first")
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
        raise ValueError(f"{name!r} is a distribution, not a data set: it is drawn, not loaded")
    refuse_options(name, options_of(name), **options)
    if name in registered_datasets():
        return load_registered(name)
    if path.exists():
        return load_file(path, target, index, separator)
    if name.startswith(PREFIX):
        return load_openml(name, target, index)
    if is_plugin(name):
        return load_plugin(name)
    raise FileNotFoundError(_not_found(name))


def options_of(source: str | Path) -> tuple[str, ...]:
    """Which of the options `target`, `index` and `separator` mean something for a source.

    Examples
    --------
    >>> options_of("wine"), options_of("openml:61"), options_of("my.csv")
    ((), ('target', 'index'), ('target', 'index', 'separator'))
    """
    name = str(source)
    if name in (DRAWN, *registered_datasets()):
        return ()
    if not Path(source).exists():
        if name.startswith(PREFIX):
            return OPTIONS[:2]
        return () if is_plugin(name) else OPTIONS
    return options_of_file(Path(source))


def _not_found(source: str) -> str:
    names = [*registered_datasets(), DRAWN]
    close = get_close_matches(source, names)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"{source}: no such file, and not one of the data sets {', '.join(names)}{hint}"
