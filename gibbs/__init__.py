"""Mean-field networks: the model, its energies, the dynamics of stage one and its solution.

`model` holds the network, its energies and its laws, `dynamics` the noisy flow of a cloud of
neurons, `solver` the Gibbs minimizer with its certificate, and `averages` features with less noise.
`gauss_rules` are nodes and weights of quadrature.

Tensors in and out; float32 or float64, on any device; rows are samples. Imports torch and the
standard library alone.
"""

from gibbs.averages import FeatureKind, TimeAverage, conditional_features, coupled_features
from gibbs.dynamics.langevin import (
    LangevinResult,
    LangevinState,
    LangevinStatus,
    StopRun,
    run_langevin,
)
from gibbs.dynamics.schedules import Annealed, Cosine, Piecewise
from gibbs.dynamics.snapshot import Snapshot
from gibbs.model.activations import ACTIVATIONS, Activation, get_activation
from gibbs.model.energy import (
    data_loss,
    first_variation,
    first_variation_gradient,
    regularized_loss,
)
from gibbs.model.network import features, kernel, outputs
from gibbs.model.particles import Particles, sample_normal, sample_prior
from gibbs.model.problem import Problem
from gibbs.model.truncation import truncate, truncate_slope
from gibbs.solver.certificate import Certificate, describe_bounds
from gibbs.solver.measure import GibbsMeasure
from gibbs.solver.minimizer import GibbsResult, certify, solve_gibbs
from gibbs.solver.progress import (
    BridgeLevel,
    DescentRound,
    NewtonStep,
    Replay,
    SolverReport,
    describe_report,
)

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Annealed",
    "BridgeLevel",
    "Certificate",
    "Cosine",
    "DescentRound",
    "FeatureKind",
    "GibbsMeasure",
    "GibbsResult",
    "LangevinResult",
    "LangevinState",
    "LangevinStatus",
    "NewtonStep",
    "Particles",
    "Piecewise",
    "Problem",
    "Replay",
    "Snapshot",
    "SolverReport",
    "StopRun",
    "TimeAverage",
    "certify",
    "conditional_features",
    "coupled_features",
    "data_loss",
    "describe_bounds",
    "describe_report",
    "features",
    "first_variation",
    "first_variation_gradient",
    "get_activation",
    "kernel",
    "outputs",
    "regularized_loss",
    "run_langevin",
    "sample_normal",
    "sample_prior",
    "solve_gibbs",
    "truncate",
    "truncate_slope",
]
