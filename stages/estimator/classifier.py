"""The two-stage network as a scikit-learn classifier and transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from gibbs import (
    GibbsResult,
    LangevinResult,
    LangevinStatus,
    Problem,
    SolverReport,
)
from gibbs.dynamics.langevin import Observer
from gibbs.dynamics.step_sizes import Schedule
from gibbs.solver.progress import Progress
from stages.checkpoint import Checkpoint
from stages.estimator.parameters import check_parameters, check_same, seed_of, stage_settings
from stages.estimator.reading import read_labelled, read_samples
from stages.estimator.samples import map_inputs, total_weights, unit_ball
from stages.estimator.summary import summary_html, summary_rows
from stages.estimator.trained import Start, Trained, limited_threads
from stages.flow import Flow
from stages.linear import Ridge
from stages.mean_field import Gibbs, Langevin, orthonormal_layer
from stages.progress import progress, solver_progress
from stages.two_stage import TwoStageResult, train_two_stage

__all__ = ["TwoStageClassifier"]


class TwoStageClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    r"""Three-layer mean-field network, trained in two stages (Algorithm 1 of the paper).

    Outputs f(x) = gamma W^T h(x), features h(x) = (1/N) sum_j a_j sigma(u_j . x). Stage one
    trains the neurons (a_j, u_j) by noisy mean-field dynamics with W fixed at an orthonormal
    W_0; stage two fits W on the features by ridge regression. The class with the largest
    output wins. The loss is the squared error to one-hot targets, weighted by sample
    and class weights where there are any: sum_i s_i |Z_i - Y_i|^2 / (2 sum_i s_i).

    Before that, every sample is mapped into the unit ball: shifted by the training mean (if
    `center`; with the weights of the loss), divided by the largest norm in the training set, and
    given a constant coordinate `intercept`, x -> (x, intercept) / sqrt(1 + intercept^2).

    Parameters
    ----------
    solver : {"langevin", "gibbs"}, default "langevin"
        Stage one: noisy dynamics, or the Gibbs minimizer itself with a certificate. The latter is
        :func:`gibbs.solve_gibbs`, which does not use the parameters from `max_iter` to
        `scheme`.
    stage_two : {"linear", "flow"}, default "linear"
        Stage two: "linear" is the exact ridge solution of W; "flow" moves neurons and W together
        by the joint noisy flow (Eq. 20).
    n_hidden_features : int or "auto", default "auto"
        p, the number of features, at least the number of classes q. "auto" is max(16, 2q).
    n_neurons : int, default 1000
        N, the number of neurons.
    beta : float, default 1e4
        Inverse temperature; inf means no noise, and then `lambda_rho` must be given.
    gamma : float, default 1
        Output scale.
    lambda_rho : float, optional
        L2 weight of the neurons; None means 1/beta.
    lambda_w : float, optional
        L2 weight of W; None means 1/beta, or `lambda_rho` at beta = inf.
    activation : {"sigmoid", "tanh", "erf", "softplus", "relu"}, default "tanh"
        sigma, the activation: sigmoid, tanh, erf, softplus or relu.
    truncation : float, optional
        Radius of the smooth truncation of a; None means no truncation.
    max_iter : int, default 1000
        Steps of stage one; 0 leaves the neurons random (a random-features classifier).
    flow_max_iter : int, optional
        Steps of the stage two "flow"; None means `max_iter`.
    step_size : float, "auto" or callable, default "auto"
        Step size of the dynamics of both stages; "auto" takes it from the curvature of the loss.
        See :func:`gibbs.run_langevin`.
    batch_size : int, optional
        Samples a step; None means all samples.
    scheme : {"euler", "leimkuhler_matthews"}, default "euler"
        How the noise enters a step. See :class:`gibbs.dynamics.noise.Scheme`.
    backend : {"auto", "torch", "fused"}, default "auto"
        Who computes a step of the dynamics: torch, or compiled code, which needs the extra "fast".
        "auto" takes the compiled code where it can be used. See :func:`gibbs.run_langevin`.
    n_particles : int, default 20_000
        Points of each sample of the solver "gibbs".
    tol : float, default 1e-2
        Relative gap that the solver "gibbs" certifies to.
    class_weight : dict of class to float, "balanced" or None, default None
        Weights of the classes, times those of the samples; a class that the dict does not hold
        has 1. "balanced" gives all classes the same total.
    warm_start : bool, default False
        Whether `fit` continues from the last one: stage one with the same W_0 from `particles_`
        (the solver "gibbs" from `measure_`, where there is one), and with the same generator. The
        stage two "flow" starts again from W_0. Classes, inputs,
        n_hidden_features and n_neurons must be those of the last fit, the samples need not.
    center : bool, default True
        Whether to subtract the training mean from every sample.
    intercept : float, default 0.5
        The constant coordinate; 0 for none. An odd activation (tanh, erf) without one can
        only represent functions that are odd about the origin.
    dtype : {"float32", "float64"}, default "float32"
        Precision of the training. Predictions are computed in float64.
    random_state : int, numpy.random.RandomState or None, default None
        Decides W_0, the start of the neurons, noise and batches. None means fresh entropy.
    n_threads : int, optional
        Threads while fitting and predicting; None takes as many as torch is set to have. The
        dynamics of the backend "fused" give the same neurons for any number of them. With that of
        torch, and in the ridge solve, more than one thread may change the last digits.
    verbose : bool, default False
        Whether to show the progress of stage one on standard error: a bar, or the last report of
        the solver "gibbs".

    Attributes
    ----------
    classes_ : ndarray (q,)
    n_samples_ : int
        Samples with a weight > 0 in the training set, n.
    n_features_in_ : int
        d.
    feature_names_in_ : ndarray (d,)
        Where X came with column names.
    particles_ : gibbs.Particles
        The trained neurons, float64; `u` includes the weight of the constant coordinate.
    coef_, initial_coef_ : ndarray (q, p)
        The linear layer W^T after stage two, and W_0^T before it.
    n_iter_ : int
        Steps of stage one; Newton steps of the solver "gibbs".
    backend_ : {"torch", "fused"} or None
        What computed the steps of the dynamics; None without dynamics.
    history_ : dict of str to ndarray
        History of stage one, see :class:`gibbs.LangevinResult` and :class:`gibbs.GibbsResult`.
    stage_two_history_ : dict of str to ndarray
        Before and after stage two, see :class:`stages.TwoStageResult`.
    certificate_ : gibbs.Certificate or None
        Of the solver "gibbs"; the dynamics have none.
    measure_ : gibbs.GibbsMeasure or None
        The law of the neurons that the solver "gibbs" found, of which `particles_` are a sample. It
        holds the training samples and many points.
    mean_ : ndarray (d,)
        The shift of the samples; zeros without `center`.
    scale_ : float
        The largest norm, by which shifted samples are divided.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from stages import TwoStageClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = TwoStageClassifier(n_neurons=200, max_iter=300, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    >>> model.transform(X).shape
    (150, 16)
    """

    def __init__(
        self,
        *,
        solver: Literal["langevin", "gibbs"] = "langevin",
        stage_two: Literal["linear", "flow"] = "linear",
        n_hidden_features: int | Literal["auto"] = "auto",
        n_neurons: int = 1000,
        beta: float = 1e4,
        gamma: float = 1.0,
        lambda_rho: float | None = None,
        lambda_w: float | None = None,
        activation: str = "tanh",
        truncation: float | None = None,
        max_iter: int = 1000,
        flow_max_iter: int | None = None,
        step_size: float | Literal["auto"] | Schedule = "auto",
        batch_size: int | None = None,
        scheme: Literal["euler", "leimkuhler_matthews"] = "euler",
        backend: Literal["auto", "torch", "fused"] = "auto",
        n_particles: int = 20_000,
        tol: float = 1e-2,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        warm_start: bool = False,
        center: bool = True,
        intercept: float = 0.5,
        dtype: Literal["float32", "float64"] = "float32",
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.solver = solver
        self.stage_two = stage_two
        self.n_hidden_features = n_hidden_features
        self.n_neurons = n_neurons
        self.beta = beta
        self.gamma = gamma
        self.lambda_rho = lambda_rho
        self.lambda_w = lambda_w
        self.activation = activation
        self.truncation = truncation
        self.max_iter = max_iter
        self.flow_max_iter = flow_max_iter
        self.step_size = step_size
        self.batch_size = batch_size
        self.scheme = scheme
        self.backend = backend
        self.n_particles = n_particles
        self.tol = tol
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.center = center
        self.intercept = intercept
        self.dtype = dtype
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        observers: dict[str, Observer] | None = None,
        checkpoint: Checkpoint | None = None,
        on_newton_step: Progress | None = None,
    ) -> TwoStageClassifier:
        """Train both stages.

        Parameters
        ----------
        X : array-like (n, d)
        y : array-like (n,)
            Class labels of any type.
        sample_weight : array-like (n,), optional
            Weights >= 0. A weight of 2 is the sample twice, of 0 is the sample left out, with
            its class if there is no other; the same factor on all changes nothing.
        observers : dict of str to callable, optional
            Passed to :func:`stages.train_two_stage`; their values are in the histories.
        checkpoint : Checkpoint, optional
            A folder where the dynamics store what they need to continue after a kill. This fit
            continues from the last checkpoint there, if it is one of the same fit; `random_state`
            must be an int for that.
        on_newton_step : callable, optional
            Called with a :data:`gibbs.SolverReport` after every step of the solver "gibbs", see
            `progress` of :func:`gibbs.solve_gibbs`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or y is not usable, a parameter is out of range, or the run diverged.
        """
        samples, targets = read_labelled(self, X, y, reset=not self._continues())
        weights = total_weights(sample_weight, self.class_weight, targets)
        if weights is not None:
            kept = weights > 0
            samples, targets, weights = samples[kept], targets[kept], weights[kept]
        classes, labels = np.unique(targets, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y must hold at least 2 classes, got the one class {classes.tolist()[0]!r}"
            )
        parameters = self.get_params(deep=False)
        check_parameters(parameters, len(classes))
        settings = stage_settings(parameters)
        mean, scale = unit_ball(samples, self.center, weights)
        trained = Trained.by(parameters)
        with limited_threads(self.n_threads):
            start = self._start(classes, samples.shape[1], trained.dtype)
            inputs = map_inputs(samples, mean, scale, self.intercept)
            problem = trained.problem(inputs, labels, start.w, weights)
            result = self._train(problem, settings, start, observers, checkpoint, on_newton_step)
        stage_one = result.stage_one
        for run in (stage_one, result.stage_two):
            if isinstance(run, LangevinResult) and run.status is LangevinStatus.DIVERGED:
                raise ValueError(
                    f"step_size={self.step_size!r} diverged after step {run.n_steps}"
                    f"{'' if run is stage_one else ' of the flow'}: take a smaller one, or 'auto'"
                )
        if isinstance(stage_one, LangevinResult):
            n_iter = stage_one.n_steps
        else:
            n_iter = len(stage_one.history["step"])
        self.classes_ = classes
        self.n_samples_ = len(samples)
        self.mean_ = mean
        self.scale_ = scale
        self.particles_ = result.particles.to(torch.float64)
        self.initial_coef_ = start.w.double().T.contiguous().numpy()
        self.coef_ = result.w.double().T.contiguous().numpy()
        self.n_iter_ = n_iter
        self.backend_ = result.backend
        self.history_ = {name: v.numpy() for name, v in stage_one.history.items()}
        self.stage_two_history_ = {name: v.numpy() for name, v in result.stage_two_history.items()}
        self.certificate_ = result.certificate
        self.measure_ = stage_one.measure if isinstance(stage_one, GibbsResult) else None
        self._trained = trained
        self._random_numbers = start.generator.get_state()
        return self

    def _train(
        self,
        problem: Problem,
        settings: tuple[Langevin | Gibbs, Ridge | Flow],
        start: Start,
        observers: dict[str, Observer] | None,
        checkpoint: Checkpoint | None,
        on_newton_step: Progress | None,
    ) -> TwoStageResult:
        stage_one, stage_two = settings
        solved = isinstance(stage_one, Gibbs)
        with (
            progress(self.max_iter, "stage one", disable=solved or not self.verbose) as seconds,
            solver_progress("stage one", disable=not (solved and self.verbose)) as show,
        ):

            def on_report(report: SolverReport) -> None:
                show(report)
                if on_newton_step is not None:
                    on_newton_step(report)

            changes: dict[str, Any] = {"start": start.law}
            if solved:
                changes["progress"] = on_report
            return train_two_stage(
                problem,
                replace(stage_one, **changes),
                stage_two,
                generator=start.generator,
                observers={"seconds": seconds, **(observers or {})},
                checkpoint=checkpoint,
            )

    def _continues(self) -> bool:
        """Whether `fit` starts where the last one ended."""
        return self.warm_start and hasattr(self, "_random_numbers")

    def _start(self, classes: NDArray[Any], d: int, dtype: torch.dtype) -> Start:
        """W_0, the generator, and the start of stage one; None for new neurons."""
        p = self._n_hidden_features(len(classes))
        generator = torch.Generator()
        if not self._continues():
            generator.manual_seed(seed_of(self.random_state))
            w = orthonormal_layer(p, len(classes), generator=generator, dtype=dtype)
            return Start(w, generator, None)
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"y must hold the classes of the last fit with warm_start, "
                f"{self.classes_.tolist()}, got {classes.tolist()}"
            )
        width = d + bool(self.intercept)
        check_same("X (with the intercept)", "columns", width, self.particles_.u.shape[1])
        check_same("n_hidden_features", "", p, self.coef_.shape[1])
        check_same("n_neurons", "", self.n_neurons, len(self.particles_))
        generator.set_state(self._random_numbers)
        w = torch.tensor(self.initial_coef_.T, dtype=dtype).contiguous()
        if self.solver == "gibbs":
            return Start(w, generator, self.measure_ or self.particles_)
        return Start(w, generator, self.particles_.to(dtype))

    def problem(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Problem:
        """Stage one as a :class:`gibbs.Problem`: these samples, mapped into the ball, and W_0.

        With the training data it is the same problem that `fit` solved in stage one.

        Parameters
        ----------
        X : array-like (n, d)
        y : array-like (n,)
            Labels among `classes_`.
        sample_weight : array-like (n,), optional
            The weights of the samples; weights of classes are not applied.
        """
        check_is_fitted(self)
        samples, targets = read_labelled(self, X, y, reset=False)
        unknown = np.setdiff1d(targets, self.classes_)
        if len(unknown):
            raise ValueError(f"y must hold labels of the training set, got {unknown.tolist()[0]!r}")
        weights = total_weights(sample_weight, None, targets)
        labels = np.searchsorted(self.classes_, targets)
        w = torch.tensor(self.initial_coef_.T, dtype=self._trained.dtype).contiguous()
        x = map_inputs(samples, self.mean_, self.scale_, self._trained.intercept)
        return self._trained.problem(x, labels, w, weights)

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Features h(x): the array (n, p) that the linear layer sees."""
        check_is_fitted(self)
        samples = read_samples(self, X)
        return self._features(samples).astype(samples.dtype, copy=False)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Outputs f(x) (n, q); for two classes their difference, second minus first, (n,)."""
        scores = self._outputs(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class of the largest output, (n,)."""
        # Scores come first: they raise NotFittedError.
        scores = self._outputs(X)
        predicted: NDArray[Any] = self.classes_[scores.argmax(axis=1)]
        return predicted

    def _outputs(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        samples = read_samples(self, X)
        gamma = self._trained.settings["gamma"]
        outputs: NDArray[np.float64] = gamma * self._features(samples) @ self.coef_.T
        return outputs

    def _features(self, X: NDArray[Any]) -> NDArray[np.float64]:
        x = map_inputs(X, self.mean_, self.scale_, self._trained.intercept)
        with limited_threads(self.n_threads):
            return self._trained.features(x, self.particles_)

    def _repr_html_inner(self) -> str:
        """The diagram of scikit-learn and, once fitted, a table of the results."""
        diagram = str(estimator_html_repr(self))
        return diagram + summary_html(summary_rows(self)) if hasattr(self, "history_") else diagram

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        return bundle | {"text/html": self._repr_html_inner()} if "text/html" in bundle else bundle

    @property
    def _n_features_out(self) -> int:
        return int(self.coef_.shape[1])

    def _n_hidden_features(self, q: int) -> int:
        return max(16, 2 * q) if self.n_hidden_features == "auto" else self.n_hidden_features
