r"""Linearly separable distributions (Definition 5.2), separable by construction."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

from eval.reading import check_entries, read_numbers
from eval.separation.margins import largest_margin
from gibbs.model.checks import check_integer

__all__ = ["SeparableDistribution", "largest_margin", "make_linearly_separable"]

Noise = Literal["uniform", "gaussian", "student"]


class SeparableDistribution:
    r"""A (tau, M)-linearly separable distribution on the unit ball (Definition 5.2).

    Class k has a unit direction u_k (M = 1) with u_k.x >= tau on it and u_k.x <= -tau on all
    other classes, and tau is the margin. A sample of class k is

    .. math:: x = t\, c_k + r w, \qquad t \sim U[1, \min(2, \tau_{max}/\tau)], \qquad
        r = \sqrt{1 - \|t c_k\|^2},

    c_k the shortest vector with u_k.c_k = tau and u_j.c_k = -tau. The noise w, in the unit ball of
    the free directions orthogonal to all u_k, carries no information, and for a small margin
    nearly all of the variance. So the u_k prove the margin of every draw;
    :func:`eval.separability` finds the largest margin of one draw, which is never smaller.

    With n_informative = m < n_classes the u_k share fewer dimensions. At the angles
    theta_k = 2 pi k/q they are u_k = (sqrt(p_f) cos f theta_k, sqrt(p_f) sin f theta_k for the
    frequencies f; sqrt(s)), c_k is the same with -sqrt(s), times tau/tau_max, and p, s >= 0 of
    sum 1 maximise tau_max: sum_f p_f - s >= tau_max and s - sum_f p_f cos(f theta_j) >= tau_max for
    j != 0, a linear program. Frequencies are 1, 2, ..., two dimensions each, and q/2, of one
    dimension, where m is even. For m = 3, tau_max = (1 - c)/(3 + c), c = cos(2 pi/q). Then
    u_j.c_k <= -tau.

    Parameters
    ----------
    n_features : int
        d >= n_informative.
    n_classes : int
        q >= 2.
    margin : float
        tau/M, with 0 < margin <= q/(3q - 4), see :func:`largest_margin`; less for a smaller
        `n_informative`.
    random_state : int, default 0
        Decides the directions.
    weights : array-like (q,), optional
        Relative sizes of the classes, > 0; None means equal.
    n_informative : int, optional
        Most dimensions that the u_k span, 3 <= n_informative <= n_classes, and odd if n_classes is;
        None means n_classes.
    noise : {"uniform", "gaussian", "student"}, default "uniform"
        w, in D free directions: uniform in the ball of radius `noise_scale`; normal of covariance
        noise_scale^2/(4D) I, which has light tails; or that over sqrt(chi^2_2/2), Student's t
        with 2 degrees of freedom, which has no variance. What leaves the unit ball is put
        on its surface.
    noise_scale : float, default 1
        0 <= noise_scale <= 1.
    label_noise : float, default 0
        Chance that a label is replaced by one of the others, drawn uniformly: then nothing is
        separable any more, and `margin` is None.

    Attributes
    ----------
    directions : ndarray (q, d)
        The u_k, of norm 1.
    margin : float or None
        tau/M that every draw has at least; None with label noise.
    clean_margin : float
        tau/M with respect to the labels before label noise.

    Examples
    --------
    >>> law = SeparableDistribution(5, 3, margin=0.2)
    >>> X, y = law.sample(300, random_state=1)
    >>> bool(((X @ law.directions.T).argmax(axis=1) == y).all())
    True
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        margin: float,
        random_state: int = 0,
        weights: ArrayLike | None = None,
        n_informative: int | None = None,
        noise: Noise = "uniform",
        noise_scale: float = 1.0,
        label_noise: float = 0.0,
    ) -> None:
        arrangement = _arrangement(n_classes, n_informative, margin)
        if n_features < arrangement.width:
            name = "n_classes" if n_informative is None else "n_informative"
            raise ValueError(
                f"n_features must be >= {name} = {arrangement.width}, got {n_features}"
            )
        _check_margin(margin, arrangement, n_classes, n_informative)
        _check_noise(noise, noise_scale, label_noise)
        self.n_features = n_features
        self.n_classes = n_classes
        self.clean_margin = float(margin)
        self.margin = None if label_noise else self.clean_margin
        self.random_state = random_state
        self.weights = _read_weights(weights, n_classes)
        self.n_informative = n_informative
        self.noise, self.noise_scale, self.label_noise = noise, noise_scale, label_noise
        frame = _orthonormal_frame(n_features, np.random.default_rng(random_state))
        span = frame[: arrangement.width]
        self.directions: NDArray[np.float64] = arrangement.directions @ span
        self._centres = arrangement.centres @ span
        self._longest = max(1.0, min(2.0, arrangement.limit / self.clean_margin))
        self._noise_frame = frame[arrangement.width :]

    def __repr__(self) -> str:
        options = {
            name: parameter.default
            for name, parameter in signature(SeparableDistribution).parameters.items()
            if name not in {"n_features", "n_classes", "margin", "random_state"}
        }
        given = {name: getattr(self, name) for name in options}
        if self.weights is not None:
            given["weights"] = self.weights.tolist()
        changed = [f", {name}={given[name]!r}" for name in options if given[name] != options[name]]
        return (
            f"SeparableDistribution({self.n_features}, {self.n_classes}, "
            f"margin={self.clean_margin}, random_state={self.random_state}{''.join(changed)})"
        )

    def sample(
        self, n: int, random_state: int | np.random.Generator | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw n samples; class sizes, before label noise, are within one of n times their weight.

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
        check_integer("n", n, 1)
        rng = np.random.default_rng(random_state)
        y: NDArray[Any] = rng.permutation(self._classes(n))
        x = rng.uniform(1.0, self._longest, size=(n, 1)) * self._centres[y]
        radius = np.sqrt(np.clip(1 - np.square(x).sum(axis=1), 0, None))
        x += self._draw_noise(rng, radius) @ self._noise_frame
        # Round-off may leave a norm of 1 + 1e-16.
        x /= np.maximum(1.0, np.linalg.norm(x, axis=1, keepdims=True))
        if self.label_noise:
            wrong = rng.uniform(size=n) < self.label_noise
            y = (y + wrong * rng.integers(1, self.n_classes, size=n)) % self.n_classes
        return x, y.astype(np.int64)

    def _classes(self, n: int) -> NDArray[Any]:
        if self.weights is None:
            return np.arange(n) % self.n_classes
        ends = np.rint(n * np.cumsum(self.weights)).astype(int)
        return np.repeat(np.arange(self.n_classes), np.diff(ends, prepend=0))

    def _draw_noise(
        self, rng: np.random.Generator, radius: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        dimension = len(self._noise_frame)
        if self.noise == "uniform":
            return _uniform_ball(rng, self.noise_scale * radius, dimension)
        w = rng.standard_normal((len(radius), dimension))
        w *= self.noise_scale / (2 * max(1, dimension) ** 0.5)
        if self.noise == "student":
            w /= np.sqrt(rng.chisquare(2, size=(len(radius), 1)) / 2)
        w /= np.maximum(1.0, np.linalg.norm(w, axis=1, keepdims=True))
        return np.asarray(w * radius[:, None])


def make_linearly_separable(
    n_samples: int = 400,
    n_features: int = 20,
    n_classes: int = 4,
    *,
    margin: float = 0.05,
    random_state: int | None = None,
    **options: Any,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw one data set from a :class:`SeparableDistribution`, in the style of scikit-learn.

    `random_state` decides both the directions and the samples. Fresh samples of the same law
    need the distribution itself. `options` are those of the distribution, such as `weights`.

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
    law = SeparableDistribution(
        n_features, n_classes, margin=margin, random_state=int(law_seed), **options
    )
    return law.sample(n_samples, int(sample_seed))


@dataclass(frozen=True, eq=False)
class _Arrangement:
    """Unit directions (q, m), centres (q, m), and the largest tau they allow."""

    directions: NDArray[np.float64]
    centres: NDArray[np.float64]
    limit: float

    @property
    def width(self) -> int:
        return int(self.directions.shape[1])


def _arrangement(q: int, m: int | None, margin: float) -> _Arrangement:
    limit = largest_margin(q)
    if m is not None and not (3 <= m <= q and (m % 2 or q % 2 == 0)):
        raise ValueError(
            f"n_informative must be >= 3 and <= n_classes = {q}, "
            f"{'and odd as n_classes is, ' if q % 2 else ''}got {m}"
        )
    if m is not None and m < q:
        return _cycle(q, m, margin)
    # The symmetric root of the Gram matrix gives its rows as directions.
    values, vectors = np.linalg.eigh(_gram_matrix(q))
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    signs = 2 * np.eye(q) - 1
    return _Arrangement(root, margin * signs @ np.linalg.pinv(root, rcond=1e-10), limit)


def _cycle(q: int, m: int, margin: float) -> _Arrangement:
    """The arrangement in m dimensions that a rotation by 2 pi/q leaves as it is."""
    frequencies = [*range(1, (m - 1) // 2 + 1), *([q // 2] if m % 2 == 0 else [])]
    turns = 2 * np.pi * np.outer(np.arange(q), frequencies) / q
    cosines = np.cos(turns[1 : q // 2 + 1])
    count = len(frequencies)
    # Unknowns p_f, s, tau: tau + s <= sum p; tau + sum p cos <= s; sum p + s <= 1.
    rows = [np.r_[-np.ones(count), 1, 1], *(np.r_[row, -1, 1] for row in cosines)]
    rows.append(np.r_[np.ones(count), 1, 0])
    found = linprog(-np.eye(count + 2)[-1], np.array(rows), np.eye(len(rows))[-1])
    *shares, height, _ = np.clip(np.asarray(found.x), 0, 1)
    waves = np.sqrt(shares) * np.array([np.cos(turns), np.sin(turns)])
    # At the frequency q/2 the sine is 0.
    flat = np.hstack([waves[0], waves[1][:, : m - 1 - count]])
    level = np.full((q, 1), np.sqrt(height))
    directions, centres = (np.hstack([flat, sign * level]) for sign in (1, -1))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    limit = float(((2 * np.eye(q) - 1) * (directions @ centres.T)).min())
    return _Arrangement(directions, margin / limit * centres, limit)


def _check_margin(margin: float, arrangement: _Arrangement, q: int, m: int | None) -> None:
    limit = arrangement.limit
    if 0 < margin <= limit * (1 + 1e-12):
        return
    if m is None or m == q:
        reason = (
            f"q/(3q - 4) = {limit:.6g}, the largest tau/M that {q} classes in the unit ball "
            "can have"
        )
    else:
        reason = f"{limit:.6g}, the largest tau/M of {q} classes in a cycle of {m} dimensions"
    raise ValueError(f"margin must be > 0 and <= {reason}, got {margin}")


def _check_noise(noise: str, noise_scale: float, label_noise: float) -> None:
    if noise not in get_args(Noise):
        raise ValueError(f"noise must be one of {', '.join(get_args(Noise))}, got {noise!r}")
    if not 0 <= noise_scale <= 1:
        raise ValueError(f"noise_scale must be >= 0 and <= 1, got {noise_scale}")
    if not 0 <= label_noise <= 1:
        raise ValueError(f"label_noise must be >= 0 and <= 1, got {label_noise}")


def _read_weights(weights: ArrayLike | None, q: int) -> NDArray[np.float64] | None:
    """Weights of sum 1."""
    if weights is None:
        return None
    shares = read_numbers(weights, "weights")
    check_entries(shares, "weights", q, "class")
    if not (shares.min() > 0 and np.isfinite(shares.sum())):
        raise ValueError(f"weights must be finite and > 0, got {shares.tolist()}")
    return np.asarray(shares / shares.sum())


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
