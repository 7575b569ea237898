"""Search for a lower beta at which both bounds of a run are better trivial ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch

from eval.app.report.report import command_line
from eval.app.run.config import RunConfig
from eval.app.run.runs import network
from eval.app.run.splits import Split
from gibbs import certify
from gibbs.solver.progress import Progress

__all__ = ["Warmer", "find_warmer"]

MOST_DECADES = 4

SMALL_DRAW = 2000
"""Points of each sample, unless those of the run have fewer."""


@dataclass(frozen=True)
class Warmer:
    """Result of the search over lower betas.

    Attributes
    ----------
    tried : tuple of float
        Decades below the beta of the run, falling; the last one is the result, if there is one.
    n_particles : int
        Points of each sample.
    interval : (float, float) or None
        95 % interval of the least free energy at the last beta, both ends better than the
        trivial bounds; None where no beta gave that.
    command : str or None
        The run that gave it.
    """

    tried: tuple[float, ...]
    n_particles: int
    interval: tuple[float, float] | None
    command: str | None


def find_warmer(
    config: RunConfig,
    split: Split,
    *,
    beta: float,
    n_particles: int,
    seed: int,
    say: Callable[[str], None],
    progress: Progress,
) -> Warmer:
    """Train the network of a run again at beta/10, beta/100, ..., until both bounds are useful.

    Everything but beta and the size of the samples is as in the run. The bounds of the solver
    are those of its own certificate, the bounds of the dynamics those of the neurons.
    """
    n = min(n_particles, SMALL_DRAW)
    tried: list[float] = []
    for decade in range(1, MOST_DECADES + 1):
        tried.append(float(f"{beta / 10**decade:.6g}"))
        say(f"at beta = {beta:g} a bound is no better than trivial: trying beta = {tried[-1]:g}")
        warmer = copy.deepcopy(config)
        warmer.model["beta"] = tried[-1]
        if warmer.model.get("solver") == "gibbs":
            warmer.model["n_particles"] = n
        try:
            model = network(warmer, 0).fit(split.x, split.y, on_newton_step=progress)
        except ValueError:  # a step size of the run's own diverges here
            continue
        certificate = model.certificate_ or certify(
            model.problem(split.x, split.y),
            model.particles_,
            generator=torch.Generator().manual_seed(seed),
            n_particles=n,
            progress=progress,
        )
        if all(certificate.informative):
            command = command_line(warmer.recorded(split.kind))
            return Warmer(tuple(tried), n, certificate.dual_interval, command)
    return Warmer(tuple(tried), n, None, None)
