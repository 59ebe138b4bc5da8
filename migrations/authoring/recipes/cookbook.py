"""Every recipe, by name."""

from __future__ import annotations

from migrations.authoring.recipes import (
    Recipe,
    not_null,
    rename_column,
    single_file,
    table_split,
    type_change,
)
from migrations.errors import WrongCreation

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        single_file.INDEX,
        single_file.UNIQUE_INDEX,
        single_file.ADD_COLUMN,
        single_file.FOREIGN_KEY,
        single_file.CHECK,
        not_null.RECIPE,
        type_change.RECIPE,
        rename_column.RECIPE,
        table_split.RECIPE,
    )
}


def recipe_called(name: str) -> Recipe:
    """The recipe. Raises CreateError, which lists those there are."""
    if name not in RECIPES:
        known = "; ".join(f"{one.name}: {one.summary}" for one in RECIPES.values())
        problem = f"there is no recipe {name!r}" if name else "name a recipe with --recipe"
        raise WrongCreation(f"{problem}. There are: {known}")
    return RECIPES[name]
