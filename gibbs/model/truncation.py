"""Smooth truncation of the outgoing weights (section 5 of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["truncate", "truncate_slope"]


def truncate(a: Tensor, radius: float | None) -> Tensor:
    r"""Truncate every coordinate of `a` smoothly: the tau_R of section 5.

    With t = clip((abs(z) - R) / R, 0, 1),

    .. math:: \tau_R(z) = \mathrm{sign}(z)\,[\min(|z|, R) + R\,(t - t^3 + t^4/2)],

    which is z for abs(z) <= R, the constant +-3R/2 for abs(z) >= 2R, and twice continuously
    differentiable: its slope is 1 - 3t^2 + 2t^3. The paper fixes the two ends and leaves the
    interpolation open.

    Parameters
    ----------
    a : Tensor of any shape
    radius : float or None
        R, in the units of `a`; None means no truncation, and returns `a` itself.

    Returns
    -------
    Tensor of the shape of `a`

    Examples
    --------
    >>> truncate(torch.tensor([0.5, -1.0, 2.0, 9.0]), 1.0)
    tensor([ 0.5000, -1.0000,  1.5000,  1.5000])
    """
    if radius is None:
        return a
    size = a.abs()
    t = _position(size, radius)
    return torch.copysign(size.clamp(max=radius) + radius * t * (1 + t * t * (t / 2 - 1)), a)


def truncate_slope(a: Tensor, radius: float) -> Tensor:
    """Return tau_R'(a) = 1 - 3t^2 + 2t^3 (see :func:`truncate`), of the shape of `a`."""
    t = _position(a.abs(), radius)
    return 1 - t * t * (3 - 2 * t)


def _position(size: Tensor, radius: float) -> Tensor:
    return ((size - radius) / radius).clamp_(0, 1)
