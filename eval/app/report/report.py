"""One self-contained page about a run."""

from __future__ import annotations

import base64
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from eval.app.report.figure_kind import FigureKind
from eval.app.report.figures import draw_figures, figures_of
from eval.app.report.findings import findings
from eval.app.report.parameters import parameters_used
from eval.app.shared.certificates import MEANING, describe_certificate, stored_certificate
from eval.app.shared.formats import number
from eval.app.shared.network_options import network_words
from eval.app.shared.plots import COLOURS
from eval.app.shared.run_folder import StoredRun, read_run, seal
from eval.app.shared.scores import run_table
from eval.collapse.formulas import COLLAPSE_DEFINITIONS
from gibbs import describe_bounds

__all__ = ["command_line", "write_report"]

WIDE = 8 * 72
"""Points from which on a figure is wide: two panels or more."""


def write_report(folder: Path) -> None:
    """Write figures and report from the files of the folder, then the manifest with checksums."""
    run = read_run(folder)
    (folder / "figures").mkdir(exist_ok=True)
    draw_figures(run, folder / "figures")
    (folder / "report.html").write_text(_render(run), encoding="utf-8")
    seal(folder, complete=run.complete)


def command_line(config: dict[str, Any]) -> str:
    """Return the command that repeats a run, from its config.json."""
    words = ["gibbsnet", "run"]
    for name, value in config.items():
        if name not in ("model", "versions") and value is not None and value is not False:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [str(value)]
    return shlex.join(words + network_words(config["model"]))


def _render(run: StoredRun) -> str:
    environment = Environment(
        loader=PackageLoader("eval.app.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = run_table(run.scores, run.metrics["overlap"])
    return environment.get_template("report.html.j2").render(
        run=run,
        figures=[_figure(run, kind) for kind in figures_of(run)],
        columns=list(rows.columns),
        rows=rows.to_numpy().tolist(),
        animation=_animation(run) if len(run.arrays["steps"]) > 1 else None,
        animated=_animated(run),
        certificate=_sentences(run.metrics.get("certificate")),
        meaning=MEANING,
        number=_number,
        judged=findings(run.certification) if run.certification else [],
        command=command_line(run.config),
        parameters=parameters_used(run),
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
    return [describe_certificate(certificate), describe_bounds(certificate)]


def _collapse_rows(run: StoredRun) -> list[tuple[str, ...]]:
    """Title, values on both sets, and ideals, of a simplex and of orthonormal columns of W."""
    classes = len(run.metrics["classes"])

    def shown(part: str, name: str) -> str:
        entry = run.metrics["collapse"][part][name]
        if entry["value"] is None:
            return str(entry["status"]).replace("_", " ")
        return number(entry["value"], "{:.4g}")

    return [
        (
            definition.title,
            shown("train", name),
            shown("test", name),
            f"{definition.ideal:g}",
            "the same"
            if definition.orthonormal_ideal is None
            else f"{definition.orthonormal_ideal(classes):.4g}",
        )
        for name, definition in COLLAPSE_DEFINITIONS.items()
    ]


def _figure(run: StoredRun, kind: FigureKind) -> dict[str, Any]:
    """The entries of a figure for the page; a narrow screen scrolls wide ones."""
    picture = (run.folder / "figures" / f"{kind.name}.svg").read_bytes()
    points = re.search(rb'<svg[^>]* width="([0-9.]+)pt"', picture)
    return {
        "name": kind.name,
        "title": kind.title,
        "alt": kind.alt(run),
        "wide": points is not None and float(points[1]) > WIDE,
        "uri": "data:image/svg+xml;base64," + base64.b64encode(picture).decode("ascii"),
    }


def _animated(run: StoredRun) -> str:
    """The text that describes the animation."""
    nc1 = run.history.loc[run.history["stage"] == "one"].get("nc1")
    values = [] if nc1 is None else nc1.dropna().tolist()
    fall = f": NC1 goes from {values[0]:.3g} to {values[-1]:.3g}" if values else ""
    return f"Animation: training features on the class-mean plane along stage one{fall}."


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
