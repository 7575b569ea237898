"""All figures by their names."""

from __future__ import annotations

from eval.app.figure import balance, collapse, descent, generalization, temperature, two_stage
from eval.app.figure.recipe import Recipe

__all__ = ["RECIPES"]

_ALL = (
    *descent.FIGURES,
    temperature.FIGURE,
    generalization.FIGURE,
    two_stage.FIGURE,
    balance.FIGURE,
    collapse.FIGURE,
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
