"""Gauss's quadrature rules, from the eigenvalues of their Jacobi matrices."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["hermite_rule", "legendre_rule"]


def hermite_rule(scale: float, n_nodes: int = 64) -> tuple[Tensor, Tensor]:
    """Gauss-Hermite nodes and weights for N(0, scale^2)."""
    nodes, weights = _golub_welsch(torch.arange(1, n_nodes, dtype=torch.float64).sqrt())
    return scale * nodes, weights


def legendre_rule(n_nodes: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights for [0, 1]."""
    k = torch.arange(1, n_nodes, dtype=torch.float64)
    nodes, weights = _golub_welsch(k / (4 * k.square() - 1).sqrt())
    return (1 + nodes) / 2, weights


def _golub_welsch(off: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights, adding up to 1, of a symmetric law by its off-diagonal entries."""
    nodes, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return nodes, vectors[0].square()
