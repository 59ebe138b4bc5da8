"""The options of `ledger create`: what sort of migration, and what a recipe is about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ledger.cli.app import completion
from ledger.cli.app.help_page import RECIPE, WRITTEN
from ledger.cli.app.option_groups import OptionGroup

if TYPE_CHECKING:
    from migrations.authoring.create import Wanted


class KindName(StrEnum):
    """The kinds of `migrations.authoring.create`; naming them here loads nothing."""

    SQL = "sql"
    PYTHON = "python"
    DATA = "data"
    RECIPE = "recipe"


@dataclass(frozen=True, slots=True)
class RecipeOptions(OptionGroup):
    """What a recipe is about."""

    HEADING: ClassVar = RECIPE

    table: Annotated[
        str, typer.Option("--table", metavar="TABLE", help="For a recipe: the table to change.")
    ] = ""
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="NAME[:TYPE]",
            help="For a recipe: its column, with the type it has now where the recipe says so.",
        ),
    ] = None
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="NAME", help="For a recipe: the new type, name or table; or the target."
        ),
    ] = ""
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="NAME[:TYPE]", help="For a recipe: the key of its table. Default: id."
        ),
    ] = ""
    value: Annotated[
        str,
        typer.Option(
            "--value",
            metavar="SQL",
            help="For a recipe: a default, what fills NULLs, or a condition.",
        ),
    ] = ""


@dataclass(frozen=True, slots=True)
class KindOptions(OptionGroup):
    """What sort of migration is written."""

    HEADING: ClassVar = WRITTEN

    kind: Annotated[
        KindName, typer.Option("--kind", help="SQL, a Python module, data in batches, or a recipe.")
    ] = KindName.SQL
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="File format. Default: the folder's own.",
            autocompletion=completion.formats,
        ),
    ] = None
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME",
            help="A known-safe change, written out.",
            autocompletion=completion.recipes,
        ),
    ] = None

    def wanted(self, ingredients: RecipeOptions) -> Wanted:
        """The same in the words of `migrations.authoring.create`."""
        from migrations.authoring.create import MigrationKind, Wanted
        from migrations.authoring.recipes import Given, column_of

        key = column_of(ingredients.key)
        given = Given(
            table=ingredients.table,
            columns=tuple(column_of(text) for text in ingredients.column or ()),
            to=ingredients.to,
            value=ingredients.value,
        )
        if key.name:
            given = replace(given, key=key.name, key_type=key.type or given.key_type)
        if self.kind is KindName.RECIPE:
            # Without a name none is known, and the error lists all of them.
            return Wanted(format=self.format, recipe=self.recipe or "", given=given)
        return Wanted(MigrationKind(self.kind), self.format, self.recipe, given)
