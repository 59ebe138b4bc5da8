"""What people write migrations with."""

from __future__ import annotations

from migrations.authoring.recipes.cookbook import RECIPES
from ops.reference.markdown import code, table


def recipes() -> str:
    """Every recipe with what it writes."""
    rows = [(code(name), recipe.summary) for name, recipe in RECIPES.items()]
    return table(("recipe", "what it writes"), rows)
