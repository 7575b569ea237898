r"""Where the dual of an unbounded activation is finite: the edge of its domain.

relu and softplus grow like sigma_inf(z) = max(0, z): sigma(t z)/t -> sigma_inf(z). Along u = t v
with abs(v) = 1 the exponent of prior times exp(e(u)) therefore goes like

.. math:: -\tfrac{\beta\lambda}{2} t^2 (1 - \kappa(v)^2), \qquad
    \kappa(v) = \tfrac{\gamma}{\lambda} |W G^T \sigma_\infty(X v)|.

With kappa < 1 in every direction E exp(e(u)) is finite; with kappa > 1 in one, hence in a cone, it
is infinite and D(G) = -inf. Any finite sample gives a finite number there: no lower bound at all.
At max kappa = 1 it is infinite for relu in rank 1 and 2; for softplus, or in higher rank, it can be
finite if the maximum lies on a kink. To call it infinite there too is safe: -inf is a lower bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.solver.certificate import Certificate, refusal

__all__ = [
    "EXACT_LIMIT",
    "FOUND_LIMIT",
    "NEGLIGIBLE",
    "N_ANGLES",
    "START_LIMIT",
    "Edge",
    "Guard",
    "edge",
    "growth",
    "has_domain",
    "in_domain",
    "needed_extent",
    "outside_certificate",
    "within",
]

EXACT_LIMIT = 1 - 1e-7
"""Largest exact kappa that is trusted: round-off of log Z, 1e-15/(1 - kappa^2), is 1e-8 nats."""

FOUND_LIMIT = 0.9
"""Largest kappa that is trusted where it was searched for: the maximum may be higher."""

START_LIMIT = 0.9
"""A solver starts at a G of at most this kappa: its first steps must not lead out of the domain."""

SHRINKAGE = 0.5
"""A G outside is scaled to this share of the allowed kappa: well inside, where steps have room."""

NEGLIGIBLE = 40.0
"""Fall of a log density, in nats, beyond which there is no mass: exp(-40) is 4e-18."""

KINK_WIDTHS = (0.0, 0.3, 0.03, None)
"""Widths, relative to |x_i|, over which kinks are smoothed in turn in the search for the largest
kappa; None is a random direction. With the exact gradient alone points stick to a ridge."""

N_RANDOM = 256
"""Random directions among which the search chooses its starts, beside those of the data."""

N_ANGLES = 256
"""Evenly spaced rays in rank 2."""

WORTHWHILE = 0.95
"""The radius of :func:`needed_extent` is halved while some ray becomes shorter than this share."""


@dataclass(frozen=True, eq=False)
class Edge:
    """The largest kappa over all directions.

    Attributes
    ----------
    kappa : float
        kappa at `direction`: the maximum where `exact`, else a lower bound of it.
    direction : Tensor (r,)
        v, of length 1.
    bound : float
        An upper bound of the maximum; `kappa` where `exact`.
    exact : bool
    """

    kappa: float
    direction: Tensor
    bound: float
    exact: bool

    @property
    def outside(self) -> bool:
        """Whether D(G) = -inf is known."""
        return self.kappa >= 1

    @property
    def reason(self) -> str:
        """Why a certificate is refused, in one sentence; "" where it need not be."""
        shown = ", ".join(f"{v:.3g}" for v in self.direction[:4].tolist())
        shown += ", ..." if len(self.direction) > 4 else ""
        name = f"kappa = (gamma/lambda) |W G^T max(0, X v)| is {self.kappa:.6g}"
        if self.outside:
            return (
                f"{name} >= 1 at v = ({shown}) in the row space of X: E exp(e(u)) diverges along "
                "v, and the dual is -inf"
            )
        if self.exact and self.kappa > EXACT_LIMIT:
            return f"{name} at most, too near to 1, where the dual is -inf, for its round-off"
        if not self.exact and self.kappa >= FOUND_LIMIT and self.bound >= 1:
            return (
                f"{name} at the best direction found, and may be >= 1, where the dual is -inf, at "
                f"another: a search is trusted below {FOUND_LIMIT}"
            )
        return ""


def edge(
    small: Problem,
    dual: Tensor,
    *,
    generator: torch.Generator | None = None,
    starts: Tensor | None = None,
    n_starts: int = 48,
    n_steps: int = 32,
) -> Edge:
    r"""Maximise kappa(v) over abs(v) = 1: exact in rank 1 and 2, else by ascent.

    In rank 2 the kinks cut the circle into sectors; in each, kappa is abs(A v) with a constant
    A, largest at an end or at the top singular direction of A. In higher rank every step
    does the same on the circle through v and one tangent direction: it holds v, so kappa never
    falls. The direction is a gradient of kappa^2, with its kinks smoothed by widths in turn
    (else points stick to a ridge), or a random one. Of the upper bounds on kappa the
    one given comes from max(0, z) = (z + abs(z))/2: 1/2 abs(P X) + 1/2 abs(P) abs(X) in operator
    norms, P = (gamma/lambda) W G^T.

    Parameters
    ----------
    small : Problem
        In the coordinates of the row space of X, unbounded activation.
    dual : Tensor (n, q)
        G.
    generator : torch.Generator, optional
        Needed in rank > 2.
    starts : Tensor (k, r), optional
        More directions to start from in rank > 2, as of an edge at another G.
    n_starts : int, default 48
        Starts of the ascent, in rank > 2: the best of all candidates, and some random ones.
    n_steps : int, default 32

    Returns
    -------
    Edge

    Raises
    ------
    ValueError
        Without a generator in rank > 2.
    """
    x, matrix = small.x, _growth_matrix(small, dual)
    if small.n_inputs == 1:
        v, values = _largest(matrix, x, x.new_tensor([[1.0], [-1.0]]))
    elif small.n_inputs == 2:
        angles = _best_angles(x[None], matrix)
        v, values = _largest(matrix, x, torch.stack([angles.cos(), angles.sin()], 1))
    else:
        if generator is None:
            raise ValueError("generator must be given in rank > 2: the search starts at random")
        v, values = _ascend(x, matrix, starts, n_starts, n_steps, generator)
        plain = torch.linalg.matrix_norm(x.T @ matrix, 2)
        product = torch.linalg.matrix_norm(x, 2) * torch.linalg.matrix_norm(matrix, 2)
        bound = float(plain + product) / 2
        return Edge(values, v, max(bound, values), exact=False)
    return Edge(values, v, values, exact=True)


def growth(small: Problem, dual: Tensor, v: Tensor) -> Tensor:
    """Kappa at each row of v (k, r), as (k,)."""
    return _kappa(_growth_matrix(small, dual), v @ small.x.T)


def in_domain(
    small: Problem,
    dual: Tensor,
    *,
    generator: torch.Generator | None = None,
    share: float = 1.0,
    n_starts: int = 48,
    n_steps: int = 32,
) -> tuple[Tensor, Edge]:
    """Shrink G towards 0, which is always inside, until kappa < share; kappa is linear in it."""
    found = edge(small, dual, generator=generator, n_starts=n_starts, n_steps=n_steps)
    if found.kappa < share:
        return dual, found
    factor = SHRINKAGE * share / found.kappa
    kappa, bound = factor * found.kappa, factor * found.bound
    return factor * dual, replace(found, kappa=kappa, bound=bound)


def has_domain(small: Problem) -> bool:
    """Whether D is -inf somewhere: an unbounded activation, and no truncation."""
    return not (small.sigma.bounded or small.truncation is not None)


class Guard:
    """Whether the ascent of the dual may go to a G: the largest kappa found is below FOUND_LIMIT.

    Parameters
    ----------
    small : Problem
    generator : torch.Generator
        For the starts of the search, beside the best direction so far.
    """

    def __init__(self, small: Problem, generator: torch.Generator) -> None:
        self.small, self.generator = small, generator
        self.best: Tensor | None = None

    def __call__(self, dual: Tensor) -> bool:
        """Search from the best direction so far, and from a few new ones."""
        if not has_domain(self.small):
            return True
        few = {"n_starts": 12, "n_steps": 8} if self.best is not None else {}
        found = edge(self.small, dual, generator=self.generator, starts=self.best, **few)
        self.best = found.direction[None]
        return not found.reason


def needed_extent(small: Problem, dual: Tensor, found: Edge) -> tuple[float, float]:
    r"""How far the law of u reaches, in prior deviations, and how unlike a scaled prior; rank <= 2.

    On a ray v let b(s) be the largest (gamma/lambda) abs(W G^T (sigma - sigma_inf)(X u)), in units
    of the prior deviation, at radii >= s. There sqrt(2 e(u)) <= kappa t + b, and the exponent
    e(u) - t^2/2 is at most (kappa t + b)^2/2 - t^2/2, which falls to -40 at

    .. math:: t = (\kappa b + \sqrt{b^2 + 80 (1 - \kappa^2)}) / (1 - \kappa^2).

    The larger of s and t will do; s is halved for as long as that helps. sigma - sigma_inf is
    >= 0 and falls with the distance from a kink, so the positive and the negative part of G give
    a b(s) that falls with s. The rays are those of the kinks, of the largest kappa, and evenly
    spaced ones.

    Returns
    -------
    float, float
        The largest t, and the largest t (1 - kappa^2)^(1/2) / 9, which is about 1 for b = 0: the
        law then is as wide as it is far away, else narrower by that factor. Infinite outside of
        the domain.
    """
    if found.outside:
        return math.inf, math.inf
    rays = torch.cat([_rays(small.x), found.direction[None]])
    kappa = growth(small, dual, rays)
    left = (1 - kappa) * (1 + kappa)
    along = rays @ small.x.T / math.sqrt(small.beta * small.decay)
    scale = math.sqrt(small.beta * small.decay) * small.gamma / small.decay
    scale *= float(torch.linalg.matrix_norm(small.w, 2))

    def extent_from(radius: Tensor) -> Tensor:
        z = radius[:, None] * along
        rest = small.sigma(z) - z.clamp(min=0)
        parts = torch.maximum(rest @ dual.clamp(min=0), rest @ (-dual).clamp(min=0))
        b = scale * torch.linalg.vector_norm(parts, dim=1)
        return torch.maximum(
            radius, (kappa * b + (b.square() + 2 * NEGLIGIBLE * left).sqrt()) / left
        )

    best = extent_from(torch.zeros_like(kappa))
    for _ in range(40):
        shorter = torch.minimum(best, extent_from(best / 2))
        if bool((shorter > WORTHWHILE * best).all()):
            break
        best = shorter
    return float(best.max()), float((best * left.sqrt()).max()) / 9


def _rays(x: Tensor) -> Tensor:
    """Directions that meet every change of the activations of rank-1 or rank-2 inputs."""
    if x.shape[1] == 1:
        return x.new_tensor([[1.0], [-1.0]])
    even = torch.linspace(0, 2 * math.pi, N_ANGLES + 1, dtype=x.dtype, device=x.device)
    angles = torch.cat([*kink_angles(x), even])
    return torch.stack([angles.cos(), angles.sin()], 1)


def outside_certificate(found: Edge, prior_energy: float, method: str) -> Certificate:
    """Certificate of a G outside of the domain: it has no Gibbs form, and D(G) = -inf is known."""
    unknown = refusal(found.reason, prior_energy, method)
    return replace(unknown, gap_stderr=0.0, dual_stderr=0.0, bounded=True)


def within(certificate: Certificate, found: Edge) -> Certificate:
    """The certificate, refused where G is at or beyond the edge of the domain."""
    if found.outside:
        return outside_certificate(found, certificate.prior_energy, certificate.method)
    if found.reason:
        return replace(certificate, certified=False, reason=found.reason, bounded=False)
    return certificate


def _growth_matrix(small: Problem, dual: Tensor) -> Tensor:
    """M = (gamma/lambda) G R^T (n, q) with R^T R = W^T W: kappa(v) = |M^T max(0, X v)|."""
    root: Tensor = torch.linalg.qr(small.w).R
    matrix: Tensor = small.gamma / small.decay * dual @ root.T
    return matrix


def _kappa(matrix: Tensor, along: Tensor) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(along.clamp(min=0) @ matrix, dim=-1)
    return size


def _largest(matrix: Tensor, x: Tensor, v: Tensor) -> tuple[Tensor, float]:
    values = _kappa(matrix, v @ x.T)
    best = int(values.argmax())
    return v[best], float(values[best])


def kink_angles(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Angles in [0, 2 pi) where each row of planes (..., n, 2) becomes active, and ceases to be."""
    angle = torch.atan2(planes[..., 1], planes[..., 0])
    turn = 2 * math.pi
    return (angle - math.pi / 2).remainder(turn), (angle + math.pi / 2).remainder(turn)


def _best_angles(planes: Tensor, matrix: Tensor) -> Tensor:
    """Angle of the largest kappa on each of S circles, given X in their planes (S, n, 2)."""
    enter, leave = kink_angles(planes)
    lows, order = torch.cat([enter, leave], 1).sort(1)
    widths = torch.cat([lows[:, 1:], lows[:, :1] + 2 * math.pi], 1) - lows
    # A^T of the sector that holds angle 0, then one term more or less at every kink.
    terms = (planes[..., None] * matrix[:, None]).flatten(2)
    first = ((enter > leave)[..., None] * terms).sum(1, keepdim=True)
    changes = torch.cat([terms, -terms], 1).gather(
        1, order[..., None].expand(-1, -1, terms.shape[2])
    )
    a = (first + changes.cumsum(1)).reshape(*lows.shape, 2, -1)
    half = (a[:, :, 0].square() - a[:, :, 1].square()).sum(2) / 2
    mean = a.square().sum((2, 3)) / 2
    cross = (a[:, :, 0] * a[:, :, 1]).sum(2)
    at_ends = mean + half * (2 * lows).cos() + cross * (2 * lows).sin()
    ahead = (torch.atan2(cross, half) / 2 - lows).remainder(math.pi)
    inside = torch.where(ahead <= widths, mean + torch.hypot(half, cross), -1.0)
    best = torch.cat([at_ends, inside], 1).argmax(1, keepdim=True)
    return torch.cat([lows, lows + ahead], 1).gather(1, best)[:, 0]


def _ascend(
    x: Tensor,
    matrix: Tensor,
    starts: Tensor | None,
    n_starts: int,
    n_steps: int,
    generator: torch.Generator,
) -> tuple[Tensor, float]:
    def normals(count: int) -> Tensor:
        shape = (count, x.shape[1])
        return torch.randn(shape, dtype=x.dtype, device=x.device, generator=generator)

    rows = x[x.norm(dim=1) > 0]
    singular = torch.linalg.svd(matrix.T @ x, full_matrices=False)[2]
    known = [rows, -rows, singular, -singular, normals(N_RANDOM)]
    if starts is not None:
        known.append(starts.to(x))
    candidates = _unit(torch.cat(known))
    chosen = _kappa(matrix, candidates @ x.T).topk(min(2 * n_starts // 3, len(candidates))).indices
    v = _unit(torch.cat([candidates[chosen], normals(n_starts - 2 * n_starts // 3)]))
    for step in range(n_steps):
        along = v @ x.T
        width = KINK_WIDTHS[step % len(KINK_WIDTHS)]
        towards = normals(len(v)) if width is None else _gradient(x, matrix, along, width)
        towards = _unit(towards - (towards * v).sum(1, keepdim=True) * v)
        angles = _best_angles(torch.stack([along, towards @ x.T], 2), matrix)[:, None]
        trial = _unit(angles.cos() * v + angles.sin() * towards)
        better = _kappa(matrix, trial @ x.T) > _kappa(matrix, along)
        v = torch.where(better[:, None], trial, v)
    return _largest(matrix, x, v)


def _gradient(x: Tensor, matrix: Tensor, along: Tensor, width: float) -> Tensor:
    """Half the gradient of kappa^2, the steps of its kinks spread over a share of |x_i|."""
    active = (along > 0).to(x) if width == 0 else (along / (width * _lengths(x))).sigmoid()
    gradient: Tensor = (active * (along.clamp(min=0) @ matrix @ matrix.T)) @ x
    return gradient


def _lengths(x: Tensor) -> Tensor:
    sizes: Tensor = torch.linalg.vector_norm(x, dim=1)
    return sizes.clamp(min=torch.finfo(x.dtype).tiny)


def _unit(v: Tensor) -> Tensor:
    return v / _lengths(v)[:, None]
