"""What safety costs: each part against its floor, measured in the same run.

    python -m ops.bench.safety [--turns 5] [--only fingerprint] [-o json]

- fingerprint: what an agent does to know a schema of 300 tables, against `pg_dump --schema-only`.

A ratio is our time divided by the floor's, the medians over all turns. The program ends with 1 when
a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ops.bench.fingerprint import measured

TURNS = 5
FINGERPRINT_BAR = 0.2


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


def fingerprint(turns: int) -> Ratio:
    """A schema's fingerprint against its dump."""
    floor_s, ours_s = measured(turns)
    return Ratio("fingerprint", floor_s, ours_s, ours_s / floor_s, FINGERPRINT_BAR)


PARTS: Mapping[str, Callable[[int], Ratio]] = {"fingerprint": fingerprint}
"""What is measured, by name: each is given how many turns."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description="What safety costs, against floors.")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    given = parser.parse_args(arguments)
    found = []
    for name in given.only or PARTS:
        found.append(PARTS[name](given.turns))
        if given.output == "table":
            print(found[-1])
    if given.output == "json":
        print(json.dumps([asdict(one) for one in found]))
    return 0 if all(one.reached for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
