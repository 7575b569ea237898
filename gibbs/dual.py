r"""The dual of stage one: a concave problem in the (n, q) numbers of G.

Throughout, lambda is lambda_rho, tau is the identity, s(u) = sigma(X u) in R^n, B = W^T W, and
the prior of u is N(0, I/(beta lambda)). Given u the first variation is linear in a plus
lambda/2 |a|^2, so a integrates out: the Gibbs-form law rho_G of a dual point G is

.. math:: a \mid u \sim N(-\tfrac{\gamma}{\lambda} W G^T s(u), \tfrac{1}{\beta\lambda} I),
    \qquad \mu_G(du) \propto e^{e(u)}\, prior(du), \quad
    e(u) = \tfrac{\beta\gamma^2}{2\lambda} |W G^T s(u)|^2.

The minimizer of the free energy (Eq. 27) is rho_G at the maximizer of the dual function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gibbs.problem import Problem

__all__ = [
    "TILE",
    "Progress",
    "StepLog",
    "Tilted",
    "dual_value",
    "dual_value_at",
    "gap_of",
    "newton_direction",
    "residual",
    "solve_ridge",
    "tight_gap",
    "tiles",
    "tilt",
]


Progress = Callable[[dict[str, float]], None]

TILE = 1024
"""Points handled at a time: their activations stay in the cache."""


def tiles(n: int, size: int) -> list[slice]:
    """Cut 0..n-1 into consecutive slices of `size` (the last one may be shorter)."""
    return [slice(k, min(k + size, n)) for k in range(0, n, size)]


@dataclass(frozen=True, eq=False)
class Tilted:
    """Weighted points that stand for mu_G, with the normalising constant of their weights.

    Attributes
    ----------
    problem : Problem
        In float64.
    dual : Tensor (n, q)
        G.
    values : Tensor (M, n)
        sigma(u_m . x_i) at the points; float64 for quadrature, float32 is enough for samples.
    base : Tensor (M,)
        Logarithm of each point's prior mass: e(u_m) added and normalised, it gives `weights`.
    log_z : float
        log E_prior exp(e(u)).
    weights : Tensor (M,)
        Of mu_G, adding up to 1.
    """

    problem: Problem
    dual: Tensor
    values: Tensor
    base: Tensor
    log_z: float
    weights: Tensor

    @property
    def kernel(self) -> Tensor:
        """K (n, n) of mu_G, Eq. 8."""
        n = self.values.shape[1]
        total = self.weights.new_zeros(n, n)
        for tile in tiles(len(self.values), TILE):
            values, weights = self.values[tile], self.weights[tile]
            total += (values * weights[:, None].to(values.dtype)).T @ values
        return total

    @property
    def effective_size(self) -> float:
        """1 / sum of the squared weights."""
        return 1 / float(self.weights.square().sum())

    def at(self, dual: Tensor) -> Tilted:
        """The same points, re-weighted for another G."""
        log_weights = self.base + tilt(self.problem, dual, self.values)
        log_z = torch.logsumexp(log_weights, 0)
        weights = torch.exp(log_weights - log_z)
        return replace(self, dual=dual, log_z=float(log_z), weights=weights)


def tilt(problem: Problem, dual: Tensor, values: Tensor) -> Tensor:
    r"""e(u) = beta gamma^2/(2 lambda) |W G^T s(u)|^2 at each row of `values` (M, n), as (M,)."""
    pulls = (values @ dual.to(values.dtype)).double() @ problem.w.T
    return problem.beta * problem.gamma**2 / (2 * problem.decay) * pulls.square().sum(1)


def dual_value(tilted: Tilted) -> float:
    r"""Dual function, a lower bound on the least free energy counted relative to the prior.

    .. math:: D(G) = -\langle G, Y\rangle - \tfrac n2 \|G\|_F^2
        - \tfrac1\beta \log E_{prior}\, e^{e(u)}

    Concave; D(G) <= min E, with equality at its maximizer, G = (Z - Y)/n.
    """
    return dual_value_at(tilted.problem, tilted.dual, tilted.log_z)


def dual_value_at(problem: Problem, dual: Tensor, log_z: float) -> float:
    """The same, from log_z = log E_prior exp(e(u)) at that G."""
    linear = (dual * problem.y).sum() + problem.n_samples / 2 * dual.square().sum()
    return float(-linear) - log_z / problem.beta


def residual(problem: Problem, dual: Tensor, kernel: Tensor) -> Tensor:
    r"""R(G) = -grad D = Y + n G + (gamma^2/lambda) K_G G W^T W, an (n, q) matrix.

    It is 0 where G agrees with the outputs that it causes: Z_G = -(gamma^2/lambda) K_G G W^T W.
    """
    coupled = kernel @ dual @ _gram(problem)
    return problem.y + problem.n_samples * dual + _strength(problem) * coupled


def solve_ridge(problem: Problem, kernel: Tensor, right: Tensor) -> Tensor:
    r"""Solve A V = right, A = n I + (gamma^2/lambda) K (x) W^T W, for V (n, q).

    Exact, by the eigenvectors of the two factors. `-solve_ridge(problem, K, Y)` is the dual
    point that a law of u with kernel K calls for.
    """
    return _RidgeSolver(problem, kernel)(right)


def tight_gap(problem: Problem, dual: Tensor, kernel: Tensor) -> float:
    r"""Duality gap of the law of u, with a given u re-optimised in closed form.

    With A of :func:`solve_ridge`, F(mu) = 1/2 <Y, A^-1 Y> + KL(mu | prior)/beta is the free
    energy of the best law with marginal mu, and F(mu_G) - D(G) = 1/2 <R, A^-1 R>: the
    normalising constant cancels. A measured kernel with noise makes it too large on average.
    """
    r = residual(problem, dual, kernel)
    return 0.5 * float((r * solve_ridge(problem, kernel, r)).sum())


def newton_direction(
    tilted: Tilted, *, tolerance: float = 1e-10, most: int = 100
) -> tuple[Tensor, float]:
    r"""Newton direction of the dual at G, by preconditioned conjugate gradients.

    The Hessian of -D is n I + (gamma^2/lambda) K (x) W^T W + (1/beta) Cov_{mu_G}(phi), with
    phi(u) = (beta gamma^2/lambda) s(u) (s(u)^T G) W^T W; the first two terms, A, are the
    preconditioner.

    Returns
    -------
    Tensor (n, q), float
        The direction, and the slope of D along it (half the squared Newton decrement times 2).
    """
    problem, values = tilted.problem, tilted.values
    gram, strength = _gram(problem), _strength(problem)
    weights = tilted.weights.to(values.dtype)
    pulled = values @ (tilted.dual @ gram).to(values.dtype)
    kernel = tilted.kernel
    mean = (values.T @ (weights[:, None] * pulled)).double()

    def hessian(v: Tensor) -> Tensor:
        along = (values @ v.to(values.dtype) * pulled).sum(1)
        moment = (values.T @ ((weights * along)[:, None] * pulled)).double()
        covariance = moment - mean * float(weights @ along)
        plain = problem.n_samples * v + strength * kernel @ v @ gram
        return plain + problem.beta * strength**2 * covariance

    gradient = -residual(problem, tilted.dual, kernel)
    solver = _RidgeSolver(problem, kernel)
    direction = torch.zeros_like(gradient)
    left = gradient.clone()
    scaled = solver(left)
    search = scaled.clone()
    product = (left * scaled).sum()
    first = float(product)
    for _ in range(most):
        if not float(product) > tolerance**2 * first:
            break
        image = hessian(search)
        step = product / (search * image).sum()
        direction += step * search
        left -= step * image
        scaled = solver(left)
        before, product = product, (left * scaled).sum()
        search = scaled + product / before * search
    return direction, float((gradient * direction).sum())


def gap_of(tilted: Tilted) -> float:
    """:func:`tight_gap` at the G and the kernel of weighted points."""
    return tight_gap(tilted.problem, tilted.dual, tilted.kernel)


class StepLog:
    """What a solver notes after every Newton step, told to `progress` as it comes.

    Parameters
    ----------
    progress : callable, optional
        Takes a dict of "dual", "gap", "step" and "effective_size".
    """

    NAMES = ("dual", "gap", "step", "effective_size")

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress
        self.rows: list[dict[str, float]] = []

    def record(self, *numbers: float) -> None:
        """Note one step; the numbers come in the order of `NAMES`."""
        self.rows.append(dict(zip(self.NAMES, numbers, strict=True)))
        if self.progress is not None:
            self.progress(self.rows[-1])

    def tensors(self) -> dict[str, Tensor]:
        """The history: one float64 tensor a name."""
        return {
            name: torch.tensor([row[name] for row in self.rows], dtype=torch.float64)
            for name in self.NAMES
        }


class _RidgeSolver:
    """A^-1 for one kernel and many right-hand sides."""

    def __init__(self, problem: Problem, kernel: Tensor) -> None:
        self.k_values, self.k = torch.linalg.eigh(kernel)
        b_values, self.b = torch.linalg.eigh(_gram(problem))
        self.denominator = problem.n_samples + _strength(problem) * torch.outer(
            self.k_values.clamp(min=0), b_values.clamp(min=0)
        )

    def __call__(self, right: Tensor) -> Tensor:
        solved: Tensor = self.k @ ((self.k.T @ right @ self.b) / self.denominator) @ self.b.T
        return solved


def _gram(problem: Problem) -> Tensor:
    return problem.w.T @ problem.w


def _strength(problem: Problem) -> float:
    return problem.gamma**2 / problem.decay
