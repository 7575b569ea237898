"""The learning problem of stage one: data, fixed linear layer, temperature."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, replace

import torch
from torch import Tensor

from gibbs.model.activations import Activation, get_activation
from gibbs.model.checks import row_major

__all__ = ["Problem"]


@dataclass(frozen=True, eq=False)
class Problem:
    r"""Minimise the free energy of a mean-field law of neurons, with the linear layer fixed.

    With features h(x) = E_rho[tau(a) sigma(u.x)] (Eqs. 1, 2) and outputs
    f(x) = gamma W^T h(x) (Eq. 3), the free energy of the law rho of theta = (a, u) is

    .. math::

        E(\rho) = \frac{1}{2n} \|Z - Y\|_F^2
            + \frac{\lambda_\rho}{2} E_\rho\|\theta\|^2 + \frac{1}{\beta} E_\rho[\log \rho]

    (Eqs. 4, 5, without the ridge term of W, which is constant here). With sample weights s_i of
    mean 1 the first term is sum_i s_i |Z_i - Y_i|^2 / (2n): a weight of 2 is the sample twice.
    Everything is checked here, once, and x, y and w are stored row by row, so that no result
    depends on how they were stored before; functions that take a Problem do not check it again.

    Parameters
    ----------
    x : Tensor (n, d)
        Inputs, one sample a row.
    y : Tensor (n, q)
        Targets: one-hot rows for classification, any real numbers otherwise.
    w : Tensor (p, q)
        The linear layer W; p >= q.
    beta : float
        Inverse temperature, > 0. ``inf`` means no noise; `lambda_rho` must then be given.
    gamma : float, default 1
        Output scale, > 0.
    lambda_rho : float, optional
        Weight of the L2 term of the neurons, >= 0 (> 0 where beta is finite). None means
        1/beta, the paper's choice; it is resolved here, so that `dataclasses.replace` with
        another beta keeps the old value unless ``lambda_rho=None`` is given too.
    activation : str or Activation, default "sigmoid"
        One of "sigmoid", "tanh", "erf", and "softplus" or "relu", which are unbounded and
        do not satisfy the assumptions of the paper.
    truncation : float, optional
        Radius R of the smooth truncation of a (section 5); None means no truncation.
    sample_weight : Tensor (n,), optional
        Weights s of the samples, >= 0 and not all 0. They are resolved here: divided by their
        mean, and None where they are all equal.

    Raises
    ------
    TypeError
        If x, y, w, sample_weight are not floating-point tensors of one dtype.
    ValueError
        If shapes, devices or values do not fit; the message names the argument.

    Examples
    --------
    >>> x = torch.eye(2)
    >>> problem = Problem(x, y=torch.eye(2), w=torch.eye(2), beta=100.0)
    >>> problem.lambda_rho, problem.temperature
    (0.01, 0.01)
    """

    x: Tensor
    y: Tensor
    w: Tensor
    _: KW_ONLY
    beta: float
    gamma: float = 1.0
    lambda_rho: float | None = None
    activation: str | Activation = "sigmoid"
    truncation: float | None = None
    sample_weight: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("x", "y", "w"):
            _check_matrix(name, getattr(self, name), like=self.x)
        _check_shapes(self.x, self.y, self.w)
        beta = _positive("beta", self.beta)
        if self.lambda_rho is None and math.isinf(beta):
            raise ValueError("lambda_rho must be given when beta is inf (its default is 1/beta)")
        decay = 1 / beta if self.lambda_rho is None else self.lambda_rho
        _set = object.__setattr__
        for name in ("x", "y", "w"):
            _set(self, name, row_major(getattr(self, name)))
        _set(self, "beta", beta)
        _set(self, "gamma", _finite_positive("gamma", self.gamma))
        _set(self, "lambda_rho", _decay(decay, beta))
        _set(self, "activation", get_activation(self.activation))
        if self.truncation is not None:
            _set(self, "truncation", _finite_positive("truncation", self.truncation))
        if self.sample_weight is not None:
            _set(self, "sample_weight", _resolved_weights(self.sample_weight, like=self.x))

    @property
    def sigma(self) -> Activation:
        """The activation (the field `activation`, once it has been resolved)."""
        assert isinstance(self.activation, Activation)
        return self.activation

    @property
    def decay(self) -> float:
        """lambda_rho, once it has been resolved."""
        assert self.lambda_rho is not None
        return self.lambda_rho

    @property
    def temperature(self) -> float:
        """1/beta; 0 where beta is inf."""
        return 1 / self.beta

    def to(self, target: torch.dtype | torch.device | str) -> Problem:
        """Return the problem in another dtype or on another device."""
        x, weight = self.x.to(target), self.sample_weight
        if (x.dtype, x.device) == (self.dtype, self.device):
            return self
        return replace(
            self,
            x=x,
            y=self.y.to(target),
            w=self.w.to(target),
            sample_weight=None if weight is None else weight.to(target),
        )

    @property
    def n_samples(self) -> int:
        """The number of samples, n."""
        return self.x.shape[0]

    @property
    def n_inputs(self) -> int:
        """d, the width of the input."""
        return self.x.shape[1]

    @property
    def n_outputs(self) -> int:
        """q, the number of outputs (classes)."""
        return self.y.shape[1]

    @property
    def n_features(self) -> int:
        """p, the width of the features."""
        return self.w.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of x, y and w, and of everything computed from them."""
        return self.x.dtype

    @property
    def device(self) -> torch.device:
        """The device of x, y and w, and of everything computed from them."""
        return self.x.device


def _check_matrix(name: str, value: object, like: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.ndim != 2:
        raise ValueError(
            f"{name} must have 2 dimensions, got shape {tuple(value.shape)}{_hint(name)}"
        )
    if value.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64, got {value.dtype}{_hint(name)}")
    if value.dtype != like.dtype:
        raise TypeError(f"{name} must have the dtype of x, {like.dtype}, got {value.dtype}")
    if value.device != like.device:
        raise ValueError(f"{name} must be on the device of x, {like.device}, got {value.device}")
    if value.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(value.shape)}")
    if not bool(torch.isfinite(value).all()):
        row, column = torch.nonzero(~torch.isfinite(value))[0].tolist()
        raise ValueError(
            f"{name} must be finite, got {value[row, column].item()} in row {row}, column {column}"
        )


def _hint(name: str) -> str:
    if name != "y":
        return ""
    return ": for class labels pass torch.nn.functional.one_hot(labels).to(x.dtype)"


def _resolved_weights(value: object, like: Tensor) -> Tensor | None:
    name = "sample_weight"
    if isinstance(value, Tensor) and value.shape != like.shape[:1]:
        raise ValueError(
            f"{name} must have one number per row of x, ({len(like)},), "
            f"got shape {tuple(value.shape)}"
        )
    _check_matrix(name, value[:, None] if isinstance(value, Tensor) else value, like)
    assert isinstance(value, Tensor)
    if bool((value < 0).any()):
        row = int(torch.nonzero(value < 0)[0])
        raise ValueError(f"{name} must be >= 0, got {value[row].item()} in row {row}")
    if not bool(value.any()):
        raise ValueError(f"{name} must not be 0 in every row")
    if bool((value == value[0]).all()):
        return None
    # Resolved weights stay as they are: `dataclasses.replace` calls this again.
    if abs(float(value.double().mean()) - 1) <= 4 * torch.finfo(value.dtype).eps:
        return value.contiguous()
    # Dividing by a power of two is exact: no sum overflows, and that of integers does not round.
    scaled = value.double() / 2.0 ** (math.frexp(float(value.max()))[1] - 1)
    return (len(scaled) * scaled / scaled.sum()).to(value.dtype)


def _check_shapes(x: Tensor, y: Tensor, w: Tensor) -> None:
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same number of rows, got {len(x)} and {len(y)}")
    if w.shape[1] != y.shape[1]:
        raise ValueError(
            f"w must have one column per output, (p, {y.shape[1]}), got shape {tuple(w.shape)}"
        )
    if w.shape[0] < w.shape[1]:
        raise ValueError(
            "w must have at least as many rows (features, p) as columns (outputs, q), "
            f"got shape {tuple(w.shape)}"
        )


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name} must be > 0, got {value}")
    return float(value)


def _finite_positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be > 0 and finite, got {value}")
    return float(value)


def _decay(value: float, beta: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"lambda_rho must be >= 0 and finite, got {value}")
    if value == 0 and math.isfinite(beta):
        raise ValueError("lambda_rho must be > 0 where beta is finite (no Gibbs law exists), got 0")
    return float(value)
