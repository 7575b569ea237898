"""Fitted classifiers in files: checked against alteration, read without running code."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from stages.estimator.classifier import TwoStageClassifier
from stages.estimator.packing import packed, unpacked
from stages.files import whole_file, write_arrays

__all__ = ["load_model", "save_model"]

FORMAT = 1
"""Version of the layout of the files."""

FIRST_LINE = re.compile(rb"gibbsnet-model format=([0-9]{1,9}) sha256=([0-9a-f]{64})\n")
"""Before an archive of NumPy arrays, of which it holds the checksum."""

UNSOUND = (
    *(AttributeError, EOFError, LookupError, MemoryError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading an archive with other content may raise."""

TREE = "tree"
"""The array that holds the text of all that is not an array."""

REQUESTS = "_metadata_request"
"""The attribute in which scikit-learn keeps the arguments of `set_fit_request`."""


def save_model(model: TwoStageClassifier, path: str | os.PathLike[str]) -> None:
    """Write a fitted classifier to a file, with its parameters and all that `fit` has set.

    The file is a line with a format number and a checksum, and then an archive of NumPy arrays, in
    which one array is JSON text. It is written completely or not at all, and replaces one of that
    name. With the solver "gibbs" it holds the training samples and the points of `measure_`.

    Parameters
    ----------
    model : TwoStageClassifier
    path : path
        Of any suffix.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    TypeError
        If it is no TwoStageClassifier.
    ValueError
        If a parameter cannot be stored: a function, as a `step_size` may be. Schedules of
        `gibbs` can.
    FileNotFoundError
        If there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from stages import TwoStageClassifier, load_model, save_model
    >>> X, y = load_iris(return_X_y=True)
    >>> model = TwoStageClassifier(n_neurons=50, max_iter=10, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, f"{folder}/iris.gibbsnet")
    ...     loaded = load_model(f"{folder}/iris.gibbsnet")
    >>> bool((loaded.decision_function(X) == model.decision_function(X)).all())
    True
    """
    if type(model) is not TwoStageClassifier:
        raise TypeError(f"model must be a TwoStageClassifier, got {type(model).__name__}")
    check_is_fitted(model)
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must name a file, got the folder {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    parameters = model.get_params(deep=False)
    apart = {*parameters, REQUESTS}
    fitted = {name: value for name, value in vars(model).items() if name not in apart}
    arrays: dict[str, NDArray[Any]] = {}
    tree = {
        "gibbsnet": version("gibbsnet"),
        "parameters": {name: packed(name, v, arrays) for name, v in parameters.items()},
        "fitted": {name: packed(name, v, arrays) for name, v in fitted.items()},
        "requests": _requests(model),
    }
    text = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    archive = io.BytesIO()
    write_arrays(archive, arrays | {TREE: text})
    content = archive.getbuffer()
    digest = hashlib.sha256(content).hexdigest()
    with whole_file(path) as scratch, scratch.open("wb") as file:
        file.write(f"gibbsnet-model format={FORMAT} sha256={digest}\n".encode())
        file.write(content)


def load_model(path: str | os.PathLike[str]) -> TwoStageClassifier:
    """Read a classifier back that :func:`save_model` has written: the same to the last bit.

    Numbers, text, and a fixed list of records are all that is read: no file can run code.

    Parameters
    ----------
    path : path

    Returns
    -------
    TwoStageClassifier
        It predicts, and `fit` continues with `warm_start`, as the stored one would.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such file, was altered or cut short, or is of another format.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must name a file, got the folder {path}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    content = path.read_bytes()
    line = FIRST_LINE.match(content)
    if line is None:
        raise ValueError(f"{path} is no file of a model that gibbsnet has stored")
    if int(line[1]) != FORMAT:
        raise ValueError(f"{path} has format {int(line[1])}, this version reads {FORMAT}")
    archive = content[line.end() :]
    if hashlib.sha256(archive).hexdigest() != line[2].decode():
        raise ValueError(f"{path} was altered or cut short since it was stored")
    try:
        with np.load(io.BytesIO(archive), allow_pickle=False) as stored:
            arrays = dict(stored)
        return _rebuilt(json.loads(arrays[TREE].tobytes()), arrays)
    except UNSOUND as error:
        raise ValueError(f"{path} is not a valid model file: {error}") from error


def _rebuilt(tree: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> TwoStageClassifier:
    parameters = {name: unpacked(value, arrays) for name, value in tree["parameters"].items()}
    model = TwoStageClassifier(**parameters)
    for name, value in tree["fitted"].items():
        setattr(model, name, unpacked(value, arrays))
    if tree["requests"]:
        routing = model.get_metadata_routing()
        for method, asked in tree["requests"].items():
            for name, alias in asked.items():
                getattr(routing, method).add_request(param=name, alias=alias)
        setattr(model, REQUESTS, routing)
    return model


def _requests(model: TwoStageClassifier) -> dict[str, dict[str, bool | str | None]]:
    """What each method asks of scikit-learn's metadata routing, where the user has said so."""
    if not hasattr(model, REQUESTS):
        return {}
    parts = vars(model.get_metadata_routing())
    return {name: part.requests for name, part in parts.items() if hasattr(part, "requests")}
