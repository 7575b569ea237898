"""The Gibbs minimizer of small problems by quadrature over u: the oracle of the tests.

With tau the identity, a is Gaussian given u, and the marginal of u is the prior tilted by
e(u) = beta gamma^2/(2 lambda) |W G^T sigma(X u)|^2. The dual point G maximises the concave
D(G) = -<G, Y> - n/2 |G|^2 - (1/beta) log E_prior exp(e(u)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from gibbs import Problem


@dataclass(frozen=True, eq=False)
class Oracle:
    """The minimizer: dual point (n, q), dual value, features (n, p), moments, marginal of u."""

    dual_point: np.ndarray
    dual: float
    features: np.ndarray
    mean_square_a: float
    mean_square_u: float
    grid: np.ndarray
    weights: np.ndarray


def gibbs_minimizer(problem: Problem) -> Oracle:
    """Solve by quadrature; a rule of twice the points and 1.5 times the range must agree."""
    extent = 9.0
    coarse = _solve(problem, extent, 2000 if problem.n_inputs == 1 else 240)
    for _ in range(6):
        needed = np.sqrt(2 * (_tilt(problem, coarse).max() + 40))
        if needed <= extent:
            break
        extent = needed * 1.05
        coarse = _solve(problem, extent, 2000 if problem.n_inputs == 1 else 240)
    fine = _solve(problem, 1.5 * extent, 6000 if problem.n_inputs == 1 else 720)
    scale = np.abs(fine.features).max()
    if abs(coarse.dual - fine.dual) > 1e-10 * abs(fine.dual):
        raise AssertionError(f"quadrature not converged: dual {coarse.dual} against {fine.dual}")
    if np.abs(coarse.features - fine.features).max() > 1e-8 * scale:
        raise AssertionError("quadrature not converged in the features")
    return fine


def _solve(problem: Problem, extent: float, points: int) -> Oracle:
    x, y, w = (t.double().numpy() for t in (problem.x, problem.y, problem.w))
    beta, gamma, decay = problem.beta, problem.gamma, problem.decay
    n, q = y.shape
    axis = np.linspace(-extent, extent, points) / np.sqrt(beta * decay)
    mesh = np.meshgrid(*[axis] * problem.n_inputs, indexing="ij")
    grid = np.stack([m.ravel() for m in mesh], axis=1)
    log_prior = -beta * decay / 2 * np.square(grid).sum(1)
    log_prior -= logsumexp(log_prior)
    values = problem.sigma(problem.x.double().new_tensor(grid @ x.T)).numpy()
    gram = w.T @ w
    kernel_scale = beta * gamma**2 / decay

    def evaluate(dual_point: np.ndarray) -> tuple[float, np.ndarray]:
        fields = values @ dual_point
        log_law = log_prior + kernel_scale / 2 * np.einsum("mq,qr,mr->m", fields, gram, fields)
        log_z = logsumexp(log_law)
        dual = -np.vdot(dual_point, y) - n / 2 * np.vdot(dual_point, dual_point) - log_z / beta
        return float(dual), np.exp(log_law - log_z)

    dual_point = -y / n / (1 + kernel_scale / beta)
    dual, weights = evaluate(dual_point)
    for _ in range(100):
        field = np.einsum("mn,mq->mnq", values, values @ dual_point @ gram) * kernel_scale
        field = field.reshape(len(grid), -1)
        mean = weights @ field
        second = (values * weights[:, None]).T @ values
        hessian = n * np.eye(n * q) + np.kron(second, gram) * kernel_scale / beta
        hessian += ((field * weights[:, None]).T @ field - np.outer(mean, mean)) / beta
        gradient = -(y + n * dual_point).ravel() - mean / beta
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-10:
            trial = dual_point + size * step.reshape(n, q)
            value, law = evaluate(trial)
            if value >= dual + 1e-4 * size * gradient @ step - 1e-15:
                break
            size /= 2
        dual_point, dual, weights = trial, value, law
        if gradient @ step < 1e-26 * max(1.0, abs(dual)):
            break
    second = (values * weights[:, None]).T @ values
    pull_square = np.square(values @ dual_point @ w.T).sum(1)
    return Oracle(
        dual_point=dual_point,
        dual=dual,
        features=-gamma / decay * second @ dual_point @ w.T,
        mean_square_a=len(w) / (beta * decay) + (gamma / decay) ** 2 * float(weights @ pull_square),
        mean_square_u=float(weights @ np.square(grid).sum(1)),
        grid=grid,
        weights=weights,
    )


def _tilt(problem: Problem, oracle: Oracle) -> np.ndarray:
    values = problem.sigma(problem.x.double().new_tensor(oracle.grid) @ problem.x.double().T)
    fields = values.numpy() @ oracle.dual_point @ problem.w.double().numpy().T
    return problem.beta * problem.gamma**2 / (2 * problem.decay) * np.square(fields).sum(1)
