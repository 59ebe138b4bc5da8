"""A ledger of its own for each test, sessions of each role, and a proxy that cuts connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from ledger.store.connections import Pool, open_pool
from ledger.store.log.log import EventLog
from tests.fixtures.postgres import FreshDatabase, PostgresServer


@pytest.fixture
async def ledger_url(fresh_ledger: FreshDatabase) -> str:
    """Return the owner's connection string of a fresh ledger."""
    return await fresh_ledger()


@pytest.fixture
async def pool(ledger_url: str) -> AsyncIterator[Pool]:
    """Return the owner's pool on a fresh ledger."""
    opened = await open_pool(ledger_url)
    yield opened
    await opened.close()


@pytest.fixture
def log(pool: Pool) -> EventLog:
    """Return the log of a fresh ledger; position 1 is LedgerInitialised."""
    return EventLog(pool)


@pytest.fixture
async def owner(ledger_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Return the owner's connection (a superuser's), beside the log."""
    connection = await asyncpg.connect(ledger_url)
    yield connection
    await connection.close()


MemberPool = Callable[[str], Awaitable[tuple[str, Pool]]]
"""Makes a login role that is a member of this role; its name and its pool."""


@pytest.fixture
async def member_pool(
    ledger_url: str, postgres_server: PostgresServer
) -> AsyncIterator[MemberPool]:
    """Return a function that logs in as a member of a role of the ledger."""
    made: list[tuple[str, Pool]] = []

    async def make(role: str) -> tuple[str, Pool]:
        name = f"{postgres_server.prefix}_{role}_{uuid4().hex[:8]}"
        await postgres_server.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'p' IN ROLE {role}")
        parts = urlsplit(ledger_url)
        address = parts.netloc.rpartition("@")[2]
        member_url = urlunsplit(parts._replace(netloc=f"{quote(name)}:p@{address}"))
        made.append((name, await open_pool(member_url, max_size=2)))
        return made[-1]

    yield make
    for name, opened in made:
        await opened.close()
        await postgres_server.execute(f'DROP ROLE "{name}"')


@dataclass(slots=True)
class Proxy:
    """Between the ledger and its database: when `deaf`, the next answer is lost, and the line."""

    url: str
    deaf: bool = False
    cut: int = 0


@asynccontextmanager
async def cutting_proxy(url: str) -> AsyncIterator[Proxy]:
    """Forward to the server of `url` on a port of our own."""
    parts = urlsplit(url)
    proxy = Proxy("")
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if back and proxy.deaf:
                    proxy.deaf = False
                    proxy.cut += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.close()
        if back:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        for pumping in (pump(reader, back, False), pump(there, writer, True)):
            task = asyncio.create_task(pumping)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = parts.netloc.rpartition("@")[0]
    proxy.url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
