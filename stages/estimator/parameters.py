"""Checks of a classifier's flat parameters, and the settings and the seed made from them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from gibbs import get_activation
from gibbs.model.checks import check_integer
from stages.flow import Flow
from stages.linear import Ridge
from stages.mean_field import Gibbs, Langevin

__all__ = ["check_parameters", "check_same", "seed_of", "stage_settings"]

Settings = TypeVar("Settings", Langevin | Gibbs, Ridge | Flow)

STAGE_ONE: dict[str, type[Langevin | Gibbs]] = {"langevin": Langevin, "gibbs": Gibbs}
STAGE_TWO: dict[str, type[Ridge | Flow]] = {"linear": Ridge, "flow": Flow}
"""The settings that the values of the parameters `solver` and `stage_two` stand for."""


def check_parameters(parameters: Mapping[str, Any], q: int) -> None:
    """Check the parameters that neither the settings nor a Problem check, before any work.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    _check_choice("dtype", parameters["dtype"], ("float32", "float64"))
    get_activation(parameters["activation"])
    check_integer("max_iter", parameters["max_iter"], 0)
    for name, low in (("flow_max_iter", 0), ("n_threads", 1)):
        if parameters[name] is not None:
            check_integer(name, parameters[name], low)
    width = parameters["n_hidden_features"]
    if width != "auto":
        check_integer("n_hidden_features", width, q, low_is="the classes")
    intercept = parameters["intercept"]
    if not 0 <= intercept < math.inf:
        raise ValueError(f"intercept must be >= 0 and finite, got {intercept}")


def stage_settings(parameters: Mapping[str, Any]) -> tuple[Langevin | Gibbs, Ridge | Flow]:
    """The settings of both stages: each field is the parameter of that name.

    But `n_steps` is `max_iter`, and that of the flow is `flow_max_iter` where it is given.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    solver, stage_two = parameters["solver"], parameters["stage_two"]
    _check_choice("solver", solver, STAGE_ONE)
    _check_choice("stage_two", stage_two, STAGE_TWO)
    n_steps, flow_steps = parameters["max_iter"], parameters["flow_max_iter"]
    flow_steps = n_steps if flow_steps is None else flow_steps
    return (
        _made(STAGE_ONE[solver], {**parameters, "n_steps": n_steps}),
        _made(STAGE_TWO[stage_two], {**parameters, "n_steps": flow_steps}),
    )


def _made(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings of this kind from the values that carry the names of its fields."""
    names = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in names})


def check_same(name: str, what: str, found: int, before: int) -> None:
    """Raise unless a size is that of the last fit."""
    if found != before:
        raise ValueError(
            f"{name} must be as in the last fit with warm_start, {before}{what and ' ' + what}, "
            f"got {found}"
        )


def _check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise unless the value is among the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """A seed for torch; None asks the operating system, not NumPy's global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if not isinstance(random_state, Integral) or int(random_state) < 0:
        raise ValueError(
            f"random_state must be an int >= 0, a RandomState or None, got {random_state!r}"
        )
    return int(random_state)
