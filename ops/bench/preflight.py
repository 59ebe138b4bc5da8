"""What is asked before a first migration: its share of one in `ops.bench.fleet`, and how often.

What is compared is processor time per database, of the server with all its processes and of ours,
which means the same on a busy machine; the ledger leads, works and watches in this process.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from functools import partial
from pathlib import Path

from migrations.clock import SYSTEM_CLOCK
from migrations.formats.bundle import load_folder
from migrations.model.preflight import PreflightPolicy
from migrations.preflight.preflight import ask_all
from migrations.preflight.touched_tables import touched_by
from ops.bench.contest.course import Course
from ops.bench.contest.ours import one_process
from ops.bench.contest.servers import (
    TEMPLATE,
    Server,
    fresh_databases,
    make_template,
    running_server,
)
from ops.bench.contest.workload import write_folder
from ops.bench.fingerprint import counted
from ops.bench.fleet import AGENT_CONCURRENCY

DATABASES = 60


def measured(turns: int, databases: int = DATABASES) -> tuple[float, float, int]:
    """Seconds per database without it and with it, the least of all turns; round trips.

    One turn is a rollout each over so many fresh databases.
    """
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with running_server(folder) as server:
            return asyncio.run(_measured(server, folder, turns, databases))


async def _measured(
    server: Server, folder: Path, turns: int, databases: int
) -> tuple[float, float, int]:
    await make_template(server)
    policy = PreflightPolicy()
    pairs = [
        (
            await _one_turn(server, f"plain_{turn}", databases, None),
            await _one_turn(server, f"asked_{turn}", databases, policy),
        )
        for turn in range(turns)
    ]
    (first,) = load_folder(write_folder(folder / "first", "ours", 1)).migrations
    touched = touched_by([first.up])
    asking = partial(ask_all, policy=policy, touched=touched, role=None, clock=SYSTEM_CLOCK)
    return (
        min(plain for plain, _ in pairs),
        min(asked for _, asked in pairs),
        await counted(server.url(TEMPLATE), asking),
    )


async def _one_turn(
    server: Server, prefix: str, count: int, policy: PreflightPolicy | None
) -> float:
    """Seconds of processors per database for a first migration of so many."""
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as folder:
        async with fresh_databases(server, prefix, count) as databases:
            course = Course(server, databases, Path(folder))
            async with one_process(AGENT_CONCURRENCY, course, preflight=policy) as migrate:
                postmaster = await _postmaster(server)
                began = _spent(postmaster)
                await migrate(0)
                return (_spent(postmaster) - began) / count


async def _postmaster(server: Server) -> int:
    connection = await server.connect(TEMPLATE)
    try:
        return int(_stat(int(await connection.fetchval("SELECT pg_backend_pid()")))[1])
    finally:
        await connection.close()


def _spent(postmaster: int) -> float:
    """Processor seconds of this process and of the server's, ended ones too; on Linux."""
    ticks = sum(map(int, _stat(postmaster)[11:15]))
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = _stat(int(folder.name))
        except OSError:
            continue
        if int(stat[1]) == postmaster:
            ticks += sum(map(int, stat[11:13]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """What stands in /proc behind a process's name: state, parent, and so on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
