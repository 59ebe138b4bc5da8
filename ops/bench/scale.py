"""What each thing costs by the size of the fleet: processor seconds per database, and memory.

    python -m ops.bench.scale [--sizes 1000,100000] [--in-flight 200] [-o json]

What runs, and what is compared, is told in ops/bench/README.md. Commands are programs of their own,
as people start them. The leader is a process beside them, over the bus inside of it, with agents
that only answer; their processor time is taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ledger.runtime import install, open_ledger
from ledger.settings.model import Settings
from migrations.gc_tuning import settle_memory
from ops.bench.answers import POOL, leading
from ops.bench.contest.servers import Server, ledger_database, running_server

SIZES = (1_000, 100_000)
IN_FLIGHT = 200
RATIO_BAR = 1.1
"""Cost per database at the largest size against that at the smallest."""
READ_CPU_BAR_S, READ_MEMORY_BAR_MB = 1.5, 150.0
"""Of `status` and `rollout status`, at every size."""
STATUS_MEMORY_BAR_MB, LEADER_MEMORY_BAR_MB = 300.0, 500.0
"""Of `fleet import`; of the leader after all of it."""
RESTART_BAR_S = 5.0
COSTS = ("import", "plan", "up", "rollback", "check")
READS = ("status", "rollout status")
STARTS = 3
LEADER = "--lead"
"""With an address behind it: be the leader's process."""
FAST, HALF_SPEED = 1e9, 0.05
"""Databases per second that the agents answer, at most; and, before the restart, that share of all
per second."""

ORDERED = "SELECT count(*) FROM ledger.log WHERE stream = $1 AND type = 'MigrationOrdered'"
LATEST = "SELECT max(stream_version) FROM ledger.log WHERE stream = $1"
"""Half way only orders follow; and a count would hold up what is measured."""
LAST_ROLLOUT = "SELECT rollout FROM ledger.rollout ORDER BY planned_position DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Used:
    """What a command took: processor seconds of its program, the leader, and the most memory."""

    cpu_s: float
    leader_s: float
    memory_mb: float


@dataclass(slots=True)
class Sized:
    """The figures of one size. `start_s` is what a program takes that has next to nothing to do."""

    databases: int
    start_s: float = 0.0
    used: dict[str, Used] = field(default_factory=dict)
    leader_mb: float = 0.0
    restart_s: float = 0.0

    def cost_ms(self, command: str) -> float:
        """Processor milliseconds per database, without the start of the program."""
        used = self.used[command]
        return max(used.cpu_s - self.start_s, 0.0) * 1000 / self.databases + (
            used.leader_s * 1000 / self.databases
        )


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise: what was seen, and how much it may be."""

    what: str
    seen: float
    most: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether it was kept."""
        return self.seen <= self.most

    def __str__(self) -> str:
        verdict = "" if self.holds else "   MISSED"
        return f"  {self.what:<42} {self.seen:>8.2f}{self.unit}  (bar {self.most:g}){verdict}"


def bars(sizes: Sequence[Sized]) -> list[Bar]:
    """Every promise at these sizes, smallest first."""
    small, large = sizes[0], sizes[-1]
    found = []
    if small is not large:
        for command in COSTS:
            before = small.cost_ms(command)
            ratio = large.cost_ms(command) / before if before else 1.0
            what = f"{command}, {large.databases:,} against {small.databases:,}"
            found.append(Bar(what, ratio, RATIO_BAR, " times"))
    for command in READS:
        used = large.used[command]
        what = f"{command} at {large.databases:,}"
        found.append(Bar(what, used.cpu_s, READ_CPU_BAR_S, " s"))
        found.append(Bar(what, used.memory_mb, READ_MEMORY_BAR_MB, " MB"))
    found.append(Bar("import, memory", large.used["import"].memory_mb, STATUS_MEMORY_BAR_MB, " MB"))
    found.append(Bar("leader, memory", large.leader_mb, LEADER_MEMORY_BAR_MB, " MB"))
    found.append(Bar("restart to the next order", large.restart_s, RESTART_BAR_S, " s"))
    return found


class Programs:
    """Runs commands of the program against one ledger, and counts what they take."""

    def __init__(self, url: str, folder: Path) -> None:
        self._environment = os.environ | {"LEDGER_DATABASE_URL": url}
        self._folder = folder
        self._program = str(Path(sys.executable).with_name("ledger"))

    def run(self, *arguments: str) -> Used:
        """Run one command to its end. Raises `SystemExit` with its words when it fails."""
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(
                [self._program, *arguments],
                env=self._environment,
                cwd=self._folder,
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
            )
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                said.seek(0)
                words = said.read().decode()[-2000:]
                raise SystemExit(f"ledger {' '.join(arguments)}: {child.returncode}\n{words}")
        return Used(used.ru_utime + used.ru_stime, 0.0, _megabytes(used.ru_maxrss))


class Leader:
    """The leading process: another one of this program, told what to do by lines."""

    def __init__(self, url: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "ops.bench.scale", LEADER, url],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, per_second: float) -> Mapping[str, float]:
        """Let the agents answer so many per second from now on; what the process took until now."""
        stdin, stdout = self._child.stdin, self._child.stdout
        if stdin is None or stdout is None:
            raise AssertionError
        stdin.write(f"{per_second}\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise SystemExit("the leading process has ended")
        answer: Mapping[str, float] = json.loads(line)
        return answer

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        self._child.communicate()


@contextmanager
def beside(url: str) -> Iterator[Leader]:
    """A leader until the block ends."""
    leader = Leader(url)
    try:
        yield leader
    finally:
        leader.kill()


async def lead(url: str) -> None:
    """Lead; answer each line, a rate for the agents, with what was used until then."""
    async with open_ledger(Settings(database_url=SecretStr(url))) as ledger:
        settle_memory()
        async with leading(ledger, url) as agents:
            while line := await asyncio.to_thread(sys.stdin.readline):
                agents.per_second = float(line)
                used = resource.getrusage(resource.RUSAGE_SELF)
                answer = {
                    "cpu_s": used.ru_utime + used.ru_stime - agents.cpu_s,
                    "memory_mb": _megabytes(used.ru_maxrss),
                }
                print(json.dumps(answer), flush=True)


def measured(server: Server, folder: Path, databases: int, in_flight: int) -> Sized:
    """All figures of one size."""
    return asyncio.run(_measured(server, folder, databases, in_flight))


async def _measured(server: Server, folder: Path, databases: int, in_flight: int) -> Sized:
    sized = Sized(databases)
    async with ledger_database(server, f"scale_{databases}") as url:
        await install(Settings(database_url=SecretStr(url)))
        programs = Programs(url, folder)
        await asyncio.to_thread(_all, sized, programs, url, folder, in_flight)
        # The leader of before is gone without a word: its session may last a moment longer.
        await asyncio.to_thread(_restarted, sized, programs, url, folder, in_flight)
    return sized


def _all(sized: Sized, programs: Programs, url: str, folder: Path, in_flight: int) -> None:
    """Everything that a fleet sees, in the order in which it does."""
    starts = [programs.run("rollout", "list").cpu_s for _ in range(STARTS)]
    sized.start_s = min(starts)
    file = folder / "fleet.yaml"
    file.write_text(_fleet(sized.databases))
    sized.used["import"] = programs.run("fleet", "import", str(file), "--yes")
    (folder / "1_first.sql").write_text(
        "-- +migrate Up\nCREATE TABLE t1 ();\n-- +migrate Down\nDROP TABLE t1;\n"
    )
    with beside(url) as leader:
        leader.ask(FAST)
        # What was imported is projected by whoever looks first, which is nobody's cost here.
        programs.run("rollout", "list")

        def led(name: str, *arguments: str) -> None:
            before = leader.ask(FAST)
            used = programs.run(*arguments)
            leader_s = leader.ask(FAST)["cpu_s"] - before["cpu_s"]
            sized.used[name] = Used(used.cpu_s, leader_s, used.memory_mb)
            _say(sized, name)

        _say(sized, "import")
        sized.used["plan"] = programs.run("plan", "--folder", str(folder))
        _say(sized, "plan")
        led("up", "up", "--folder", str(folder), "--yes", *_travel(in_flight))
        rollout = asyncio.run(_fetch(url, LAST_ROLLOUT))
        for name, command in (
            ("status", ("status",)),
            ("rollout status", ("rollout", "status", rollout)),
            ("fleet list", ("fleet", "list")),
            ("status -o json", ("status", "-o", "json")),
            ("rollout status -o json", ("rollout", "status", rollout, "-o", "json")),
        ):
            sized.used[name] = programs.run(*command)
            _say(sized, name)
        led("rollback", "rollout", "rollback", rollout, "--yes", "--reason", "bench")
        led("check", "fleet", "check", "--timeout", "1200")
        sized.leader_mb = leader.ask(FAST)["memory_mb"]


def _restarted(sized: Sized, programs: Programs, url: str, folder: Path, in_flight: int) -> None:
    """Kill a leader half way, and see when the next one orders."""
    # Where all are ordered at once, nothing is left that the next leader could order.
    in_flight = min(in_flight, max(sized.databases // 4, 1))
    with beside(url) as leader:
        leader.ask(sized.databases * HALF_SPEED)
        programs.run("up", "--folder", str(folder), "--yes", "--no-wait", *_travel(in_flight))
        rollout = asyncio.run(_fetch(url, LAST_ROLLOUT))
        while _ordered(url, rollout) < sized.databases // 2:
            time.sleep(0.2)
        # What it does now does not depend on how long it takes to look.
        leader.ask(0.0)
        sized.used["rollout status, half way"] = programs.run("rollout", "status", rollout)
        _say(sized, "rollout status, half way")
        leader.kill()
    stream = f"rollout-{rollout}"
    before, began = asyncio.run(_fetch(url, LATEST, stream)), time.monotonic()
    with beside(url) as leader:
        leader.ask(FAST)
        while asyncio.run(_fetch(url, LATEST, stream)) <= before:
            time.sleep(0.05)
        sized.restart_s = time.monotonic() - began
        again = leader.ask(0.0)
        sized.used["restart"] = Used(0.0, again["cpu_s"], again["memory_mb"])
        programs.run("rollout", "abort", rollout, "--yes", "--reason", "bench")


def _travel(in_flight: int) -> tuple[str, ...]:
    return ("--waves", "1,rest", "--in-flight", str(in_flight), "--budget", "0")


def _ordered(url: str, rollout: str) -> int:
    return int(asyncio.run(_fetch(url, ORDERED, f"rollout-{rollout}")))


async def _fetch(url: str, query: str, *arguments: object) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


def _fleet(databases: int) -> str:
    """A file as people write it: the same user, port and labels everywhere, another name."""
    head = f"pools:\n  {POOL}:\n    user: mig_{{database}}\n    port: 5432\ndatabases:\n"
    return head + "".join(
        f"- {{database: tenant-{number:06}, pool: {POOL}, host: db{number % 40}.internal, "
        f"labels: {{tier: {'gold' if number % 10 else 'silver'}, region: eu}}}}\n"
        for number in range(databases)
    )


def _megabytes(maxrss: int) -> float:
    """Linux counts in kilobytes, macOS in bytes."""
    return maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _say(sized: Sized, name: str) -> None:
    """On stderr, because a large run takes many minutes."""
    used = sized.used[name]
    print(
        f"{sized.databases:>8,}  {name:<26} program {used.cpu_s:>7.2f} s  leader "
        f"{used.leader_s:>7.2f} s  {sized.cost_ms(name):>7.3f} ms per database  "
        f"{used.memory_mb:>6.0f} MB",
        file=sys.stderr,
        flush=True,
    )


def run(sizes: Sequence[int], in_flight: int) -> list[Sized]:
    """Start a server, and measure each size on a ledger of its own."""
    found = []
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        place = Path(name)
        place.chmod(0o711)
        with running_server(place) as server:
            for databases in sorted(sizes):
                folder = place / f"migrations-{databases}"
                folder.mkdir()
                found.append(measured(server, folder, databases, in_flight))
    return found


def shown(sizes: Sequence[Sized]) -> str:
    """The figures that were not said while they came, and every bar."""
    lines = []
    for one in sizes:
        again = one.used["restart"]
        lines.append(
            f"{one.databases:>8,}  start of a program {one.start_s:.2f} s; leader at most "
            f"{one.leader_mb:.0f} MB; restart {one.restart_s:.1f} s, "
            f"{again.leader_s:.1f} s of the processor, {again.memory_mb:.0f} MB"
        )
    return "\n".join([*lines, *map(str, bars(sizes))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="What a fleet costs by its size.")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="databases, by commas")
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, help="databases at once")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument(LEADER, dest="lead", default="", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    with suppress(KeyboardInterrupt):
        if given.lead:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            asyncio.run(lead(given.lead))
            return 0
        sizes = run([int(size) for size in given.sizes.split(",")], given.in_flight)
        found = bars(sizes)
        if given.output == "json":
            print(
                json.dumps(
                    {
                        "sizes": [asdict(one) for one in sizes],
                        "bars": [asdict(one) | {"holds": one.holds} for one in found],
                    }
                )
            )
        else:
            print(shown(sizes))
        return 0 if all(one.holds for one in found) else 1
    return 130


if __name__ == "__main__":
    sys.exit(main())
