"""Maximising the dual by Newton steps on a model that is made of the last few samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.solver.bridge import (
    Bridge,
    WeightedSample,
    build_bridge,
    fit_proposal,
    log_prior,
    log_tilt_at,
    resample,
)
from gibbs.solver.domain import NEGLIGIBLE, Guard
from gibbs.solver.dual import ARMIJO, Tilted, dual_value, gap_of, log_tilt, newton_direction
from gibbs.solver.mala import FIRST_STEP, Target, mala
from gibbs.solver.mixture import Mixture, standard_mixture
from gibbs.solver.phases import output_shares
from gibbs.solver.progress import StepLog

__all__ = ["Ascent", "OverdispersedChains", "line_search", "maximize"]

MOST_STEPS = 40
"""Steps of one ascent at most: one that has not converged by then counts as failed."""

MOST_FAILURES = 4
"""Failed steps, less half of the good ones, after which the ascent gives up."""

MOST_LEVELS = 8
"""A step is too long where a bridge to its end takes more levels."""

N_REMEMBERED = 4
"""Samples that make up the model: each covers the mass near its own G."""

N_CANDIDATES = 12
"""Points G visited last, among which the best one is chosen."""

LEAST_KNOWN = 0.02
"""Share of the model's points that must be effective at a G for its dual value to count."""

N_CHAINS = 500
"""Chains from overdispersed starts: few beside the sample, as they only have to find mass."""

KEPT_SIZE = 0.3
"""A step on the model keeps this share of its effective sample size: further away the model is an
extrapolation."""

STEP_TOLERANCE = 0.03
"""The model is maximised until a step gains less than this share of `tol`, relative to D: well
below what a step must gain."""

LEAST_GAIN = 0.25
"""A gain below this share of `tol`, relative to D, is too small to continue for."""

SHRINKAGE = 0.4
"""After a failed step the trusted region has this share of the step's length as its radius."""

LONG_STEP = 0.5
"""A Newton step shortened below this fraction says nothing about convergence."""

NOISE_STDERRS = 3.0
"""Standard errors that a difference of dual values must exceed to count."""

BACKTRACKING = 0.7
"""Each shorter trial of a line search has this share of the length of the last."""

LEAST_SLACK = 1.3
"""A shortened step that ends below this multiple of the least effective sample size was shortened
by that limit: another step on this model would be, too."""


class OverdispersedChains:
    """MALA chains that look for mass of mu_G which the samples have missed.

    Half of the chains start from draws of the prior that are scaled up, to the widest range that
    can matter: sqrt(2 (max e + 40)) prior deviations in all, for the largest e(u) that is known:
    `top`, then that of the points found. The others continue from `starts`, if given, or from
    where the last chains ended.

    Parameters
    ----------
    small : Problem
        In the row space of X, float64.
    generator : torch.Generator
    starts : Tensor (k, r), optional
        Points of another origin, such as the neurons of a cloud.
    top : float
        The largest known e(u).
    """

    def __init__(
        self,
        small: Problem,
        generator: torch.Generator,
        starts: Tensor | None = None,
        top: float = 0.0,
    ) -> None:
        self.small, self.generator = small, generator
        self.starts = starts
        self.ends = torch.zeros(0, small.n_inputs, device=small.device)
        self.top = top

    def run(self, dual: Tensor, n_moves: int, n: int = N_CHAINS) -> Tensor:
        """Points where the chains end after `n_moves` moves under mu_G: (M, r), float32."""
        start = [self._overdispersed(n)]
        if self.starts is not None:
            some = torch.randperm(len(self.starts), generator=self.generator)[:n]
            start.append(self.starts[some].to(start[0]))
        elif len(self.ends):
            start.append(self.ends)
        target = Target(self.small, self.small.x.float(), dual)
        found, log_tilts, _ = mala(
            target, torch.cat(start), FIRST_STEP, n_moves, generator=self.generator
        )
        self.top = float(log_tilts.max())
        some = torch.randperm(len(found), device=found.device, generator=self.generator)
        self.ends = found[some[:n]]
        return found

    def _overdispersed(self, n: int) -> Tensor:
        small = self.small
        widest = math.sqrt(2 * (self.top + NEGLIGIBLE) / small.n_inputs)
        u = torch.randn(n, small.n_inputs, device=small.device, generator=self.generator)
        u *= torch.linspace(1.0, max(2.0, widest), n, device=small.device)[:, None]
        return u / math.sqrt(small.beta * small.decay)


@dataclass(frozen=True, eq=False)
class _Remembered:
    """Points of equal weight, drawn from a proposal q, or from mu_G after a bridge."""

    problem: Problem
    u: Tensor
    dual: Tensor
    log_z: float
    proposal: Mixture | None

    def log_density(self, u: Tensor, values: Tensor) -> Tensor:
        """Log density, relative to the prior, of the law that the points were drawn from."""
        if self.proposal is None:
            return log_tilt(self.problem, self.dual, values) - self.log_z
        return self.proposal.log_density(u) - log_prior(self.problem, u)


class Ascent:
    """Newton's method on the dual where mu_G can only be sampled.

    Each step maximises the dual of the last samples together (the model), from the best G so far,
    as far as enough of the points stay effective. The new mu_G is then sampled afresh, by a
    bridge, so that its log Z does not depend on the steps before: a step that went too far is
    noticed, and its sample remains in the model. Chains from overdispersed starts run at every
    step, and the proposal of the next sample is fitted to what they find as well.

    Parameters
    ----------
    small : Problem
        In the row space of X, float64.
    n_moves : int
        MALA moves after each level of a bridge.
    tol : float
        Relative gap to reach.
    memory_budget : int
        Bytes of the activations at the points of the model.
    """

    def __init__(
        self,
        small: Problem,
        *,
        n_moves: int,
        tol: float,
        memory_budget: int,
        generator: torch.Generator,
        log: StepLog,
    ) -> None:
        self.small, self.n_moves, self.tol = small, n_moves, tol
        self.most_points = memory_budget // (4 * small.n_samples)
        self.generator, self.log = generator, log
        self.chains = OverdispersedChains(small, generator)
        self.inside = Guard(small, generator)
        self.remembered: list[_Remembered] = []
        self.visited: list[Tensor] = []

    def begin(self, n: int) -> None:
        """Start at G = 0, where mu_G is the prior."""
        scale = 1 / math.sqrt(self.small.beta * self.small.decay)
        prior = standard_mixture(self.small.n_inputs, scale, device=self.small.device)
        self._sample(torch.zeros_like(self.small.y), prior, n)

    def begin_near(self, dual: Tensor, points: Tensor, weights: Tensor, n: int) -> bool:
        """Start at a G from weighted points near its mu_G; False if no bridge reaches it."""
        self.chains.top = float(log_tilt_at(self.small, dual, points.float()).max())
        self.chains.ends = points[
            torch.multinomial(weights, N_CHAINS, replacement=True, generator=self.generator)
        ].float()
        found = self.chains.run(dual, 10 * self.n_moves)
        proposal = fit_proposal(self.small, points, weights, found=found, generator=self.generator)
        reached, _ = self._sample(dual, proposal, n)
        self.visited += [scale * dual for scale in torch.linspace(0, 0.9, 10).tolist()]
        return reached > -math.inf

    def run(self, n: int) -> bool:
        """Take steps with samples of n points, until two in a row have nothing more to gain.

        A step fails if its sample shows less than half of the gain that the model promised, or if
        no short bridge reaches its end; the region in which the model is trusted then shrinks.

        Returns
        -------
        bool
            Whether it converged: False after too many steps, or too many that failed.
        """
        converged, failed, radius = 0, 0.0, math.inf
        for _ in range(MOST_STEPS):
            model, points = self.model()
            value = dual_value(model)
            least = min(KEPT_SIZE * model.effective_size, n / 2)
            tolerance = STEP_TOLERANCE * self.tol
            there, size = maximize(model, least, tolerance, radius, self.inside)
            gain = dual_value(there) - value
            length = float((there.dual - model.dual).norm())
            self.log.record(value, gap_of(model), size, there.effective_size)
            reached, noise = self._sample(there.dual, self._fit_proposal(points, there), n)
            enough = max(LEAST_GAIN * self.tol * abs(value), noise)
            if gain > enough and reached < value + gain / 2 - noise:
                radius = SHRINKAGE * length
                failed += 1
            else:
                radius = max(radius, 2 * length)
                failed = max(0.0, failed - 0.5)
            done = gain < enough and size > LONG_STEP and reached > -math.inf
            converged = converged + 1 if done else 0
            if converged >= 2:
                return True
            if failed >= MOST_FAILURES:
                return False
        return False

    def remember(self, sample: WeightedSample, dual: Tensor) -> None:
        """Add a sample of the mu_G of `dual` to the model."""
        log_weights = sample.base + log_tilt_at(self.small, dual, sample.u)
        kept, u = max(1, self.most_points // N_REMEMBERED), sample.u
        if sample.proposal is None:
            u = u[resample(torch.softmax(log_weights, 0), len(u), self.generator)]
        if len(u) > kept:
            u = u[torch.randperm(len(u), device=u.device, generator=self.generator)[:kept]]
        log_z = float(torch.logsumexp(log_weights, 0))
        self.visited.append(dual)
        self.remembered.append(_Remembered(self.small, u, dual, log_z, sample.proposal))
        self.remembered = self.remembered[-N_REMEMBERED:]

    def model(self) -> tuple[Tilted, Tensor]:
        """All remembered points as one weighted sample, at the best G so far.

        Each point weighs prior / (mean density of the laws that the points came from).
        """
        points = torch.cat([part.u for part in self.remembered])
        values = self.small.sigma.value_(points @ self.small.x.to(points.dtype).T)
        densities = [
            part.log_density(points, values) + math.log(len(part.u)) for part in self.remembered
        ]
        base = -torch.logsumexp(torch.stack(densities, 1), 1)
        start = Tilted(self.small, self.visited[0], values, base, 0.0, base)
        candidates = [start.at(dual) for dual in self.visited[-N_CANDIDATES:]]
        known = [c for c in candidates if c.effective_size >= LEAST_KNOWN * len(points)]
        if known:
            return max(known, key=dual_value), points
        return max(candidates, key=lambda c: c.effective_size), points

    def propose(self, n: int) -> tuple[Bridge, WeightedSample]:
        """A bridge to mu_G at the best G so far, and its pilot sample."""
        model, points = self.model()
        proposal = self._fit_proposal(points, model)
        return build_bridge(
            self.small,
            model.dual,
            proposal,
            n,
            n_moves=self.n_moves,
            generator=self.generator,
            log=self.log,
        )

    def _fit_proposal(self, points: Tensor, tilted: Tilted) -> Mixture:
        found = self.chains.run(tilted.dual, 10 * self.n_moves)
        shares = output_shares(tilted.weights, log_tilt(self.small, tilted.dual, tilted.values))
        return fit_proposal(self.small, points, shares, found=found, generator=self.generator)

    def _sample(self, dual: Tensor, proposal: Mixture, n: int) -> tuple[float, float]:
        """Add a sample of mu_G to the model; return D(G), -inf without a bridge, and its noise."""
        try:
            _, sample = build_bridge(
                self.small,
                dual,
                proposal,
                n,
                n_moves=self.n_moves,
                most=MOST_LEVELS,
                generator=self.generator,
            )
        except ArithmeticError:
            return -math.inf, 0.0
        self.remember(sample, dual)
        noise = NOISE_STDERRS / (self.small.beta * math.sqrt(sample.least_size))
        return dual_value(sample.tilted(self.small, dual)), noise


def maximize(
    model: Tilted,
    least: float,
    tolerance: float,
    radius: float = math.inf,
    inside: Callable[[Tensor], bool] | None = None,
    most: int = 6,
) -> tuple[Tilted, float]:
    """Newton steps on a model, which keep an effective sample size of `least` or more.

    All steps together are no longer than `radius`, and lead to a G that is `inside`. The second
    result is the fraction of the last Newton step that was taken.
    """
    size, start = 1.0, model.dual
    for _ in range(most):
        direction, slope = newton_direction(model, tolerance=1e-3, most=30)
        if slope <= tolerance * abs(dual_value(model)):
            break
        left = radius - float((model.dual - start).norm())
        longest = min(1.0, max(left, 0.0) / float(direction.norm()))
        model, size = line_search(model, direction, slope, least, longest, inside)
        if longest < 1:
            break
        if size < 1 and model.effective_size < LEAST_SLACK * least:
            break
    return model, size


def line_search(
    tilted: Tilted,
    direction: Tensor,
    slope: float,
    least: float,
    longest: float = 1.0,
    inside: Callable[[Tensor], bool] | None = None,
) -> tuple[Tilted, float]:
    """The longest step that raises the dual and keeps an effective sample size of `least`."""
    size, value = longest, dual_value(tilted)
    while size > 1e-6:
        there = tilted.at(tilted.dual + size * direction)
        enough = (
            there.effective_size >= least and dual_value(there) >= value + ARMIJO * size * slope
        )
        if enough and (inside is None or inside(there.dual)):
            return there, size
        size *= BACKTRACKING
    return tilted, 0.0
