"""How long the brake takes: from pressing Enter to the last order, beside a busy leader.

    python -m ops.bench.brake [--n 10000] [--rollouts 5] [--per-second 500] [--rounds 3] [-o json]

A leader over the in-process bus, and agents that only answer: all together so many databases per
second, each with its four reports. Several rollouts share the fleet and run side by side. Again and
again one of them is stopped by the program, `ledger rollout pause ID`, started as a person starts
it, and a moment later goes on. Every round is one more migration of the whole fleet, so the history
grows.

Three figures for each time, and what they may be at most:

- from the program's start to the recording of the rollout's last order: p95 of a second;
- processor time of the program, its start included: two seconds;
- orders behind the request in the log, and requests refused: none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ledger.cli.fleet.entries import FleetFileEntry
from ledger.contracts.events import Budget, PlanOptions, WhenSpent
from ledger.contracts.registry import Connection
from ledger.runtime import Ledger, install, open_ledger, stores_of
from ledger.service.plans import PlanRequest
from ledger.service.request_context import RequestContext
from ledger.settings.model import Settings
from migrations.model.attempt import Limits
from ops.bench.answers import POOL, Agents, leading
from ops.bench.contest.servers import Server, ledger_database, running_server

DATABASES = 10_000
ROLLOUTS = 5
PER_SECOND = 500
ROUNDS = 3
IN_FLIGHT = 200
"""Of each rollout: enough that the agents, and not the limit, set the pace."""
BETWEEN_S = 0.4
"""From one brake to the next, so that what was stopped before moves again."""
SETTLED_S = 0.5
"""After the program has ended: an order that is late would have come."""
LAST_BAR_S = 1.0
CPU_BAR_S = 2.0
LEFT = 0.1
"""A rollout with a smaller share of its databases left may end before it is stopped."""

LAST_ORDER = """
    SELECT extract(epoch FROM max(recorded_at))::float8 FROM ledger.log
    WHERE stream = $1 AND type = 'MigrationOrdered'
"""
RECORDED = """
    SELECT extract(epoch FROM max(recorded_at))::float8 FROM ledger.log
    WHERE stream = $1 AND type = 'RolloutPaused'
"""
ORDERS_BEHIND = """
    SELECT count(*) FROM ledger.log
    WHERE stream = $1 AND type = 'MigrationOrdered' AND position > (
        SELECT max(position) FROM ledger.log WHERE stream = $1 AND type = 'RolloutPaused')
"""
ORDERED = "SELECT count(*) FROM ledger.log WHERE stream = $1 AND type = 'MigrationOrdered'"


@dataclass(frozen=True, slots=True)
class Given:
    """How large a run is."""

    databases: int
    rollouts: int
    per_second: int
    rounds: int


class Place(NamedTuple):
    """Where the ledger is, and the folder of its migrations."""

    url: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Stop:
    """One use of the brake: seconds, processor seconds, orders that came behind it.

    The last order may be older than the request, and than Enter: then it counts nothing.
    """

    last_order_s: float
    recorded_s: float
    cpu_s: float
    orders_behind: int
    said: str
    """What the program said when it refused; empty when it did as it was told."""


@dataclass(frozen=True, slots=True)
class Braked:
    """All stops of a run."""

    stops: Sequence[Stop]

    @property
    def last_order_p95_s(self) -> float:
        """From pressing Enter to the last order, the 95th percentile."""
        return _p95([stop.last_order_s for stop in self.stops])

    @property
    def cpu_p95_s(self) -> float:
        """Processor seconds of the program, the 95th percentile."""
        return _p95([stop.cpu_s for stop in self.stops])

    @property
    def refused(self) -> list[str]:
        """What was said by those that refused."""
        return [stop.said for stop in self.stops if stop.said]

    @property
    def orders_behind(self) -> int:
        """Orders that the log holds behind a request, before the rollout was resumed."""
        return sum(stop.orders_behind for stop in self.stops)

    @property
    def reached(self) -> bool:
        """Whether every bar holds."""
        return (
            bool(self.stops)
            and not self.refused
            and not self.orders_behind
            and (self.last_order_p95_s <= LAST_BAR_S and self.cpu_p95_s <= CPU_BAR_S)
        )

    def __str__(self) -> str:
        middle = statistics.median(stop.last_order_s for stop in self.stops)
        recorded = [stop.recorded_s for stop in self.stops]
        cpu = statistics.median(stop.cpu_s for stop in self.stops)
        return "\n".join(
            [
                f"{len(self.stops)} times `ledger rollout pause`:",
                f"  from Enter to the last order  p50 {middle:.2f} s  p95 "
                f"{self.last_order_p95_s:.2f} s   (bar {LAST_BAR_S:g} s)",
                f"  from Enter to its recording   p50 {statistics.median(recorded):.2f} s  p95 "
                f"{_p95(recorded):.2f} s",
                f"  processor time of the program p50 {cpu:.2f} s  p95 "
                f"{self.cpu_p95_s:.2f} s   (bar {CPU_BAR_S:g} s)",
                f"  orders behind the request     {self.orders_behind}   (bar 0)",
                f"  refused                       {len(self.refused)}   (bar 0)",
                *(f"    {said}" for said in self.refused),
            ]
        )


async def brake(url: str, rollout: str, ledger: Ledger) -> Stop:
    """Stop a rollout with the program, and see what came of it."""
    program = [str(Path(sys.executable).with_name("ledger")), "rollout", "pause", rollout]
    environment = os.environ | {"LEDGER_DATABASE_URL": url}
    began = time.time()
    words, cpu_s = await asyncio.to_thread(_ran, program, environment)
    await asyncio.sleep(SETTLED_S)
    stream, pool = f"rollout-{rollout}", stores_of(ledger).pool
    last: float = await pool.fetchval(LAST_ORDER, stream) or began
    recorded: float = await pool.fetchval(RECORDED, stream) or began
    return Stop(
        last_order_s=max(last - began, 0.0),
        recorded_s=max(recorded - began, 0.0),
        cpu_s=cpu_s,
        orders_behind=await pool.fetchval(ORDERS_BEHIND, stream) if not words else 0,
        said=words,
    )


def _ran(program: Sequence[str], environment: dict[str, str]) -> tuple[str, float]:
    """What it said if it refused, and the processor seconds that it took."""
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(program, env=environment, stdout=said, stderr=said)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        words = said.read().decode().strip() if child.returncode else ""
    return words, used.ru_utime + used.ru_stime


async def _ordered(ledger: Ledger, rollout: str) -> int:
    number: int = await stores_of(ledger).pool.fetchval(ORDERED, f"rollout-{rollout}")
    return number


async def round_of(
    number: int, ledger: Ledger, place: Place, agents: Agents, given: Given
) -> list[Stop]:
    """One migration of the whole fleet in several rollouts, stopped as often as it lasts.

    The agents begin when all rollouts have; whichever has the most before it is stopped next.
    """
    change = f"-- +migrate Up\nCREATE TABLE t{number} ();\n"
    (place.folder / f"{number}_change.sql").write_text(change)
    agents.per_second = 0
    running = [
        await ledger.rollouts.start(
            await ledger.rollouts.plan(_request(place.folder, f"part={part}"))
        )
        for part in range(given.rollouts)
    ]
    agents.per_second = given.per_second
    enough = given.databases // given.rollouts * (1 - LEFT)
    stops: list[Stop] = []
    while True:
        ordered = {one: await _ordered(ledger, one) for one in running}
        rollout = min(running, key=ordered.__getitem__)
        if ordered[rollout] > enough:
            break
        stop = await brake(place.url, rollout, ledger)
        if stop.said and (await ledger.rollouts.course(rollout)).status == "completed":
            # Its last databases answered before the program had started: there was nothing to stop.
            break
        stops.append(stop)
        if not stop.said:
            await ledger.rollouts.resume(rollout, RequestContext("bench"))
        await asyncio.sleep(BETWEEN_S)
    for rollout in running:
        async for status in ledger.rollouts.watch(rollout):
            if status.status == "completed":
                break
    return stops


def run(given: Given) -> Braked:
    """Start a server, fill a ledger, and use the brake."""
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        place = Path(name)
        place.chmod(0o711)
        folder = place / "migrations"
        folder.mkdir()
        with running_server(place) as server:
            return asyncio.run(_measured(server, folder, given))


async def _measured(server: Server, folder: Path, given: Given) -> Braked:
    async with ledger_database(server, "bench_ledger") as url:
        settings = Settings(database_url=SecretStr(url))
        await install(settings)
        async with open_ledger(settings) as ledger:
            entries = [_entry(number, number % given.rollouts) for number in range(given.databases)]
            await ledger.fleet.import_(entries, RequestContext("bench"))
            stops: list[Stop] = []
            async with leading(ledger, url) as agents:
                for number in range(1, given.rounds + 1):
                    stops += await round_of(number, ledger, Place(url, folder), agents, given)
            return Braked(stops)


def _entry(number: int, part: int) -> FleetFileEntry:
    name = f"tenant-{number:06}"
    connection = Connection.at(host="db.internal", database=name, user="app")
    return FleetFileEntry(name, POOL, connection, {"part": str(part)})


def _request(folder: Path, select: str) -> PlanRequest:
    return PlanRequest(
        direction="up",
        folder=folder,
        select=select,
        options=PlanOptions(
            wave_spec="rest",
            in_flight=IN_FLIGHT,
            budget=Budget(count=0),
            when_spent=WhenSpent.HALT,
            limits=Limits(),
            expiry_s=3600.0,
            deadline_s=7200.0,
        ),
        asked=RequestContext("bench"),
    )


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[max(-(-len(values) * 95 // 100) - 1, 0)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="How long the brake takes.")
    parser.add_argument("--n", type=int, default=DATABASES, help="databases")
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS, help="side by side")
    parser.add_argument("--per-second", type=int, default=PER_SECOND, help="databases that answer")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="migrations of the fleet")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    given = parser.parse_args(arguments)
    with suppress(KeyboardInterrupt):
        braked = run(Given(given.n, given.rollouts, given.per_second, given.rounds))
        if given.output == "json":
            print(json.dumps({"stops": [asdict(stop) for stop in braked.stops]}))
        else:
            print(braked)
        return 0 if braked.reached else 1
    return 130


if __name__ == "__main__":
    sys.exit(main())
