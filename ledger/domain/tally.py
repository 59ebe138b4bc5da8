"""How many databases of a rollout are how far: every number that is shown is counted here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STATES = (
    "failed",
    "blocked",
    "unknown",
    "unfinished",
    "running",
    "ordered",
    "pending",
    "applied",
    "skipped",
)
"""The states of a database in a rollout: what needs somebody, then what moves, then the rest."""
IN_DOUBT = ("blocked", "unknown")
AT_WORK = ("running", "ordered")
DONE = ("applied", "skipped")
"""States in which a database has all that the rollout is for."""
SETTLED = (*DONE, "failed")
"""States in which a database of a rollout needs nothing more."""
BACKWARDS = {
    "down": {"applied": "undone"},
    "rollback": {"applied": "undone", "skipped": "with nothing to undo"},
}
"""What states are called in rollouts that go back."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers of databases by state, those that there are, in the order of `STATES`."""

    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many databases there are."""
        return sum(self.counts.values())

    def of(self, *states: str) -> int:
        """How many databases are in one of these states."""
        return sum(self.counts.get(state, 0) for state in states)

    @property
    def in_flight(self) -> int:
        """How many have a place in the in-flight limit: an order is out, or nobody can tell."""
        return self.of(*AT_WORK, *IN_DOUBT)

    def text(self, mode: str = "", leaving_out: Iterable[str] = ()) -> str:
        """`58 applied, 2 failed`, in the words of a rollout of this mode; what is done first."""
        out = set(leaving_out)
        kept = [state for state in (*DONE, *_OTHERS) if state in self.counts and state not in out]
        return ", ".join(f"{self.counts[state]:,} {state_words(state, mode)}" for state in kept)


_OTHERS = tuple(state for state in STATES if state not in DONE)


def tally(counts: Mapping[tuple[int, str], int], wave: int | None = None) -> Tally:
    """The numbers of all waves, or of one, by `counts` of databases per wave and state."""
    totals: dict[str, int] = dict.fromkeys(STATES, 0)
    for (number, state), count in counts.items():
        if wave is None or number == wave:
            totals[str(state)] += count
    return Tally({state: count for state, count in totals.items() if count})


def state_words(state: str, mode: str = "") -> str:
    """A state as people write it, of a rollout of this mode or a database in it."""
    return BACKWARDS.get(mode, {}).get(state, state.replace("_", " "))
