"""Installing, upgrading, and refusing a database that is not a ledger of this version."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from ledger.contracts.envelope import Metadata, decode, decode_metadata
from ledger.contracts.events import LedgerInitialised
from ledger.errors import (
    DatabaseUnsuitable,
    LedgerIsStandby,
    LedgerUnreachable,
    NotInstalled,
    SchemaVersionMismatch,
)
from ledger.store.connections import Pool, open_pool
from ledger.store.install import check, install, program_version, upgrade
from ledger.store.log.log import EventLog
from tests.fixtures.ledger import LEDGER_ID
from tests.fixtures.postgres import FreshDatabase, PostgresServer
from tests.support.log_events import some_events


async def test_the_first_event_says_that_the_log_was_created(
    superuser_database: FreshDatabase,
) -> None:
    url = await superuser_database()
    made = await install(url, LEDGER_ID, Metadata(reason="first ledger"))
    assert (made.ledger_id, made.created) == (LEDGER_ID, True)
    pool = await open_pool(url)
    (first,) = await EventLog(pool).tail(0, 10)
    await pool.close()
    assert (first.position, first.stream, first.stream_version) == (1, "ledger", 1)
    event = decode(first.type, first.schema_version, first.body)
    assert event == LedgerInitialised(ledger=LEDGER_ID)
    assert decode_metadata(first.metadata).reason == "first ledger"


async def test_installing_again_is_harmless(ledger_url: str, log: EventLog, pool: Pool) -> None:
    await log.append("rollout-1/reports", some_events(2))
    again = await install(ledger_url, uuid4())
    assert (again.ledger_id, again.created) == (LEDGER_ID, False)
    assert (await upgrade(ledger_url)).schema_version == program_version()
    assert (await check(pool)).position == 3


async def test_two_who_install_at_once_make_one_ledger(superuser_database: FreshDatabase) -> None:
    url = await superuser_database()
    first, second = await asyncio.gather(install(url, UUID(int=1)), install(url, UUID(int=2)))
    assert first.ledger_id == second.ledger_id
    pool = await open_pool(url)
    assert (await check(pool)).position == 1
    await pool.close()


async def test_an_empty_database_is_refused_and_names_ledger_init(
    superuser_database: FreshDatabase,
) -> None:
    url = await superuser_database()
    pool = await open_pool(url)
    with pytest.raises(NotInstalled, match="ledger init"):
        await check(pool)
    with pytest.raises(NotInstalled, match="ledger init"):
        await EventLog(pool).append("rollout-1/reports", some_events(1))
    with pytest.raises(NotInstalled, match="ledger init"):
        await upgrade(url)
    await pool.close()


async def test_an_older_schema_is_refused_and_names_ledger_upgrade(
    pool: Pool, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await owner.execute("UPDATE ledger.head SET schema_version = schema_version - 1")
    with pytest.raises(SchemaVersionMismatch, match="ledger upgrade"):
        await check(pool)


async def test_a_newer_schema_is_refused_by_every_program(
    ledger_url: str, pool: Pool, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await owner.execute("UPDATE ledger.head SET schema_version = schema_version + 1")
    with pytest.raises(SchemaVersionMismatch, match="upgrade this program"):
        await check(pool)
    with pytest.raises(SchemaVersionMismatch):
        await upgrade(ledger_url)
    with pytest.raises(SchemaVersionMismatch):
        await install(ledger_url, uuid4())


async def test_a_database_with_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    name = f"{postgres_server.prefix}_latin"
    await postgres_server.execute(
        f'CREATE DATABASE "{name}" TEMPLATE template0 ENCODING LATIN1 LOCALE "C"'
    )
    try:
        with pytest.raises(DatabaseUnsuitable, match="UTF8"):
            await install(postgres_server.url(name), uuid4())
    finally:
        await postgres_server.drop(name)


async def test_a_read_only_database_is_refused(
    log: EventLog, owner: asyncpg.Connection[asyncpg.Record], ledger_url: str
) -> None:
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    pool = await open_pool(ledger_url)
    with pytest.raises(LedgerIsStandby, match="primary"):
        await EventLog(pool).append("rollout-1/reports", some_events(1))
    await pool.close()


async def test_a_server_that_is_not_there_is_said_to_be_unreachable() -> None:
    with pytest.raises(LedgerUnreachable, match="ledger config show") as unreachable:
        await open_pool("postgresql://somebody:canary@127.0.0.1:1/nothing")
    assert "canary" not in str(unreachable.value)


async def test_an_owner_without_superuser_rights_installs_and_counts_as_service(
    postgres_server: PostgresServer,
) -> None:
    name = f"{postgres_server.prefix}_owner_{uuid4().hex[:8]}"
    await postgres_server.execute(f"CREATE ROLE \"{name}\" LOGIN CREATEROLE PASSWORD 'p'")
    database = await postgres_server.create()
    await postgres_server.execute(f'ALTER DATABASE "{database}" OWNER TO "{name}"')
    parts = urlsplit(postgres_server.url(database))
    address = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"{name}:p@{address}"))
    try:
        await install(url, LEDGER_ID)
        pool = await open_pool(url)
        for count in (1, 2):
            await EventLog(pool).append("rollout-1/reports", some_events(count))
        assert {event.recorded_by for event in await EventLog(pool).tail(0, 10)} == {name}
        await pool.close()
    finally:
        await postgres_server.drop(database)
        await postgres_server.execute(f'DROP ROLE "{name}"')
