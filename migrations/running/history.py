"""What a journal's entries mean for each migration: settled, in doubt, or half done; pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace

from migrations.errors import FailureClass
from migrations.model.migration import Direction
from migrations.target.entries import GONE, REPAIR, Entry, State

WITHOUT_EFFECT = "statement {} had no effect"
"""What the entry of a failure notes, so that the intent before it is none any more."""
_WITHOUT_EFFECT = re.compile(WITHOUT_EFFECT.format(r"(\d+)"))


@dataclass(frozen=True, slots=True)
class Progress:
    """What is half done of a stepwise migration: statements by their number from 1."""

    direction: Direction
    checksum: str
    done: frozenset[int] = frozenset()
    intents: frozenset[int] = frozenset()
    """Begun, with the note that what they make was not there before; done or not."""

    @property
    def open(self) -> frozenset[int]:
        """Begun and not known to be done."""
        return self.intents - self.done


@dataclass(slots=True)
class History:
    """One migration's entries, boiled down."""

    settled: Entry | None = None
    doubtful: Entry | None = None
    """A failure that left the state unknown, not settled since."""
    failed: Entry | None = None
    """The last attempt to apply it that failed, not settled since."""
    steps: list[Entry] = field(default_factory=list)

    @property
    def applied(self) -> bool:
        """Whether it is in force."""
        return self.settled is not None and self.settled.state is State.APPLIED

    def is_of(self, rollouts: Container[str]) -> bool:
        """Whether it holds, or some of it is done, through one of these rollouts.

        Half done may be what one of them began and another one began to clean up.
        """
        if self.settled is not None and self.applied and self.settled.rollout in rollouts:
            return True
        return any(step.rollout in rollouts for step in self.steps)


def histories(entries: Iterable[Entry]) -> dict[str, History]:
    """Every migration that the entries speak of, by version."""
    found_so_far: dict[str, History] = {}
    for entry in entries:
        history = found_so_far.setdefault(entry.migration, History())
        if entry.settles:
            before = found_so_far[entry.migration].settled
            if before is not None and entry.direction in (REPAIR, GONE):
                # It was not applied by this: who applied it takes it back.
                entry = replace(entry, rollout=before.rollout)
            found_so_far[entry.migration] = History(settled=entry)
        elif entry.step != 0:
            history.steps.append(entry)
        elif found := _WITHOUT_EFFECT.fullmatch(entry.note):
            history.failed = entry if entry.direction == Direction.UP else history.failed
            history.steps = [step for step in history.steps if step.step != -int(found[1])]
        elif entry.failure is not None and entry.failure.kind == FailureClass.IN_DOUBT:
            history.doubtful = entry
        elif entry.direction == Direction.UP and entry.state is State.FAILED:
            history.failed = entry
    return found_so_far


def progress_of(history: History) -> Progress | None:
    """What is half done of it, if anything is."""
    if not history.steps:
        return None
    last = history.steps[-1]
    return Progress(
        Direction(last.direction),
        last.checksum,
        done=frozenset(step.step for step in history.steps if step.state is State.STEP_DONE),
        intents=frozenset(-step.step for step in history.steps if step.state is State.INTENT),
    )
