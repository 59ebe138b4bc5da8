"""Whether a journal is the one that the ledger expects, and what was done outside of one. Pure."""

from __future__ import annotations

from collections.abc import Container
from uuid import UUID

from migrations.errors import EpochBeyond, IdentityMismatch, SchemaRefused
from migrations.model.attempt import Epoch, Expectation, ForgedFence, Identity
from migrations.model.migration import Direction
from migrations.model.work import OutsideChange
from migrations.printable import escaped
from migrations.target.entries import ADOPT, WORDS, Entry, State
from migrations.target.journal import Record
from migrations.target.refusals import stale_epoch

TERMS_AHEAD = 1_000_000
"""A ledger takes a term at each change of leader: a change every second for eleven days."""
POSITIONS_AHEAD = 10**12
"""An order is one event among those of its ledger: ten thousand a second for three years."""


def refuse_schema(target_problem: str) -> None:
    """Raise SchemaRefused unless the target's schemas are there and open, and triggers fire."""
    problem, _, named = target_problem.partition(" ")
    schema = escaped(named)
    if problem == "silent":
        raise SchemaRefused(
            "session_replication_role is replica here, by what the database or the login sets, so "
            "no trigger would fire and no foreign key be held; a superuser takes it out: ALTER "
            "ROLE or DATABASE … RESET session_replication_role"
        )
    if problem == "missing":
        raise SchemaRefused(
            f"there is no schema {schema} in this database, and what a migration makes would go "
            "elsewhere; create it there, or correct the target's schema"
        )
    if problem:
        raise SchemaRefused(
            f"the schema {schema} is closed to the role that migrations run as; grant it "
            "USAGE and CREATE on the schema"
        )


def check_epoch(record: Record, epoch: Epoch, forged: ForgedFence | None = None) -> None:
    """Raise StaleEpoch for an order that was overtaken, and EpochBeyond for a forged epoch.

    Beyond is what cannot be of the ledger that orders now: without this, one forged order or edited
    entry would let every later order look overtaken. Where the journal ends in what a person has
    declared `forged`, its epoch says nothing.
    """
    last = record.epoch
    if forged == ForgedFence(last, record.head):
        return
    if (
        last.term > epoch.term + TERMS_AHEAD
        or last.position > epoch.position + POSITIONS_AHEAD
        or min(last.term, last.position) < 0
    ):
        raise EpochBeyond(
            f"the journal names order {last.term}.{last.position}, and this one is "
            f"{epoch.term}.{epoch.position}: no ledger has issued that one, so somebody forged an "
            "order or an entry; find out who, then let orders in again with "
            "`ledger fleet reset-fence`"
        )
    if epoch < last:
        raise stale_epoch(epoch)


def check_expected(
    record: Record | None,
    found: Identity | None,
    expected: Expectation,
    command: UUID,
    rollouts: Container[str],
) -> None:
    """Raise `IdentityMismatch` unless this is what is expected, or went on from there by ours.

    `found` is who the database is, `None` where it has no journal.
    """
    check_identity(found, expected)
    if record is not None:
        check_head(record, expected.journal_head, command, rollouts)


def check_identity(found: Identity | None, expected: Expectation) -> None:
    """Raise `IdentityMismatch` for another database than the one that is expected."""
    if expected.identity is not None and found != expected.identity:
        was = (
            "another database answers than the one that was registered"
            if found
            else "the database has no journal, and had one"
        )
        raise IdentityMismatch(
            f"{was}; if it was moved or restored on purpose, accept it with "
            "`ledger fleet repoint` or `ledger fleet reinstate`"
        )


def check_head(
    record: Record, expected: str | None, command: UUID, rollouts: Container[str]
) -> None:
    """Raise `IdentityMismatch` unless the journal's head is `expected`, or ours moved it on.

    Ours are `command` and all others of these rollouts, the order's own and the one that it undoes:
    another delivery of an earlier one may have been at work after it was answered.
    """
    if expected is None or expected == record.head:
        return
    since = _entries_since(record, expected)
    if since is None or any(_is_foreign(entry, command, rollouts) for entry in since):
        raise IdentityMismatch(
            "the journal is not the one the ledger knows: the database was restored, cloned or "
            "changed by another; look at `ledger fleet check`, then accept it with "
            "`ledger fleet reinstate`"
        )


def outside_changes(record: Record | None, known_head: str | None) -> tuple[OutsideChange, ...]:
    """What was done outside of a ledger since `known_head`, or ever when that is `None`."""
    if record is None:
        return ()
    since = record.entries if known_head is None else _entries_since(record, known_head)
    return tuple(
        OutsideChange(
            entry.migration,
            _direction(entry),
            entry.checksum,
            entry.reason,
            entry.made_by,
            entry.finished_at,
        )
        for entry in since or ()
        if entry.rollout == "" and entry.settles and entry.direction not in WORDS - {ADOPT}
    )


def _direction(entry: Entry) -> Direction:
    """What an entry comes to; an adoption says so of what it adopts, and of what it lets go."""
    if entry.direction == ADOPT:
        return Direction.UP if entry.state is State.APPLIED else Direction.DOWN
    return Direction(entry.direction)


def _entries_since(record: Record, head: str) -> tuple[Entry, ...] | None:
    """What was written after `head`; `None` when it never was this journal's head."""
    for index, entry in enumerate(record.entries, start=1):
        if entry.head == head:
            return record.entries[index:]
    return None


def _is_foreign(entry: Entry, command: UUID, rollouts: Container[str]) -> bool:
    """Whether an entry that the ledger does not know is neither ours nor announced work by hand.

    This command's own entries are there when it is delivered again; work outside the ledger has no
    rollout and is reported when it is found; a mere visit changed nothing.
    """
    ours = entry.command == command or entry.rollout in rollouts
    return not (ours or entry.rollout == "" or entry.about_target)
