"""What safety costs: each part against its floor, measured in the same run.

    python -m ops.bench.safety [--files 1000] [--turns 5] [--only lint] [-o json]

- lint: `ledger lint` of that many files, without squawk and without its process, against loading
  the same files.
- preflight: a first migration of `ops.bench.fleet` with each database asked before whether this is
  a good moment, against one without; and how many round trips that is.
- fingerprint: what an agent does to know a schema of 300 tables, against `pg_dump --schema-only`;
  and how many round trips that is.
- watchdog: statements that are all over within a second, with it beside them, against without; and
  how many sessions it opened.

A ratio is our time divided by the floor's: the median of the ratios over all turns, or for
fingerprints the ratio of the medians, and of processor times that of the least. The program ends
with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TypeAlias

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from migrations.formats.bundle import load_folder
from migrations.lint.judgement import LintQuestion, judge
from migrations.lint.squawk import SquawkAnswer
from ops.bench import fingerprint, preflight, watchdog
from ops.bench.migrations import write_folder

FILES = 1_000
TURNS = 5
LINT_BAR = 2.0
FINGERPRINT_BAR, FINGERPRINT_TRIPS = 0.2, 3
PREFLIGHT_BAR, PREFLIGHT_TRIPS = 1.1, 2
WATCHDOG_BAR = 1.02
"""Nothing, as far as that can be measured."""
TODAY = date(2026, 11, 30)
UNASKED = SquawkAnswer(answered=False, problem="squawk is not measured")


@dataclass(frozen=True, slots=True)
class Ratio:
    """What a part costs, in times of its floor, and what it may."""

    part: str
    floor_s: float
    ours_s: float
    ratio: float
    bar: float

    @property
    def reached(self) -> bool:
        """Whether the bar holds."""
        return self.ratio <= self.bar

    def __str__(self) -> str:
        verdict = "ok" if self.reached else "MISSED"
        return (
            f"{self.part:<12} floor {self.floor_s * 1000:>8.1f} ms   ours "
            f"{self.ours_s * 1000:>8.1f} ms   ratio {self.ratio:.2f}   bar {self.bar:.2f}   "
            f"{verdict}"
        )


@dataclass(frozen=True, slots=True)
class Count:
    """How often a part does something, and how often it may."""

    part: str
    of: str
    number: int
    bar: int

    @property
    def reached(self) -> bool:
        """Whether the bar holds."""
        return self.number <= self.bar

    def __str__(self) -> str:
        verdict = "ok" if self.reached else "MISSED"
        return f"{self.part:<12} {self.of}: {self.number}   bar {self.bar}   {verdict}"


Figure: TypeAlias = Ratio | Count


def lint(files: int, turns: int) -> list[Figure]:
    """Loading and judging a folder, against loading it."""
    with tempfile.TemporaryDirectory() as name:
        folder = write_folder(Path(name) / "migrations", files)
        return [
            measured("lint", lambda: load_folder(folder), lambda: judged(folder), turns, LINT_BAR)
        ]


def judged(folder: Path) -> None:
    """What `ledger lint` does of a folder, none of which is applied."""
    migrations = load_folder(folder).migrations
    versions = frozenset(one.version for one in migrations)
    judge(LintQuestion(migrations, versions, together=True, today=TODAY), UNASKED)


def measured(
    part: str, floor: Callable[[], object], ours: Callable[[], object], turns: int, bar: float
) -> Ratio:
    """The two after one another, in turns; the first one, in which all is cold, does not count."""
    pairs = [(_timed(floor), _timed(ours)) for _ in range(turns + 1)][1:]
    return Ratio(
        part,
        statistics.median(first for first, _ in pairs),
        statistics.median(second for _, second in pairs),
        statistics.median(second / first for first, second in pairs),
        bar,
    )


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def schema(turns: int) -> list[Figure]:
    """A schema's fingerprint against its dump."""
    floor_s, ours_s, trips = fingerprint.measured(turns)
    return [
        Ratio("fingerprint", floor_s, ours_s, ours_s / floor_s, FINGERPRINT_BAR),
        Count("fingerprint", "round trips", trips, FINGERPRINT_TRIPS),
    ]


def asked_before(turns: int) -> list[Figure]:
    """A first migration with what is asked before it, against one without."""
    floor_s, ours_s, trips = preflight.measured(turns)
    return [
        Ratio("preflight", floor_s, ours_s, ours_s / floor_s, PREFLIGHT_BAR),
        Count("preflight", "round trips", trips, PREFLIGHT_TRIPS),
    ]


def watched(turns: int) -> list[Figure]:
    """Short statements with a watchdog beside them, against without."""
    floor_s, ours_s, sessions = watchdog.measured(turns)
    return [
        Ratio("watchdog", floor_s, ours_s, ours_s / floor_s, WATCHDOG_BAR),
        Count("watchdog", "sessions opened", sessions, 0),
    ]


PARTS: Mapping[str, Callable[[int, int], list[Figure]]] = {
    "lint": lint,
    "preflight": lambda _, turns: asked_before(turns),
    "fingerprint": lambda _, turns: schema(turns),
    "watchdog": lambda _, turns: watched(turns),
}
"""What is measured, by name: each is given how many files and how many turns."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    given = parser.parse_args(arguments)
    found: list[Figure] = []
    shown = 0
    for name in given.only or PARTS:
        found += PARTS[name](given.files, given.turns)
        if given.output == "table":
            print(*found[shown:], sep="\n", flush=True)
            shown = len(found)
    if given.output == "json":
        print(json.dumps([asdict(one) for one in found]))
    return 0 if all(one.reached for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
