"""Optional dependencies, and how to install one that is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["needed"]


def needed(what: str, *modules: str, extra: str = "app") -> list[ModuleType]:
    """Import the modules that `what` needs, which the extra installs.

    Raises
    ------
    ModuleNotFoundError
        If one is missing; the message says how to install them.
    """
    try:
        return [importlib.import_module(module) for module in modules]
    except ModuleNotFoundError as error:
        packages = dict.fromkeys(module.partition(".")[0] for module in modules)
        raise ModuleNotFoundError(
            f"{what} needs {' and '.join(packages)}: pip install 'gibbsnet[{extra}]'"
        ) from error
