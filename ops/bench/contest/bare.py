"""The floor: what a fleet of databases costs a loop that keeps no record but its own journal row.

It connects, takes an advisory lock, makes its journal table if it is missing, runs the statements
and the journal row in one transaction, and closes; in as few round trips as simple code has. It
survives nothing: no retry, no fence, no identity, no time-outs, nobody told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256

from ops.bench.contest.servers import Server
from ops.bench.contest.workload import Work

LOCK = "SELECT pg_advisory_lock(74621)"
CREATE_JOURNAL = """
    CREATE TABLE IF NOT EXISTS bare_journal (
        version text PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        duration_ms bigint NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""
RECORD = """
    INSERT INTO bare_journal (version, name, checksum, duration_ms)
    VALUES ('{version}', '{name}', '{checksum}', {duration_ms})
"""


async def run(server: Server, databases: Sequence[str], work: Work, concurrency: int) -> float:
    """Migrate all databases, `concurrency` at a time, and return the seconds it took."""
    checksum = sha256("\n".join(work.up).encode()).hexdigest()
    waiting = iter(databases)
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(_some(server, waiting, work, checksum))
    return time.perf_counter() - start


async def _some(server: Server, databases: Iterator[str], work: Work, checksum: str) -> None:
    for database in databases:
        await _one(server, database, work, checksum)


async def _one(server: Server, database: str, work: Work, checksum: str) -> None:
    connection = await server.connect(database)
    try:
        await connection.execute(LOCK)
        await connection.execute(CREATE_JOURNAL)
        start = time.monotonic()
        async with connection.transaction():
            for statement in work.up:
                await connection.execute(statement)
            await connection.execute(
                RECORD.format(
                    version=work.version,
                    name=work.name,
                    checksum=checksum,
                    duration_ms=round((time.monotonic() - start) * 1000),
                )
            )
    finally:
        await connection.close()
