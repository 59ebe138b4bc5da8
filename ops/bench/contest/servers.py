"""One PostgreSQL server for a whole run, and sets of databases on it that are copies of each other.

The server is durable while anything is measured; only while databases are made and dropped, fsync
is off, because that is nobody's figure.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from ledger.embedded.postgres import SUPERUSER, EmbeddedPostgres
from ops.bench.contest.line import HOST
from ops.bench.contest.workload import CREATE_USERS

TEMPLATE = "bench_template"
MAKERS = 2
"""Databases made at once: as many as the machine has cores."""

SYNC_OFF = "ALTER SYSTEM SET fsync = off"
SYNC_ON = "ALTER SYSTEM SET fsync = on"
RELOAD = "SELECT pg_reload_conf()"
CREATE = 'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'
DROP = 'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
SETTLE = "CHECKPOINT"
SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "1h"}
"""No checkpoint in the middle of anybody's clock: whom it hits is chance, and it costs as much as
sixty databases."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where databases are, and the superuser's way in."""

    host: str
    port: int
    user: str
    password: str

    def behind(self, port: int) -> Server:
        """The same server at the end of a line of ours."""
        return replace(self, host=HOST, port=port)

    def url(self, database: str, *, password: bool = True) -> str:
        """A connection string, without the password for programs that take it elsewhere."""
        secret = f":{self.password}" if password else ""
        return f"postgresql://{self.user}{secret}@{self.host}:{self.port}/{database}"

    async def connect(self, database: str) -> asyncpg.Connection[asyncpg.Record]:
        """Connect as everybody here does: over TCP, with the password, nothing cached."""
        return await asyncpg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=database,
            ssl=False,
            statement_cache_size=0,
        )


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Start a server below `folder`; stop it and delete its data at the end."""
    postgres = EmbeddedPostgres(folder / "postgres", settings=SETTINGS)
    try:
        postgres.start()
        yield Server(postgres.host, postgres.port, SUPERUSER, postgres.password)
    finally:
        postgres.reset()


async def make_template(server: Server) -> None:
    """Make the database that all others are copies of."""
    await _each(server, [CREATE.format(name=TEMPLATE, template="template0")])
    connection = await server.connect(TEMPLATE)
    try:
        await connection.execute(CREATE_USERS)
        await connection.execute("ANALYZE users")
    finally:
        await connection.close()


@asynccontextmanager
async def fresh_databases(server: Server, prefix: str, count: int) -> AsyncIterator[list[str]]:
    """Make `count` databases and return their names; drop them at the end."""
    names = [f"{prefix}_{number:04}" for number in range(count)]
    try:
        await _quickly(server, [CREATE.format(name=name, template=TEMPLATE) for name in names])
        yield names
    finally:
        await _quickly(server, [DROP.format(name=name) for name in names])


@asynccontextmanager
async def ledger_database(server: Server, name: str) -> AsyncIterator[str]:
    """Make an empty database for a ledger and return its connection string; drop it at the end."""
    await _each(server, [CREATE.format(name=name, template="template0")])
    try:
        yield server.url(name)
    finally:
        await _each(server, [DROP.format(name=name)])


async def _quickly(server: Server, statements: list[str]) -> None:
    """Run statements without waiting for the disk, and leave a server that is settled again."""
    await _each(server, [SYNC_OFF])
    await _each(server, [RELOAD])
    shares = [statements[maker::MAKERS] for maker in range(MAKERS)]
    try:
        await asyncio.gather(*(_each(server, share) for share in shares))
    finally:
        await _each(server, [SYNC_ON])
        await _each(server, [RELOAD])
        await _each(server, [SETTLE])
        # What the kernel still holds of the copies would be written in the middle of a measurement.
        await asyncio.to_thread(os.sync)


async def _each(server: Server, statements: list[str]) -> None:
    connection = await server.connect("postgres")
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
