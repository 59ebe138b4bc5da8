"""Recipes on a real database: up, verified, down, up; and no write is lost meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

import asyncpg
import pytest

from migrations import standalone
from migrations.authoring.recipes import Column, Given
from migrations.authoring.recipes.cookbook import recipe_called
from migrations.formats.bundle import load_files
from migrations.model.attempt import Limits, Verdict
from migrations.model.migration import Migration, SourceFile
from migrations.model.work import Silence
from tests.integration.migrations.world import World
from tests.support.catalog import SCHEMA

TABLES = """
    CREATE TABLE users (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        email text, age integer, "Street" text, city text, "order" integer
    );
    CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint);
    INSERT INTO users (email, age, "Street", city, "order")
    SELECT CASE WHEN n % 3 = 0 THEN 'u' || n END, n, 'street ' || n,
        CASE WHEN n % 5 > 0 THEN 'city ' || n END, n
    FROM generate_series(1, 2500) AS n;
    UPDATE users SET "Street" = NULL, city = NULL WHERE id % 7 = 0;
    INSERT INTO orders SELECT id, id FROM users;
"""
STREET, CITY = Column("Street", "text"), Column("city", "text")
SPLIT = Given("users", (STREET, CITY), to="addresses")
AGE = Given("users", (Column("age", "integer"),), to="bigint")
CASES = {
    "index-concurrently": Given("users", (Column("email"), Column("Street"))),
    "unique-index": Given("users", (Column("email"), Column("Street"))),
    "add-column": Given("public.users", (Column("Status of it", "text"),), value="'a'"),
    "foreign-key": Given("orders", (Column("user_id"),), to="users"),
    "check": Given("users", (Column("age"),), value="age > 0"),
    "not-null": Given("users", (Column("email"),), value="'nobody'"),
    "type-change": AGE,
    "rename-column": Given("users", (Column("order", "integer"),), to="position"),
    "table-split": SPLIT,
}


def written(name: str, given: Given) -> list[Migration]:
    """The migrations that a recipe writes, in their order."""
    recipe = recipe_called(name)
    recipe.check(given)
    files = {
        f"1_x.{phase}.sql" if phase else "1_x.sql": text
        for phase, text in recipe.write(given).items()
    }
    loaded = [
        load_files("sql-migrate", [SourceFile(file, text.encode())]) for file, text in files.items()
    ]
    return sorted(loaded, key=lambda one: one.version)


async def up(world: World, migrations: Sequence[Migration]) -> None:
    outcome = await standalone.up(world.settings, migrations, Limits(lock_timeout_s=1), Silence())
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def down(world: World, migrations: Sequence[Migration]) -> None:
    outcome = await standalone.down(world.settings, migrations, Limits(), Silence())
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def catalog(world: World) -> tuple[object, object]:
    return await world.fetch(SCHEMA), await world.fetch("SELECT count(*) FROM users")


@pytest.mark.parametrize("name", CASES)
async def test_what_a_recipe_writes_goes_up_and_down_and_up_again_and_restores_the_catalog(
    world: World, name: str
) -> None:
    await world.execute(TABLES)
    migrations = written(name, CASES[name])
    states = [await catalog(world)]
    for number in range(1, len(migrations) + 1):
        await up(world, migrations[:number])
        states.append(await catalog(world))
    checks = await standalone.verify(world.settings, migrations[-1:])
    assert [one.failure for one in checks] == [None]
    for number in reversed(range(len(migrations))):
        await down(world, migrations)
        assert await catalog(world) == states[number], migrations[number].label
    await up(world, migrations)
    assert await catalog(world) == states[-1]
    assert states[0] != states[-1]


async def test_not_null_without_a_value_needs_no_contract(world: World) -> None:
    await world.execute(TABLES + "UPDATE users SET email = 'x' WHERE email IS NULL;")
    migrations = written("not-null", Given("users", (Column("email"),)))
    assert [one.phase for one in migrations] == ["expand", "migrate"]
    await up(world, migrations)
    with pytest.raises(asyncpg.NotNullViolationError):
        await world.execute("INSERT INTO users DEFAULT VALUES")


class Writer:
    """A program that goes on writing while the table changes, and counts what was committed."""

    def __init__(self, world: World, *statements: str) -> None:
        self._url = world.url
        self._statements = statements
        self._task: asyncio.Task[None] | None = None
        self.committed = 0

    async def __aenter__(self) -> Writer:
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def _write(self) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            for number in count():
                user = number * 37 % 2500 + 1
                statement = self._statements[number % len(self._statements)]
                writing = asyncio.create_task(
                    self._once(connection, statement.format(user=user, n=number))
                )
                try:
                    await asyncio.shield(writing)
                except asyncpg.DeadlockDetectedError:
                    continue
                finally:
                    await asyncio.wait({writing})
        finally:
            await connection.close()

    async def goes_on(self) -> None:
        """Return when fifty more writes are committed."""
        seen = self.committed
        while self.committed < seen + 50:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def _once(self, connection: asyncpg.Connection, statement: str) -> None:
        tag = await connection.execute(statement)
        self.committed += int(tag.split()[-1])


async def test_no_write_is_lost_while_a_type_changes(world: World) -> None:
    await world.execute(TABLES)
    before = await world.value("SELECT sum(age) FROM users")
    expand, migrate, contract = written("type-change", AGE)
    writer = Writer(world, "UPDATE users SET age = age + 1 WHERE id = {user}")
    async with writer:
        for number, one in enumerate((expand, migrate, contract), start=1):
            await up(world, (expand, migrate, contract)[:number])
            assert one.version == f"1.{number}"
            await writer.goes_on()
    assert writer.committed > 150
    assert await world.value("SELECT sum(age) FROM users") == before + writer.committed
    kind = "SELECT format_type(atttypid, -1) FROM pg_attribute "
    kind += "WHERE attrelid = 'users'::regclass AND attname = 'age'"
    assert await world.value(kind) == "bigint"


async def test_no_write_is_lost_while_a_table_is_split(world: World) -> None:
    await world.execute(TABLES)
    expand, migrate, contract = written("table-split", SPLIT)
    await up(world, [expand])
    old = Writer(
        world,
        "UPDATE users SET city = 'old {n}' WHERE id = {user}",
        'UPDATE users SET city = NULL, "Street" = NULL WHERE id = {user}',
        "INSERT INTO users (city) VALUES ('fresh {n}')",
    )
    new = Writer(
        world,
        "UPDATE addresses SET city = 'new {n}' WHERE id = {user}",
        "DELETE FROM addresses WHERE id = {user}",
    )
    async with old, new:
        await old.goes_on()
        await up(world, [expand, migrate])
        await old.goes_on()
    differ = """
        SELECT count(*) FROM users LEFT JOIN addresses USING (id)
        WHERE (users."Street", users.city) IS DISTINCT FROM (addresses."Street", addresses.city)
    """
    assert await world.value(differ) == 0
    assert await world.value("SELECT count(*) FROM users WHERE city LIKE 'fresh %'") > 10
    kept = await world.fetch('SELECT id, "Street", city FROM users_with_addresses ORDER BY id')
    await up(world, [expand, migrate, contract])
    view = 'SELECT id, "Street", city FROM users_with_addresses ORDER BY id'
    assert await world.fetch(view) == kept
