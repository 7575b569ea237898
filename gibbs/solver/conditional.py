r"""The law of a given u, one coordinate at a time: everything that a smooth truncation changes.

Given u the coordinates of a are independent, and each depends on the data through one number, its
coordinate of the local field c = W C^T s(u), where C = G for a Gibbs form rho_G. With tau = tau_R
(:mod:`gibbs.model.truncation`),

.. math:: p(a \mid c) \propto e^{-\beta\gamma c\,\tau(a)}\, N(0, \tfrac{1}{\beta\lambda})(a),
    \qquad \psi(c) = \log E_{a \sim N(0, 1/(\beta\lambda))}\, e^{-\beta\gamma c\,\tau(a)},

and e(u) is the sum of psi(c_k). In units of the prior deviation, with r = R sqrt(beta lambda)
and t = -beta gamma c / sqrt(beta lambda), psi is Psi_r(t) = log E exp(t tau_r(z)), z ~ N(0, 1):
even, convex, t^2/2 below r - 12, and nearly straight where a has passed 2r. It is tabulated once
for each r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gibbs.gauss_rules import legendre_rule
from gibbs.model.problem import Problem
from gibbs.model.truncation import truncate, truncate_slope

__all__ = ["Conditional"]

SPACING = 0.005
"""Of the nodes of the table, in asinh((t - r) / max(1, 1/r))."""

UNTRUNCATED = 12.0
"""This many deviations below r the truncation changes nothing: Psi = t^2/2 to round-off."""

FARTHEST = 1e10
"""The table ends at this times max(r, 1/r); Psi is straight from there to 1e-13, relative."""

DROP = 45.0
"""Integrals over a stop where the density has fallen by exp(-45)."""

CHUNK = 2**18
"""Coordinates drawn at a time."""

_SQUARE = 3  # Place of E z^2 in the table, after Psi and its first two derivatives.


@dataclass(frozen=True)
class Conditional:
    r"""Law of one coordinate of a, given its local field c; every method takes c of any shape.

    Attributes
    ----------
    precision : float
        beta lambda, of the prior.
    coupling : float
        beta gamma.
    radius : float or None
        R. With None everything is closed form: psi = beta gamma^2 c^2/(2 lambda), and a is
        Gaussian of mean -(gamma/lambda) c and variance 1/(beta lambda). Else psi and its
        derivatives come from a table, to 1e-11 relative for r <= 100; beyond that, and for
        t > r, round-off of about 1e-16 r^2 in psi'' is the limit.
    """

    precision: float
    coupling: float
    radius: float | None

    @classmethod
    def of(cls, problem: Problem) -> Conditional:
        """The law with the constants of a problem."""
        return cls(problem.beta * problem.decay, problem.beta * problem.gamma, problem.truncation)

    def derivatives(self, c: Tensor, *orders: int) -> list[Tensor]:
        """psi(c) and its derivatives in c, of the orders asked for out of 0, 1, 2."""
        curvature = self.coupling**2 / self.precision
        if self.radius is None:
            closed = (
                lambda: curvature / 2 * c.square(),
                lambda: curvature * c,
                lambda: torch.full_like(c, curvature),
            )
            return [closed[order]() for order in orders]
        t = self._standard(c)
        factor = -self.coupling / math.sqrt(self.precision)
        found = self._table(c).look_up(t.abs(), *orders)
        parities = (1.0, factor * t.sign(), factor**2)
        return [(f * parities[k]).to(c.dtype) for f, k in zip(found, orders, strict=True)]

    def log_normalizer(self, c: Tensor) -> Tensor:
        """psi(c) >= 0."""
        return self.derivatives(c, 0)[0]

    def total(self, c: Tensor) -> Tensor:
        """Sum of psi over the last dimension: e(u), for rows of p local fields, one u a row."""
        if self.radius is None:
            return self.coupling**2 / (2 * self.precision) * c.square().sum(-1)
        return self.log_normalizer(c).sum(-1)

    def mean(self, c: Tensor) -> Tensor:
        """Mean of tau(a): m = -psi'(c) / (beta gamma)."""
        return self.derivatives(c, 1)[0] / -self.coupling

    def variance(self, c: Tensor) -> Tensor:
        """Variance of tau(a): v = psi''(c) / (beta gamma)^2."""
        return self.derivatives(c, 2)[0] / self.coupling**2

    def mean_square(self, c: Tensor) -> Tensor:
        """Mean of a^2: of a itself, not of tau(a)."""
        if self.radius is None:
            return 1 / self.precision + self.mean(c).square()
        (found,) = self._table(c).look_up(self._standard(c).abs(), _SQUARE)
        return (found / self.precision).to(c.dtype)

    def divergence(self, c: Tensor) -> Tensor:
        """KL of the law of a given c from the prior N(0, 1/(beta lambda)): c psi'(c) - psi(c)."""
        value, slope = self.derivatives(c, 0, 1)
        return c * slope - value

    def mean_factors(self, products: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Two factors (M, k), (k, p) of the means of tau(a) at c = products W^T, products (M, q).

        Without truncation k = q, so that averages are taken of q columns in place of p.
        """
        if self.radius is None:
            return products, -self.coupling / self.precision * w.T
        return self.mean(products @ w.T), torch.eye(len(w), dtype=w.dtype, device=w.device)

    def stand_in(self, c: Tensor) -> Tensor:
        """The a with tau(a) = m(c), which acts on the features as the whole law does."""
        mean = self.mean(c)
        if self.radius is None:
            return mean
        low, high = torch.zeros_like(mean), torch.full_like(mean, 2 * self.radius)
        for _ in range(60):
            middle = (low + high) / 2
            beyond = truncate(middle, self.radius) > mean.abs()
            low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
        return torch.copysign((low + high) / 2, mean)

    def sample(self, c: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw a for each c, exactly, in the dtype of c."""
        scale = 1 / math.sqrt(self.precision)
        if self.radius is None:
            noise = torch.randn(c.shape, dtype=c.dtype, device=c.device, generator=generator)
            return self.mean(c) + scale * noise
        t, r = self._standard(c).flatten(), self.radius / scale
        drawn = torch.cat([_draw(part.abs(), r, generator) for part in torch.split(t, CHUNK)])
        return (scale * torch.where(t < 0, -drawn, drawn)).reshape(c.shape).to(c.dtype)

    def _standard(self, c: Tensor) -> Tensor:
        return -self.coupling / math.sqrt(self.precision) * c.double()

    def _table(self, c: Tensor) -> _Table:
        assert self.radius is not None
        return _tabulate(self.radius * math.sqrt(self.precision), str(c.device))


@dataclass(frozen=True, eq=False)
class _Table:
    """Psi, Psi', Psi'' and E z^2 over t >= 0, each by its own quintic Hermite interpolation.

    Attributes
    ----------
    centre, width, first : float
        Cells are equal in asinh((t - centre) / width), from `first` on.
    left, height : Tensor (K,)
        Left end of each cell, and 1 / its length.
    coefficients : Tensor (4, 6, K)
        Of each function, by powers of the place in the cell. One cell more stands at each
        end: below the nodes Psi = t^2/2 (or the first cell again), beyond them it is straight.
    """

    centre: float
    width: float
    first: float
    left: Tensor
    height: Tensor
    coefficients: Tensor

    def look_up(self, t: Tensor, *functions: int) -> list[Tensor]:
        """Some of the four functions at t >= 0 (float64)."""
        at = torch.asinh((t.detach() - self.centre) / self.width)
        cell = at.sub_(self.first).div_(SPACING).floor_().add_(1).clamp_(0, len(self.left) - 1)
        index = cell.long()
        place = (t - self.left[index]) * self.height[index]
        results = []
        for function in functions:
            powers = self.coefficients[function]
            value = powers[5][index]
            for k in (4, 3, 2, 1, 0):
                value = torch.addcmul(powers[k][index], value, place)
            results.append(value)
        return results


@lru_cache(maxsize=8)
def _tabulate(r: float, device: str) -> _Table:
    """The table of one r, in units of the prior deviation."""
    width, start = max(1.0, 1 / r), max(0.0, r - UNTRUNCATED)
    first = math.asinh((start - r) / width)
    last = math.asinh(FARTHEST * max(r, 1 / r) / width)
    x = first + SPACING * torch.arange(math.ceil((last - first) / SPACING), dtype=torch.float64)
    t = r + width * torch.sinh(x)
    t[0] = start
    jets = torch.cat([_jets(part, r) for part in torch.split(t, 1024)], dim=2)
    h = t.diff()
    cells = torch.stack([_hermite(jet, h) for jet in jets])
    below = cells[:, :, :1]
    left, height = torch.cat([t[:1], t]), torch.cat([1 / h[:1], 1 / h, h.new_ones(1)])
    if start > 0:
        left[0], height[0] = 0.0, 1.0
        below = cells.new_zeros(4, 6, 1)
        below[0, 2] = 0.5
        below[1, 1] = below[2, 0] = below[3, 0] = below[3, 2] = 1.0
    beyond = cells.new_zeros(4, 6, 1)
    beyond[:, 0, 0] = jets[:, 0, -1]
    beyond[0, 1] = jets[1, 0, -1]
    coefficients = torch.cat([below, cells, beyond], dim=2)
    return _Table(r, width, first, left.to(device), height.to(device), coefficients.to(device))


def _hermite(jet: Tensor, h: Tensor) -> Tensor:
    """Coefficients (6, K - 1) of the quintic in each cell, from K nodes and a jet (3, K)."""
    f, slope, curvature = jet
    rise = f.diff()
    d0, d1 = slope[:-1] * h, slope[1:] * h
    s0, s1 = curvature[:-1] * h**2, curvature[1:] * h**2
    return torch.stack(
        [
            f[:-1],
            d0,
            s0 / 2,
            10 * rise - 6 * d0 - 4 * d1 - 1.5 * s0 + s1 / 2,
            -15 * rise + 8 * d0 + 7 * d1 + 1.5 * s0 - s1,
            6 * rise - 3 * (d0 + d1) + (s1 - s0) / 2,
        ]
    )


def _jets(t: Tensor, r: float) -> Tensor:
    r"""(4, 3, K): Psi, Psi', Psi'' and E z^2, each with its first two derivatives, at t >= 0.

    Gauss-Legendre sums over y = |z|, of density proportional to
    exp(t tau(y) - y^2/2) (1 + exp(-2 t tau(y))), on panels between its mode and the joints of
    tau; the derivatives are cumulants of tau, and of z^2 with tau. All spreads are of the
    deficit 3r/2 - tau, which keeps its digits where tau saturates.
    """
    mode = _mode(t, r)
    low, high = _where_fallen(t, r, mode, DROP)
    joints = [
        point.clamp(low, high) for point in (torch.full_like(t, r), torch.full_like(t, 2 * r))
    ]
    ends = torch.stack([low, mode, *joints, high]).sort(0).values
    nodes, masses = legendre_rule(64)
    y = (ends[:-1, None] + ends.diff(dim=0)[:, None] * nodes[:, None]).flatten(0, 1)
    widths = (ends.diff(dim=0)[:, None] * masses[:, None]).flatten(0, 1)
    deficit, tau = _deficit(y, r), truncate(y, r)
    exponent = -t * deficit - y.square() / 2
    top = exponent.max(0).values
    negative = torch.exp(-2 * t * tau)
    mass = widths * torch.exp(exponent - top)
    whole = (mass * (1 + negative)).sum(0)
    root = math.sqrt(2 * math.pi)
    log_z = 1.5 * r * t + top + torch.log(whole / root)
    normal = widths * torch.exp(-y.square() / 2)
    small = torch.log1p((4 * normal * torch.sinh(t * tau / 2).square()).sum(0) / root)
    log_z = torch.where(1.5 * r * t < 1, small, log_z)
    p = torch.stack([mass, mass * negative]) / whole
    mean = (p[0] * tau * -torch.expm1(-2 * t * tau)).sum(0)
    d = torch.stack([deficit, 3 * r - deficit])
    spread = (p * d).sum((0, 1)) - d
    second, third, fourth = ((p * spread**k).sum((0, 1)) for k in (2, 3, 4))
    square = (p * y.square()).sum((0, 1))
    off = y.square() - square
    along, twice = ((p * off * spread**k).sum((0, 1)) for k in (1, 2))
    third = torch.where(t == 0, 0.0, third)
    along = torch.where(t == 0, 0.0, along)
    fourth = fourth - 3 * second**2
    return torch.stack(
        [
            torch.stack([log_z, mean, second]),
            torch.stack([mean, second, third]),
            torch.stack([second, third, fourth]),
            torch.stack([square, along, twice]),
        ]
    )


def _deficit(y: Tensor, r: float) -> Tensor:
    """3r/2 - tau_r(y) for y >= 0, to full relative precision."""
    q = (2 - y / r).clamp(0, 1)
    return r * q**3 * (1 - q / 2) + (r - y).clamp(min=0)


def _log_density(t: Tensor, y: Tensor, r: float) -> Tensor:
    """The exponent t (tau(y) - 3r/2) - y^2/2, which is concave in y >= 0."""
    return -t * _deficit(y, r) - y.square() / 2


def _mode(t: Tensor, r: float) -> Tensor:
    """Where t tau'(y) = y."""
    low, high = t.clamp(max=r), t.clamp(max=2 * r)
    for _ in range(55):
        middle = (low + high) / 2
        rising = t * truncate_slope(middle, r) > middle
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    return (low + high) / 2


def _where_fallen(
    t: Tensor, r: float, mode: Tensor, drop: float, n_steps: int = 40
) -> tuple[Tensor, Tensor]:
    """The y on both sides of the mode where the log density is `drop` lower; or 0, on the left."""
    floor = _log_density(t, mode, r) - drop
    sides = []
    for end in (torch.zeros_like(mode), mode.clamp(min=2 * r) + math.sqrt(2 * drop)):
        inside, outside = mode, end
        for _ in range(n_steps):
            middle = (inside + outside) / 2
            higher = _log_density(t, middle, r) > floor
            inside, outside = (
                torch.where(higher, middle, inside),
                torch.where(higher, outside, middle),
            )
        sides.append(outside)
    low = torch.where(_log_density(t, torch.zeros_like(mode), r) > floor, 0.0, sides[0])
    return low, sides[1]


def _draw(t: Tensor, r: float, generator: torch.Generator) -> Tensor:
    """Exact draws of z, of density proportional to exp(t tau_r(z) - z^2/2), for t (M,) >= 0.

    y = |z| comes by rejection from under three lines: one level at the mode, and the tangents
    where the log density, concave in y, is 1 lower. A third of the draws or more are kept.
    """
    mode = _mode(t, r)
    top = _log_density(t, mode, r)
    left, right = _where_fallen(t, r, mode, 1.0, 20)
    slope_left, slope_right = (t * truncate_slope(y, r) - y for y in (left, right))
    has_left = left > 0
    slope_left = torch.where(has_left, slope_left, 1.0)
    fall_left, fall_right = (top - _log_density(t, y, r) for y in (left, right))
    start = torch.where(has_left, left + fall_left / slope_left, 0.0)
    stop = right + fall_right / slope_right
    areas = torch.stack([has_left / slope_left, stop - start, -1 / slope_right], 1)
    result = torch.empty_like(t)
    todo = torch.arange(len(t), device=t.device)
    while len(todo):
        here = t[todo]
        lots, places, heights, signs = torch.rand(
            4, len(todo), dtype=t.dtype, device=t.device, generator=generator
        )
        share = areas[todo]
        lot = lots * share.sum(1)
        tail = -torch.log1p(-places)
        below = start[todo] - tail / slope_left[todo]
        above = stop[todo] - tail / slope_right[todo]
        within = start[todo] + places * share[:, 1]
        is_left, is_right = lot < share[:, 0], lot >= share[:, 0] + share[:, 1]
        y = torch.where(is_left, below, torch.where(is_right, above, within))
        lid = top[todo] - torch.where(is_left | is_right, tail, 0.0)
        tau = truncate(y, r)
        negative = torch.exp(-2 * here * tau)
        odds = torch.exp(_log_density(here, y, r) - lid) * (1 + negative) / 2
        kept = (y >= 0) & (heights < odds)
        z = torch.where(signs * (1 + negative) < 1, y, -y)
        result[todo[kept]] = z[kept]
        todo = todo[~kept]
    return result
