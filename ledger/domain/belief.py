"""What the ledger believes of a database: what the fleet says, and what orders and reports teach.

```
registered ─▶ nothing is known ─ a first contact, a look ─▶ identity, journal's head
    ▲                                                          │ the answer to the latest order
    └────────── repointed, reinstated: all is forgotten ◀──────┘ moves the head
```

What is known is never overwritten by what merely was seen: a difference must show. The journal's
head is an exception: it moves with every attempt that was let in. Answers to what was ordered
before a database was repointed or reinstated speak of another journal.

A look that teaches nothing is no event: `seen` says in a few digits what the last look that was
recorded found beside what is believed anyway, so an answer is recorded if it makes another belief
(ops/decisions/0028).

The leader keeps these beliefs in memory, because an order carries them and may not wait for a
query; the views keep them in rows. Both fold with this.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json

from ledger.contracts.events import (
    DatabaseFenceReset,
    DatabaseRegistered,
    DatabaseReinstated,
    DatabaseRepointed,
    MigrationOrdered,
)
from ledger.contracts.reports import (
    AttemptFinished,
    DatabaseIdentified,
    DatabaseInspected,
    Event,
    HistoryAdopted,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
)
from migrations.model.attempt import (
    Expectation,
    FailureClass,
    ForgedFence,
    HalfDone,
    Identity,
    Verdict,
)

REFUSED = Verdict.REFUSED
"""Looked up once. Every other verdict is of an attempt that believed the journal that it read."""


SEEN_DIGITS = 16
"""Hexadecimal digits of the hash by which two looks are compared: a fleet's are kept in memory."""
_NUMBERS = re.compile(r"\d+")

UNREAD = frozenset({FailureClass.UNREACHABLE, FailureClass.UNAVAILABLE})
"""The failure kinds of an answer for which no journal could be asked."""


class Belief(NamedTuple):
    """What is believed of a registered database.

    `command` is the latest one ordered since the database was registered, repointed or reinstated:
    only its answer moves the journal's head, because an earlier one may speak of another journal.
    `unanswered` says that an order of ours may have moved the head, or be about to; `doubted` that
    one before the latest may have. `forged` is the end of the journal whose epoch a person has
    declared to be no order's. `half_done` is what its journal was last said to leave so. `seen` is
    what the last recorded look found there beside all that.
    """

    identity: Identity | None = None
    journal_head: str | None = None
    command: UUID | None = None
    unanswered: bool = False
    doubted: bool = False
    forged: ForgedFence | None = None
    half_done: tuple[HalfDone, ...] = ()
    seen: str | None = None

    @property
    def expected(self) -> Expectation:
        """What the next order expects to find."""
        return Expectation(self.identity, self.journal_head, self.forged)


NOTHING = Belief()
"""What is believed of a database that was never met."""


def learn(belief: Belief, event: Event) -> Belief:
    """What is believed of a registered database after an event that names it."""
    rule = TAUGHT.get(type(event))
    return belief if rule is None else rule(belief, event)


def tells_the_head(report: AttemptFinished) -> bool:
    """Whether an attempt's last word says where the journal is."""
    return report.journal_head is not None and report.verdict is not REFUSED


def leaves_in_doubt(report: AttemptFinished) -> bool:
    """Whether the journal may have moved without this last word knowing how far."""
    unread = report.failure is not None and report.failure.kind in UNREAD
    return report.journal_head is None and (report.verdict is Verdict.FAILED or unread)


def _forgotten(belief: Belief, event: Event) -> Belief:
    """What is forged stays forged: it says of itself which journal it ends."""
    return NOTHING if belief.forged is None else NOTHING._replace(forged=belief.forged)


def _fence_reset(belief: Belief, event: DatabaseFenceReset) -> Belief:
    """The person has taken the journal for ours as it ended then, but for its epoch."""
    forged = ForgedFence(event.epoch, event.journal_head)
    return belief._replace(journal_head=event.journal_head, forged=forged)


def _ordered(belief: Belief, order: MigrationOrdered) -> Belief:
    """The answers of the orders before it, if they are missing, count no more."""
    return belief._replace(command=order.command, unanswered=True, doubted=belief.unanswered)


def _finished(belief: Belief, report: AttemptFinished) -> Belief:
    """The last word on the latest order: only one that tells the head ends older doubts.

    One that worked, or may have, and does not tell the head raises a new one.
    """
    if belief.command != report.command:
        return belief
    if not tells_the_head(report):
        doubted = belief.doubted or leaves_in_doubt(report)
        return belief._replace(unanswered=doubted, doubted=doubted)
    half_done = belief.half_done if report.half_done is None else report.half_done
    told = belief._replace(
        journal_head=report.journal_head,
        unanswered=False,
        doubted=False,
        forged=None,
        half_done=half_done,
    )
    forged = belief.forged
    if forged is None or forged.journal_head != report.journal_head:
        return told
    # Nothing was written, so the journal ends as it did.
    return told._replace(forged=forged)


def _worked(
    belief: Belief,
    report: MigrationApplied | MigrationRolledBack | MigrationFailed | HistoryAdopted,
) -> Belief:
    """What is told of the latest order after its last word, or of one before it while it is open.

    A command may be delivered again after it was answered, and what is done then moves the head on.
    """
    if belief.command is None or belief.doubted:
        return belief
    if (belief.command == report.command) is belief.unanswered:
        return belief
    return belief._replace(unanswered=True, doubted=True)


def _identified(belief: Belief, report: DatabaseIdentified) -> Belief:
    return belief if belief.identity else belief._replace(identity=report.identity)


def _inspected(belief: Belief, report: DatabaseInspected) -> Belief:
    if report.reachable:
        belief = belief._replace(
            half_done=belief.half_done if report.half_done is None else report.half_done,
            identity=belief.identity or report.identity,
            journal_head=report.journal_head
            if belief.journal_head is None
            else belief.journal_head,
        )
    return belief._replace(seen=_seen(belief, report))


def _seen(belief: Belief, report: DatabaseInspected) -> str:
    """What a look found, in a few digits: without what is believed, or follows from the journal.

    Numbers in the words of a failure (a process, a port, seconds) are no other failure. Who owns
    the journal, what is saved and what other tools left comes and goes with what is in it.
    """
    failure, place = report.failure, report.place or report.identity
    found = (
        report.reachable,
        report.tls,
        report.server_version,
        report.in_recovery,
        (place.system_identifier, place.database_oid) if place else None,
        report.identity if report.identity != belief.identity else "as it is known",
        report.journal_head if report.journal_head != belief.journal_head else "as it is known",
        report.rights,
        (failure.kind, failure.sqlstate, _NUMBERS.sub("#", failure.message)) if failure else None,
        sorted(report.warnings),
    )
    return hashlib.sha256(to_json(found)).hexdigest()[:SEEN_DIGITS]


TAUGHT: dict[type[Event], Callable[[Belief, Any], Belief]] = {
    DatabaseRegistered: _forgotten,
    DatabaseRepointed: _forgotten,
    DatabaseReinstated: _forgotten,
    DatabaseFenceReset: _fence_reset,
    MigrationOrdered: _ordered,
    AttemptFinished: _finished,
    DatabaseIdentified: _identified,
    DatabaseInspected: _inspected,
    MigrationApplied: _worked,
    MigrationRolledBack: _worked,
    MigrationFailed: _worked,
    HistoryAdopted: _worked,
}
"""Only these teach something, or make it forgotten."""
