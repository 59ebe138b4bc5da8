"""Databases per second: a rollout of ours against a bare loop and against other programs.

    python -m ops.bench.fleet [--n 300] [--only abcd] [--rounds 5] [--latency MS] [-o json]
    python -m ops.bench.fleet --telemetry

In one run, on one PostgreSQL server with password authentication over TCP, everybody migrates `n`
databases of its own, copies of one template, twice: fresh databases first, then a second migration,
when the program's own table is there already.

  a  a bare asyncpg loop, at the concurrency that was best in two trials before the rounds
  b  ledger in one process, from the request to RolloutCompleted
  p  as b, with each database asked before whether this is a good moment; only with --only bp
  c  ledger over Kafka with `ledger serve` and one `ledger-agent` as processes of their own
  s  as c, with orders and reports signed; only when it is asked for: --only cs
  n  as c, with everything taken out of the programs that traces or measures; only with --telemetry
  t  as c, with spans and measurements going to a collector; only with --telemetry
  d  dbmate, and goose if it or Go is on the PATH, through xargs -P8
  u  `ledger up` as a person starts it, from the program's start to its end

With `--latency` the server is that many milliseconds of round trip away from everybody, ledger and
others, and u is compared with goose.

What runs for long (servers, `ledger serve`, agents) is started before the clock. A ratio is that of
two turns in one round, because a machine's speed changes from one minute to the next, and the
median over all rounds. README.md beside this file says how to read the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ledger.settings.sections import PER_HOST
from ops.bench.contest.contenders import Contender, bare_loops, rivals
from ops.bench.contest.course import Course
from ops.bench.contest.line import line_process
from ops.bench.contest.programs import build_goose
from ops.bench.contest.servers import Server, fresh_databases, make_template, running_server
from ops.bench.contest.workload import WORKS

DATABASES = 300
ROUNDS = 5
"""So many, because the same part differs by a tenth from one turn to the next."""
TRIALS = 2
"""Turns of the bare loop at each concurrency, before the rounds."""
AGENT_CONCURRENCY = PER_HOST
"""Databases at once in one agent: its default for one server."""
REST_S = 3.0
"""Before each clock: a server that was just started, or just written to, comes to rest."""
MIGRATIONS = ("first", "second")
BARS = (
    ("b", "a", 0.85),
    ("c", "a", 0.75),
    ("b", "d", 1.8),
    ("c", "d", 1.8),
    ("s", "c", 0.95),
    ("p", "b", 0.91),
    ("c", "n", 0.99),
    ("t", "n", 0.95),
)
"""Ours, whose, and at least this many times as fast; against the best of that part."""
FAR_MS = 20.0
"""From here on a server is far, and waiting is most of what it costs."""
FAR_BAR, NEAR_BAR = 2.0, 1.0
"""Of u, in times goose: far away, and nearer."""


@dataclass(slots=True)
class Result:
    """Seconds per round, for the first and the second migration."""

    contender: Contender
    databases: int
    seconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    def per_s(self, number: int) -> float:
        """Databases per second, the median over the rounds."""
        return self.databases / statistics.median(self.seconds[number])


@dataclass(frozen=True, slots=True)
class Ratio:
    """One of our parts against another part, on one migration, and what it must reach."""

    ours: str
    other: str
    migration: str
    ratio: float
    bar: float

    @property
    def reached(self) -> bool:
        """Whether the bar is reached."""
        return self.ratio >= self.bar


async def run(
    server: Server, line: Server, only: str, agent_concurrency: int, n: int, rounds: int
) -> list[Result]:
    """Let everybody take turns; in each round somebody else begins.

    `line` is the server as the contenders reach it.
    """
    await make_template(server)
    chosen = [one for one in rivals(agent_concurrency) if one.part in only]
    if "a" in only:
        chosen.insert(0, await _best_bare_loop(server, line, n))
    if not chosen:
        raise SystemExit(
            "nobody runs; --only takes some of the letters a, b, c, d, n, p, s, t and u"
        )
    results = [Result(contender, n) for contender in chosen]
    for turn in range(rounds):
        first = turn % len(results)
        for result in results[first:] + results[:first]:
            await _one_turn(server, line, result, str(turn))
    return results


async def _best_bare_loop(server: Server, line: Server, n: int) -> Contender:
    """The loop at the concurrency that is best for both migrations together.

    A trial of its own: the best of several figures that are then compared would owe to chance.
    """
    trials = [Result(contender, n) for contender in bare_loops()]
    for turn in range(TRIALS):
        for trial in trials:
            await _one_turn(server, line, trial, f"trial_{turn}")
    return min(trials, key=lambda trial: sum(trial.seconds[0] + trial.seconds[1])).contender


async def _one_turn(server: Server, line: Server, result: Result, turn: str) -> None:
    contender = result.contender
    _say(f"{contender.part}  {contender.title}: making {result.databases} databases ...")
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as folder:
        prefix = f"bench_{contender.part}_{turn}"
        async with fresh_databases(server, prefix, result.databases) as databases:
            course = Course(line, databases, Path(folder))
            async with contender.open(course) as migrate:
                for number in range(len(WORKS)):
                    await asyncio.sleep(REST_S)
                    seconds = await migrate(number)
                    result.seconds[number].append(seconds)
                    rate = result.databases / seconds
                    _say(f"   {MIGRATIONS[number]} migration: {seconds:.2f} s, {rate:.1f} /s")


def ratios(results: Sequence[Result], latency_ms: float = 0.0) -> list[Ratio]:
    """Every bar that can be judged by what has run."""
    parts = {result.contender.part for result in results}
    if latency_ms:
        goose = [one for one in results if one.contender.title.startswith("goose")]
        bar = FAR_BAR if latency_ms >= FAR_MS else NEAR_BAR
        return [
            Ratio("u", "goose", name, _ratio(_best(results, "u", i), goose[0], i), bar)
            for i, name in enumerate(MIGRATIONS)
            if goose and "u" in parts
        ]
    return [
        Ratio(ours, other, name, _ratio(_best(results, ours, i), _best(results, other, i), i), bar)
        for ours, other, bar in BARS
        if ours in parts and other in parts
        for i, name in enumerate(MIGRATIONS)
    ]


def _best(results: Sequence[Result], part: str, number: int) -> Result:
    of_part = [result for result in results if result.contender.part == part]
    return max(of_part, key=lambda result: result.per_s(number))


def _ratio(ours: Result, other: Result, number: int) -> float:
    """How many times as fast ours is, the median over the rounds."""
    pairs = zip(ours.seconds[number], other.seconds[number], strict=True)
    return statistics.median(theirs / mine for mine, theirs in pairs)


def print_table(results: Sequence[Result], found: Sequence[Ratio]) -> None:
    """What people read."""
    print(f"\n{'databases per second':<32}{'first':>9}{'second':>9}")
    for result in results:
        title = f"{result.contender.part}  {result.contender.title}"
        print(f"{title:<32}{result.per_s(0):>9.1f}{result.per_s(1):>9.1f}")
    print()
    for one in found:
        verdict = "ok" if one.reached else "MISSED"
        print(
            f"{one.ours} / {one.other:<5} {one.migration:<7} {one.ratio:5.2f}   "
            f"bar {one.bar:.2f}   {verdict}"
        )


def document(
    results: Sequence[Result], found: Sequence[Ratio], rounds: int, latency_ms: float
) -> dict[str, object]:
    """What programs read."""
    return {
        "latency_ms": latency_ms,
        "databases": results[0].databases if results else 0,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "results": [
            {
                "part": result.contender.part,
                "title": result.contender.title,
                **{
                    name: {"per_s": result.per_s(i), "seconds": result.seconds[i]}
                    for i, name in enumerate(MIGRATIONS)
                },
            }
            for result in results
        ],
        "ratios": [
            {
                "ours": one.ours,
                "other": one.other,
                "migration": one.migration,
                "ratio": one.ratio,
                "bar": one.bar,
                "reached": one.reached,
            }
            for one in found
        ],
    }


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=DATABASES, help="databases for each of them")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="turns each gets; medians are shown"
    )
    parser.add_argument(
        "--only", help="letters of those that run; default abcd, and du with --latency"
    )
    parser.add_argument(
        "--latency",
        type=float,
        default=0.0,
        metavar="MS",
        help="milliseconds of round trip between everybody and the server",
    )
    parser.add_argument(
        "--telemetry",
        action="store_true",
        help="what tracing and measuring costs: n, c and t run, unless --only says otherwise",
    )
    parser.add_argument(
        "--agent-concurrency",
        type=int,
        default=AGENT_CONCURRENCY,
        help="databases at once in our agents",
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    return parser.parse_args()


def main() -> None:
    """Run; exit with 1 when a bar is missed."""
    given = _arguments()
    # A default SIGTERM would end this process and leave its servers behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    only = given.only or ("nct" if given.telemetry else "du" if given.latency else "abcd")
    if "d" in only and (said := build_goose()):
        _say(said)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="migration-ledger-bench-"))
        Path(folder).chmod(0o711)
        server = line = stack.enter_context(running_server(Path(folder)))
        if given.latency:
            far = line_process(server.host, server.port, given.latency)
            line = server.behind(stack.enter_context(far))
        results = asyncio.run(
            run(server, line, only, given.agent_concurrency, given.n, given.rounds)
        )
    found = ratios(results, given.latency)
    if given.output == "json":
        print(json.dumps(document(results, found, given.rounds, given.latency), indent=2))
    else:
        print_table(results, found)
    raise SystemExit(0 if all(one.reached for one in found) else 1)


if __name__ == "__main__":
    main()
