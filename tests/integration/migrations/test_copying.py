"""What COPY says of a row is what a query says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from migrations.model.attempt import Verdict
from migrations.target import journal
from migrations.target.binary_copy import (
    copied,
    copied_behind,
    identifier,
    integer,
    json_text,
    moment,
    text,
)
from migrations.target.scram import salted
from migrations.target.session import Connection, close_session, open_session
from tests.integration.migrations.world import World, migration, users

ODD = """
    CREATE TABLE odd (t text, n name, i integer, b bigint, u uuid, j jsonb, m timestamptz);
    INSERT INTO odd VALUES
        (E'a\\tb\\\\N\\n''ä', 'x', -7, -9223372036854775808, gen_random_uuid(), '{"a": [1]}',
         '1999-12-31 23:59:59.999999+02'),
        ('', '', 0, 0, gen_random_uuid(), 'null', now()),
        (NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""
READERS = {
    "t": text,
    "n": text,
    "i": integer,
    "b": integer,
    "u": identifier,
    "j": json_text,
    "m": moment,
}


@asynccontextmanager
async def session(world: World) -> AsyncIterator[Connection]:
    """A session as migrations have it."""
    connection = await open_session(world.settings, application_name="test")
    try:
        yield connection
    finally:
        await close_session(connection)


async def test_every_type_is_read_as_a_query_reads_it(world: World) -> None:
    await world.execute(ODD)
    async with session(world) as connection:
        by_query = [dict(row) for row in await connection.fetch("SELECT * FROM odd")]
        by_copy = await copied(connection, "public", "odd", READERS)
    assert by_copy == by_query


async def test_what_stands_before_the_copy_is_done_before_it(world: World) -> None:
    await world.execute("CREATE TABLE counted (n integer)")
    first = "SELECT 1, 2; INSERT INTO counted VALUES (7)"
    async with session(world) as connection:
        rows = await copied_behind(connection, first, "public", "counted", {"n": integer})
        assert await connection.fetchval("SELECT count(*) FROM counted") == 1
    assert rows == [{"n": 7}]


async def test_what_goes_wrong_before_the_copy_is_raised_and_the_session_goes_on(
    world: World,
) -> None:
    await world.execute("CREATE TABLE counted (n integer)")
    async with session(world) as connection:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await copied_behind(connection, "SELECT 1 / 0", "public", "counted", {"n": integer})
        with pytest.raises(asyncpg.UndefinedTableError):
            await copied_behind(connection, "SELECT 1", "public", "absent", {"n": integer})
        assert await copied(connection, "public", "counted", {"n": integer}) == []


async def test_an_empty_table_has_no_rows(world: World) -> None:
    await world.execute("CREATE TABLE nothing (t text)")
    async with session(world) as connection:
        assert await copied(connection, "public", "nothing", {"t": text}) == []


async def test_the_journal_of_the_default_target_is_read_beside_those_of_schemas(
    world: World,
) -> None:
    await world.up(users())
    async with session(world) as connection:
        record = await journal.read(connection, "")
        assert record is not None
        assert [entry.migration for entry in record.entries] == ["", "001"]
        assert await journal.read(connection, "other") is None


async def test_a_failed_attempt_is_read_with_its_failure(world: World) -> None:
    outcome = await world.up(migration("001", "SELECT 1/0"))
    assert outcome.verdict is Verdict.FAILED
    async with session(world) as connection:
        record = await journal.read(connection, "")
    assert record is not None
    assert record.entries[-1].failure == outcome.failure


async def test_a_password_is_hashed_once_for_all_sessions_of_a_server(world: World) -> None:
    async with session(world):
        pass
    before = salted.cache_info()
    async with session(world):
        pass
    after = salted.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 0)
