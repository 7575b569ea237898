"""The separable problem that several figures are about."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from gibbs import Problem
from stages import orthonormal_layer

__all__ = ["Network", "problem_of_draw"]


class Network(Protocol):
    """Settings of a figure that decide its network."""

    @property
    def n_classes(self) -> int:
        """Number of classes q."""

    @property
    def hidden_features(self) -> int:
        """Number of features p."""

    @property
    def gamma(self) -> float:
        """Output scale."""

    @property
    def activation(self) -> str:
        """Name of sigma."""


def problem_of_draw(
    network: Network,
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    beta: float,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Problem:
    """Stage one on these samples, with W_0^T W_0 = I drawn from the generator."""
    labels = torch.nn.functional.one_hot(torch.from_numpy(y), network.n_classes)
    return Problem(
        torch.from_numpy(x).to(dtype),
        labels.to(dtype),
        orthonormal_layer(
            network.hidden_features, network.n_classes, generator=generator, dtype=dtype
        ),
        beta=beta,
        gamma=network.gamma,
        activation=network.activation,
    )
