"""Features with less noise than the mean over the neurons: given the u's, and over time."""

from __future__ import annotations

import math
from enum import StrEnum

import torch
from torch import Tensor

from gibbs.dynamics.langevin import LangevinState
from gibbs.model.checks import row_major
from gibbs.model.particles import Particles
from gibbs.model.problem import Problem
from gibbs.solver.conditional import Conditional
from gibbs.solver.dual import Tilted, refit

__all__ = ["FeatureKind", "TimeAverage", "conditional_features", "coupled_features"]


def coupled_features(features: Tensor, w: Tensor) -> Tensor:
    r"""Project features onto the range of W, which removes the noise of all other directions.

    .. math:: H\, W (W^T W)^{+} W^T

    The loss sees H through H W (Eq. 3). Without truncation the features of the Gibbs minimizer lie
    in the range of W (Eq. 6); in a cloud the other p - rank(W) coordinates are noise of mean 0,
    independent of these. The outputs stay as they are.

    Parameters
    ----------
    features : Tensor (m, p)
    w : Tensor (p, q)

    Returns
    -------
    Tensor (m, p)

    Examples
    --------
    >>> coupled_features(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0], [0.0]]))
    tensor([[1., 0.]])
    """
    onto_range: Tensor = w @ torch.linalg.pinv(w)
    return features @ onto_range


def conditional_features(problem: Problem, particles: Particles, x: Tensor | None = None) -> Tensor:
    r"""Features of a cloud with the a's replaced by their best law given the u's (Rao-Blackwell).

    Without truncation, with the kernel K_N of the cloud (Eq. 8) and lambda = lambda_rho,

    .. math:: h(x) = -\frac{\gamma}{\lambda}\, \frac1N \sum_j \sigma(u_j \cdot x)\, s(u_j)^T C W^T,
        \qquad C = -\Big(n I + \frac{\gamma^2}{\lambda} K_N \otimes W^T W\Big)^{-1} Y,

    on the training samples H = -(gamma/lambda) K_N C W^T. With these coefficients C the law of a
    given u minimises the free energy over all laws with these u's
    (:func:`gibbs.solver.dual.refit` has the general case). The a's of the cloud are not used. At a
    cloud of the Gibbs minimizer what remains is the noise of the u's, which the inverse damps, and
    a bias of order 1/N from K_N inside of the inverse. With sample weights s_i, n C stands for the
    rows n C_i / s_i.

    Parameters
    ----------
    problem : Problem
        beta finite.
    particles : Particles
    x : Tensor (m, d), optional
        Where to evaluate; None means the training samples.

    Returns
    -------
    Tensor (m, p)
        In the dtype of the problem. Memory: the activations, N times n.

    Raises
    ------
    ValueError
        If beta is inf, or the widths differ.
    """
    if math.isinf(problem.beta):
        raise ValueError("problem must have a finite beta for a law of a given u, got beta = inf")
    if particles.u.shape[1] != problem.n_inputs:
        raise ValueError(
            f"particles must have u of width d = {problem.n_inputs}, got {particles.u.shape[1]}"
        )
    values = problem.sigma.value_(particles.u @ problem.x.T)
    new = values if x is None else problem.sigma.value_(particles.u @ row_major(x).T)
    exact = problem.to(torch.float64)
    coefficients = refit(Tilted.uniform(exact, values))
    products = (values @ coefficients.to(values.dtype)).double()
    rows, columns = Conditional.of(exact).mean_factors(products, exact.w)
    total = (new.T @ rows.to(new.dtype)).double() @ columns
    return (total / len(particles)).to(problem.dtype)


class FeatureKind(StrEnum):
    """Which features of a cloud are averaged over time.

    - "raw": the mean over the neurons (Eqs. 1, 2);
    - "coupled": their part in the range of W, :func:`coupled_features`, which costs nothing;
    - "conditional": :func:`conditional_features`, a ridge problem of n samples a record.
    """

    RAW = "raw"
    COUPLED = "coupled"
    CONDITIONAL = "conditional"


class TimeAverage:
    r"""Features averaged over the records of a run, with a standard error: an observer.

    Given to `observers` of :func:`gibbs.run_langevin`, it takes every record from step `start`
    on, and leaves the relative standard error so far in the history (NaN where it is not known).

    Records follow one another and are not independent. With m_1, ..., m_B the means of B
    consecutive batches of b = 2^l records each, the standard error is that of independent
    batches,

    .. math:: \mathrm{stderr}^2 = \frac{1}{B (B - 1)} \sum_{k=1}^B (m_k - \bar m)^2,

    for the largest b with B >= 16. Averages over all b are kept up as records come
    (H. Flyvbjerg, H. Petersen, J. Chem. Phys. 1989). It is too small where 16 batches do not
    cover many relaxation times of the dynamics, and does not include the bias of the step size.

    Parameters
    ----------
    start : int
        First step whose record counts: after the burn-in.
    kind : {"coupled", "raw", "conditional"}, default "coupled"
        See :class:`FeatureKind`.

    Raises
    ------
    ValueError
        If an argument is out of range; when it observes, if "coupled" meets a truncation.

    Examples
    --------
    >>> from gibbs import Problem, run_langevin, sample_prior
    >>> problem = Problem(torch.eye(2), torch.eye(2), torch.eye(2), beta=50.0)
    >>> generator = torch.Generator().manual_seed(0)
    >>> average = TimeAverage(start=50)
    >>> cloud = sample_prior(problem, 100, generator=generator)
    >>> observers = {"noise": average}
    >>> _ = run_langevin(problem, cloud, n_steps=500, observers=observers, generator=generator)
    >>> average.n_records, average.mean.shape
    (46, torch.Size([2, 2]))
    """

    LEAST_BATCHES = 16

    def __init__(self, start: int, kind: str = "coupled") -> None:
        if start < 0:
            raise ValueError(f"start must be >= 0, got {start}")
        if kind not in list(FeatureKind):
            raise ValueError(f"kind must be one of {', '.join(FeatureKind)}, got {kind!r}")
        self.start = start
        self.kind = FeatureKind(kind)
        self.n_records = 0
        self._total = torch.zeros(0, 0, dtype=torch.float64)
        self._waiting: list[Tensor | None] = []
        self._squares: list[Tensor] = []

    def __call__(self, state: LangevinState) -> float:
        """Add a record; return the relative standard error."""
        if state.step < self.start:
            return math.nan
        self._add(self._features(state).double())
        return self.relative_stderr

    def _features(self, state: LangevinState) -> Tensor:
        problem = state.problem
        if self.kind is FeatureKind.RAW:
            return state.features
        if self.kind is FeatureKind.CONDITIONAL:
            return conditional_features(problem, state.particles)
        if problem.truncation is not None:
            raise ValueError(
                "kind must be 'raw' or 'conditional' with a truncation, where all features "
                "couple, got 'coupled'"
            )
        return coupled_features(state.features, problem.w)

    def _add(self, record: Tensor) -> None:
        """Add to the total, and to the batches of every size, like a binary counter."""
        if self.n_records == 0:
            self._total = torch.zeros_like(record)
        self.n_records += 1
        self._total = self._total + record
        batch: Tensor | None = record
        level = 0
        while batch is not None:
            if level == len(self._waiting):
                self._waiting.append(None)
                self._squares.append(torch.zeros_like(record))
            self._squares[level] = self._squares[level] + (batch / 2**level).square()
            before = self._waiting[level]
            self._waiting[level] = batch if before is None else None
            batch = None if before is None else before + batch
            level += 1

    @property
    def mean(self) -> Tensor:
        """The average (n, p), float64.

        Raises
        ------
        ValueError
            Before the first record.
        """
        if self.n_records == 0:
            raise ValueError(f"the average must have a record from step {self.start} on, got none")
        return self._total / self.n_records

    @property
    def stderr(self) -> Tensor:
        """Standard error of each entry of :attr:`mean` (n, p); NaN with fewer than 16 records."""
        level = int(math.log2(max(1, self.n_records // self.LEAST_BATCHES)))
        n_batches = self.n_records // 2**level
        if n_batches < self.LEAST_BATCHES:
            return torch.full_like(self._total, math.nan)
        # The incomplete batches of lower levels belong to no batch of this level.
        whole = self._total.clone()
        for batch in self._waiting[:level]:
            if batch is not None:
                whole -= batch
        mean = whole / (n_batches * 2**level)
        spread = self._squares[level] / n_batches - mean.square()
        error: Tensor = (spread.clamp(min=0) / (n_batches - 1)).sqrt()
        return error

    @property
    def relative_stderr(self) -> float:
        """Frobenius norm of the standard errors over that of the mean; NaN where not known."""
        if self.n_records < self.LEAST_BATCHES:
            return math.nan
        return float(self.stderr.norm() / self.mean.norm())

    def state_dict(self) -> dict[str, Tensor]:
        """The totals and the batches, as they are: not copied."""
        state = {"n_records": torch.tensor(self.n_records), "total": self._total}
        state |= {f"squares{level}": value for level, value in enumerate(self._squares)}
        waiting = enumerate(self._waiting)
        return state | {f"waiting{level}": value for level, value in waiting if value is not None}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the state of an average with the same `start` and `kind`."""
        self.n_records = int(state["n_records"])
        self._total = state["total"]
        n_levels = sum(name.startswith("squares") for name in state)
        self._squares = [state[f"squares{level}"] for level in range(n_levels)]
        self._waiting = [state.get(f"waiting{level}") for level in range(n_levels)]
