"""The options of `ledger create` in the words of `migrations.authoring.create`."""

from __future__ import annotations

from ledger.cli.app.options import Through
from ledger.cli.bundle.create import KindName, KindOptions, RecipeOptions
from migrations.authoring.create import MigrationKind, Wanted
from migrations.authoring.recipes import Column, Given
from migrations.authoring.recipes.cookbook import RECIPES
from migrations.model.phases import Phase


def test_a_recipe_gets_its_columns_with_their_types_and_its_key() -> None:
    ingredients = RecipeOptions(
        table="users",
        column=["street:text", "zip: varchar(10) "],
        to="addresses",
        key="user_id:uuid",
    )
    wanted = KindOptions(recipe="table-split").wanted(ingredients)
    columns = (Column("street", "text"), Column("zip", "varchar(10)"))
    assert wanted == Wanted(
        recipe="table-split", given=Given("users", columns, "addresses", "user_id", "uuid")
    )


def test_the_kind_recipe_asks_for_the_name_of_one() -> None:
    assert KindOptions(kind=KindName.RECIPE).wanted(RecipeOptions()).recipe == ""
    assert (
        KindOptions(kind=KindName.RECIPE, recipe="not-null").wanted(RecipeOptions()).recipe
        == "not-null"
    )


def test_without_options_it_is_sql_in_the_folders_own_format() -> None:
    assert KindOptions().wanted(RecipeOptions()) == Wanted()


def test_kinds_and_phases_have_the_names_that_migrations_gives_them() -> None:
    assert [kind.value for kind in KindName] == [*(kind.value for kind in MigrationKind), "recipe"]
    assert [phase.value for phase in Through] == [phase.value for phase in Phase]


def test_the_help_names_every_recipe() -> None:
    from ledger.cli.bundle.commands import create

    assert all(name in (create.__doc__ or "").replace("\n    ", " ") for name in RECIPES)
