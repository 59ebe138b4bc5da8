"""The floor: what a fleet of databases costs a loop that keeps no record but its own journal row.

It connects, takes an advisory lock, makes its journal table if it is missing, runs the statements
and the journal row in one transaction, and closes; in as few round trips as simple code has. It
survives nothing: no retry, no fence, no identity, no time-outs, nobody told.

It runs in a process of its own, with nothing of ours in it but the server's address:

    python -m ops.bench.contest.bare < what, as JSON
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256

from ops.bench.contest.servers import Server
from ops.bench.contest.workload import WORKS, Work

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


def measured(server: Server, databases: Sequence[str], number: int, concurrency: int) -> float:
    """Migrate all databases in a new process and return the seconds its loop took.

    Raises SystemExit when it failed.
    """
    what = {"server": asdict(server), "databases": list(databases)}
    ended = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps({**what, "number": number, "concurrency": concurrency}),
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise SystemExit(f"the bare loop failed:\n{ended.stderr[-2000:]}")
    return float(ended.stdout)


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


def main() -> None:
    """Do what stands on standard input; print the seconds it took."""
    what = json.load(sys.stdin)
    server, work = Server(**what["server"]), WORKS[what["number"]]
    print(asyncio.run(run(server, what["databases"], work, what["concurrency"])))


if __name__ == "__main__":
    main()
