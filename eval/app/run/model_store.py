"""Fitted networks in files that hold numbers and text only: loading them runs no code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from eval.app.shared.certificates import certificate_fields, stored_certificate
from gibbs import Particles
from stages import TwoStageClassifier
from stages.estimator.trained import Trained

__all__ = ["FORMAT", "SavedModel", "load_model", "save_model"]

FORMAT = 1
"""Version of the layout of model files and run folders."""


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


def save_model(model: SavedModel, path: Path) -> None:
    """Write a model as safetensors: arrays, and one JSON text for the rest."""
    fitted = model.classifier
    arrays = {
        "a": fitted.particles_.a.numpy(),
        "u": fitted.particles_.u.numpy(),
        "coef": fitted.coef_,
        "initial_coef": fitted.initial_coef_,
        "mean": fitted.mean_,
        "shift": model.shift,
        "scale": model.scale,
    }
    about = {
        "format": FORMAT,
        "parameters": {
            name: value
            for name, value in fitted.get_params().items()
            if value is None or isinstance(value, str | int | float | bool)
        },
        "classes": fitted.classes_.tolist(),
        "norm": fitted.scale_,
        "n_iter": fitted.n_iter_,
        "certificate": fitted.certificate_ and certificate_fields(fitted.certificate_),
        "feature_names": list(model.feature_names),
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(contiguous, path, metadata={"gibbsnet": json.dumps(about)})


def load_model(path: Path) -> SavedModel:
    """Read a model back.

    Raises
    ------
    ValueError
        If the file is not a model, was cut short, or was made by a newer version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["gibbsnet"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a sound model file: {error}") from error
    if about.get("format", 0) > FORMAT:
        raise ValueError(
            f"{path} has format {about['format']}, made by a newer gibbsnet; "
            f"this one reads up to {FORMAT}"
        )
    try:
        return _rebuild(arrays, about)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a sound model file: {error}") from error


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
