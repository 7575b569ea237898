"""Data sets and distributions from Python code, given as MODULE:OBJECT or FILE.py:OBJECT."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from eval.data.arrays import telling
from eval.data.dataset import Dataset, Distribution
from eval.data.loader_results import as_loaded

__all__ = ["is_plugin", "load_plugin"]


def load_plugin(spec: str) -> Dataset | Distribution:
    """Import a data set, a distribution, or a function that returns one.

    Parameters
    ----------
    spec : str
        "module:attribute" or "path/to/file.py:attribute". A callable is called without arguments;
        its result is treated like that of a loader of :func:`eval.register_dataset`.

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
            with telling(spec):
                value = value()
    return as_loaded(spec, value)


def is_plugin(source: str) -> bool:
    """Whether a source has the form of :func:`load_plugin` and its module is there."""
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
        # A parent package raises: it exists, and importing it shows why.
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
    with telling(place):
        found.loader.exec_module(module)
    return module


def _module_by_name(place: str) -> ModuleType:
    with telling(place):
        if not is_plugin(f"{place}:"):
            raise ModuleNotFoundError(
                f"{place}: no such module; code in a file is given as path/to/file.py:attribute",
                name=place,
            )
        return importlib.import_module(place)


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
