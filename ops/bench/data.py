"""Data in batches, against a hand-written keyset loop in plain asyncpg over the same rows.

    python -m ops.bench.data [--rows 1000000] [--batch 1000] [--turns 4] [-o json]

Two jobs, each on a fresh copy of one table in one durable PostgreSQL server:

- update: a column of every row is computed anew, `UPDATE … FROM batch`;
- copy: every row goes into another table, `INSERT … SELECT … FROM batch`.

The hand-written loop finds, writes and commits a batch with one prepared statement and one round
trip, and remembers its place in a variable: it holds no lock, keeps no progress, checks nothing,
and starts over after a crash. The ratio is its time divided by ours, the median over all turns; the
clock of ours runs from connecting to the journal's last entry.

Memory is the growth of this process's peak between a tenth of the rows and all of them, divided by
the rows that were added: what holds but one key per row needs eight bytes of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.formats.bundle import load_files
from migrations.model.attempt import Limits, Verdict
from migrations.model.migration import Migration, SourceFile
from migrations.model.work import Silence
from migrations.standalone import up
from migrations.target.session import ConnectionSettings

ROWS = 1_000_000
BATCH = 1_000
TURNS = 4
BAR = 0.9
MEMORY_BAR = 4.0
"""Bytes per row that was added: half of one key, so nothing is kept per row; the rest is noise."""
SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "1h", "autovacuum": "off"}
"""Nothing that the server does by itself falls into one clock and not into the other."""

MAKE = """
    DROP TABLE IF EXISTS people, full_names;
    CREATE TABLE people (
        id bigint PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL, full_name text
    );
    INSERT INTO people SELECT n, 'First ' || n, 'Last ' || n FROM generate_series(1, {rows}) AS n;
    CREATE TABLE full_names (id bigint PRIMARY KEY, full_name text NOT NULL);
    DROP SCHEMA IF EXISTS migration_ledger CASCADE;
"""


@dataclass(frozen=True, slots=True)
class Job:
    """The same work, as a migration's statement and by hand; `check` counts the rows it did."""

    name: str
    statement: str
    by_hand: str
    check: str


JOBS = (
    Job(
        "update",
        "UPDATE people SET full_name = batch.first_name || ' ' || batch.last_name "
        "FROM batch WHERE people.id = batch.id",
        "WITH batch AS (SELECT id, first_name, last_name FROM people WHERE id > $1 "
        "ORDER BY id LIMIT $2 FOR UPDATE), done AS (UPDATE people "
        "SET full_name = batch.first_name || ' ' || batch.last_name "
        "FROM batch WHERE people.id = batch.id) SELECT max(id) FROM batch",
        "SELECT count(full_name) FROM people",
    ),
    Job(
        "copy",
        "INSERT INTO full_names SELECT id, first_name || ' ' || last_name FROM batch",
        "WITH batch AS (SELECT id, first_name, last_name FROM people WHERE id > $1 "
        "ORDER BY id LIMIT $2), done AS (INSERT INTO full_names "
        "SELECT id, first_name || ' ' || last_name FROM batch) SELECT max(id) FROM batch",
        "SELECT count(*) FROM full_names",
    ),
)


@dataclass(frozen=True, slots=True)
class DataFigure:
    """Seconds of the loop and of ours per turn, and how much of its speed ours must have."""

    name: str
    rows: int
    pairs: Sequence[tuple[float, float]]
    bar: float = BAR

    @property
    def ratio(self) -> float:
        """The loop's time divided by ours, the median over all turns."""
        return statistics.median(floor / ours for floor, ours in self.pairs)

    @property
    def reached(self) -> bool:
        """Whether the bar holds."""
        return self.ratio >= self.bar

    def __str__(self) -> str:
        floor, ours = (
            self.rows / statistics.median(pair[side] for pair in self.pairs) for side in (0, 1)
        )
        verdict = "ok" if self.reached else "MISSED"
        return (
            f"{self.name:<9} loop {floor:>9,.0f} rows/s   ours {ours:>9,.0f} rows/s   "
            f"ratio {self.ratio:.2f}   bar {self.bar:.2f}   {verdict}"
        )


@dataclass(frozen=True, slots=True)
class MemoryFigure:
    """By how many bytes the peak of this process rose with so many rows more."""

    bytes: int
    rows: int
    name: str = "memory"
    bar: float = MEMORY_BAR

    @property
    def ratio(self) -> float:
        """Bytes per row."""
        return self.bytes / self.rows

    @property
    def reached(self) -> bool:
        """Whether the bar holds."""
        return self.ratio <= self.bar

    def __str__(self) -> str:
        verdict = "ok" if self.reached else "MISSED"
        return (
            f"{self.name:<9} {self.bytes // 1024:>9,} kB for {self.rows:,} rows more   "
            f"bytes per row {self.ratio:.2f}   bar {self.bar:.2f}   {verdict}"
        )


def migration_of(job: Job, batch: int) -> Migration:
    """The job as a data migration."""
    text = f"-- +migrate Data table=people key=id batch={batch}\n{job.statement};\n"
    return load_files("sql-migrate", [SourceFile("1_job.sql", text.encode())])


async def by_hand(url: str, job: Job, batch: int) -> None:
    """The keyset loop that somebody would write."""
    connection = await asyncpg.connect(url, ssl=False)
    step = await connection.prepare(job.by_hand)
    last = 0
    while (last := await step.fetchval(last, batch)) is not None:
        pass
    await connection.close()


async def by_us(url: str, job: Job, batch: int) -> None:
    """The same as a migration."""
    settings = ConnectionSettings.from_url(f"{url}?sslmode=disable", allow_plaintext=True)
    outcome = await up(settings, [migration_of(job, batch)], Limits(), Silence())
    if outcome.verdict is not Verdict.DONE:
        raise SystemExit(f"nothing can be measured: {outcome.failure}")


async def compare(url: str, job: Job, rows: int, batch: int, turns: int) -> DataFigure:
    """Both in turn, each on a fresh table; who begins changes."""
    pairs: list[tuple[float, float]] = []
    for turn in range(turns):
        seconds: dict[str, float] = {}
        order = [("floor", by_hand), ("ours", by_us)]
        for name, action in order if turn % 2 == 0 else order[::-1]:
            await _fresh(url, rows)
            seconds[name] = await _timed(lambda action=action: action(url, job, batch))  # type: ignore[misc]
            await _check(url, job, rows)
        pairs.append((seconds["floor"], seconds["ours"]))
    return DataFigure(job.name, rows, pairs)


async def memory_growth(url: str, rows: int, batch: int) -> MemoryFigure:
    """How the peak of this process rises from a tenth of the rows to all."""
    peaks = []
    for count in (rows // 10, rows):
        await _fresh(url, count)
        await by_us(url, JOBS[0], batch)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return MemoryFigure((peaks[1] - peaks[0]) * 1024, max(rows - rows // 10, 1))


async def _fresh(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url, ssl=False)
    await connection.execute(MAKE.format(rows=rows))
    await connection.execute("VACUUM ANALYZE people")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def _check(url: str, job: Job, rows: int) -> None:
    connection = await asyncpg.connect(url, ssl=False)
    done = await connection.fetchval(job.check)
    await connection.close()
    if done != rows:
        raise SystemExit(f"nothing can be measured: {done} of {rows} rows were done")


async def _timed(action: Callable[[], Awaitable[None]]) -> float:
    start = time.perf_counter()
    await action()
    return time.perf_counter() - start


async def measured(url: str, rows: int, batch: int, turns: int) -> list[DataFigure | MemoryFigure]:
    """Every figure; memory first, before anything else has raised the peak."""
    growth = await memory_growth(url, rows, batch)
    return [growth, *[await compare(url, job, rows, batch, turns) for job in JOBS]]


def main() -> None:
    """Measure, print, and end with 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="Data in batches, against a loop by hand.")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("-o", dest="output", choices=["table", "json"], default="table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        place = Path(name)
        place.chmod(0o755)
        server = EmbeddedPostgres(place / "postgres", settings=SETTINGS)
        server.start()
        try:
            figures = asyncio.run(measured(server.url(), given.rows, given.batch, given.turns))
        finally:
            server.stop()
    if given.output == "json":
        print(json.dumps({one.name: {"ratio": one.ratio, "bar": one.bar} for one in figures}))
    else:
        print("\n".join(map(str, figures)))
    sys.exit(0 if all(figure.reached for figure in figures) else 1)


if __name__ == "__main__":
    main()
