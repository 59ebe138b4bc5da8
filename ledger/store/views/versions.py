"""What events say of migrations on databases. Pure: an event in, what it says out.

The latest word on a migration holds. Words go by the order behind them: what an earlier command
says late does not replace what a later one said (`replaces`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.store.views.rows import AppliedRow
from migrations.model.attempt import FailureClass, Mode

JOURNAL_STATES = {"applied": "applied", "rolled_back": "rolled_back", "failed": "failed"}
"""A journal's states in the words of `applied`; any other one is something half-done."""


class Claim(NamedTuple):
    """One migration's state as an event says it; with `mild`, only where another state is known.

    `rollout` is that of the event's stream if it says none and the change was not `outside`.
    """

    version: str
    state: str
    command: UUID | None
    checksum: str | None = None
    duration_ms: int | None = None
    outside: bool = False
    mild: bool = False
    rollout: str | None = None


def replaces(word: Claim, ordered_position: int, known: AppliedRow | None) -> bool:
    """Whether `word`, whose command was ordered there, is the latest."""
    if known is None:
        return True
    if ordered_position < known.ordered_position:
        return False
    return not word.mild or word.state != known.state


def _applied(event: r.MigrationApplied) -> Sequence[Claim]:
    return (Claim(event.version, "applied", event.command, event.checksum, event.duration_ms),)


def _rolled_back(event: r.MigrationRolledBack) -> Sequence[Claim]:
    return (Claim(event.version, "rolled_back", event.command, event.checksum, event.duration_ms),)


def _adopted(event: r.HistoryAdopted) -> Sequence[Claim]:
    """What another tool had applied is in force; what was let go of is not."""
    return (
        *(Claim(o.version, "applied", event.command, o.checksum or None) for o in event.taken),
        *(Claim(version, "not_applied", event.command) for version in event.released),
    )


def _skipped(event: r.MigrationSkipped) -> Sequence[Claim]:
    """Applied by something else: what is known of it stays. Not there to be undone: nothing new."""
    if event.direction != Mode.UP.value:
        return ()
    word = Claim(event.version, "applied", event.command, event.checksum, outside=True, mild=True)
    return (word,)


def _failed(event: r.MigrationFailed) -> Sequence[Claim]:
    """A migration failed on its way up or down."""
    state = "failed" if event.direction == Mode.UP.value else "rollback_failed"
    if event.failure.kind is FailureClass.IN_DOUBT:
        state = "unknown"
    return (Claim(event.version, state, event.command, event.checksum),)


def _outside(event: r.OutsideChangeFound) -> Sequence[Claim]:
    """Somebody changed the database by hand."""
    state = "applied" if event.direction == Mode.UP.value else "rolled_back"
    return (Claim(event.version, state, event.command, event.checksum, outside=True),)


def _resolved(event: e.OutcomeResolved) -> Sequence[Claim]:
    """A person's word; only what is ordered later replaces it."""
    return (Claim(event.version, "applied" if event.applied else "not_applied", None),)


def _regressed(event: e.MigrationRegressed) -> Sequence[Claim]:
    return (Claim(event.version, "regressed", event.command),)


def _inspected(event: r.DatabaseInspected) -> Sequence[Claim]:
    """A journal's words: they count where the ledger holds another state."""
    return [
        Claim(
            entry.version,
            JOURNAL_STATES.get(entry.state, "unknown"),
            entry.command,
            entry.checksum,
            outside=not entry.rollout,
            mild=True,
            rollout=entry.rollout or None,
        )
        for entry in event.entries
    ]


SPEAKING: dict[type[r.Event], Callable[[Any], Sequence[Claim]]] = {
    r.MigrationApplied: _applied,
    r.MigrationRolledBack: _rolled_back,
    r.HistoryAdopted: _adopted,
    r.MigrationSkipped: _skipped,
    r.MigrationFailed: _failed,
    r.OutsideChangeFound: _outside,
    e.OutcomeResolved: _resolved,
    e.MigrationRegressed: _regressed,
    r.DatabaseInspected: _inspected,
}
"""What each of these events says of migrations on its database."""
