"""What the log costs: each figure against a floor measured in the same run, turn by turn.

    python ops/bench/log.py [--url postgresql://postgres@127.0.0.1:5432/postgres]

Makes a database of its own on that server and drops it; without a server it starts one of its own,
which really writes to disk at each commit, as a ledger's has to. The floors:

- batches: a plain COPY of the same rows (hashes included, already computed) into a table with the
  same columns, keys and constraints, committed per batch;
- one by one: a plain INSERT of the same row into that table, committed by itself, through the same
  kind of pool;
- verification: reading the same columns and the four SHA-256 per event over as many bytes, with
  nothing put together and nothing compared;
- replay: reading the same rows, JSON decoding of their bodies, one dict update per event; ours is
  all of `ledger replay` over a log of four rollouts (`ops/bench/replay.py`), shadow tables and
  comparison included.

A ratio is the floor's time divided by ours in the same turn, the median over all turns; at 1.00 the
log costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ledger.contracts.envelope import Encoded, Metadata, encode
from ledger.contracts.reports import MigrationApplied
from ledger.embedded.postgres import EmbeddedPostgres
from ledger.store.connections import Pool, open_pool
from ledger.store.install import install
from ledger.store.log.chain import Link
from ledger.store.log.log import EventLog
from ledger.store.queries import QUERIES
from ops.bench import replay

BATCH = 1000
STREAM = "rollout-7f3a/reports"
READ = 10_000
"""Events read at once by verification and by its floor."""
LEAF_BYTES = 149 + len(STREAM) + len("MigrationApplied") + len("postgres")
"""What a leaf of these events is the hash of: ten lengths, fields of fixed size, three texts."""

CREATE_PLAIN = "CREATE TABLE plain (LIKE ledger.log INCLUDING ALL)"
INSERT_PLAIN = """
    INSERT INTO plain (position, stream_version, recorded_at, event_id, schema_version, stream,
        type, recorded_by, leaf, chain, metadata, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
Turn = Callable[[], Awaitable[object]]


def events(count: int) -> list[Encoded]:
    """As many reports, of the size that a rollout writes."""
    at = datetime(2026, 11, 23, tzinfo=UTC)
    metadata = Metadata(correlation="rollout-7f3a", agent="agent-1", occurred_at=at)
    return [
        encode(
            MigrationApplied(
                database=f"tenant-{number:05}",
                command=uuid4(),
                version="20261101120000",
                checksum="c" * 64,
                duration_ms=123,
                statements=4,
            ),
            uuid4(),
            metadata,
        )
        for number in range(count)
    ]


class Plain:
    """The floors that write: rows as the log holds them, without anything that makes it a log."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._position = 0

    def rows(self, given: list[Encoded]) -> list[tuple[object, ...]]:
        """The given events as rows of the plain table, with hashes of some kind."""
        now = datetime.now(UTC)
        made: list[tuple[object, ...]] = []
        for event in given:
            self._position += 1
            digest = sha256(event.body).digest()
            place = (self._position, self._position, now, event.event_id, event.schema_version)
            texts = (STREAM, event.type, "postgres")
            made.append((*place, *texts, digest, digest, event.metadata, event.body))
        return made

    async def copy(self, rows: list[tuple[object, ...]]) -> None:
        """COPY, committed."""
        async with self._pool.acquire() as connection:
            await connection.copy_records_to_table("plain", records=rows)

    async def insert(self, row: tuple[object, ...]) -> None:
        """INSERT, committed."""
        await self._pool.execute(INSERT_PLAIN, *row)


class Pair(NamedTuple):
    """Seconds of the floor and of ours, taken one right after the other."""

    floor: float
    ours: float


async def pair(floor: Turn, ours: Turn) -> Pair:
    """Time one turn of each."""
    start = time.perf_counter()
    await floor()
    between = time.perf_counter()
    await ours()
    return Pair(between - start, time.perf_counter() - between)


async def batches(log: EventLog, plain: Plain, turns: int) -> list[Pair]:
    """Seconds per batch."""
    pairs = []
    for _ in range(turns):
        given, rows = events(BATCH), plain.rows(events(BATCH))
        pairs.append(await pair(partial(plain.copy, rows), partial(log.append, STREAM, given)))
    return pairs


async def one_by_one(log: EventLog, plain: Plain, turns: int) -> list[Pair]:
    """Seconds per event; a pair is the sum of ten, for a single one is too short to compare."""
    pairs = []
    for _ in range(turns // 10):
        given, rows = events(10), plain.rows(events(10))
        singles = [
            await pair(partial(plain.insert, row), partial(log.append, STREAM, [event]))
            for event, row in zip(given, rows, strict=True)
        ]
        pairs.append(Pair(sum(floor for floor, _ in singles), sum(ours for _, ours in singles)))
    return pairs


async def read_and_hash(pool: Pool, upto: int) -> None:
    """The floor of verification: the same columns read, as many bytes hashed."""
    position = 0
    framing = b"\0" * LEAF_BYTES
    while position < upto:
        for row in await pool.fetch(QUERIES["chain_rows"], position, min(position + READ, upto)):
            sha256(row[8]).digest()
            sha256(row[9]).digest()
            sha256(framing).digest()
            sha256(b"\x01" + row[10] + row[11]).digest()
        position += READ


async def verified(log: EventLog) -> None:
    """Verify; a bench over a broken chain would measure nothing."""
    if not isinstance(reached := await log.verify(), Link):
        raise SystemExit(f"the chain is broken at {reached.position}: {reached.why}")


@dataclass(frozen=True)
class Figure:
    """What was measured, over how many events a pair goes, and what was required."""

    name: str
    pairs: list[Pair]
    events: int
    bar: float

    @property
    def ratio(self) -> float:
        """The median over all pairs: another program that wakes up spoils one pair, not all."""
        return statistics.median(pair.floor / pair.ours for pair in self.pairs)

    def __str__(self) -> str:
        floor = self.events / statistics.median(pair.floor for pair in self.pairs)
        ours = self.events / statistics.median(pair.ours for pair in self.pairs)
        verdict = "ok" if self.ratio >= self.bar else "MISSED"
        return (
            f"{self.name:<13} floor {floor:>9,.0f}/s   ours {ours:>9,.0f}/s   "
            f"ratio {self.ratio:.2f}   bar {self.bar:.2f}   {verdict}"
        )


async def measure(url: str, turns: int) -> list[Figure]:
    """Take what goes by the log alone in the ledger's database at `url`, which is made here."""
    await install(url, uuid4())
    pool = await open_pool(url)
    try:
        log, plain = EventLog(pool), Plain(pool)
        await pool.execute(CREATE_PLAIN)
        await batches(log, plain, 5)
        await one_by_one(log, plain, 100)
        wrote = Figure("batches", await batches(log, plain, turns), BATCH, 0.6)
        single = Figure("one by one", await one_by_one(log, plain, turns * 40), 10, 0.8)
        end = (await log.head()).position
        reading = max(5, turns // 2)
        hashing, verifying = partial(read_and_hash, pool, end), partial(verified, log)
        checked = [await pair(hashing, verifying) for _ in range(reading)]
        return [wrote, single, Figure("verification", checked, end, 0.8)]
    finally:
        await pool.close()


async def replayed(url: str, turns: int) -> Figure:
    """Take the figure of replay in another such database."""
    measured = await replay.turns(url, turns)
    pairs = [Pair(turn.floor, turn.replay) for turn in measured.turns]
    return Figure("replay", pairs, measured.events, replay.BAR)


@asynccontextmanager
async def own_database(server_url: str) -> AsyncIterator[str]:
    """Make a database of our own on the server, and drop it."""
    name = f"bench_log_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(server_url)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        finally:
            await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


async def run(server_url: str, turns: int) -> int:
    """Measure in databases of our own and print; 1 when a bar is missed."""
    async with own_database(server_url) as url:
        figures = await measure(url, turns)
    async with own_database(server_url) as url:
        figures.append(await replayed(url, max(5, turns // 4)))
    for figure in figures:
        print(figure)
    return int(any(figure.ratio < figure.bar for figure in figures))


def run_on_own_server(turns: int) -> int:
    """Measure on a durable server that is there for this alone."""
    with tempfile.TemporaryDirectory(prefix="migration-ledger-") as name:
        Path(name).chmod(0o711)
        server = EmbeddedPostgres(Path(name) / "postgres", durable=True)
        server.start()
        try:
            return asyncio.run(run(server.url(), turns))
        finally:
            server.stop()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", help="a superuser's connection string")
    parser.add_argument("--turns", type=int, default=30, help="batches to measure")
    given = parser.parse_args()
    if given.url:
        raise SystemExit(asyncio.run(run(given.url, given.turns)))
    raise SystemExit(run_on_own_server(given.turns))


if __name__ == "__main__":
    main()
