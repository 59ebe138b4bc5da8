"""What watching costs: counting a large ledger, a scrape of it, and reports of what ran.

    python -m ops.bench.watching [--databases 100000] [--runs 1500000] [--rounds 20] [-o json]

Starts a PostgreSQL of its own and fills the read models of a ledger, not the log: so many
databases in 50 pools, 20 rollouts that have not ended with all of them, a look at each, and so
many runs of migrations. Then, as a leader with LEDGER_MONITORING_PORT does, the ledger is
counted, and its page /metrics is asked for over HTTP; and `ledger report` is asked for in the
program, with a selection of every database, of one in ten, of one, and without. Each is asked
several times, and the shortest time counts: others on the machine only make it longer.

The bars: a scrape takes 50 ms and 1 MB, a report a second. The program ends with 1 when one is
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from ledger import telemetry
from ledger.embedded.postgres import EmbeddedPostgres
from ledger.monitoring.exposition import expose
from ledger.monitoring.readiness import Readiness
from ledger.monitoring.server import monitored
from ledger.runtime import install, open_ledger, stores_of
from ledger.service.census import Census
from ledger.service.performance import ReportSubject
from ledger.settings import MonitoringSection, Settings
from ledger.store.census import CensusTable
from ledger.store.connections import Pool
from migrations.clock import SYSTEM_CLOCK

SESSIONS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
"""
POOLS, ROLLOUTS, VERSIONS = 50, 20, 15
SCRAPE_MS, SCRAPE_BYTES, REPORT_MS = 50.0, 1_000_000, 1_000.0
SELECTIONS = {
    "all": "",
    "every database": "tier!=gold",
    "one in ten": "tier=silver",
    "one": "id=t77",
}
FILL = (
    """
    INSERT INTO ledger.fleet_database (
        database, status, pool, target_host, target_port, target_database, target_schema,
        target_history, username, labels, unanswered, doubted, registered_position, registered_at,
        registered_by, backed_up_at, last_contact_at)
    SELECT 't' || n, 'active', 'pool-' || n % {pools}, 'db.internal', 5432, 't' || n, '', '', 'app',
        jsonb_build_object('tier', CASE WHEN n % 10 = 0 THEN 'silver' ELSE 'bronze' END), false,
        false, 1, now(), 'bench', now()::text, now()
    FROM generate_series(1, {databases}) AS n
    """,
    """
    INSERT INTO ledger.rollout (
        rollout, status, mode, bundle, steps, selection, fleet_position, databases, waves,
        wave_spec, in_flight, budget_percent, when_spent, expiry_s, deadline_s, planned_position,
        planned_at, planned_by)
    SELECT 'r' || n, 'running', 'up', 'b', '[]', '', 1, {databases}, 1, 'rest', 100, 1, 'halt', 60,
        60, n, now(), 'bench'
    FROM generate_series(1, {rollouts}) AS n
    """,
    """
    INSERT INTO ledger.rollout_database (rollout, database, wave, state, again, details)
    SELECT 'r' || n % {rollouts} + 1, 't' || n, 0,
        (ARRAY['pending', 'ordered', 'running', 'applied', 'failed'])[n / {rollouts} % 5 + 1],
        false, '{{}}'
    FROM generate_series(1, {databases}) AS n
    """,
    """
    INSERT INTO ledger.look (stream, database, attempt, is_read, position, schema_version, body)
    SELECT 'check-c', 't' || n, 1, n % 100 > 0, 1, 1,
        convert_to(CASE WHEN n % 100 > 0 THEN '{{"reachable": true}}'
            ELSE '{{"reachable": false}}' END, 'UTF8')
    FROM generate_series(1, {databases}) AS n
    """,
    """
    INSERT INTO ledger.execution (
        position, database, rollout, version, direction, succeeded, error, duration_ms, table_mb,
        at)
    SELECT n, 't' || n % {databases} + 1, 'r1', '20260' || 100000000 + n / ({runs} / {versions}),
        'up', n % 97 > 0, CASE WHEN n % 97 = 0 THEN 'sql' END,
        CASE WHEN n % 97 > 0 THEN n::bigint * 7919 % 60000 END, (n % 5000)::double precision, now()
    FROM generate_series(0, {runs} - 1) AS n
    """,
    "VACUUM ANALYZE",
)
"""As projecting would have written them; what nobody asks for here is left out."""


class Figures:
    """What was measured, in milliseconds and bytes, and which bars were missed."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}
        self.missed: list[str] = []

    def note(self, name: str, value: float, bar: float | None = None) -> None:
        """Keep a figure; one above its bar is missed."""
        self.found[name] = round(value, 1)
        if bar is not None and value > bar:
            self.missed.append(name)


class Watch:
    """Times calls of this process and of the sessions that it has with a server."""

    def __init__(self, pool: Pool, figures: Figures) -> None:
        self._pool = pool
        self._figures = figures

    async def time(
        self, name: str, work: Callable[[], Awaitable[object]], rounds: int, bar: float | None
    ) -> None:
        """Note the shortest time by the clock, and of processors, of some calls."""
        clock, used = [], []
        for _ in range(rounds):
            began, before = time.perf_counter(), await self._used_ms()
            await work()
            clock.append((time.perf_counter() - began) * 1000)
            used.append(await self._used_ms() - before)
        self._figures.note(f"{name}, ms", min(clock), bar)
        self._figures.note(f"{name}, ms of processors", min(used))

    async def _used_ms(self) -> float:
        """What this process and its sessions have used, in steps of ten milliseconds."""
        rows = await self._pool.fetch(SESSIONS)
        return time.process_time() * 1000 + sum(_used_ms(row["pid"]) for row in rows)


def _used_ms(process: int) -> float:
    """What another process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


async def measure(url: str, databases: int, runs: int, rounds: int) -> Figures:
    """Fill a new ledger, and ask."""
    figures = Figures()
    settings = Settings(database_url=SecretStr(url))
    exposition = expose(telemetry.SERVICE, "0")
    await install(settings)
    connection = await asyncpg.connect(url)
    for statement in FILL:
        sizes = {"databases": databases, "runs": runs, "pools": POOLS}
        text = statement.format(**sizes, rollouts=ROLLOUTS, versions=VERSIONS)
        await connection.execute(text, timeout=3600)
    await connection.close()
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(settings))
        stores = stores_of(ledger)
        table = CensusTable(stores.pool)
        census = Census(
            stores.log, stores.reads, table, ledger.status, ledger.lookout, SYSTEM_CLOCK
        )
        census.observe()
        await census.count()
        watch = Watch(stores.pool, figures)
        await watch.time("count", census.count, 3, None)
        readiness = Readiness({}, SYSTEM_CLOCK)
        section = MonitoringSection(port=0)
        port = await stack.enter_async_context(monitored(section, readiness, exposition))

        def scrape() -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as said:
                return bytes(said.read())

        async def scraped() -> bytes:
            return await asyncio.to_thread(scrape)

        figures.note("scrape, bytes", len(await scraped()), SCRAPE_BYTES)
        await watch.time("scrape", scraped, rounds, SCRAPE_MS)
        for name, select in SELECTIONS.items():
            asked = ReportSubject(select=select)

            async def migrations(asked: ReportSubject = asked) -> None:
                await ledger.performance.migrations(asked, 10)

            async def durations(asked: ReportSubject = asked) -> None:
                await ledger.performance.durations(asked, 3, 10)

            await watch.time(f"report migrations, {name}", migrations, rounds, REPORT_MS)
            await watch.time(f"report durations, {name}", durations, rounds, REPORT_MS)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and show; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--databases", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1_500_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("-o", choices=("text", "json"), default="text")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="migration-ledger-") as name:
        Path(name).chmod(0o711)
        server = EmbeddedPostgres(Path(name) / "postgres")
        server.start()
        try:
            sizes = given.databases, given.runs, given.rounds
            figures = asyncio.run(measure(server.url(), *sizes))
        finally:
            server.stop()
    if given.o == "json":
        sys.stdout.write(json.dumps({"figures": figures.found, "missed": figures.missed}) + "\n")
    else:
        for name, value in figures.found.items():
            sys.stdout.write(f"{name:60} {value:>12,.1f}{' MISSED' * (name in figures.missed)}\n")
    return int(bool(figures.missed))


if __name__ == "__main__":
    sys.exit(main())
