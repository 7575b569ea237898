"""Metropolis-adjusted Langevin moves under mu_G, or under another law of u."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.model.tiles import tiles
from gibbs.solver.conditional import Conditional
from gibbs.solver.dual import TILE
from gibbs.solver.mixture import Mixture

__all__ = ["FIRST_STEP", "LogDensity", "Target", "mala"]

FIRST_STEP = 0.3
"""Step of MALA before any tuning, in units of the prior variance."""

TARGET_ACCEPTANCE = 0.6
"""Acceptance that the step of MALA is tuned to: 0.574 is the most efficient in high dimension."""


@dataclass(frozen=True, eq=False)
class Target:
    r"""Log density of mu_G in the coordinates of the row space: e(u) - beta lambda/2 |u|^2.

    Attributes
    ----------
    problem : Problem
    x : Tensor (n, r)
        The inputs in these coordinates; its dtype is that of the sampling.
    dual : Tensor (n, q)
    """

    problem: Problem
    x: Tensor
    dual: Tensor

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Log density (M,), its gradient (M, r), and e(u) (M,).

        grad e(u) = sum_i (psi'(c) . W G_i) sigma'(u.x_i) x_i, c = W G^T s(u).
        """
        parts = [self._tile(u[tile]) for tile in tiles(len(u), TILE)]
        density, gradient, log_tilts = (torch.cat(part) for part in zip(*parts, strict=True))
        return density, gradient, log_tilts

    def _tile(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        problem = self.problem
        dual, w = self.dual.to(self.x.dtype), problem.w.to(self.x.dtype)
        values = problem.sigma.value_(u @ self.x.T)
        c = values @ (dual @ w.T)
        psi, psi_slope = Conditional.of(problem).derivatives(c, 0, 1)
        log_tilts = psi.sum(1)
        slopes = problem.sigma.slope(values)
        slopes *= psi_slope @ (w @ dual.T)
        prior = problem.beta * problem.decay
        return log_tilts - prior / 2 * u.square().sum(1), slopes @ self.x - prior * u, log_tilts


class LogDensity(Protocol):
    """A target of :func:`mala`: log density (M,), its gradient (M, r), and e(u) (M,)."""

    @property
    def problem(self) -> Problem:
        """The problem, whose prior variance is the scale of the moves."""

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate at each row of u (M, r)."""


def mala(
    target: LogDensity,
    u: Tensor,
    step: float,
    n_moves: int,
    *,
    generator: torch.Generator,
    metric: Mixture | None = None,
) -> tuple[Tensor, Tensor, float]:
    r"""Metropolis-adjusted Langevin moves of all points, the step tuned to 60 % acceptance.

    .. math:: u' \sim N(u + \tfrac h2 \Sigma_k \nabla \log\pi(u),\ h \Sigma_k)

    with the covariance of the component k of `metric` that most likely made u; the reverse
    move uses the component of u'. Without a metric it is the prior variance times I.

    Parameters
    ----------
    target : LogDensity
    u : Tensor (M, r)
    step : float
        h; in units of the prior variance without a metric.
    n_moves : int
    metric : Mixture, optional

    Returns
    -------
    Tensor (M, r), Tensor (M,), float
        The moved points, e(u) there, and the tuned step. Every move tunes it, by the acceptance of
        all points together, on which a single point has an influence of 1/M.
    """
    shape = _Metric(target.problem, metric, u)
    log_density, gradient, log_tilts = target(u)
    scales = shape.at(u)
    for _ in range(n_moves):
        noise = torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)
        drift = shape.times_transposed(scales, gradient)
        candidate = u + shape.times(scales, step / 2 * drift + math.sqrt(step) * noise)
        new_density, new_gradient, new_log_tilts = target(candidate)
        new_scales = shape.at(candidate)
        back = shape.solve(new_scales, u - candidate)
        back = back - step / 2 * shape.times_transposed(new_scales, new_gradient)
        log_ratio = new_density - log_density + noise.square().sum(1) / 2
        log_ratio -= back.square().sum(1) / (2 * step)
        log_ratio += shape.log_volume(scales) - shape.log_volume(new_scales)
        uniform = torch.rand(len(u), dtype=u.dtype, device=u.device, generator=generator)
        accepted = uniform.log() < log_ratio
        u = torch.where(accepted[:, None], candidate, u)
        gradient = torch.where(accepted[:, None], new_gradient, gradient)
        log_density = torch.where(accepted, new_density, log_density)
        log_tilts = torch.where(accepted, new_log_tilts, log_tilts)
        scales = torch.where(accepted, new_scales, scales)
        step *= math.exp(float(accepted.double().mean()) - TARGET_ACCEPTANCE)
    return u, log_tilts, step


class _Metric:
    """Lower factors L_k of the covariances of moves, and the one that is used at a point."""

    def __init__(self, problem: Problem, metric: Mixture | None, like: Tensor) -> None:
        self.mixture = metric
        if metric is None:
            scale = 1 / math.sqrt(problem.beta * problem.decay)
            self.factors = scale * torch.eye(like.shape[1]).to(like)[None]
        else:
            self.factors = metric.factors.to(like.dtype)
        self.volumes = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)

    def at(self, u: Tensor) -> Tensor:
        """The component k at each row of u (M, r), as (M,)."""
        if self.mixture is None:
            return torch.zeros(len(u), dtype=torch.long, device=u.device)
        return self.mixture.responsibilities(u).argmax(1)

    def log_volume(self, scales: Tensor) -> Tensor:
        """Log of det L_k."""
        return self.volumes[scales]

    def times(self, scales: Tensor, v: Tensor) -> Tensor:
        """L_k v, row by row."""
        return self._each(scales, v, lambda factor, rows: rows @ factor.T)

    def times_transposed(self, scales: Tensor, v: Tensor) -> Tensor:
        """L_k^T v."""
        return self._each(scales, v, lambda factor, rows: rows @ factor)

    def solve(self, scales: Tensor, v: Tensor) -> Tensor:
        """L_k^-1 v."""
        return self._each(
            scales,
            v,
            lambda factor, rows: torch.linalg.solve_triangular(factor, rows.T, upper=False).T,
        )

    def _each(self, scales: Tensor, v: Tensor, apply: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        if len(self.factors) == 1:
            return apply(self.factors[0], v)
        result = torch.empty_like(v)
        for k, factor in enumerate(self.factors):
            rows = torch.nonzero(scales == k).squeeze(1)
            if len(rows):
                result[rows] = apply(factor, v[rows])
        return result
