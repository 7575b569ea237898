"""The values that a run used for parameters with automatic choices."""

from __future__ import annotations

import math
from typing import Any

from eval.app.shared.network_options import NETWORK, choices_for_none, network_facts
from eval.app.shared.run_folder import StoredRun

__all__ = ["parameters_used"]


def parameters_used(run: StoredRun) -> list[tuple[str, str]]:
    """Name and value of every parameter; after "auto" and "default" follows the value used."""
    given = run.metrics["parameters"]
    facts, chosen = network_facts(given), {**choices_for_none(), **_chosen(run, given)}
    rows = []
    for name, value in given.items():
        if name in NETWORK and not NETWORK[name].holds(facts):
            text = "not used"
        elif value in ("auto", None):
            text = "default" if value is None else value
            text += f": {chosen[name]}" if name in chosen else ""
        else:
            text = f"{value:g}" if isinstance(value, float) else str(value)
        rows.append((name, text))
    return rows


def _chosen(run: StoredRun, given: dict[str, Any]) -> dict[str, str]:
    """The values used for "auto" and None, where they depend on the run."""
    beta = given["beta"]
    decay = 1 / beta if given["lambda_rho"] is None else given["lambda_rho"]
    return {
        "n_hidden_features": f"{run.arrays['after'].shape[1]}",
        "step_size": _step_sizes(run),
        "batch_size": f"all {len(run.arrays['members'])} samples",
        "backend": run.metrics.get("backend") or "torch",
        "flow_max_iter": f"{given['max_iter']}",
        "lambda_rho": f"1/beta = {decay:g}",
        "lambda_w": f"1/beta = {1 / beta:g}" if math.isfinite(beta) else f"{decay:g}",
        "class_weight": "every sample counts once",
        "n_threads": f"{run.config['versions'].get('threads', 'those that torch has')}",
    }


def _step_sizes(run: StoredRun) -> str:
    """The sizes that stage one took, those of its records."""
    one = run.history[run.history["stage"] == "one"]
    sizes = one["step_size"].dropna() if "step_size" in one else one["step"].iloc[:0]
    if sizes.empty:
        return "no step taken"
    low, high = f"{sizes.min():.4g}", f"{sizes.max():.4g}"
    return low if low == high else f"{low} to {high}"
