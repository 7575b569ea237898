"""The problem of stage one that several figures train on."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from gibbs import Problem
from stages import orthonormal_layer

__all__ = ["problem_of_draw"]


def problem_of_draw(
    settings: Any,
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    beta: float,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Problem:
    """Stage one on these samples, with W_0^T W_0 = I drawn from the generator.

    The settings of a figure say n_classes, hidden_features, gamma and activation.
    """
    labels = torch.nn.functional.one_hot(torch.from_numpy(y), settings.n_classes)
    return Problem(
        torch.from_numpy(x).to(dtype),
        labels.to(dtype),
        orthonormal_layer(
            settings.hidden_features, settings.n_classes, generator=generator, dtype=dtype
        ),
        beta=beta,
        gamma=settings.gamma,
        activation=settings.activation,
    )
