"""A server that is away, starting or full is waited for: nothing was tried there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.model.attempt import Limits, Mode, Verdict
from migrations.model.work import Outcome
from migrations.runner import run
from migrations.target.session import ConnectionSettings
from tests.integration.migrations.world import World, expecting, migration, until, users

PATIENT = Limits(retry_for_s=60)
HASTY = Limits(retry_for_s=0.5)


async def waits_for(world: World, word: str) -> None:
    """Return when it has been told that something with this word is waited for."""

    async def told() -> bool:
        return any(word in wait for wait in world.hearing.waits)

    await until(told)


@pytest.mark.parametrize("of", ["DATABASE", "ROLE"])
async def test_a_slot_is_waited_for_and_the_migration_applied(world: World, of: str) -> None:
    name = world.settings.database if of == "DATABASE" else world.settings.user
    holder = await asyncpg.connect(world.url)
    await world.execute_as_superuser(f'ALTER {of} "{name}" CONNECTION LIMIT 1')
    running = asyncio.create_task(world.do(world.work(Mode.UP, users()), PATIENT))
    await waits_for(world, "SQLSTATE 53300")
    await holder.close()
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def test_a_slot_that_does_not_come_is_a_failure_of_its_own_class_and_says_what_to_do(
    world: World,
) -> None:
    holder = await asyncpg.connect(world.url)
    name = world.settings.database
    await world.execute_as_superuser(f'ALTER DATABASE "{name}" CONNECTION LIMIT 1')
    outcome = await world.do(world.work(Mode.UP, users()), HASTY)
    await holder.close()
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind == "unavailable"
    assert "CONNECTION LIMIT" in outcome.failure.message
    assert "pg_hba" not in outcome.failure.message
    assert outcome.steps == ()


async def test_an_order_whose_time_is_over_is_not_begun_when_its_server_comes_back(
    world: World,
) -> None:
    settings = replace(world.settings, port=free_port())
    asked = iter([True, False])
    outcome = await run(
        settings,
        world.work(Mode.UP, users()),
        PATIENT,
        world.hearing,
        may_begin=lambda: next(asked),
    )
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "expired"
    assert "Connection refused" in outcome.failure.message
    assert len(world.hearing.waits) == 1


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ("57P03", "unavailable", "starts or recovers"),
        ("57P01", "unavailable", "starts or recovers"),
        ("53300", "unavailable", "max_connections"),
        ("53200", "unavailable", "max_connections"),
        ("28P01", "unreachable", "password"),
        ("28000", "unreachable", "pg_hba.conf"),
        ("3D000", "unreachable", "database's name"),
        ("55000", "unreachable", "ALLOW_CONNECTIONS"),
        ("42501", "unreachable", "CONNECT"),
    ],
)
async def test_what_to_do_is_said_by_the_state_and_only_what_passes_is_waited_for(
    world: World, state: str, kind: str, said: str
) -> None:
    async with server_that_refuses(state) as port:
        outcome = await apply_at(world, port)
    assert outcome.failure is not None
    assert outcome.failure.kind == kind
    assert said in outcome.failure.message
    assert bool(world.hearing.waits) == (kind == "unavailable")


async def test_a_server_that_starts_is_told_with_its_own_words(world: World) -> None:
    async with server_that_refuses("57P03", "the database \x1b[31msystem is starting up") as port:
        await apply_at(world, port)
    assert any("SQLSTATE 57P03: the database" in wait for wait in world.hearing.waits)
    assert "\x1b" not in "".join(world.hearing.waits)


async def test_a_server_that_is_down_is_waited_for(own_postgres: EmbeddedPostgres) -> None:
    world = World(own_postgres.url())
    await asyncio.to_thread(own_postgres.stop)
    running = asyncio.create_task(world.do(world.work(Mode.UP, users()), PATIENT))
    await waits_for(world, "Connection refused")
    await asyncio.to_thread(own_postgres.start)
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def test_a_server_that_restarts_under_a_migration_is_waited_for(
    own_postgres: EmbeddedPostgres,
) -> None:
    world = World(own_postgres.url())
    await world.execute("CREATE TABLE gate ()")
    holder = await asyncpg.connect(world.url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("LOCK TABLE gate")
    change = migration("1", "CREATE TABLE made ();\nALTER TABLE gate ADD n int")
    running = asyncio.create_task(
        world.do(world.work(Mode.UP, change), replace(PATIENT, lock_timeout_s=60))
    )
    await until(lambda: world.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    await asyncio.to_thread(own_postgres.kill)
    await waits_for(world, "Connection refused")
    await asyncio.to_thread(own_postgres.start)
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.journal() == [("1", "up", 0, "applied")]


async def test_a_known_server_that_is_a_standby_for_a_while_is_waited_for(
    own_postgres: EmbeddedPostgres,
) -> None:
    world = World(own_postgres.url())
    known = await world.up(users())
    await asyncio.to_thread(own_postgres.stop)
    (own_postgres.data / "standby.signal").touch()
    await asyncio.to_thread(own_postgres.start)
    stranger = await world.do(world.work(Mode.UP, users()), HASTY)
    assert stranger.verdict is Verdict.REFUSED
    over = await world.do(world.work(Mode.UP, users(), expectation=expecting(known)), HASTY)
    assert over.failure is not None
    assert over.failure.kind == "unavailable"
    assert "standby; register the primary's host" in over.failure.message
    next_one = world.work(Mode.UP, migration("2", "SELECT 1"), expectation=expecting(known))
    world.hearing.waits.clear()
    running = asyncio.create_task(world.do(next_one, PATIENT))
    await waits_for(world, "the server is a standby now")
    await world.execute("SELECT pg_promote()")
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def test_work_that_ends_its_own_session_is_not_waited_for(world: World) -> None:
    ending = migration("1", "SELECT pg_terminate_backend(pg_backend_pid())")
    outcome = await world.do(world.work(Mode.UP, ending), PATIENT)
    assert outcome.failure is not None
    assert outcome.failure.kind == "unreachable"
    assert len(world.hearing.waits) == 3


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


async def apply_at(world: World, port: int) -> Outcome:
    """What comes of a migration at this port, for half a second."""
    settings = ConnectionSettings(
        "127.0.0.1", port, "x", "u", sslmode="disable", allow_plaintext=True
    )
    return await run(settings, world.work(Mode.UP, users()), HASTY, world.hearing)


@asynccontextmanager
async def server_that_refuses(state: str, said: str = "no") -> AsyncIterator[int]:
    """A port where every session is refused with this SQLSTATE."""
    fields = b"SFATAL\0VFATAL\0" + f"C{state}\0M{said}\0\0".encode()
    answer = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
