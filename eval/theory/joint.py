"""A joint stationary point of the free energy in (rho, W).

No statement is checked here. At such a point Theorem 4.2 (Eq. 6) and Lemma 4.5 (Eq. 19) hold
exactly, so :func:`eval.check_theory` can be tried on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from torch import Tensor

from eval.theory.law import Law, law_of
from gibbs import GibbsMeasure, Problem, solve_gibbs
from stages import fit_linear

__all__ = ["JointStationaryPoint", "JointStatus", "joint_stationary_point"]

DIFFERENCE = 1e-4
"""Step of the differences that make the Hessian."""

SMALL = 1e-6
"""A singular value of W whose outputs are at most this share of the targets counts as 0."""


class JointStatus(StrEnum):
    """What has been found.

    - "converged": a stationary point with W of full rank.
    - "zero_layer": W = 0 and rho the prior. That is stationary whatever the data are: the
      outputs are 0, and nothing is learned. At small beta or gamma it is where the energy is least.
    - "low_rank": stationary, with some but not all singular values of W at 0.
    - "not_converged": |W|_op |grad_W E|_F is above tol/beta.
    """

    CONVERGED = "converged"
    ZERO_LAYER = "zero_layer"
    LOW_RANK = "low_rank"
    NOT_CONVERGED = "not_converged"


@dataclass(frozen=True, eq=False)
class JointStationaryPoint:
    """rho, the minimizer at W, with W a stationary point of the least free energy in W.

    Attributes
    ----------
    problem : Problem
        With W as its `w`.
    measure : GibbsMeasure
    lambda_w : float
    energy : float
        min_rho E(rho, W) relative to the prior, plus lambda_w/2 |W|^2.
    gradient : float
        Frobenius norm of grad_W E at (rho, W).
    n_solves : int
        Minimizers solved on the way.
    status : JointStatus
    """

    problem: Problem
    measure: GibbsMeasure
    lambda_w: float
    energy: float
    gradient: float
    n_solves: int
    status: JointStatus

    @property
    def converged(self) -> bool:
        """Whether it is a stationary point; `status` says which."""
        return self.status is not JointStatus.NOT_CONVERGED

    @property
    def w(self) -> Tensor:
        """W (p, q)."""
        return self.problem.w

    @property
    def law(self) -> Law:
        """Its moments."""
        return law_of(self.problem, self.measure, lambda_w=self.lambda_w)


def joint_stationary_point(
    problem: Problem,
    lambda_w: float | None = None,
    *,
    tol: float = 1e-7,
    n_alternations: int = 5,
    max_steps: int = 60,
) -> JointStationaryPoint:
    r"""A stationary point of the free energy in rho and W, by quadrature over rho.

    With rho solved, phi(W) = min_rho E(rho, W) + lambda_w/2 |W|^2 has the gradient of E in W at
    that rho. It depends on W^T W alone, and a ridge step keeps the column space of W. So
    W = Q T with W_0 = Q R and T symmetric (q, q), and Newton's method, the Hessian by
    differences, finds the root in q(q+1)/2 numbers. A step that does not lower phi is halved;
    where the Hessian is not positive definite its eigenvalues are taken absolute. A few
    alternations of rho and the ridge W, each of which lowers phi, come first.

    Parameters
    ----------
    problem : Problem
        Its `w` is the start; inputs of rank <= 2.
    lambda_w : float, optional
        None means 1/beta.
    tol : float, default 1e-7
        Of |W|_op |grad_W E|_F, in units of 1/beta.
    n_alternations, max_steps : int

    Returns
    -------
    JointStationaryPoint
        Look at `status`: W = 0 with the prior is a stationary point too.

    Raises
    ------
    ValueError
        If the inputs have a rank > 2, or beta is inf.

    Examples
    --------
    >>> x = torch.tensor([[-1.0], [-0.8], [0.8], [1.0]], dtype=torch.float64)
    >>> y = torch.eye(2, dtype=torch.float64)[[0, 0, 1, 1]]
    >>> start = Problem(x, y, torch.eye(2, dtype=torch.float64), beta=100.0, gamma=3.0)
    >>> point = joint_stationary_point(start)
    >>> str(point.status), point.law.loss < 0.05
    ('converged', True)
    """
    exact = problem.to(torch.float64)
    lambda_w = exact.temperature if lambda_w is None else lambda_w
    search = _Search(exact, lambda_w)
    w = exact.w
    for _ in range(n_alternations):
        h = search.solve(w).law.features
        w = fit_linear(h, exact.y, gamma=exact.gamma, lambda_w=lambda_w)
    basis, triangle = torch.linalg.qr(w)
    left, sizes, right = torch.linalg.svd(triangle)
    basis, t = basis @ left @ right, right.T @ torch.diag(sizes) @ right
    at = search.solve(basis @ t)
    for _ in range(max_steps):
        before = at
        if search.close(at, tol):
            break
        t, at = search.step(basis, t, at)
        if at is before:
            break
    status = _phase(at) if search.close(at, tol) else JointStatus.NOT_CONVERGED
    return replace(at, n_solves=search.n_solves, status=status)


def _phase(at: JointStationaryPoint) -> JointStatus:
    """By the outputs gamma s_k H w_k of each singular vector w_k of W."""
    left, sizes, _ = torch.linalg.svd(at.w, full_matrices=False)
    shares = at.problem.gamma * (at.law.features @ left).norm(dim=0) * sizes / at.problem.y.norm()
    if bool((shares <= SMALL).all()):
        return JointStatus.ZERO_LAYER
    return JointStatus.LOW_RANK if bool((shares <= SMALL).any()) else JointStatus.CONVERGED


class _Search:
    """Solves rho for a W, and takes Newton steps in T."""

    def __init__(self, problem: Problem, lambda_w: float) -> None:
        self.problem, self.lambda_w, self.n_solves = problem, lambda_w, 0
        q = problem.n_outputs
        self.pairs = torch.triu_indices(q, q)

    def solve(self, w: Tensor) -> JointStationaryPoint:
        self.n_solves += 1
        problem = replace(self.problem, w=w)
        generator = torch.Generator(problem.device)
        result = solve_gibbs(problem, generator=generator, method="quadrature")
        energy = result.certificate.dual + self.lambda_w / 2 * float(w.square().sum())
        point = JointStationaryPoint(
            problem,
            result.measure,
            self.lambda_w,
            energy,
            math.nan,
            0,
            JointStatus.NOT_CONVERGED,
        )
        return replace(point, gradient=float(point.law.gradient_w.norm()))

    def close(self, at: JointStationaryPoint, tol: float) -> bool:
        size = float(torch.linalg.matrix_norm(at.w, 2))
        return size * at.gradient <= tol / self.problem.beta

    def step(
        self, basis: Tensor, t: Tensor, at: JointStationaryPoint
    ) -> tuple[Tensor, JointStationaryPoint]:
        """One Newton step, halved until phi is lower; the same point if none is."""
        gradient = self._gradient(basis, at)
        columns = []
        for k in range(len(gradient)):
            shift = self._symmetric(torch.eye(len(gradient), dtype=t.dtype)[k] * DIFFERENCE)
            shifted = self._gradient(basis, self.solve(basis @ (t + shift)))
            columns.append((shifted - gradient) / DIFFERENCE)
        hessian = torch.stack(columns, 1)
        values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
        floor = 1e-8 * values.abs().max()
        direction = -vectors @ ((vectors.T @ gradient) / values.abs().clamp(min=floor))
        size = 1.0
        while size > 1e-6:
            trial = t + size * self._symmetric(direction)
            there = self.solve(basis @ trial)
            if there.energy <= at.energy + 1e-12 * abs(at.energy) or there.gradient < at.gradient:
                return trial, there
            size /= 2
        return t, at

    def _symmetric(self, numbers: Tensor) -> Tensor:
        """The symmetric matrix with these numbers on and above its diagonal."""
        q = self.problem.n_outputs
        upper = numbers.new_zeros(q, q)
        upper[self.pairs[0], self.pairs[1]] = numbers
        return upper + upper.T - torch.diag(upper.diagonal())

    def _gradient(self, basis: Tensor, at: JointStationaryPoint) -> Tensor:
        """Gradient of phi in those numbers."""
        full = basis.T @ at.law.gradient_w
        both = full + full.T - torch.diag(full.diagonal())
        return both[self.pairs[0], self.pairs[1]]
