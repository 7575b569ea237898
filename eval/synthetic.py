r"""Linearly separable distributions (Definition 5.2), separable by construction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SeparableDistribution", "largest_margin", "make_linearly_separable"]


def largest_margin(n_classes: int) -> float:
    r"""Largest tau/M that q >= 2 classes in the unit ball can have: q/(3q - 4).

    Upper bound. Take a sample x_k of each class, unit directions u_k, S = sum_j x_j and, for
    c >= 0, v_k = x_k - c sum_{j != k} x_j. Definition 5.2 gives tau (1 + c(q-1)) <= u_k.v_k
    <= \|v_k\|, while sum_k \|v_k\|^2 = (1+c)^2 sum_k \|x_k\|^2 + (q c^2 - 2c - 2c^2) \|S\|^2
    <= (1+c)^2 q if (q-2) c <= 2. At c = 2/(q-2) this reads tau <= q/(3q-4); for q = 2 let c
    grow.

    It is attained by unit directions with equal inner products (q-4)/(3q-4), which
    :class:`SeparableDistribution` uses: with Gram matrix G, the shortest x with
    u_k.x = s_k has \|x\|^2 = s^T G^-1 s = tau^2 ((3q-4)/q)^2 for s = tau (2 e_k - 1).

    Examples
    --------
    >>> largest_margin(2), largest_margin(4)
    (1.0, 0.5)
    """
    if n_classes < 2:
        raise ValueError(f"n_classes must be >= 2, got {n_classes}")
    return n_classes / (3 * n_classes - 4)


class SeparableDistribution:
    r"""A (tau, M)-linearly separable distribution on the unit ball (Definition 5.2).

    Class k has a unit direction u_k (M = 1) with u_k.x >= tau on it and u_k.x <= -tau on all
    other classes, and tau is the margin. A sample of class k is

    .. math:: x = t\, c_k + z, \qquad t \sim U[1, \min(2, \tau_{max}/\tau)],

    c_k the shortest vector with u_k.c_k = tau and u_j.c_k = -tau, and z uniform in the ball
    of radius sqrt(1 - \|t c_k\|^2) in the n_features - n_classes directions orthogonal to all
    u_k: they carry no information, and for a small margin nearly all of the variance.

    Parameters
    ----------
    n_features : int
        d >= n_classes.
    n_classes : int
        q >= 2; all have the same probability.
    margin : float
        tau/M, with 0 < margin <= q/(3q - 4), see :func:`largest_margin`.
    random_state : int, default 0
        Decides the directions.

    Attributes
    ----------
    directions : ndarray (q, d)
        The u_k, of norm 1.
    margin : float

    Examples
    --------
    >>> law = SeparableDistribution(5, 3, margin=0.2)
    >>> X, y = law.sample(300, random_state=1)
    >>> bool(((X @ law.directions.T).argmax(axis=1) == y).all())
    True
    """

    def __init__(
        self, n_features: int, n_classes: int, *, margin: float, random_state: int = 0
    ) -> None:
        limit = largest_margin(n_classes)
        if n_features < n_classes:
            raise ValueError(f"n_features must be >= n_classes = {n_classes}, got {n_features}")
        if not 0 < margin <= limit * (1 + 1e-12):
            raise ValueError(
                f"margin must be > 0 and <= q/(3q - 4) = {limit:.6g}, the largest tau/M that "
                f"{n_classes} classes in the unit ball can have, got {margin}"
            )
        self.n_features = n_features
        self.n_classes = n_classes
        self.margin = float(margin)
        self.random_state = random_state
        frame = _orthonormal_frame(n_features, np.random.default_rng(random_state))
        gram = _gram_matrix(n_classes)
        # The symmetric root of the Gram matrix gives its rows as directions, in the frame.
        values, vectors = np.linalg.eigh(gram)
        root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
        signs = 2 * np.eye(n_classes) - 1
        self.directions: NDArray[np.float64] = root @ frame[:n_classes]
        self._centres = self.margin * signs @ np.linalg.pinv(root, rcond=1e-10) @ frame[:n_classes]
        self._noise_frame = frame[n_classes:]

    def __repr__(self) -> str:
        return (
            f"SeparableDistribution({self.n_features}, {self.n_classes}, margin={self.margin}, "
            f"random_state={self.random_state})"
        )

    def sample(
        self, n: int, random_state: int | np.random.Generator | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw n samples; class sizes differ by at most one.

        Parameters
        ----------
        n : int
            >= 1.
        random_state : int, numpy.random.Generator or None

        Returns
        -------
        X : ndarray (n, d)
            Norms <= 1.
        y : ndarray (n,)
            Classes 0..q-1, in random order.
        """
        if n < 1:
            raise ValueError(f"n must be >= 1, got {n}")
        rng = np.random.default_rng(random_state)
        y: NDArray[Any] = rng.permutation(np.arange(n) % self.n_classes)
        longest = min(2.0, largest_margin(self.n_classes) / self.margin)
        x = rng.uniform(1.0, max(1.0, longest), size=(n, 1)) * self._centres[y]
        radius = np.sqrt(np.clip(1 - np.square(x).sum(axis=1), 0, None))
        x += _uniform_ball(rng, radius, len(self._noise_frame)) @ self._noise_frame
        # Round-off may leave a norm of 1 + 1e-16.
        x /= np.maximum(1.0, np.linalg.norm(x, axis=1, keepdims=True))
        return x, y.astype(np.int64)


def make_linearly_separable(
    n_samples: int = 400,
    n_features: int = 20,
    n_classes: int = 4,
    *,
    margin: float = 0.05,
    random_state: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw one data set from a :class:`SeparableDistribution`, in the style of scikit-learn.

    `random_state` decides both the directions and the samples. Fresh samples of the same law
    need the distribution itself.

    Returns
    -------
    X : ndarray (n_samples, n_features)
    y : ndarray (n_samples,)

    Examples
    --------
    >>> X, y = make_linearly_separable(100, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((100, 20), [0, 1, 2, 3])
    """
    law_seed, sample_seed = np.random.SeedSequence(random_state).generate_state(2)
    law = SeparableDistribution(n_features, n_classes, margin=margin, random_state=int(law_seed))
    return law.sample(n_samples, int(sample_seed))


def _gram_matrix(q: int) -> NDArray[np.float64]:
    """Inner products of the directions with which the margin can be largest (q, q)."""
    overlap = (q - 4) / (3 * q - 4)
    return (1 - overlap) * np.eye(q) + overlap * np.ones((q, q))


def _orthonormal_frame(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    basis, triangle = np.linalg.qr(rng.standard_normal((d, d)))
    return np.asarray(basis * np.sign(np.diagonal(triangle)))


def _uniform_ball(
    rng: np.random.Generator, radius: NDArray[np.float64], dimension: int
) -> NDArray[np.float64]:
    """One uniform point in each ball of the given radii (n,), as an array (n, dimension)."""
    if dimension == 0:
        return np.zeros((len(radius), 0))
    gaussian = rng.standard_normal((len(radius), dimension))
    gaussian /= np.linalg.norm(gaussian, axis=1, keepdims=True)
    length = radius * rng.uniform(size=len(radius)) ** (1 / dimension)
    return np.asarray(gaussian * length[:, None])
