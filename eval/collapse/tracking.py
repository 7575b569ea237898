"""Neural collapse of any torch model, epoch by epoch, at a named layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from eval.collapse.accumulator import CollapseAccumulator
from eval.collapse.formulas import CollapseMetrics
from eval.collapse.second_pass import SecondPass
from eval.extras import needed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["measure_model", "track_collapse"]

Loader = Iterable[tuple[Tensor, Tensor]]


def track_collapse(
    model: nn.Module,
    loader: Loader,
    layer: str,
    *,
    head: str | None = None,
    classes: int | None = None,
    train_epoch: Callable[[], object] | None = None,
    n_epochs: int = 0,
    epoch: int = 0,
) -> pd.DataFrame:
    """Measure a model at a named layer: now, and after each epoch of training.

    In a training loop of one's own, call it once an epoch with `epoch` and concatenate. The model
    is measured in evaluation mode and left in the mode that it was in; torch's global random
    state is not changed.

    Parameters
    ----------
    model : torch.nn.Module
    loader : iterable of (inputs, labels)
        On the model's device; gone through twice a measurement, so that no p x p matrix is
        needed. It must give the same samples each time, in any order: no random augmentation.
    layer : str
        Name in ``model.named_modules()``; its output, flattened to (n, p), are the features.
    head : str, optional
        Name of the linear layer that the features enter, for the metrics of W, NC3 and NC4.
    classes : int, optional
        Declared number of classes.
    train_epoch : callable, optional
        Trains the model for one epoch; its result is ignored.
    n_epochs : int, default 0
        How often to call `train_epoch`.
    epoch : int, default 0
        Number of the first row.

    Returns
    -------
    pandas.DataFrame
        Tidy: one row for each epoch and metric, with the columns epoch, layer, metric, value
        (NaN where undefined), status and reason.

    Raises
    ------
    ValueError
        If there is no such layer, it gives no tensor, or the two passes saw different samples.
    ModuleNotFoundError
        If pandas is missing.
    """
    (pandas,) = needed("track_collapse", "pandas")
    if n_epochs and train_epoch is None:
        raise ValueError(f"train_epoch must be given to train for n_epochs={n_epochs}, got None")
    rows = []
    for number in range(n_epochs + 1):
        if number and train_epoch is not None:
            train_epoch()
        metrics = measure_model(model, loader, layer, head=head, classes=classes)
        rows += [
            (epoch + number, layer, name, value.value, value.status.value, value.reason)
            for name, value in metrics.as_dict().items()
        ]
    columns = ["epoch", "layer", "metric", "value", "status", "reason"]
    frame: pd.DataFrame = pandas.DataFrame(rows, columns=columns)
    return frame


def measure_model(
    model: nn.Module,
    loader: Loader,
    layer: str,
    *,
    head: str | None = None,
    classes: int | None = None,
) -> CollapseMetrics:
    """Measure a model once; parameters and errors as in :func:`track_collapse`."""
    module = _submodule(model, "layer", layer)
    linear = None if head is None else _submodule(model, "head", head)
    if linear is not None and not isinstance(linear, nn.Linear):
        raise ValueError(f"head must name a torch.nn.Linear, got {head!r}, a {type(linear)}")
    first = CollapseAccumulator(classes, scatter=False)
    with _measuring(model):
        _collect(model, loader, module, first)
        w = None if linear is None else linear.weight.T
        second = first.second_pass(w, None if linear is None else linear.bias)
        _collect(model, loader, module, second)
    return second.compute()


def _submodule(model: nn.Module, argument: str, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if name not in modules:
        known = ", ".join(filter(None, modules))
        raise ValueError(f"{argument} must be one of {known}, got {name!r}")
    return modules[name]


@contextmanager
def _measuring(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, and torch's random state as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module in training:
            module.training = True


def _collect(
    model: nn.Module,
    loader: Loader,
    module: nn.Module,
    accumulator: CollapseAccumulator | SecondPass,
) -> None:
    outputs: list[object] = []
    hook = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        for inputs, labels in loader:
            outputs.clear()
            model(inputs)
            accumulator.update(_features(outputs, len(labels)), labels)
    finally:
        hook.remove()


def _features(outputs: list[object], n: int) -> Tensor:
    """The one output of the layer as a matrix (n, p)."""
    if len(outputs) != 1:
        raise ValueError(f"layer must be used once in a forward pass, got {len(outputs)} uses")
    (output,) = outputs
    if not isinstance(output, Tensor) or output.shape[:1] != (n,):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output)
        raise ValueError(f"layer must give a tensor with a row for each of {n} labels, got {got}")
    return output.reshape(n, -1)
