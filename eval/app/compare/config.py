"""What a comparison is asked for, and its data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from eval.app.shared.options import setting
from eval.app.shared.uses import DRAWN, TABLES, Facts, Use, Uses, refuse_unused

if TYPE_CHECKING:
    from eval.comparison import Method
    from eval.data.dataset import Dataset

__all__ = ["USES", "CompareConfig", "load_used"]


def _others() -> tuple[str, ...]:
    """All methods beside the network."""
    from eval.comparison import tuned_methods
    from eval.comparison.folds import OURS

    return tuple(name for name in tuned_methods() if name != OURS)


@dataclass(frozen=True)
class CompareConfig:
    """Everything that a comparison depends on; `test_size` replaces the folds.

    `methods`, `neurons`, `steps` and `repeats` are those of a tuned one: the methods beside the
    two-stage network, its size and its steps of stage one. For `repeats` None see
    :func:`eval.comparison.default_repeats`, for `steps` None :func:`eval.comparison.tuned_methods`.
    """

    data: tuple[str, ...]
    target: str | None = None
    n_samples: int = setting(400, "n.", least=2)
    folds: int = setting(5, "Stratified folds.", least=2)
    test_size: float | None = setting(
        None,
        "Hold out this share in one split, in place of folds.",
        kind=click.FloatRange(0, 1, min_open=True, max_open=True),
    )
    seed: int = setting(0, least=0)
    controls: bool = setting(False, "Add the network with untrained neurons.")
    repeats: int | None = setting(
        None,
        "How often to draw the folds [default: 3 below 1,000 samples, else 1].",
        kind=click.IntRange(1),
    )
    methods: tuple[str, ...] = field(default_factory=_others)
    neurons: int = setting(1000, "N.", least=1)
    steps: int | None = setting(
        None,
        "Steps of stage one [default: 1500; 4000 of 256 beyond 2000 a fit].",
        kind=click.IntRange(0),
    )

    def tuned(self, *, drawn: bool) -> dict[str, Any]:
        """What decides a tuned comparison; `n_samples` does where samples are drawn."""
        values = dataclasses.asdict(self)
        names = ("folds", "repeats", "seed", "methods", "neurons", "steps")
        return {
            "data": self.data,
            "target": self.target,
            "n_samples": self.n_samples if drawn else None,
            **{name: values[name] for name in names},
        }

    def spaces(self) -> dict[str, Method]:
        """Methods by name with their candidates, ours first.

        Raises
        ------
        ValueError
            If `methods` are not different known ones.
        """
        from eval.comparison import tuned_methods
        from eval.comparison.folds import OURS

        others = _others()
        if not set(self.methods) <= set(others) or len(set(self.methods)) < len(self.methods):
            raise ValueError(
                f"--methods must be different ones of {', '.join(others)}, with commas between, "
                f"got {','.join(self.methods)!r}"
            )
        known = tuned_methods(self.neurons, self.steps)
        return {name: known[name] for name in known if name in (OURS, *self.methods)}


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
}


def load_used(context: click.Context, names: tuple[str, ...]) -> tuple[list[Dataset], Facts]:
    """Load or draw what a command names, before any work, and refuse options without effect.

    Raises
    ------
    ValueError, FileNotFoundError
        If a data set is not usable or named twice, or an option has no effect.
    """
    from eval.app.shared.sources import find_source, samples_of
    from eval.data.dataset import Dataset
    from eval.data.loading import options_of

    tables = {option for name in names for option in options_of(name)}
    facts = {**context.params, "tables": tables, "drawn": False}
    refuse_unused(context, {name: use for name, use in USES.items() if use is not DRAWN}, facts)
    if not all(names):
        raise ValueError(f"--data must be names with commas between, got {','.join(names)!r}")
    given, n, seed = (context.params[name] for name in ("target", "n_samples", "seed"))
    targets = [given if "target" in options_of(name) else None for name in names]
    sources = [find_source(*pair) for pair in zip(names, targets, strict=True)]
    facts["drawn"] = any(not isinstance(source, Dataset) for source in sources)
    refuse_unused(context, USES, facts)
    pairs = zip(sources, names, strict=True)
    loaded = [samples_of(source, name, n, seed) for source, name in pairs]
    titles = [data.name for data in loaded]
    for title in titles:
        if titles.count(title) > 1:
            raise ValueError(f"--data must name every data set once, got {title} more than once")
    return loaded, facts
