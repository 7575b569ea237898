"""The certification of a finished run: how far its neurons are from the minimizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.app.certify.marginals import Marginals, compare_marginals, log_tilts_of
from eval.app.certify.warmer import Warmer, find_warmer
from eval.app.run.config import RunConfig
from eval.app.run.model_store import read_model
from eval.app.run.splits import Split, draw_split
from eval.app.shared.certificates import certificate_fields
from eval.app.shared.endings import Stopped
from eval.app.shared.formats import finite, versions
from eval.app.shared.run_folder import StoredRun
from eval.distances.function_space import FeatureError, feature_error
from eval.distances.stein import SteinDiscrepancy, gibbs_stein_discrepancy
from gibbs import (
    Certificate,
    GibbsMeasure,
    GibbsResult,
    Particles,
    Problem,
    SolverReport,
    certify,
    describe_report,
    solve_gibbs,
)
from gibbs.solver.conditional import Conditional
from gibbs.solver.dual import Tilted, refit
from gibbs.solver.progress import Progress
from stages import TwoStageClassifier

__all__ = ["Certification", "CertifyOptions", "certify_run"]

MOST_POINTS = 500
"""Test points at which features are compared."""

MOST_NEURONS = 2000
"""Neurons in the Stein discrepancy, whose time grows as their square."""


@dataclass(frozen=True)
class CertifyOptions:
    """Points of each sample, relative gap to certify to, seed, and whether to solve too."""

    n_particles: int
    tol: float
    seed: int = 0
    solve: bool = False


@dataclass(frozen=True, eq=False)
class Certification:
    """Results about the neurons of a run, for stage one with W fixed at W_0.

    Attributes
    ----------
    solver : str
        How the run trained: "langevin" or "gibbs".
    options : CertifyOptions
    n_neurons : int
    certificate : Certificate
        Of the dual point that the neurons' u give.
    solved : GibbsResult or None
        The minimizer, if `solve` was set; the next three need it.
    feature_errors : dict of str to FeatureError
        On the training samples ("train") and on test samples ("test").
    stein : SteinDiscrepancy or None
    marginals : Marginals
    warmer : Warmer or None
        A lower beta, where neither the neurons nor the minimizer have two bounds better than the
        trivial ones.
    """

    solver: str
    options: CertifyOptions
    n_neurons: int
    certificate: Certificate
    solved: GibbsResult | None
    feature_errors: dict[str, FeatureError]
    stein: SteinDiscrepancy | None
    marginals: Marginals
    warmer: Warmer | None = None

    @property
    def informative(self) -> bool:
        """Whether two bounds, of the neurons or of the minimizer, are better than the trivial."""
        known = [self.certificate, *([self.solved.certificate] if self.solved else [])]
        return any(all(certificate.informative) for certificate in known)

    def content(self) -> dict[str, Any]:
        """Everything but the arrays, for JSON."""
        solved = self.solved and {
            "status": self.solved.status,
            "certificate": certificate_fields(self.solved.certificate),
            "history": {name: values.tolist() for name, values in self.solved.history.items()},
        }
        errors = {name: dataclasses.asdict(error) for name, error in self.feature_errors.items()}
        phases = self.marginals.phases
        content: dict[str, Any] = finite(
            {
                "solver": self.solver,
                "n_neurons": self.n_neurons,
                "options": dataclasses.asdict(self.options),
                "certificate": certificate_fields(self.certificate),
                "solved": solved,
                "feature_error": errors or None,
                "stein": self.stein and dataclasses.asdict(self.stein),
                "phases": phases and dataclasses.asdict(phases),
                "warmer": self.warmer and dataclasses.asdict(self.warmer),
                "versions": versions(),
            }
        )
        return content

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that the figures are drawn from."""
        return self.marginals.arrays()


def certify_run(
    run: StoredRun,
    say: Callable[[str], None],
    *,
    n_particles: int | None = None,
    tol: float | None = None,
    seed: int = 0,
    solve: bool = False,
) -> Certification:
    """Certify the stored network of a run on the data that it was trained on.

    `n_particles` and `tol` are those of its classifier where they are None; `say` is
    called with what is being done.

    Raises
    ------
    ValueError
        If the run is partial, its data are no longer the same, or its stage one has no Gibbs
        minimizer that :func:`gibbs.certify` knows.
    ArithmeticError
        If beta is too large for samples of this size.
    """
    if not run.complete:
        raise ValueError(f"{run.folder} is a partial run: only a finished one is certified")
    model = read_model(run.folder).classifier
    options = CertifyOptions(n_particles or model.n_particles, tol or model.tol, seed, solve)
    split = _same_data(run, model)
    problem = model.problem(split.x, split.y)
    cloud, generator = model.particles_, torch.Generator().manual_seed(options.seed)

    def progress(report: SolverReport) -> None:
        say(describe_report(report))

    say(f"certifying {len(cloud)} neurons with samples of {options.n_particles} points")
    certificate = certify(
        problem,
        cloud,
        generator=generator,
        n_particles=options.n_particles,
        tol=options.tol,
        progress=progress,
    )
    if options.solve:
        say("solving for the minimizer")
        result = _compared_with_minimizer(
            model, options, certificate, problem, split, progress, generator
        )
    else:
        marginals = Marginals(log_tilts_of(problem, _own_dual(problem, cloud), cloud.u))
        result = Certification(
            model.solver, options, len(cloud), certificate, None, {}, None, marginals
        )
    if result.informative:
        return result
    try:
        warmer = find_warmer(
            _config(run),
            split,
            beta=problem.beta,
            n_particles=options.n_particles,
            seed=options.seed,
            say=say,
            progress=progress,
        )
    except Stopped:
        raise
    except KeyboardInterrupt:
        say("the search for a beta was interrupted: the certificate is kept without one")
        return result
    return dataclasses.replace(result, warmer=warmer)


def _compared_with_minimizer(
    model: TwoStageClassifier,
    options: CertifyOptions,
    certificate: Certificate,
    problem: Problem,
    split: Split,
    progress: Progress,
    generator: torch.Generator,
) -> Certification:
    solved = solve_gibbs(
        problem,
        n_particles=options.n_particles,
        tol=options.tol,
        generator=generator,
        progress=progress,
    )
    cloud, measure = model.particles_, solved.measure
    points = {"train": problem.x, "test": model.problem(split.x_test, split.y_test).x}
    errors = {
        name: feature_error(cloud, measure, x[:MOST_POINTS], random_state=options.seed)
        for name, x in points.items()
    }
    whole = _with_noise(cloud, measure, generator) if model.solver == "gibbs" else cloud
    few = Particles(whole.a[:MOST_NEURONS], whole.u[:MOST_NEURONS])
    stein = gibbs_stein_discrepancy(few, measure, random_state=options.seed)
    marginals = compare_marginals(whole, measure, generator=generator)
    return Certification(
        model.solver, options, len(cloud), certificate, solved, errors, stein, marginals
    )


def _same_data(run: StoredRun, model: TwoStageClassifier) -> Split:
    """The samples of the first repetition, compared with those that the run stored."""
    split = draw_split(_config(run), 0)
    stored = run.arrays["after"]
    same = len(split.y) == len(stored) and split.x.shape[1] == model.n_features_in_
    if same:
        found = model.transform(split.x)
        same = bool(np.abs(found - stored).max() <= 1e-3 * np.abs(stored).max())
        same &= bool((model.classes_[run.arrays["members"]] == split.y).all())
    if not same:
        raise ValueError(
            f"{run.folder}: {run.config['data']} no longer gives the samples that the run was "
            "trained on"
        )
    return split


def _config(run: StoredRun) -> RunConfig:
    return RunConfig(**{name: value for name, value in run.config.items() if name != "versions"})


def _own_dual(problem: Problem, cloud: Particles) -> torch.Tensor:
    """The dual point that the neurons' u give, as :func:`gibbs.certify` takes it."""
    exact = dataclasses.replace(
        problem, x=problem.x.double(), y=problem.y.double(), w=problem.w.double()
    )
    return refit(Tilted.uniform(exact, exact.sigma(cloud.u @ exact.x.T)))


def _with_noise(cloud: Particles, measure: GibbsMeasure, generator: torch.Generator) -> Particles:
    """The solver's neurons with a drawn given u: as stored, they lack the noise of a."""
    problem = measure.problem
    values = problem.sigma(cloud.u @ problem.x.double().T)
    fields = values @ measure.coefficients @ problem.w.double().T
    return Particles(Conditional.of(problem).sample(fields, generator=generator), cloud.u)
