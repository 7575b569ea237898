"""A check: the samples, the margins of every class, and what is written of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from eval.app.check.config import CheckConfig
from eval.app.check.separability_figure import draw_separability
from eval.app.shared.formats import number, versions, write_files
from eval.app.shared.sources import find_source, samples_of
from eval.data.dataset import Dataset, Distribution
from eval.separation.margins import (
    ClassSeparability,
    Separability,
    SeparabilityStatus,
    largest_margin,
    separability,
)

__all__ = ["Checked", "content", "describe", "execute", "load", "table", "write"]


@dataclass(frozen=True, eq=False)
class Checked:
    """The samples that were checked, and the results through the origin and with intercept."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[Any]
    standardized: bool
    plain: Separability
    with_intercept: Separability


def execute(config: CheckConfig, source: Dataset | Distribution | None = None) -> Checked:
    """Check the data that :func:`load` gave; None loads them again.

    Raises
    ------
    ValueError, FileNotFoundError, TypeError
        If they are not usable; the message names what is not.
    """
    source = source or load(config)
    data = samples_of(source, config.data, config.n_samples, config.seed)
    standardize = data.standardize if config.standardize is None else config.standardize
    x = StandardScaler().fit_transform(data.x) if standardize else data.x
    return Checked(
        data.name,
        x,
        data.y,
        standardize,
        separability(x, data.y),
        separability(x, data.y, intercept=True),
    )


def load(config: CheckConfig) -> Dataset | Distribution:
    """Load what the data option names."""
    return find_source(config.data, config.target, index=config.index, separator=config.separator)


def table(checked: Checked) -> pd.DataFrame:
    """One row a class: size; status, margin and support points, without and with intercept."""
    pairs = zip(checked.plain.by_class, checked.with_intercept.by_class, strict=True)
    return pd.DataFrame(
        {
            "class": str(plain.label),
            "samples": plain.n_samples,
            "separable": _word(plain),
            "margin": _margin(plain, checked.plain.radius),
            "support": len(plain.support),
            "with intercept": _word(shifted),
            "margin ": _margin(shifted, checked.plain.radius),
            "support ": len(shifted.support),
        }
        for plain, shifted in pairs
    )


def _word(each: ClassSeparability) -> str:
    words = {SeparabilityStatus.SEPARABLE: "yes", SeparabilityStatus.NOT_SEPARABLE: "no"}
    return words.get(each.status, str(each.status))


def _margin(each: ClassSeparability, radius: float) -> str:
    if each.status is SeparabilityStatus.SEPARABLE:
        return number(each.margin / radius, "{:.4g}")
    if each.status is SeparabilityStatus.UNDECIDED:
        return f"<= {number(each.upper / radius, '{:.1g}')}"
    return "-"


def describe(checked: Checked) -> str:
    """What is printed."""
    n, d = checked.x.shape
    q = len(checked.plain.by_class)
    scaled = "standardized" if checked.standardized else "as they are"
    return "\n".join(
        [
            f"{checked.name}: n={n}, d={d}, q={q}; columns {scaled}, "
            f"largest norm {checked.plain.radius:.4g}",
            "",
            table(checked).to_string(index=False),
            "",
            _sentence("through the origin", checked.plain),
            _sentence("with an intercept", checked.with_intercept),
        ]
    )


def _sentence(how: str, found: Separability) -> str:
    if found.status is not SeparabilityStatus.SEPARABLE:
        return f"{how}: {found.status}"
    limit = largest_margin(len(found.by_class), intercept=found.intercept)
    return (
        f"{how}: separable, tau/M = {number(found.margin / found.radius, '{:.4g}')}; "
        f"{len(found.by_class)} classes in the unit ball have at most {limit:.4g}"
    )


def write(config: dict[str, Any], checked: Checked, folder: Path) -> None:
    """Write the files of a check, with this config.json."""
    files = {
        "config.json": config | {"versions": versions()},
        "check.json": content(checked),
        "check.csv": table(checked).rename(columns=_CSV_NAMES),
    }
    write_files(folder, files)
    results = {"through the origin": checked.plain, "with intercept": checked.with_intercept}
    draw_separability(checked.x, checked.y, results, folder / "check.png")


_CSV_NAMES = {
    "with intercept": "separable_with_intercept",
    "margin ": "margin_with_intercept",
    "support ": "support_with_intercept",
}


def content(checked: Checked) -> dict[str, Any]:
    """What check.json holds."""
    return {
        "data": checked.name,
        "standardized": checked.standardized,
        "n_samples": len(checked.x),
        "n_features": checked.x.shape[1],
        "through_the_origin": _found(checked.plain),
        "with_intercept": _found(checked.with_intercept),
    }


def _found(found: Separability) -> dict[str, Any]:
    return {
        "status": str(found.status),
        "margin": found.margin,
        "upper": found.upper,
        "radius": found.radius,
        "classes": [_of_class(each) for each in found.by_class],
    }


def _of_class(each: ClassSeparability) -> dict[str, Any]:
    certificate = each.certificate
    return {
        "label": each.label,
        "n_samples": each.n_samples,
        "status": str(each.status),
        "margin": each.margin,
        "upper": each.upper,
        "direction": each.direction.tolist(),
        "offset": each.offset,
        "support": each.support.tolist(),
        "multipliers": each.multipliers.tolist(),
        "proof": certificate.proof if certificate else None,
        "residual": certificate.residual if certificate else None,
    }
