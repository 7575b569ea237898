"""One-dimensional views of a cloud of neurons beside exact samples of a Gibbs measure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gibbs import GibbsMeasure, Particles, Problem
from gibbs.solver.dual import TILE, log_tilt

__all__ = ["Marginals", "TwoHumps", "compare_marginals", "find_split", "log_tilts_of"]

Array = NDArray[np.float64]

N_EXACT = 5000
N_BINS = 50


@dataclass(frozen=True)
class TwoHumps:
    """The two humps of e(u): neurons above the split, and below it.

    Attributes
    ----------
    split : float
        Where the density of e(u) is lowest between its two humps, in nats.
    share : float
        Mass above the split under mu_G.
    share_of_cloud : float
        Share of the cloud's neurons above it.
    """

    split: float
    share: float
    share_of_cloud: float


@dataclass(frozen=True, eq=False)
class Marginals:
    """Numbers of a cloud, and of exact samples where there is a measure.

    Attributes
    ----------
    log_tilts : ndarray (N,)
        e(u) of the cloud, in nats.
    edges, masses : ndarray (b + 1,), (b,), or None
        Histogram of e(u) under mu_G.
    phases : TwoHumps or None
        None where e(u) has one hump, or there is no measure.
    views : dict of str to (ndarray, ndarray)
        By name, the cloud's values and those of exact samples: "u1" and "u2", u on the two
        directions in which mu_G is widest (the second one from rank 2 on), and "a1", W^T a on
        its widest direction.
    """

    log_tilts: Array
    edges: Array | None = None
    masses: Array | None = None
    phases: TwoHumps | None = None
    views: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, for a file."""
        found: dict[str, NDArray[Any]] = {"tilts": self.log_tilts.astype(np.float32)}
        if self.edges is not None and self.masses is not None:
            found |= {"edges": self.edges, "masses": self.masses}
        for name, (cloud, exact) in self.views.items():
            found[f"cloud_{name}"] = cloud.astype(np.float32)
            found[f"exact_{name}"] = exact.astype(np.float32)
        return found


def log_tilts_of(problem: Problem, dual: Tensor, u: Tensor) -> Array:
    """e(u) at each row of u (N, d), in nats, for a dual point (n, q)."""
    return _log_tilts(problem, dual, u.double(), problem.x.double())


def compare_marginals(
    cloud: Particles, measure: GibbsMeasure, *, generator: torch.Generator
) -> Marginals:
    """Compare a cloud with the measure, by histograms and samples."""
    problem = measure.problem
    cloud_log_tilts = log_tilts_of(problem, measure.dual, cloud.u)
    inside = problem.x.double() @ measure.basis
    log_tilts = _log_tilts(problem, measure.dual, measure.points, inside)
    weights = measure.weights.numpy()
    edges = _edges(log_tilts, weights, cloud_log_tilts)
    masses = np.histogram(log_tilts, edges, weights=weights)[0]
    split = find_split(edges, masses)
    phases = None
    if split is not None:
        above = float(weights[log_tilts > split].sum())
        phases = TwoHumps(split, above, float((cloud_log_tilts > split).mean()))
    exact = measure.sample(N_EXACT, generator=generator).to(torch.float64)
    return Marginals(cloud_log_tilts, edges, masses, phases, _views(cloud, exact, measure))


def find_split(edges: Array, masses: Array) -> float | None:
    """The deepest valley between two humps of a histogram, or None where there is one hump.

    A hump has a height of at least twice the valley's, in a moving mean over five bins, and at
    least 1 % of the mass on its side.

    Examples
    --------
    >>> x = np.linspace(0, 10, 41)
    >>> middle = (x[1:] + x[:-1]) / 2
    >>> one, two = np.exp(-2 * (middle - 2) ** 2), np.exp(-2 * (middle - 7) ** 2)
    >>> find_split(x, one) is None
    True
    >>> round(find_split(x, one + two))
    4
    """
    masses = masses / masses.sum()
    smooth = np.convolve(masses, np.full(5, 0.2), mode="same")
    left = np.maximum.accumulate(smooth)
    right = np.maximum.accumulate(smooth[::-1])[::-1]
    below = np.cumsum(masses)
    lower_hump = np.minimum(left, right)
    depth = np.where(np.minimum(below, 1 - below) >= 0.01, lower_hump - smooth, 0.0)
    deepest = int(depth.argmax())
    if not depth[deepest] > lower_hump[deepest] / 2:
        return None
    return float((edges[deepest] + edges[deepest + 1]) / 2)


def _log_tilts(problem: Problem, dual: Tensor, points: Tensor, inputs: Tensor) -> Array:
    """e(u) at each row of `points` (M, r), the inputs (n, r) in the same coordinates."""
    exact = replace(problem, x=problem.x.double(), y=problem.y.double(), w=problem.w.double())
    parts = [
        log_tilt(exact, dual, exact.sigma.value_(tile @ inputs.T))
        for tile in torch.split(points, TILE)
    ]
    values: Array = torch.cat(parts).numpy()
    return values


def _edges(log_tilts: Array, weights: Array, cloud_log_tilts: Array) -> Array:
    """Bins for all of the cloud, and for all but a 10,000th of the mass."""
    order = log_tilts.argsort()
    ends = np.searchsorted(weights[order].cumsum(), [5e-5, 1 - 5e-5]).clip(max=len(order) - 1)
    low, high = log_tilts[order][ends]
    low, high = min(low, cloud_log_tilts.min()), max(high, cloud_log_tilts.max())
    return np.linspace(low, max(high, low + 1e-9), N_BINS + 1)


def _views(
    cloud: Particles, exact: Particles, measure: GibbsMeasure
) -> dict[str, tuple[Array, Array]]:
    spread = (measure.points.T * measure.weights) @ measure.points
    along = measure.basis @ _widest(spread, 2)
    views = {
        f"u{k + 1}": ((cloud.u @ along[:, k]).numpy(), (exact.u @ along[:, k]).numpy())
        for k in range(along.shape[1])
    }
    w = measure.problem.w.double()
    coupled, coupled_exact = cloud.a @ w, exact.a @ w
    axis = _widest(torch.cov(coupled_exact.T).reshape(w.shape[1], w.shape[1]), 1)[:, 0]
    return views | {"a1": ((coupled @ axis).numpy(), (coupled_exact @ axis).numpy())}


def _widest(spread: Tensor, most: int) -> Tensor:
    """The eigenvectors of the largest eigenvalues, largest first, their sign fixed."""
    vectors = torch.linalg.eigh(spread)[1].flip(1)[:, :most]
    largest = vectors.abs().argmax(0, keepdim=True)
    signed: Tensor = vectors * vectors.gather(0, largest).sign()
    return signed
