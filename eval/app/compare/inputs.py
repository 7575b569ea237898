"""The data of a comparison, and which of its options have an effect."""

from __future__ import annotations

import click

from eval.app.shared.options import DRAWN, OUT, TABLES, Facts, Use, Uses, refuse_unused
from eval.app.shared.sources import find_source, samples_of
from eval.data.dataset import Dataset, Distribution
from eval.data.loading import options_of

__all__ = ["USES", "load_datasets", "load_used"]

_TUNED = Use("is for --tuned", lambda facts: facts["tuned"])
_FIXED = Use("is not for --tuned", lambda facts: not facts["tuned"])

USES: Uses = {
    "target": TABLES["target"],
    "n_samples": DRAWN,
    "folds": Use(
        "is not for --test-size, which cuts once",
        lambda facts: facts["tuned"] or facts["test_size"] is None,
    ),
    **dict.fromkeys(("test_size", "controls"), _FIXED),
    **dict.fromkeys(("repeats", "methods", "neurons", "steps", "workers", "resume"), _TUNED),
    "force": OUT,
}


def load_used(context: click.Context, names: tuple[str, ...]) -> tuple[list[Dataset], Facts]:
    """Load or draw what a command names, before any work, and refuse options without effect.

    Raises
    ------
    ValueError, FileNotFoundError
        If a data set is not usable or named twice, or an option has no effect.
    """
    tables = {option for name in names for option in options_of(name)}
    facts = {**context.params, "tables": tables, "drawn": False}
    refuse_unused(context, {name: use for name, use in USES.items() if use is not DRAWN}, facts)
    sources = find_sources(names, context.params["target"])
    facts["drawn"] = any(not isinstance(source, Dataset) for source in sources)
    refuse_unused(context, USES, facts)
    seed, n = context.params["seed"], context.params["n_samples"]
    return take_samples(names, sources, n, seed), facts


def load_datasets(
    names: tuple[str, ...], target: str | None, seed: int, n_samples: int = 400
) -> list[Dataset]:
    """Load or draw data sets.

    Raises
    ------
    ValueError, FileNotFoundError
        If one is not usable, or named twice.
    """
    return take_samples(names, find_sources(names, target), n_samples, seed)


def find_sources(names: tuple[str, ...], target: str | None) -> list[Dataset | Distribution]:
    """Load all named sources; `target` goes to those that have labels in a column."""
    if not all(names):
        raise ValueError(f"--data must be names with commas between, got {','.join(names)!r}")
    return [find_source(name, target if "target" in options_of(name) else None) for name in names]


def take_samples(
    names: tuple[str, ...], sources: list[Dataset | Distribution], n: int, seed: int
) -> list[Dataset]:
    """Draw n samples of every distribution, and take the data sets as they are."""
    pairs = zip(sources, names, strict=True)
    loaded = [samples_of(source, name, n, seed) for source, name in pairs]
    titles = [data.name for data in loaded]
    for title in titles:
        if titles.count(title) > 1:
            raise ValueError(f"--data must name every data set once, got {title} more than once")
    return loaded
