"""Activations of the first layer: value, slope and the bounds that the theory asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ACTIVATIONS", "Activation", "get_activation"]


@dataclass(frozen=True)
class Activation:
    """A scalar function sigma with its slope and its bounds.

    The slope is a function of the *value* s = sigma(z): the engine keeps the values of a
    block of neurons and never needs the pre-activations z again.

    Parameters
    ----------
    name : str
    value_ : callable
        Overwrites a tensor of pre-activations z with sigma(z), and returns it.
    slope_ : callable
        Overwrites its second argument with sigma'(z), given the values s = sigma(z) in its
        first, and returns it. Absolute error: a few units of round-off of the dtype.
    max_value, max_slope, max_curvature : float
        Suprema of abs(sigma), abs(sigma') and abs(sigma''); ``inf`` where there is none.
    symmetric : bool
        Whether sigma less a constant is odd, as of tanh, erf, and sigmoid less 1/2. Then x
        and -x have features that mirror each other.
    fused_ : callable, optional
        :meth:`times_slope_` in one sweep over memory, where torch has it.
    """

    name: str
    value_: Callable[[Tensor], Tensor]
    slope_: Callable[[Tensor, Tensor], Tensor]
    max_value: float
    max_slope: float
    max_curvature: float
    symmetric: bool = False
    fused_: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, z: Tensor) -> Tensor:
        """Return sigma(z); `z` is left as it is."""
        return self.value_(z.clone())

    def slope(self, values: Tensor) -> Tensor:
        """Return sigma'(z), given the values sigma(z)."""
        return self.slope_(values, torch.empty_like(values))

    def times_slope_(self, gradient: Tensor, values: Tensor) -> Tensor:
        """Overwrite `gradient` with gradient * sigma'(z), given the values, and return it."""
        if self.fused_ is not None:
            return self.fused_(gradient, values)
        return gradient.mul_(self.slope(values))

    @property
    def bounded(self) -> bool:
        """Whether sigma is; those that are not grow like max(0, z): `gibbs.solver.domain`."""
        return math.isfinite(self.max_value)

    @property
    def smooth_and_bounded(self) -> bool:
        """Whether sigma, sigma' and sigma'' are bounded, as Assumption 1 of the paper asks."""
        return math.isfinite(self.max_value + self.max_slope + self.max_curvature)

    def __reduce__(self) -> tuple[Callable[[str], Activation], tuple[str]]:
        return get_activation, (self.name,)


_BELL = 2 / math.sqrt(math.pi)

_SIGMOID_BACKWARD: Callable[..., Tensor] = torch.ops.aten.sigmoid_backward.grad_input
_TANH_BACKWARD: Callable[..., Tensor] = torch.ops.aten.tanh_backward.grad_input


def _sigmoid_slope(s: Tensor, out: Tensor) -> Tensor:
    return torch.addcmul(s, s, s, value=-1, out=out)


def _sigmoid_fused(gradient: Tensor, s: Tensor) -> Tensor:
    return _SIGMOID_BACKWARD(gradient, s, grad_input=gradient)


def _tanh_(z: Tensor) -> Tensor:
    # tanh(z) = 2 sigmoid(2z) - 1: the tanh of torch takes 4 to 6 times as long on some processors.
    return z.mul_(2).sigmoid_().mul_(2).sub_(1)


def _tanh_slope(s: Tensor, out: Tensor) -> Tensor:
    return torch.mul(s, s, out=out).neg_().add_(1)


def _tanh_fused(gradient: Tensor, s: Tensor) -> Tensor:
    return _TANH_BACKWARD(gradient, s, grad_input=gradient)


def _erf_slope(s: Tensor, out: Tensor) -> Tensor:
    # At |s| = 1 erfinv is infinite and the slope is 0, as it should be.
    torch.erfinv(s, out=out)
    return out.square_().neg_().exp_().mul_(_BELL)


def _softplus_(z: Tensor) -> Tensor:
    # Above its default threshold of 20 torch returns z, which is off by 2e-9 there.
    return z.copy_(torch.nn.functional.softplus(z, threshold=40))


def _softplus_slope(s: Tensor, out: Tensor) -> Tensor:
    # log(1 + e^z) = s, so e^z / (1 + e^z) = 1 - e^(-s), without cancellation for z -> -inf.
    return torch.neg(s, out=out).expm1_().neg_()


def _relu_slope(s: Tensor, out: Tensor) -> Tensor:
    return torch.sign(s, out=out)


_ALL = (
    Activation(
        "sigmoid",
        torch.Tensor.sigmoid_,
        _sigmoid_slope,
        1.0,
        0.25,
        1 / (6 * math.sqrt(3)),
        True,
        _sigmoid_fused,
    ),
    Activation(
        "tanh",
        _tanh_,
        _tanh_slope,
        1.0,
        1.0,
        4 / (3 * math.sqrt(3)),
        True,
        _tanh_fused,
    ),
    Activation(
        "erf", torch.Tensor.erf_, _erf_slope, 1.0, _BELL, _BELL * math.sqrt(2 / math.e), True
    ),
    Activation("softplus", _softplus_, _softplus_slope, math.inf, 1.0, 0.25),
    Activation("relu", torch.Tensor.relu_, _relu_slope, math.inf, 1.0, math.inf),
)

ACTIVATIONS: dict[str, Activation] = {activation.name: activation for activation in _ALL}
"""The built-in activations by name: sigmoid, tanh, erf, softplus and relu."""


def get_activation(activation: str | Activation) -> Activation:
    """Return the activation of that name; an `Activation` passes through.

    Raises
    ------
    ValueError
        If there is no activation of that name.

    Examples
    --------
    >>> get_activation("tanh").max_slope
    1.0
    """
    if isinstance(activation, Activation):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    return ACTIVATIONS[activation]
