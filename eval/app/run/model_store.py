"""The network in the folder of a run, with the columns that it was trained on."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.app.shared.certificates import stored_certificate
from gibbs import Particles
from stages import TwoStageClassifier, load_model, save_model
from stages.estimator.trained import Trained

__all__ = ["COLUMNS", "MODEL", "SavedModel", "read_model", "write_model"]

MODEL, COLUMNS = "model.gibbsnet", "columns.json"
MODEL_BEFORE = "model.safetensors"
"""In the folders of format 1; it holds the columns too."""


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A classifier with the column scaling that stands before it.

    Attributes
    ----------
    classifier : TwoStageClassifier
    shift, scale : ndarray (d,)
        Columns become (x - shift) / scale before the classifier sees them.
    feature_names : tuple of str
    """

    classifier: TwoStageClassifier
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    feature_names: tuple[str, ...]

    def predict(self, x: NDArray[np.float64]) -> NDArray[Any]:
        """Predict classes for raw samples (n, d)."""
        predicted: NDArray[Any] = self.classifier.predict((x - self.shift) / self.scale)
        return predicted

    def decision_function(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the scores of raw samples (n, d)."""
        return self.classifier.decision_function((x - self.shift) / self.scale)


def write_model(model: SavedModel, folder: Path) -> None:
    """Write the network, by :func:`stages.save_model`, and its columns.

    The law that the solver found, of many points, stays out; the neurons drawn from it do not.
    """
    classifier = copy.copy(model.classifier)
    classifier.measure_ = None
    save_model(classifier, folder / MODEL)
    columns = {
        "feature_names": list(model.feature_names),
        "shift": model.shift.tolist(),
        "scale": model.scale.tolist(),
    }
    (folder / COLUMNS).write_text(json.dumps(columns, indent=2) + "\n", encoding="utf-8")


def read_model(folder: Path) -> SavedModel:
    """Read the network of a run back, also where an earlier version has written it.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If a file is not what it should be, or was altered or cut short.
    """
    if (folder / MODEL_BEFORE).is_file():
        return _read_before(folder / MODEL_BEFORE)
    classifier = load_model(folder / MODEL)
    try:
        columns = json.loads((folder / COLUMNS).read_text(encoding="utf-8"))
        shift, scale = (np.array(columns[name], np.float64) for name in ("shift", "scale"))
        return SavedModel(classifier, shift, scale, tuple(columns["feature_names"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} holds no valid {COLUMNS}: {error}") from error


def _read_before(path: Path) -> SavedModel:
    """A file of format 1: the length of a JSON text, that text, and numbers in float64."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        entries = json.loads(content[8:start])
        about = json.loads(entries.pop("__metadata__")["gibbsnet"])
        arrays = {name: _array(content, start, **entry) for name, entry in entries.items()}
        return _rebuild(arrays, about)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a valid model file: {error}") from error


def _array(
    content: bytes, start: int, *, dtype: str, shape: list[int], data_offsets: list[int]
) -> NDArray[np.float64]:
    if dtype != "F64":
        raise ValueError(f"numbers must be F64, got {dtype}")
    first, last = (start + offset for offset in data_offsets)
    return np.frombuffer(content[first:last], "<f8").reshape(shape).copy()


def _rebuild(arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> SavedModel:
    fitted = TwoStageClassifier(**about["parameters"])
    fitted.classes_ = np.array(about["classes"])
    fitted.n_features_in_ = len(arrays["mean"])
    fitted.particles_ = Particles(torch.tensor(arrays["a"]), torch.tensor(arrays["u"]))
    fitted.coef_ = arrays["coef"]
    fitted.initial_coef_ = arrays["initial_coef"]
    fitted.mean_ = arrays["mean"]
    fitted.scale_ = float(about["norm"])
    fitted.n_iter_ = int(about["n_iter"])
    certificate = about.get("certificate")
    fitted.certificate_ = stored_certificate(certificate) if certificate else None
    fitted._trained = Trained.by(fitted.get_params())
    return SavedModel(fitted, arrays["shift"], arrays["scale"], tuple(about["feature_names"]))
