"""This checkout beside an earlier commit: the same benchmarks, on one server, turn by turn.

    python -m ops.bench.beside [COMMIT] [--n 60] [--rounds 3] [--turns 20] [--only rkldc] [-o json]

The commit is taken out of the history into a folder of its own, with a virtual environment of its
own that has what its `constraints.txt` names; both stay in `build/bench`. Each side runs its own
benchmarks and its own programs; who begins changes from round to round.

  r  a rollout in one process: the first and the second migration of `n` new databases
  k  the same over Kafka, with `ledger serve` and an agent as processes; only when it is asked for
  l  the log: appends, verification, replay
  d  one database: loading a folder, a look, data in batches
  c  commands as processes: `up`, `up` with nothing to do, `plan`, `status`, `version`

A figure is the median over all turns of a side. Where a benchmark has a floor, what is compared is
the share of it that is reached, because floor and ours are measured one right after the other. The
last column says how many times as good this checkout is; the program ends with 1 where one is
below what `--least` says.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ops.bench.contest import bare
from ops.bench.contest.programs import BUILT
from ops.bench.contest.servers import (
    Server,
    fresh_databases,
    ledger_database,
    make_template,
    running_server,
)
from ops.bench.contest.workload import WORKS, write_folder

ROOT = Path(__file__).resolve().parents[2]
SIDE = ROOT / "ops" / "bench" / "contest" / "side.py"
BEFORE = "0cbc2ca"
"""The commit at which the house was judged before it was built anew."""
PARTS = "rkldc"
LEAST = 0.9
"""Turns of one side differ by a tenth."""
FLOOR_AT_ONCE = 16
"""Databases at once in the bare loop that is the floor of rollouts."""
FILES, ROWS = 1_000, 100_000
"""Of the folder that is loaded, and of the table that is filled in batches."""
REPEATED = 5
"""How often a command that changes nothing runs in each round."""
PASSWORD = "TENANT_BENCH_PASSWORD"  # noqa: S105 - the name of a variable
WIDE = ("--waves", "rest", "--in-flight", "1000", "--yes", "--reason", "bench")


@dataclass(frozen=True, slots=True)
class Checkout:
    """One side: its name, its files, and its Python, beside which its programs lie."""

    name: str
    folder: Path
    python: Path

    @property
    def environment(self) -> dict[str, str]:
        """Ours without what would set the ledger up, and with its own modules first."""
        clean = {name: text for name, text in os.environ.items() if not name.startswith("LEDGER_")}
        return clean | {"PYTHONPATH": str(self.folder)}


@dataclass(slots=True)
class Figure:
    """Of one thing on one side: seconds, and those of the floor where there is one."""

    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)

    def add(self, floor: float | None, ours: float) -> None:
        """One more turn."""
        self.ours.append(ours)
        if floor is not None:
            self.floor.append(floor)

    @property
    def seconds(self) -> float:
        """Of ours, the median."""
        return statistics.median(self.ours)

    @property
    def share(self) -> float | None:
        """How fast we are, in times the floor, where there is one."""
        if not self.floor:
            return None
        pairs = zip(self.floor, self.ours, strict=True)
        return statistics.median(floor / ours for floor, ours in pairs)


Seen = dict[str, list[tuple[float | None, float]]]
"""What a side answers: by what was measured, seconds of the floor, if there is one, and of ours."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing on both sides."""

    what: str
    before: Figure
    now: Figure

    @property
    def ratio(self) -> float:
        """How many times as good it is now."""
        if self.before.share is not None and self.now.share is not None:
            return self.now.share / self.before.share
        return self.before.seconds / self.now.seconds

    def __str__(self) -> str:
        return (
            f"{self.what:<40}{_told(self.before.seconds):>11}{_told(self.now.seconds):>11}"
            f"{_share(self.before):>9}{_share(self.now):>9}{self.ratio:>9.2f}"
        )


def _told(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _share(figure: Figure) -> str:
    return "" if figure.share is None else f"{figure.share:.2f}"


class Comparison:
    """Takes every figure of both sides, on one server."""

    def __init__(self, server: Server, sides: Sequence[Checkout], folder: Path) -> None:
        self._server = server
        self._sides = sides
        self._folder = folder
        self._figures: dict[str, dict[str, Figure]] = {}

    def rows(self) -> list[Row]:
        """Both sides of everything that was measured."""
        before, now = (side.name for side in self._sides)
        return [Row(what, seen[before], seen[now]) for what, seen in self._figures.items()]

    async def take(self, only: str, turn: int, databases: int, turns: int) -> None:
        """One round: every part that is asked for, each side once; who begins changes."""
        sides = self._sides if turn % 2 == 0 else self._sides[::-1]
        for kafka, part in ((False, "r"), (True, "k")):
            if part in only:
                await self._rollouts(sides, databases, kafka=kafka)
        for side in sides if "l" in only else ():
            what: dict[str, object] = {"url": self._server.url("postgres"), "turns": turns}
            self._keep("log, ", side, await self._asked(side, "record", what))
        for side in sides if "d" in only else ():
            async with ledger_database(self._server, "bench_one") as url:
                what = {"url": url, "files": FILES, "turns": turns, "rows": ROWS}
                self._keep("", side, await self._asked(side, "database", what))
        for side in sides if "c" in only else ():
            _say(f"{side.name}: commands")
            async with (
                fresh_databases(self._server, "bench_commands", databases) as names,
                ledger_database(self._server, "bench_commands_ledger") as url,
            ):
                await asyncio.to_thread(self._commands, side, url, names)

    async def _rollouts(self, sides: Sequence[Checkout], databases: int, *, kafka: bool) -> None:
        """One rollout of two migrations for each side, and the bare loop beside them."""
        async with fresh_databases(self._server, "bench_bare", databases) as names:
            floors = [
                await asyncio.to_thread(bare.measured, self._server, names, number, FLOOR_AT_ONCE)
                for number in range(len(WORKS))
            ]
        way = "rollout over Kafka, " if kafka else "rollout, "
        what = {"server": asdict(self._server), "databases": databases, "kafka": kafka}
        for side in sides:
            seen = await self._asked(side, "rollout", what)
            for floor, (name, pairs) in zip(floors, seen.items(), strict=True):
                self._add(f"{way}{name} migration", side, floor, pairs[0][1])

    def _add(self, what: str, side: Checkout, floor: float | None, ours: float) -> None:
        figures = self._figures.setdefault(what, {one.name: Figure() for one in self._sides})
        figures[side.name].add(floor, ours)

    def _keep(self, prefix: str, side: Checkout, seen: Seen) -> None:
        for name, pairs in seen.items():
            for floor, ours in pairs:
                self._add(f"{prefix}{name}", side, floor, ours)

    async def _asked(self, side: Checkout, part: str, what: Mapping[str, object]) -> Seen:
        """What the side's own benchmarks say. Raises SystemExit when they fail."""
        _say(f"{side.name}: {part}")
        ended = await asyncio.to_thread(
            subprocess.run,
            [str(side.python), "-P", str(SIDE)],
            input=json.dumps({"part": part, **what}),
            capture_output=True,
            text=True,
            check=False,
            env=side.environment,
            cwd=self._folder,
        )
        if ended.returncode:
            raise SystemExit(f"{side.name} could not run {part}:\n{ended.stderr[-2000:]}")
        seen: Seen = json.loads(ended.stdout)
        return seen

    def _commands(self, side: Checkout, url: str, names: Sequence[str]) -> None:
        """Commands as a person starts them, on a new ledger with a new fleet."""
        with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as folder:
            place = Path(folder)
            (place / "fleet.yaml").write_text(self._fleet(names), encoding="utf-8")
            run = _Program(side, url, self._server.password, place)

            def timed(what: str, *arguments: str) -> None:
                seconds, processor = run(*arguments)
                self._add(f"ledger {what}", side, None, seconds)
                self._add(f"ledger {what}: processor", side, None, processor)

            run("init", "--yes")
            run("fleet", "import", "fleet.yaml", "--yes", "--reason", "bench")
            for number in range(len(WORKS)):
                write_folder(place / "migrations", "ours", number + 1)
                timed("up", "up", *WIDE)
            for _ in range(REPEATED):
                timed("up, nothing to do", "up", *WIDE)
                timed("plan, nothing to do", "plan")
                timed("status", "status")
                timed("version", "version")

    def _fleet(self, names: Sequence[str]) -> str:
        """As JSON, which is YAML."""
        pool = {"user": self._server.user, "port": self._server.port, "host": self._server.host}
        pool |= {"password": f"env:{PASSWORD}", "sslmode": "disable"}
        databases = [{"database": name, "dbname": name} for name in names]
        return json.dumps({"pools": {"default": pool}, "databases": databases})


class _Program:
    """`ledger` of one side, on one ledger."""

    def __init__(self, side: Checkout, url: str, password: str, folder: Path) -> None:
        self._program = str(side.python.with_name("ledger"))
        self._folder = folder
        told = {"LEDGER_DATABASE_URL": url, "LEDGER_AGENT_INSECURE_POSTGRES": "true"}
        self._environment = side.environment | told | {PASSWORD: password}

    def __call__(self, *arguments: str) -> tuple[float, float]:
        """Run it to its end; seconds of the clock and of the processor. Raises SystemExit."""
        with tempfile.TemporaryFile() as said:
            start = time.perf_counter()
            child = subprocess.Popen(
                [self._program, *arguments],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            _, status, used = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                said.seek(0)
                words = said.read().decode()[-2000:]
                raise SystemExit(f"ledger {' '.join(arguments)} failed:\n{words}")
        return seconds, used.ru_utime + used.ru_stime


def checked_out(commit: str) -> Checkout:
    """The commit with its virtual environment, made where they are missing. Raises SystemExit."""
    full = _output("git", "-C", str(ROOT), "rev-parse", "--verify", f"{commit}^{{commit}}").strip()
    place = BUILT / full[:12]
    folder, python = place / "checkout", place / "venv" / "bin" / "python"
    made = place / "made"
    if not made.exists():
        _say(f"{commit}: making its virtual environment in {place}")
        folder.mkdir(parents=True, exist_ok=True)
        archive = place / "checkout.tar"
        _output("git", "-C", str(ROOT), "archive", "--output", str(archive), full)
        _output("tar", "-x", "-C", str(folder), "-f", str(archive))
        archive.unlink()
        _output(sys.executable, "-m", "venv", str(place / "venv"))
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        constraints = place / "constraints.txt"
        constraints.write_text(_versions(folder / "constraints.txt"), encoding="utf-8")
        _output(*pip, "--constraint", str(constraints), f"{folder}[embedded]")
        made.touch()
    return Checkout(commit, folder, python)


def _compile(folder: Path) -> None:
    """As pip does with what it installs: nobody's start is to compile modules."""
    for package in ("ledger", "agents", "migrations", "ops"):
        compileall.compile_dir(folder / package, quiet=1)


def _versions(constraints: Path) -> str:
    """Names and versions alone: with hashes, pip would ask for one of the checkout itself, too."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    return "".join(f"{line.split()[0]}\n" for line in lines if line[:1].isalnum())


def _output(*command: str) -> str:
    """What a program says. Raises SystemExit with its last words when it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{ended.stderr[-2000:]}")
    return ended.stdout


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def compare(before: Checkout, given: argparse.Namespace) -> list[Row]:
    """Every part that is asked for, round by round."""
    now = Checkout("now", ROOT, Path(sys.executable))
    for side in (before, now):
        _compile(side.folder)
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with running_server(folder) as server:
            comparison = Comparison(server, [before, now], folder)
            asyncio.run(_rounds(comparison, server, given))
            return comparison.rows()


async def _rounds(comparison: Comparison, server: Server, given: argparse.Namespace) -> None:
    await make_template(server)
    for turn in range(given.rounds):
        await comparison.take(given.only, turn, given.n, given.turns)


def shown(before: str, rows: Sequence[Row]) -> str:
    """What people read."""
    titles = f"{before:>11}{'now':>11}{'of floor':>9}{'now':>9}{'times':>9}"
    return "\n".join([f"{'':<40}{titles}", *map(str, rows)])


def document(before: str, rows: Sequence[Row]) -> dict[str, object]:
    """What programs read."""
    return {
        "before": before,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "rows": [
            {"what": row.what, "ratio": row.ratio, "before": asdict(row.before)}
            | {"now": asdict(row.now)}
            for row in rows
        ],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commit", nargs="?", default=BEFORE, help="what to compare with")
    parser.add_argument("--n", type=int, default=60, help="databases of a fleet")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--turns", type=int, default=20, help="turns inside of l and d")
    parser.add_argument("--only", default="rldc", help=f"letters of the parts: {PARTS}")
    parser.add_argument("--least", type=float, default=LEAST, help="times as good, at least")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    return parser.parse_args()


def main() -> None:
    """Compare; exit with 1 when something is not as good as it was."""
    given = _arguments()
    # A default SIGTERM would end this process and leave its server behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows = compare(checked_out(given.commit), given)
    if given.output == "json":
        print(json.dumps(document(given.commit, rows), indent=2))
    else:
        print(shown(given.commit, rows))
    raise SystemExit(0 if all(row.ratio >= given.least for row in rows) else 1)


if __name__ == "__main__":
    main()
