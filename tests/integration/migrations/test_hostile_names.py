"""What a recipe writes runs from its first phase to its last one and back, whatever the names."""

from __future__ import annotations

import pytest

from migrations.authoring.recipes import Given, column_of
from migrations.model.attempt import Verdict
from migrations.sql.literals import quote_ident
from tests.integration.migrations.test_pinned_settings import data
from tests.integration.migrations.test_recipes import down, up, written
from tests.integration.migrations.world import World
from tests.support.catalog import SCHEMA

NAMES = {
    "prisma": ("User", "Id", "firstName"),
    "a keyword": ("order", "user", "select"),
    "blanks and dots": ("my table.x", "I d", "a b.c"),
    "quotes": ('we"ird', "it's", 'say ""'),
    "commas and equals": ("a,b", "k=1", "x, y"),
    "backslashes": ("a\\b", "k\\1", "c\\'"),
    "colons and percents": ("t:x", "k%s", "c:int"),
    "letters of others": ("Größe", "ключ", "名前"),
    "long": ("t" * 63, "k" * 63, "c" * 63),
}
RECIPES = ("not-null", "type-change", "rename-column", "table-split", "index-concurrently")


def given(recipe: str, table: str, key: str, column: str, to: str) -> Given:
    """The options as a person writes them: in quotes."""
    name, quoted_key = quote_ident(table), quote_ident(key)
    if recipe in ("not-null", "index-concurrently"):
        one = column_of(quote_ident(column))
        more = {"value": "'x'", "key": quoted_key} if recipe == "not-null" else {}
        return Given(f"public.{name}", (one,), **more)
    one = column_of(f"{quote_ident(column)}:text")
    to = "varchar(90)" if recipe == "type-change" else quote_ident(to)
    return Given(f"public.{name}", (one,), to=to, key=quoted_key)


@pytest.mark.parametrize(
    ("recipe", "names"),
    [(recipe, names) for recipe in RECIPES for names in NAMES],
)
async def test_a_recipe_runs_there_and_back_with_names_that_need_quotes(
    world: World, recipe: str, names: str
) -> None:
    table, key, column = NAMES[names]
    name = quote_ident(table)
    await world.execute(
        f"CREATE TABLE {name} ({quote_ident(key)} bigint PRIMARY KEY, {quote_ident(column)} text);"
        f"INSERT INTO {name} SELECT i, nullif(i % 3, 0)::text FROM generate_series(1, 2100) AS i"
    )
    migrations = written(recipe, given(recipe, table, key, column, "Other: 'x', \"y\""))
    before = await world.fetch(SCHEMA)
    await up(world, migrations)
    for _ in migrations:
        await down(world, migrations)
    assert await world.fetch(SCHEMA) == before


async def test_a_marker_finds_a_table_by_its_own_spelling_first(world: World) -> None:
    await world.execute(
        'CREATE TABLE "User" ("Id" int PRIMARY KEY, v text); CREATE TABLE "user" (id int);'
        "INSERT INTO \"User\" VALUES (1, 'a')"
    )
    for number, marker in enumerate(("table=User key=Id", 'table="User" key="Id"'), start=1):
        text = f"-- +migrate Data {marker}\n"
        text += f'UPDATE "User" AS u SET v = \'{number}\' FROM batch WHERE u."Id" = batch."Id";\n'
        outcome = await world.up(data(text, str(number)))
        assert outcome.verdict is Verdict.DONE, outcome.failure
        assert await world.value('SELECT v FROM "User"') == str(number)
