"""The parameters of a fitted network: set_params may change those of the estimator after a fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gibbs import GibbsMeasure, Particles, Problem, features, get_activation

__all__ = ["Start", "Trained", "limited_threads"]


@dataclass(frozen=True)
class Trained:
    """Parameters that a fitted network depends on.

    Attributes
    ----------
    settings : dict
        Those of its Problem: beta, gamma, lambda_rho, activation, truncation.
    intercept : float
        The constant coordinate of its inputs.
    dtype : torch.dtype
        In which it was trained.
    """

    settings: dict[str, Any]
    intercept: float
    dtype: torch.dtype

    @classmethod
    def by(cls, parameters: Mapping[str, Any]) -> Trained:
        """Take them from the parameters of a classifier."""
        names = ("beta", "gamma", "lambda_rho", "activation", "truncation")
        dtype = torch.float32 if parameters["dtype"] == "float32" else torch.float64
        return cls({name: parameters[name] for name in names}, parameters["intercept"], dtype)

    def problem(
        self,
        x: NDArray[np.float64],
        labels: NDArray[Any],
        w: Tensor,
        weights: NDArray[np.float64] | None,
    ) -> Problem:
        """Stage one on mapped inputs (n, d), with labels 0, ..., q - 1."""
        y = torch.nn.functional.one_hot(torch.tensor(labels), w.shape[1]).to(w.dtype)
        if weights is not None:  # by a power of two, which keeps integers exact
            weights = np.ldexp(weights, -np.frexp(weights.max())[1])
        s = None if weights is None else torch.tensor(weights, dtype=w.dtype)
        return Problem(torch.tensor(x, dtype=w.dtype), y, w, sample_weight=s, **self.settings)

    def features(self, x: NDArray[np.float64], particles: Particles) -> NDArray[np.float64]:
        """Features (n, p) of mapped inputs (n, d)."""
        sigma = get_activation(self.settings["activation"])
        return features(torch.tensor(x), particles, sigma, self.settings["truncation"]).numpy()


@dataclass(frozen=True, eq=False)
class Start:
    """W_0 (p, q), the generator, and the law that stage one starts from, None for new neurons."""

    w: Tensor
    generator: torch.Generator
    law: Particles | GibbsMeasure | None


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Set the number of threads of torch within the context; None leaves it."""
    before = torch.get_num_threads()
    try:
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        yield
    finally:
        if n_threads is not None:
            torch.set_num_threads(before)
