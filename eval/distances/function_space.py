"""Error of features, next to the noise that as many exact neurons would have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eval.distances.clouds import check_widths, draw_neurons
from eval.reading import Values, read_matrix
from gibbs import GibbsMeasure, Particles, Problem, features
from gibbs.model.checks import check_integer

__all__ = ["FeatureError", "feature_error", "relative_error"]


@dataclass(frozen=True)
class FeatureError:
    """A relative error of features, next to that of exact neurons; `float()` gives its value.

    Attributes
    ----------
    value : float
        |H - H_ref|_F / |H_ref|_F.
    same_law, same_law_sd : float
        Mean and standard deviation of the error of `n_neurons` exact draws from the
        reference; 0 for a measure, whose features have no sampling noise.
    n_neurons : int or None
        N; None for a measure.
    """

    value: float
    same_law: float
    same_law_sd: float
    n_neurons: int | None

    def __float__(self) -> float:
        return self.value


def feature_error(
    law: Particles | GibbsMeasure,
    reference: GibbsMeasure,
    x: Values,
    *,
    n_null: int = 4,
    random_state: int | np.random.Generator | None = 0,
) -> FeatureError:
    r"""Relative error of the features of a cloud of neurons, or of a measure, at points x.

    .. math:: \|H - H_{ref}\|_F / \|H_{ref}\|_F

    H is the mean over the N neurons (Eq. 2), or the Rao-Blackwell features of a measure.
    N exact neurons have a mean squared error of (E|a sigma(u.x)|^2 - |h(x)|^2) / N at x: that
    is noise, and only a value well above `same_law` is bias. Take x apart from the training
    inputs, where the features were fitted.

    Parameters
    ----------
    law : Particles or GibbsMeasure
    reference : GibbsMeasure
        The solved measure; its problem gives activation and truncation.
    x : array-like or Tensor (m, d)
        Inputs.
    n_null : int, default 4
        Clouds of N exact neurons to draw, >= 2.
    random_state : int, numpy.random.Generator or None, default 0

    Returns
    -------
    FeatureError

    Raises
    ------
    TypeError, ValueError
        If the arguments do not belong together, or the features of the reference are all 0.

    Examples
    --------
    >>> from gibbs import solve_gibbs
    >>> inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]])
    >>> problem = Problem(inputs, torch.eye(2)[[0, 1, 1]], torch.eye(2), beta=20.0)
    >>> generator = torch.Generator().manual_seed(0)
    >>> measure = solve_gibbs(problem, generator=generator).measure
    >>> neurons = measure.sample(400, generator=generator)
    >>> error = feature_error(neurons, measure, [[0.5, -0.5], [0.3, 0.9]])
    >>> error.n_neurons, 0.3 < error.value / error.same_law < 3
    (400, True)
    """
    if not isinstance(reference, GibbsMeasure):
        raise TypeError(f"reference must be a GibbsMeasure, got {type(reference).__name__}")
    check_integer("n_null", n_null, 2)
    problem = reference.problem
    points = torch.tensor(read_matrix(x, "x"), device=problem.device)
    if points.shape[1] != problem.n_inputs:
        raise ValueError(f"x must have d = {problem.n_inputs} columns, got {points.shape[1]}")
    exact = reference.features(points)
    value = relative_error(_features(law, problem, points), exact)
    if isinstance(law, GibbsMeasure):
        return FeatureError(value, 0.0, 0.0, None)
    rng = np.random.default_rng(random_state)
    draws = [
        relative_error(_features(draw_neurons(reference, len(law), seed), problem, points), exact)
        for seed in rng.integers(2**31, size=n_null).tolist()
    ]
    return FeatureError(value, float(np.mean(draws)), float(np.std(draws, ddof=1)), len(law))


def relative_error(values: Values, reference: Values) -> float:
    """|H - H_ref|_F / |H_ref|_F of two matrices (m, p).

    Examples
    --------
    >>> relative_error([[3.0, 5.0]], [[3.0, 4.0]])
    0.2
    """
    h, exact = read_matrix(values, "features"), read_matrix(reference, "features of the reference")
    if h.shape != exact.shape:
        raise ValueError(
            f"features must have the shape of the reference, {exact.shape}, got {h.shape}"
        )
    size = float(np.linalg.norm(exact))
    if size == 0:
        raise ValueError("features of the reference must not all be 0, got 0")
    return float(np.linalg.norm(h - exact)) / size


def _features(law: Particles | GibbsMeasure, problem: Problem, x: Tensor) -> Tensor:
    if isinstance(law, GibbsMeasure):
        return law.features(x)
    if not isinstance(law, Particles):
        raise TypeError(f"law must be Particles or a GibbsMeasure, got {type(law).__name__}")
    check_widths(law, problem, "law")
    return features(x, law.to(torch.float64), problem.sigma, problem.truncation)
