"""How an order is written: what a database is to do, with ids that a replay gives again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from ledger.contracts.envelope import command_id, consequence_id, inspection_id
from ledger.contracts.events import InspectionOrdered, MigrationOrdered, Purpose
from ledger.contracts.registry import MigrationRef
from ledger.contracts.reports import Event
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.patience import TRIES, is_last_try
from ledger.domain.states import DatabaseState, RolloutState
from ledger.domain.variables import ordered_values
from migrations.model.attempt import Expectation, Limits, Resolution
from migrations.model.preflight import BackupWord, PreflightPolicy
from migrations.model.windows import windows_for

EXPIRY_GRACE_S = 10.0
"""How long after its expiry an order may still be reported as started: reports travel."""
INSPECTION_S = 60.0
"""How long a look at a database may wait in its pool before it is asked for again."""
MOST_EVENTS = 1000
"""Most events decided at once: one append, some hundred kilobytes."""
FIRST_ORDERS = 50
"""Orders of a decision while nothing is in hand: agents begin while the others are decided."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An event to append, with its derived id."""

    event_id: UUID
    event: Event


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient the ledger is: seconds, events per decision, fruitless attempts in a row."""

    expiry_grace_s: float = EXPIRY_GRACE_S
    inspection_s: float = INSPECTION_S
    most_events: int = MOST_EVENTS
    first_orders: int = FIRST_ORDERS
    tries: int = TRIES


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What a decision needs beside the state: the time, the term, the fleet, the bundle.

    `records` gives a database's record, or `None` when the fleet does not know it; `migrations`
    the bundle's migrations by version. `beside` is, where another rollout is undone, that one and
    what undid it before, as far as they have something at work.
    """

    now: datetime
    term: int
    records: Callable[[str], DatabaseRecord | None]
    migrations: Mapping[str, MigrationRef]
    policy: Policy = field(default_factory=Policy)
    beside: Sequence[RolloutState] = ()

    def after(self, seconds: float) -> datetime:
        """The moment this many seconds from now."""
        return self.now + timedelta(seconds=seconds)


def decided(state: RolloutState, event: Event, salt: str) -> Decision:
    """A consequence; `salt` tells occurrences of the same kind of event apart."""
    return Decision(consequence_id(state.rollout, event, salt), event)


def order(
    state: RolloutState, database: DatabaseState, record: DatabaseRecord, situation: DecisionContext
) -> Decision:
    """The next attempt on a database."""
    plan = state.plan
    attempt = database.attempt + 1
    event = MigrationOrdered(
        rollout=state.rollout,
        database=database.database,
        pool=record.pool,
        wave=database.wave,
        attempt=attempt,
        command=command_id(state.rollout, database.database, plan.mode, attempt),
        term=situation.term,
        bundle=plan.bundle,
        mode=plan.mode,
        steps=plan.steps,
        connection=record.connection,
        expected=_expected(database, record),
        limits=_limits(plan.limits, record),
        expires_at=situation.after(plan.expiry_s),
        deadline_at=situation.after(plan.deadline_s),
        resolutions=database.resolutions or _words_before(database, situation),
        adoption=plan.adoption,
        out_of_order=plan.out_of_order,
        variables=ordered_values(plan.variables, database.values),
        last_try=is_last_try(database, situation.policy.tries, plan.limits),
        undoes=plan.undoes,
        history=plan.history,
    )
    return decided(state, event, str(event.command))


def inspection(
    state: RolloutState, database: DatabaseState, record: DatabaseRecord, situation: DecisionContext
) -> Decision:
    """A read-only look at a database whose latest order nobody answered."""
    attempt = database.inspections + 1
    event = InspectionOrdered(
        stream=state.stream,
        database=database.database,
        pool=record.pool,
        command=inspection_id(state.stream, database.database, attempt),
        attempt=attempt,
        term=situation.term,
        purpose=Purpose.OUTCOME,
        connection=record.connection,
        expires_at=situation.after(situation.policy.inspection_s),
    )
    return decided(state, event, str(event.command))


def _limits(limits: Limits, record: DatabaseRecord) -> Limits:
    """The plan's limits, with what is about this database alone."""
    if limits.preflight is None:
        return limits
    return replace(limits, preflight=of_database(limits.preflight, record))


def of_database(policy: PreflightPolicy, record: DatabaseRecord) -> PreflightPolicy:
    """A policy with the maintenance windows of one database alone, and its recorded backup."""
    at = record.backed_up_at
    word = None if at is None else BackupWord(at, "as recorded by `ledger fact record`; make one")
    return replace(policy, windows=windows_for(policy.windows, record.labels), backup=word)


def _words_before(database: DatabaseState, situation: DecisionContext) -> tuple[Resolution, ...]:
    """What people said of it in the rollout that is undone, and no attempt has carried there."""
    for other in situation.beside:
        known = other.get(database.database)
        if known is not None and known.resolutions:
            return known.resolutions
    return ()


def _expected(database: DatabaseState, record: DatabaseRecord) -> Expectation:
    """What the target must look like.

    The record follows every answer, of whichever rollout. An order that nobody answered, of this
    rollout or of one before it, may have moved the journal's head or still be about to: then the
    head is left out, because what the journal holds beyond it may well be ours.
    """
    if record.unanswered or (database.attempt and not database.answered):
        return replace(record.expected, journal_head=None)
    return record.expected
