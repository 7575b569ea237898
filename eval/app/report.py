"""One self-contained page about a run."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from eval.app.certificates import MEANING, stored_certificate, verdict
from eval.app.figure_kind import COLOURS
from eval.app.figures import draw_figures, figures_of
from eval.app.findings import findings
from eval.app.formats import number
from eval.app.run_folder import StoredRun, read_run, seal
from eval.app.scores import table
from eval.collapse import COLLAPSE_DEFINITIONS
from gibbs import describe_bounds

__all__ = ["command_line", "refresh"]

OPTIONS = {"n_neurons": "neurons", "n_hidden_features": "hidden-features", "max_iter": "steps"}
"""Parameters of the classifier whose option has another name."""


def refresh(folder: Path) -> None:
    """Draw the figures and write the report anew from what the folder holds, and seal it."""
    run = read_run(folder)
    (folder / "figures").mkdir(exist_ok=True)
    draw_figures(run, folder / "figures")
    (folder / "report.html").write_text(_render(run), encoding="utf-8")
    seal(folder, complete=run.complete)


def command_line(config: dict[str, Any]) -> str:
    """Return the command that repeats a run, from its config.json."""
    words = ["gibbsnet", "run"]
    for name, value in config.items():
        if name in {"model", "versions", "controls"} or value is None:
            continue
        words += [f"--{name.replace('_', '-')}", str(value)]
    if config["controls"]:
        words.append("--controls")
    for name, value in config["model"].items():
        if name == "center":
            words.append("--center" if value else "--no-center")
        else:
            words += [f"--{OPTIONS.get(name, name).replace('_', '-')}", str(value)]
    return shlex.join(words)


def _render(run: StoredRun) -> str:
    environment = Environment(
        loader=PackageLoader("eval.app", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = table(run.scores, run.metrics["overlap"])
    return environment.get_template("report.html.j2").render(
        run=run,
        figures=[
            {
                "name": kind.name,
                "title": kind.title,
                "alt": kind.alt(run),
                "uri": _data_uri(run.folder / "figures" / f"{kind.name}.svg"),
            }
            for kind in figures_of(run)
        ],
        columns=list(rows.columns),
        rows=rows.to_numpy().tolist(),
        animation=_animation(run) if len(run.arrays["steps"]) > 1 else None,
        certificate=_sentences(run.metrics.get("certificate")),
        meaning=MEANING,
        number=_number,
        judged=findings(run.verdict) if run.verdict else [],
        command=command_line(run.config),
        parameters=run.metrics["parameters"],
        collapse=_collapse_rows(run),
    )


def _number(value: Any) -> str:
    if value is None:
        return "not known"
    if value in ("", []):
        return "-"
    if isinstance(value, list):
        return f"[{', '.join(_number(entry) for entry in value)}]"
    return number(value, "{:.6g}") if isinstance(value, float) else str(value)


def _sentences(fields: dict[str, Any] | None) -> list[str]:
    if fields is None:
        return []
    certificate = stored_certificate(fields)
    return [verdict(certificate), describe_bounds(certificate)]


def _collapse_rows(run: StoredRun) -> list[tuple[str, str, str, str]]:
    """Title, training value, test value and ideal of every collapse metric."""

    def shown(part: str, name: str) -> str:
        entry = run.metrics["collapse"][part][name]
        value = entry["value"]
        return str(entry["status"]) if value is None else number(value, "{:.4g}")

    return [
        (definition.title, shown("train", name), shown("test", name), f"{definition.ideal:g}")
        for name, definition in COLLAPSE_DEFINITIONS.items()
    ]


def _data_uri(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _animation(run: StoredRun) -> str:
    """Frames as JSON; "<" is escaped, so that no class name can close the script element."""
    points = run.arrays["points"].astype(np.float64)
    stage_one = run.history[run.history["stage"] == "one"].dropna(subset="nc1")
    nc1_at = dict(zip(stage_one["step"], stage_one["nc1"], strict=True))
    content = {
        "steps": run.arrays["steps"].tolist(),
        "nc1": [nc1_at.get(step) for step in run.arrays["steps"].tolist()],
        "points": np.round(points / np.abs(points).max(), 4).tolist(),
        "labels": run.arrays["labels"].tolist(),
        "classes": [str(name) for name in run.metrics["classes"]],
        "colours": COLOURS,
    }
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
