"""What one database costs, besides what PostgreSQL does: against floors measured in the same run.

    python -m ops.bench.migrations [--files 5000] [--turns 30] [--rows 1000000] [-o json]

- loading: a folder of that many files against reading, hashing and parsing the same files with
  libpg_query alone;
- status: a look at a database on which everything is applied, folder of 10 files read included,
  against connecting, one SELECT of the same rows and closing in plain asyncpg;
- version: `ledger --version` against `python -c "import typer"`, process start included in both.

A ratio is our time divided by the floor's in the same turn, the median over all turns: at 1.00 we
cost nothing. Data migrations follow, the other way round: what part of the speed of a loop by hand
they reach, and that their memory does not grow with the table (`ops/bench/data.py`); `--rows 0`
leaves them out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import asyncpg
import postgast

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.formats.bundle import load_folder
from migrations.model.attempt import Limits, Verdict
from migrations.model.work import Silence
from migrations.standalone import status, up
from migrations.target.session import ConnectionSettings
from ops.bench import data

FILES = 5_000
TURNS = 30
STATUS_FILES = 10
VERSION_TURNS = 10

FILE = """\
-- Name:        change_{number}
-- Description: one of many

-- +migrate Up lock_timeout=2s
CREATE TABLE t_{number} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (length(name) < 100),
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX t_{number}_made_at ON t_{number} (made_at) WHERE name <> '';
COMMENT ON TABLE t_{number} IS 'One of many tables.';
INSERT INTO t_{number} (name) SELECT 'row ' || n FROM generate_series(1, 3) AS n;

-- +migrate Down
DROP TABLE t_{number};

-- +migrate Verify
SELECT count(*) = 3 FROM t_{number};
"""
"""A migration of usual size: four statements, one back, one check."""

JOURNAL_ROWS = "SELECT * FROM migration_ledger.journal WHERE target = ''"


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds of the floor and of ours per turn, and what the ratio may be."""

    name: str
    pairs: Sequence[tuple[float, float]]
    bar: float

    @property
    def ratio(self) -> float:
        """The median over all turns: another program that wakes up spoils one turn, not all."""
        return statistics.median(ours / floor for floor, ours in self.pairs)

    @property
    def reached(self) -> bool:
        """Whether the bar holds."""
        return self.ratio <= self.bar

    def __str__(self) -> str:
        floor = statistics.median(floor for floor, _ in self.pairs) * 1000
        ours = statistics.median(ours for _, ours in self.pairs) * 1000
        verdict = "ok" if self.reached else "MISSED"
        return (
            f"{self.name:<9} floor {floor:>8.1f} ms   ours {ours:>8.1f} ms   "
            f"ratio {self.ratio:.2f}   bar {self.bar:.2f}   {verdict}"
        )


def write_folder(folder: Path, count: int) -> Path:
    """Fill a folder with as many migrations and return it."""
    folder.mkdir()
    for number in range(1, count + 1):
        path = folder / f"{20260101000000 + number}_change_{number}.sql"
        path.write_text(FILE.format(number=number))
    return folder


def loading(folder: Path, turns: int) -> Figure:
    """A whole folder, by us and by libpg_query alone."""
    pairs = [(_timed(lambda: _parsed(folder)), _timed(lambda: load_folder(folder)))
             for _ in range(turns)]  # fmt: skip
    return Figure("loading", pairs, 3.0)


def _parsed(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        sha256(content).digest()
        postgast.parse(content.decode())


def version(turns: int) -> Figure:
    """The shortest command, by us and by what any program with this command line costs."""
    program = str(Path(sys.executable).with_name("ledger"))
    floor, ours = [sys.executable, "-c", "import typer"], [program, "--version"]
    for command in (floor, ours):
        _run(command)
    pairs = [(_timed(lambda: _run(floor)), _timed(lambda: _run(ours))) for _ in range(turns)]
    return Figure("version", pairs, 2.0)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


async def looking(server: EmbeddedPostgres, folder: Path, turns: int) -> Figure:
    """`ledger db status` without its process, where there is nothing to do."""
    settings = ConnectionSettings.from_url(server.url() + "?sslmode=disable", allow_plaintext=True)
    migrations = load_folder(folder).migrations
    outcome = await up(settings, migrations, Limits(), Silence())
    if outcome.verdict is not Verdict.DONE:
        raise SystemExit(f"nothing can be measured: {outcome.failure}")

    async def ours() -> None:
        await status(settings, load_folder(folder).migrations)

    async def floor() -> None:
        connection = await asyncpg.connect(server.url(), ssl=False)
        await connection.fetch(JOURNAL_ROWS)
        await connection.close()

    pairs = [(await _timed_async(floor), await _timed_async(ours)) for _ in range(turns)]
    return Figure("status", pairs, 2.0)


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


async def _timed_async(action: Callable[[], Awaitable[None]]) -> float:
    start = time.perf_counter()
    await action()
    return time.perf_counter() - start


def measured(
    files: int, turns: int, rows: int
) -> list[Figure | data.DataFigure | data.MemoryFigure]:
    """Every figure, with servers and folders of its own."""
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        place = Path(name)
        place.chmod(0o755)
        server = EmbeddedPostgres(place / "postgres", settings=data.SETTINGS)
        server.start()
        try:
            seen = asyncio.run(looking(server, write_folder(place / "few", STATUS_FILES), turns))
            moved = asyncio.run(_moving(server, rows)) if rows else []
        finally:
            server.stop()
        many = write_folder(place / "many", files)
        return [loading(many, max(turns // 3, 1)), seen, version(VERSION_TURNS), *moved]


async def _moving(server: EmbeddedPostgres, rows: int) -> list[data.DataFigure | data.MemoryFigure]:
    """Data migrations over a table of so many rows."""
    return await data.measured(server.url(), rows, data.BATCH, data.TURNS)


def main() -> None:
    """Measure, print, and end with 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="What one database costs, against floors.")
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--rows", type=int, default=data.ROWS)
    parser.add_argument("-o", dest="output", choices=["table", "json"], default="table")
    given = parser.parse_args()
    figures = measured(given.files, given.turns, given.rows)
    if given.output == "json":
        print(json.dumps({one.name: {"ratio": one.ratio, "bar": one.bar} for one in figures}))
    else:
        print("\n".join(map(str, figures)))
    sys.exit(0 if all(figure.reached for figure in figures) else 1)


if __name__ == "__main__":
    main()
