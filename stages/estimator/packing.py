"""Values as JSON and a list of arrays, and back: of a fixed list of kinds and of no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gibbs import (
    ACTIVATIONS,
    Activation,
    Annealed,
    Certificate,
    Cosine,
    GibbsMeasure,
    Particles,
    Piecewise,
    Problem,
)
from gibbs.solver.mixture import Mixture
from gibbs.solver.phases import Phases
from stages.estimator.trained import Trained

__all__ = ["packed", "unpacked"]

Recursion = Callable[[Any], Any]
"""Packs or unpacks a part of a value."""


@dataclass(frozen=True)
class Kind:
    """A kind of values that is neither JSON itself nor an array.

    Attributes
    ----------
    holds : callable
        Whether a value is of this kind.
    pack, unpack : callable
        From a value to what stands for it, and back; with the recursion for its parts.
    """

    holds: Callable[[Any], bool]
    pack: Callable[[Any, Recursion], Any]
    unpack: Callable[[Any, Recursion], Any]


def _exactly(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind


def _record(kind: type) -> Kind:
    """A dataclass, by its fields."""
    names = [field.name for field in dataclasses.fields(kind)]
    return Kind(
        _exactly(kind),
        lambda value, pack: {name: pack(getattr(value, name)) for name in names},
        lambda parts, unpack: kind(**{name: unpack(part) for name, part in parts.items()}),
    )


def _objects(content: Mapping[str, Any], unpack: Recursion) -> NDArray[np.object_]:
    objects = np.empty(len(content["values"]), dtype=object)
    objects[:] = [unpack(part) for part in content["values"]]
    return objects.reshape(content["shape"])


def _random_state(state: Any, unpack: Recursion) -> np.random.RandomState:
    random_state = np.random.RandomState()
    random_state.set_state(unpack(state))
    return random_state


RECORDS = (
    *(Certificate, GibbsMeasure, Mixture, Particles, Phases, Problem, Trained),
    *(Annealed, Cosine, Piecewise),
)

KINDS: dict[str, Kind] = {
    **{kind.__name__: _record(kind) for kind in RECORDS},
    "list": Kind(
        _exactly(list),
        lambda value, pack: [pack(part) for part in value],
        lambda parts, unpack: [unpack(part) for part in parts],
    ),
    "tuple": Kind(
        _exactly(tuple),
        lambda value, pack: [pack(part) for part in value],
        lambda parts, unpack: tuple(unpack(part) for part in parts),
    ),
    "dict": Kind(
        _exactly(dict),
        lambda value, pack: [[pack(key), pack(part)] for key, part in value.items()],
        lambda pairs, unpack: {unpack(key): unpack(part) for key, part in pairs},
    ),
    "objects": Kind(
        lambda value: isinstance(value, np.ndarray) and value.dtype == object,
        lambda value, pack: {"values": [pack(v) for v in value.ravel()], "shape": value.shape},
        _objects,
    ),
    "scalar": Kind(
        lambda value: isinstance(value, np.generic),
        lambda value, pack: pack(np.asarray(value)),
        lambda array, unpack: unpack(array)[()],
    ),
    "tensor": Kind(
        lambda value: isinstance(value, torch.Tensor),
        lambda value, pack: pack(value.numpy(force=True)),
        lambda array, unpack: torch.from_numpy(unpack(array)),
    ),
    "dtype": Kind(
        lambda value: isinstance(value, torch.dtype),
        lambda value, _: str(value).removeprefix("torch."),
        lambda name, _: {"float32": torch.float32, "float64": torch.float64}[name],
    ),
    "activation": Kind(
        lambda value: isinstance(value, Activation) and ACTIVATIONS.get(value.name) is value,
        lambda value, _: value.name,
        lambda name, _: ACTIVATIONS[name],
    ),
    "random_state": Kind(
        _exactly(np.random.RandomState),
        lambda value, pack: pack(value.get_state(legacy=True)),
        _random_state,
    ),
}
"""All kinds of values that a file may hold beside JSON's own and arrays."""


def packed(name: str, value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """A value as JSON; the arrays in it are added to `arrays`.

    Raises
    ------
    ValueError
        If there is something in it that cannot be stored; the message says that `name` must not.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray) and value.dtype != object:
        place = str(len(arrays))
        arrays[place] = value
        return {"array": place}
    for tag, kind in KINDS.items():
        if kind.holds(value):
            return {tag: kind.pack(value, lambda part: packed(name, part, arrays))}
    raise ValueError(
        f"{name} must consist of numbers, text, arrays or schedules of gibbs to be stored, "
        f"got {value!r}"
    )


def unpacked(content: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The value that :func:`packed` made this of."""
    if not isinstance(content, dict):
        return content
    ((tag, inner),) = content.items()
    if tag == "array":
        return arrays[inner]
    return KINDS[tag].unpack(inner, lambda part: unpacked(part, arrays))
