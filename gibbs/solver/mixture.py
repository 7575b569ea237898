"""Gaussian mixtures: the proposal law that draws independent points near mu_G."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gibbs.model.tiles import tiles
from gibbs.solver.dual import TILE

__all__ = ["Mixture", "fit_mixture", "standard_mixture"]

N_COMPONENTS = (1, 2, 4, 8, 16)
"""Numbers of components that are tried, until the held-out likelihood falls."""

MOST_POINTS = 6000
"""Points of a fit at most, which bounds its time."""

HELD_OUT = 4
"""Every fourth point (at random) is held out to choose the number of components."""

LEAST_GAIN = 3e-3
"""Expectation-maximisation ends when the mean log-likelihood rises by less than this: a proposal
needs no exact fit."""

N_SEEDS = 2000
"""Points among which k-means++ chooses the first centers."""

LEAST_COUNT = 1e-8
"""Added to the number of points of a component, so that one without points has a mean."""

RIDGE = 1e-9
"""Added to the diagonal of the common covariance, relative to its mean: points on a line have a
Cholesky factor too."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of K Gaussian laws on R^r.

    Attributes
    ----------
    shares : Tensor (K,)
        Adding up to 1.
    means : Tensor (K, r)
    factors : Tensor (K, r, r)
        Lower Cholesky factors L of the covariances L L^T.
    """

    shares: Tensor
    means: Tensor
    factors: Tensor

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points (n, r); the number from each component is its rounded expectation.

        Systematic choice of the components: less variance, and the mean of any function is
        still unbiased.
        """
        device = self.means.device
        offset = torch.rand(1, dtype=torch.float64, device=device, generator=generator)
        ticks = (torch.arange(n, dtype=torch.float64, device=device) + offset) / n
        edges = self.shares.double().cumsum(0)
        chosen = torch.searchsorted(edges / edges[-1], ticks).clamp_(max=len(edges) - 1)
        noise = torch.randn(
            n, self.means.shape[1], dtype=self.means.dtype, device=device, generator=generator
        )
        points = torch.empty_like(noise)
        for k, (mean, factor) in enumerate(zip(self.means, self.factors, strict=True)):
            rows = chosen == k
            points[rows] = mean + noise[rows] @ factor.T
        return points

    def log_density(self, u: Tensor) -> Tensor:
        """Logarithm of the density at each row of u (M, r), as float64 (M,)."""
        parts = [torch.logsumexp(self._joint(u[tile])[0], 1) for tile in tiles(len(u), TILE)]
        return torch.cat(parts)

    def density_and_score(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the density (M,) and its gradient (M, r), in the dtype of u."""
        densities, scores = [], []
        for tile in tiles(len(u), TILE):
            joint, whitened = self._joint(u[tile])
            density = torch.logsumexp(joint, 1)
            shares = torch.exp(joint - density[:, None])
            weighted = (shares.T[:, None] * whitened).flatten(0, 1)
            densities.append(density)
            scores.append(-(self._whitening[0].flatten(0, 1).T @ weighted).T)
        return torch.cat(densities).to(u.dtype), torch.cat(scores).to(u.dtype)

    def responsibilities(self, u: Tensor) -> Tensor:
        """Probability of each component given each row of u (M, r), as (M, K)."""
        parts = [torch.softmax(self._joint(u[tile])[0], 1) for tile in tiles(len(u), TILE)]
        return torch.cat(parts)

    def widened(self, factor: float, floor: Mixture, share: float) -> Mixture:
        """Covariances times `factor`, and `share` of the whole given to another mixture."""
        return Mixture(
            shares=torch.cat([(1 - share) * self.shares, share * floor.shares]),
            means=torch.cat([self.means, floor.means]),
            factors=torch.cat([math.sqrt(factor) * self.factors, floor.factors]),
        )

    def without_last(self) -> Mixture:
        """The mixture of all components but the last."""
        shares = self.shares[:-1]
        return Mixture(shares / shares.sum(), self.means[:-1], self.factors[:-1])

    @cached_property
    def _whitening(self) -> tuple[Tensor, Tensor]:
        """L^-1 of all components (K, r, r), and log share + log |L^-1| (K,)."""
        eye = torch.eye(self.means.shape[1]).to(self.means)
        inverses = torch.linalg.solve_triangular(self.factors, eye, upper=False)
        volumes = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        return inverses, self.shares.log() - volumes

    def _joint(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Log of share times density (M, K), and L^-1 (u - mean) of each component (K, r, M)."""
        inverses, scales = self._whitening
        whitened = inverses @ (u.T.to(inverses.dtype) - self.means[:, :, None])
        sizes = whitened.square().sum(1) / 2 + self.means.shape[1] / 2 * math.log(2 * math.pi)
        return (scales[:, None] - sizes).T, whitened


def standard_mixture(width: int, scale: float, *, device: torch.device | str = "cpu") -> Mixture:
    """N(0, scale^2 I) as a mixture of one component, in float64."""
    return Mixture(
        shares=torch.ones(1, dtype=torch.float64, device=device),
        means=torch.zeros(1, width, dtype=torch.float64, device=device),
        factors=scale * torch.eye(width, dtype=torch.float64, device=device)[None],
    )


def fit_mixture(
    u: Tensor, weights: Tensor, *, generator: torch.Generator, most: int = 16
) -> Mixture:
    """Fit by expectation-maximisation; the number of components by held-out likelihood.

    Parameters
    ----------
    u : Tensor (M, r)
    weights : Tensor (M,)
        Of the points, adding up to 1.
    generator : torch.Generator
    most : int, default 16
        Largest number of components.

    Returns
    -------
    Mixture
        In float64. Covariances are shrunk towards the common one by r pseudo-observations.
    """
    u, weights = u.double(), weights.double()
    if len(u) > MOST_POINTS:
        # By weight; a point that is drawn again counts more, and is on one side of the split.
        drawn = torch.multinomial(
            weights.clamp(min=1e-300), MOST_POINTS, replacement=True, generator=generator
        )
        counts = torch.bincount(drawn, minlength=len(u))
        some = torch.nonzero(counts).squeeze(1)
        u, weights = u[some], counts[some].to(u) / MOST_POINTS
    order = torch.randperm(len(u), device=u.device, generator=generator)
    held_out, train = order[: len(u) // HELD_OUT], order[len(u) // HELD_OUT :]
    size = 1 / float(weights.square().sum())
    best, best_score = None, -math.inf
    for k in N_COMPONENTS:
        if k > most or k * (u.shape[1] + 1) > size / 2:
            break
        mixture = _maximize_likelihood(u[train], weights[train], k, generator)
        score = float(weights[held_out] @ mixture.log_density(u[held_out]))
        if best is not None and score < best_score:
            break
        best, best_score = mixture, score
    return best if best is not None else _maximize_likelihood(u, weights, 1, generator)


def _maximize_likelihood(
    u: Tensor, weights: Tensor, k: int, generator: torch.Generator, n_iterations: int = 12
) -> Mixture:
    """EM from k centers that lie far apart."""
    shares = weights * (len(u) / weights.sum())
    centers = _spread_centers(u, weights, k, generator)
    nearest = torch.cdist(u, centers).argmin(1)
    belongs = torch.nn.functional.one_hot(nearest, k).to(u.dtype)
    mixture = _moments(u, shares[:, None] * belongs)
    before = -math.inf
    for _ in range(n_iterations if k > 1 else 0):
        parts = []
        for tile in tiles(len(u), TILE):
            joint, _ = mixture._joint(u[tile])
            parts.append((joint, torch.logsumexp(joint, 1)))
        joint, density = (torch.cat(part) for part in zip(*parts, strict=True))
        mixture = _moments(u, shares[:, None] * torch.exp(joint - density[:, None]))
        now = float(shares @ density) / len(u)
        if now - before < LEAST_GAIN:
            break
        before = now
    return mixture


def _spread_centers(u: Tensor, weights: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Choose k rows with probability by squared distance to those chosen (k-means++)."""
    some = u[torch.multinomial(weights, N_SEEDS, replacement=True, generator=generator)]
    centers = some[:1]
    for _ in range(k - 1):
        distance = torch.cdist(some, centers).min(1).values.square() + 1e-300
        centers = torch.cat([centers, some[torch.multinomial(distance, 1, generator=generator)]])
    return centers


def _moments(u: Tensor, belongs: Tensor) -> Mixture:
    """Shares, means and shrunk covariances of components, from weighted responsibilities (M, k)."""
    width = u.shape[1]
    counts = belongs.sum(0) + LEAST_COUNT
    means = (belongs.T @ u) / counts[:, None]
    scatters = torch.stack(
        [
            (shifted * belongs[:, k, None]).T @ shifted
            for k, mean in enumerate(means)
            for shifted in [u - mean]
        ]
    )
    common = scatters.sum(0) / len(u)
    common += RIDGE * (common.diagonal().mean() + 1e-300) * torch.eye(width).to(common)
    covariances = (scatters + width * common) / (counts + width)[:, None, None]
    return Mixture(counts / counts.sum(), means, torch.linalg.cholesky(covariances))
