"""One side of `ops/bench/beside.py`: what a checkout's own benchmarks say on a given server.

It is started by its path, in a process of its own, with the Python and on the path of the checkout
that is measured. So it uses only what is called the same at both commits: the functions that the
benchmarks themselves are made of. What to do stands on standard input, and what was seen is written
to standard output, both as JSON: by name, pairs of seconds of the floor and of ours, where there is
a floor.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ops.bench import data, fleet, log, migrations
from ops.bench.contest import ours
from ops.bench.contest.course import Course
from ops.bench.contest.servers import Server, fresh_databases
from ops.bench.contest.workload import WORKS

Seen = dict[str, list[tuple[float | None, float]]]


def rollout(server: dict[str, Any], databases: int, kafka: bool) -> Seen:
    """The first and the second migration of a new fleet, with the agents' own defaults."""
    return asyncio.run(_rollout(Server(**server), databases, kafka))


async def _rollout(server: Server, databases: int, kafka: bool) -> Seen:
    way = ours.over_kafka if kafka else ours.one_process
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as folder:
        async with fresh_databases(server, "bench_side", databases) as names:
            course = Course(server, names, Path(folder))
            async with way(fleet.AGENT_CONCURRENCY, course) as migrate:
                seen: Seen = {}
                for number in range(len(WORKS)):
                    await asyncio.sleep(fleet.REST_S)
                    seen[fleet.MIGRATIONS[number]] = [(None, await migrate(number))]
                return seen


def record(url: str, turns: int) -> Seen:
    """Appends, verification and replay of the log."""
    return asyncio.run(_record(url, turns))


async def _record(url: str, turns: int) -> Seen:
    async with log.own_database(url) as own:
        figures = await log.measure(own, turns)
    async with log.own_database(url) as own:
        figures.append(await log.replayed(own, max(3, turns // 4)))
    return {one.name: [(floor, ours) for floor, ours in one.pairs] for one in figures}


def database(url: str, files: int, turns: int, rows: int) -> Seen:
    """One database: a folder of files, a look, and data in batches."""
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        server: Any = SimpleNamespace(url=lambda: url)
        few = migrations.write_folder(Path(name) / "few", migrations.STATUS_FILES)
        many = migrations.write_folder(Path(name) / "many", files)
        figures = [
            migrations.loading(many, max(turns // 3, 1)),
            asyncio.run(migrations.looking(server, few, turns)),
        ]
    seen = {one.name: list(one.pairs) for one in figures}
    for job in data.JOBS if rows else ():
        moved = asyncio.run(data.compare(url, job, rows, data.BATCH, max(turns // 5, 2)))
        seen[f"data, {job.name}"] = list(moved.pairs)
    return {name: [(floor, ours) for floor, ours in pairs] for name, pairs in seen.items()}


PARTS: dict[str, Callable[..., Seen]] = {
    "rollout": rollout,
    "record": record,
    "database": database,
}


def main() -> None:
    """Do what stands on standard input."""
    asked = json.load(sys.stdin)
    print(json.dumps(PARTS[asked.pop("part")](**asked)))


if __name__ == "__main__":
    main()
