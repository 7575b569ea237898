"""Climbing the dual: Newton steps on a model made of all recent draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbs.model.problem import Problem
from gibbs.solver.bridge import Bridge, Draw, build_bridge, log_prior, resample, surround, tilts_at
from gibbs.solver.domain import Guard
from gibbs.solver.dual import Tilted, dual_value, gap_of, newton_direction, tilt
from gibbs.solver.measure import Target, mala
from gibbs.solver.mixture import Mixture, standard_mixture
from gibbs.solver.phases import output_shares
from gibbs.solver.progress import StepLog

__all__ = ["Ascent", "Scouts", "line_search", "maximize"]

MOST_STEPS = 40

MOST_FAILURES = 4

MOST_LEVELS = 8
"""A step is too long where a bridge takes more."""

N_REMEMBERED = 4
"""Draws that make up the model: each knows the mass near its own G."""

N_CANDIDATES = 12

LEAST_KNOWN = 0.02
"""Share of the model's points that must be effective at a G for its dual value to count."""

N_SCOUTS = 500


class Scouts:
    """Points that look for mass which the draws have missed: half of them start hot each time.

    Hot starts are prior draws scaled up, to the widest range that can matter:
    sqrt(2 (max e + 40)) prior deviations in all, for the largest e(u) that is known: `top`, then
    that of the points found.
    """

    def __init__(
        self,
        small: Problem,
        generator: torch.Generator,
        visitors: Tensor | None = None,
        top: float = 0.0,
    ) -> None:
        self.small, self.generator = small, generator
        self.visitors = visitors
        self.settled = torch.zeros(0, small.n_inputs, device=small.device)
        self.top = top

    def explore(self, dual: Tensor, n_moves: int, n: int = N_SCOUTS) -> Tensor:
        """Where they get to at G: (M, r), float32."""
        start = [self._hot(n)]
        if self.visitors is not None:
            some = torch.randperm(len(self.visitors), generator=self.generator)[:n]
            start.append(self.visitors[some].to(start[0]))
        elif len(self.settled):
            start.append(self.settled)
        target = Target(self.small, self.small.x.float(), dual)
        found, tilts, _ = mala(target, torch.cat(start), 0.3, n_moves, generator=self.generator)
        self.top = float(tilts.max())
        some = torch.randperm(len(found), device=found.device, generator=self.generator)
        self.settled = found[some[:n]]
        return found

    def _hot(self, n: int) -> Tensor:
        small = self.small
        widest = math.sqrt(2 * (self.top + 40) / small.n_inputs)
        hot = torch.randn(n, small.n_inputs, device=small.device, generator=self.generator)
        hot *= torch.linspace(1.0, max(2.0, widest), n, device=small.device)[:, None]
        return hot / math.sqrt(small.beta * small.decay)


@dataclass(frozen=True, eq=False)
class _Remembered:
    """Points that count equally: draws of a proposal q, or of mu_G after a bridge."""

    problem: Problem
    u: Tensor
    dual: Tensor
    log_z: float
    proposal: Mixture | None

    def log_density(self, u: Tensor, values: Tensor) -> Tensor:
        """Of one point's law, relative to the prior."""
        if self.proposal is None:
            return tilt(self.problem, self.dual, values) - self.log_z
        return self.proposal.log_density(u) - log_prior(self.problem, u)


class Ascent:
    """Newton's method on the dual where mu_G can only be drawn from.

    Each step maximises the dual of the remembered draws together, from the best G so far, as
    far as enough of the points stay effective. The new mu_G is then drawn afresh, by a
    bridge, so that its log Z does not depend on the way there: a step that went too far is
    seen, and its draw remains in the model. Scouts go along, and what they find is in the
    proposal of the draw.

    Parameters
    ----------
    small : Problem
        In the row space of X, float64.
    n_moves : int
        MALA moves after each level of a bridge.
    tol : float
        Relative gap that is aimed at.
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
        self.scouts = Scouts(small, generator)
        self.inside = Guard(small, generator)
        self.remembered: list[_Remembered] = []
        self.visited: list[Tensor] = []

    def begin(self, n: int) -> None:
        """Start at G = 0, where mu_G is the prior."""
        scale = 1 / math.sqrt(self.small.beta * self.small.decay)
        prior = standard_mixture(self.small.n_inputs, scale, device=self.small.device)
        self._draw(torch.zeros_like(self.small.y), prior, n)

    def begin_near(self, dual: Tensor, points: Tensor, weights: Tensor, n: int) -> bool:
        """Start at a G from weighted points near its mu_G; False if no bridge led there."""
        self.scouts.top = float(tilts_at(self.small, dual, points.float()).max())
        self.scouts.settled = points[
            torch.multinomial(weights, N_SCOUTS, replacement=True, generator=self.generator)
        ].float()
        scouts = self.scouts.explore(dual, 10 * self.n_moves)
        proposal = surround(self.small, points, weights, scouts=scouts, generator=self.generator)
        reached, _ = self._draw(dual, proposal, n)
        self.visited += [scale * dual for scale in torch.linspace(0, 0.9, 10).tolist()]
        return reached > -math.inf

    def climb(self, n: int) -> bool:
        """Steps with draws of n points, until the model has no more to give, twice in a row.

        A step whose draw does not bear out half of the promised gain, or that no short bridge
        leads to, narrows the region that the model is trusted in. False if that happens too
        often.
        """
        settled, failed, radius = 0, 0.0, math.inf
        for _ in range(MOST_STEPS):
            model, points = self.model()
            value = dual_value(model)
            least = min(0.3 * model.effective_size, n / 2)
            there, size = maximize(model, least, 0.03 * self.tol, radius, self.inside)
            gain = dual_value(there) - value
            length = float((there.dual - model.dual).norm())
            self.log.record(value, gap_of(model), size, there.effective_size)
            reached, noise = self._draw(there.dual, self._surround(points, there), n)
            enough = max(0.25 * self.tol * abs(value), noise)
            if gain > enough and reached < value + gain / 2 - noise:
                radius = 0.4 * length
                failed += 1
            else:
                radius = max(radius, 2 * length)
                failed = max(0.0, failed - 0.5)
            settled = settled + 1 if gain < enough and size > 0.5 and reached > -math.inf else 0
            if settled >= 2:
                return True
            if failed >= MOST_FAILURES:
                return False
        return False

    def remember(self, draw: Draw, dual: Tensor) -> None:
        """Take a draw into the model."""
        log_weights = draw.base + tilts_at(self.small, dual, draw.u)
        kept, u = max(1, self.most_points // N_REMEMBERED), draw.u
        if draw.proposal is None:
            u = u[resample(torch.softmax(log_weights, 0), len(u), self.generator)]
        if len(u) > kept:
            u = u[torch.randperm(len(u), device=u.device, generator=self.generator)[:kept]]
        log_z = float(torch.logsumexp(log_weights, 0))
        self.visited.append(dual)
        self.remembered.append(_Remembered(self.small, u, dual, log_z, draw.proposal))
        self.remembered = self.remembered[-N_REMEMBERED:]

    def model(self) -> tuple[Tilted, Tensor]:
        """All remembered points as one weighted sample, at the best G so far.

        Each point weighs prior / (mean density of the laws that the points came from).
        """
        points = torch.cat([draw.u for draw in self.remembered])
        values = self.small.sigma.value_(points @ self.small.x.to(points.dtype).T)
        densities = [
            draw.log_density(points, values) + math.log(len(draw.u)) for draw in self.remembered
        ]
        base = -torch.logsumexp(torch.stack(densities, 1), 1)
        start = Tilted(self.small, self.visited[0], values, base, 0.0, base)
        candidates = [start.at(dual) for dual in self.visited[-N_CANDIDATES:]]
        known = [c for c in candidates if c.effective_size >= LEAST_KNOWN * len(points)]
        if known:
            return max(known, key=dual_value), points
        return max(candidates, key=lambda c: c.effective_size), points

    def propose(self, n: int) -> tuple[Bridge, Draw]:
        """A bridge to mu_G at the best G so far, and its pilot draw."""
        model, points = self.model()
        proposal = self._surround(points, model)
        return build_bridge(
            self.small,
            model.dual,
            proposal,
            n,
            n_moves=self.n_moves,
            generator=self.generator,
            log=self.log,
        )

    def _surround(self, points: Tensor, tilted: Tilted) -> Mixture:
        scouts = self.scouts.explore(tilted.dual, 10 * self.n_moves)
        shares = output_shares(tilted.weights, tilt(self.small, tilted.dual, tilted.values))
        return surround(self.small, points, shares, scouts=scouts, generator=self.generator)

    def _draw(self, dual: Tensor, proposal: Mixture, n: int) -> tuple[float, float]:
        """Draw mu_G into the model; its dual value and three standard errors, -inf if none came."""
        try:
            _, draw = build_bridge(
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
        self.remember(draw, dual)
        noise = 3 / (self.small.beta * math.sqrt(draw.least_size))
        return dual_value(draw.tilted(self.small, dual)), noise


def maximize(
    model: Tilted,
    least: float,
    tolerance: float,
    radius: float = math.inf,
    inside: Callable[[Tensor], bool] | None = None,
    most: int = 6,
) -> tuple[Tilted, float]:
    """Newton steps on a model, while that effective size is kept; the last step's size.

    All steps together are no longer than `radius`, and lead to a G that is `inside`.
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
        if size < 1 and model.effective_size < 1.3 * least:
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
    """The longest step that raises the dual and keeps that effective size."""
    size, value = longest, dual_value(tilted)
    while size > 1e-6:
        there = tilted.at(tilted.dual + size * direction)
        enough = there.effective_size >= least and dual_value(there) >= value + 1e-4 * size * slope
        if enough and (inside is None or inside(there.dual)):
            return there, size
        size *= 0.7
    return tilted, 0.0
