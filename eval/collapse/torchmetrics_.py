"""The metrics of neural collapse as a torchmetrics metric. Needs the extra `torchmetrics`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.collapse.accumulator import CollapseAccumulator
from eval.collapse.formulas import CollapseMetrics

try:
    from torchmetrics import Metric
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "eval.collapse.torchmetrics_ needs torchmetrics: pip install 'gibbsnet[torchmetrics]'"
    ) from error

__all__ = ["CollapseMetric"]


class CollapseMetric(Metric):
    """Neural collapse in torchmetrics: synchronised over processes, by name in a dict.

    Its one state is a :class:`eval.CollapseAccumulator` as a float64 vector, and merging those is
    its reduction: the value is that of all samples, not a mean over batches or processes. NC4
    needs a second pass and is NaN here.

    Parameters
    ----------
    n_features : int
        p.
    n_classes : int
        K; labels are 0 to K - 1.
    w : callable, optional
        Gives the linear layer (p, K) when the metrics are computed.
    scatter : bool, default True
        Whether to keep the p x p scatter, for tr(S_W pinv(S_B)).
    **settings
        Passed to ``torchmetrics.Metric``.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    state: Tensor

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        w: Callable[[], Tensor] | None = None,
        scatter: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.n_features = n_features
        self.n_classes = n_classes
        self.w = w
        self.scatter = scatter
        empty = torch.zeros(sum(self._sizes().values()), dtype=torch.float64)
        self.add_state("state", default=empty, dist_reduce_fx=self._merge)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch: features (n, p) and labels (n,)."""
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise ValueError(
                f"features must have shape (n, {self.n_features}), got {tuple(features.shape)}"
            )
        accumulator = self._unpack(self.state)
        accumulator.update(features, labels)
        self.state = self._pack(accumulator).to(self.state.device)

    def compute(self) -> dict[str, Tensor]:
        """Every metric by name; NaN where undefined."""
        metrics = self.metrics().as_dict()
        return {name: torch.tensor(value.value) for name, value in metrics.items()}

    def metrics(self) -> CollapseMetrics:
        """The metrics of this process with their statuses."""
        return self._unpack(self.state).compute(None if self.w is None else self.w())

    def _sizes(self) -> dict[str, int]:
        p, k = self.n_features, self.n_classes
        sizes = {"unit": 1, "precision": 1, "origin": p, "counts": k, "squares": k, "means": k * p}
        return sizes | ({"scatter": p * p} if self.scatter else {})

    def _pack(self, accumulator: CollapseAccumulator) -> Tensor:
        state = accumulator.state_dict()
        parts = [np.ravel(state[name]).astype(np.float64) for name in self._sizes()]
        return torch.from_numpy(np.concatenate(parts))

    def _unpack(self, packed: Tensor) -> CollapseAccumulator:
        accumulator = CollapseAccumulator(self.n_classes, scatter=self.scatter)
        sizes = self._sizes()
        parts = np.split(packed.cpu().numpy(), np.cumsum(list(sizes.values()))[:-1])
        state = dict(zip(sizes, parts, strict=True))
        counts = state["counts"].astype(np.int64)
        if counts.any():
            p = self.n_features
            state["unit"], state["precision"] = state["unit"][0], state["precision"][0]
            shapes = {"counts": counts, "means": state["means"].reshape(-1, p)}
            if self.scatter:
                shapes["scatter"] = state["scatter"].reshape(p, p)
            accumulator.load_state_dict(accumulator.state_dict() | state | shapes)
        return accumulator

    def _merge(self, states: Tensor) -> Tensor:
        """Reduce the states of several processes (s, m) to one (m,)."""
        whole = CollapseAccumulator(self.n_classes, scatter=self.scatter)
        parts = [self._unpack(state) for state in states if state.any()]
        for part in parts:
            whole.merge(part)
        return self._pack(whole).to(states.device) if parts else torch.zeros_like(states[0])
