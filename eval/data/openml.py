"""Data sets of OpenML, by their number; scikit-learn downloads them once and keeps them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from http.client import HTTPException
from urllib.error import HTTPError, URLError

from sklearn.datasets import fetch_openml

from eval.data.arrays import Origin
from eval.data.dataset import Dataset
from eval.data.frames import Table, table_dataset
from eval.extras import needed

__all__ = ["PREFIX", "load_openml"]

PREFIX = "openml:"


def load_openml(source: str, target: str | None, index: str | Sequence[str] | None) -> Dataset:
    """Load a data set of openml.org: "openml:61" is iris.

    It is kept in the folder of :func:`sklearn.datasets.get_data_home`, and found there without a
    network. Columns are encoded as those of files are.

    Parameters
    ----------
    source : str
        "openml:" and the number.
    target : str, optional
        Column of the labels; None means the one that OpenML names.
    index : str or sequence of str, optional
        Columns to drop, beside those that OpenML says are identifiers or to be ignored.

    Raises
    ------
    ConnectionError
        If it is not kept and cannot be downloaded.
    ValueError
        If there is no such data set, or a column or value is not usable.
    ModuleNotFoundError
        If pandas is missing.
    """
    number = source.removeprefix(PREFIX)
    if not re.fullmatch(r"[1-9]\d*", number):
        raise ValueError(
            f"{source}: 'openml:' must be followed by the number of a data set, as in openml:61"
        )
    needed("reading OpenML files", "pandas")
    try:
        with warnings.catch_warnings():
            # That a newer version exists, or that what is kept was not sound and is fetched again.
            warnings.simplefilter("ignore")
            bunch = fetch_openml(
                data_id=int(number),
                as_frame=True,
                parser="pandas",
                target_column=None,
                n_retries=1,
                delay=0.5,
            )
    except HTTPError as error:
        raise ConnectionError(
            f"{source}: openml.org answered {error.code} {error.reason}"
        ) from error
    except (URLError, TimeoutError, HTTPException, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(
            f"{source}: not kept on this machine, and openml.org cannot be reached ({reason}): "
            "load it once where there is a network, or give a file"
        ) from error
    except KeyError as error:
        raise ValueError(f"{source}: its description at OpenML has no {error}") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{source}: cannot be read from OpenML: {error}") from error
    column = target or bunch.details.get("default_target_attribute") or ""
    if column not in bunch.frame.columns and target is None:
        named = f"OpenML names {column}" if column else "OpenML names none"
        columns = ", ".join(bunch.frame.columns)
        raise ValueError(f"{source}: target must be given, {named}; there are {columns}")
    name = str(bunch.details.get("name", source))
    note = f"OpenML data set {number}, version {bunch.details.get('version', '?')}"
    table = Table(name, Origin(source), bunch.frame, None, (note,))
    return table_dataset(table, column, index)
