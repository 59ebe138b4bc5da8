"""Folds events into the rows of the read models. Pure: events in, rows of what changed out.

A rollout's rows are the domain's own state (`ledger.domain.rollout`), a registered database's what
the leader believes too (`ledger.domain.belief`), a check's the domain's looks. No rule says twice
what follows from an event.

A projection holds the rows that it was given or has made, and no more. Live, it lives for a batch
of events and is given the rows that these concern (`wanted_by`). A replay's holds all rows from the
first event on; when they are too many it is written, forgotten and given rows again. What it does
not hold is therefore not there, or not concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Generic, TypeVar
from uuid import UUID

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.envelope import Recorded
from ledger.domain import checks
from ledger.domain.belief import MOVES_THE_HEAD, learn
from ledger.domain.builder import RolloutBuilder
from ledger.domain.checks import Lookup
from ledger.domain.rollout import BrokenStream, RolloutState, begin, take
from ledger.domain.states import ENDED, DatabaseState
from ledger.store.views.rows import AppliedRow, FleetRow, LookRow, OrderRow
from ledger.store.views.versions import Word, replaces, words

REPORTS_SUFFIX = "/reports"
ROLLOUT_PREFIX = "rollout-"
CHECK_PREFIX = "check-"
NAMING_SEVERAL = (e.WavePlanned, e.RetryRequested, e.CheckRequested)
"""Events with a list of databases; RolloutPlanned only counts them."""
SWEEPING = (e.RolloutResumed, e.RollbackStarted)
"""What changes databases that it does not name: those that failed, those that wait for another."""
CONTACTS = (r.DatabaseIdentified, r.AttemptFinished, r.DatabaseInspected)

Key = TypeVar("Key")
Row = TypeVar("Row")


class Shelf(Generic[Key, Row]):
    """Rows of one table by their keys; which of them changed, and which are in the table."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.changed: set[Key] = set()
        self.stored: set[Key] = set()

    def put(self, key: Key, row: Row) -> None:
        """Make this the row; one that is there is never changed, only replaced."""
        self.rows[key] = row
        self.changed.add(key)

    def restore(self, key: Key, row: Row) -> None:
        """Take in a row of the table."""
        self.rows[key] = row
        self.stored.add(key)


class RolloutRows:
    """A rollout, the databases of it that are known here, and what is kept beside its state."""

    def __init__(
        self,
        state: RolloutState,
        planned_position: int,
        planned_by: str,
        reason: str | None,
        ticket: str | None,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> None:
        self.draft = RolloutBuilder(state)
        self.planned_at = state.planned_at
        self.planned_position = planned_position
        self.planned_by = planned_by
        self.reason = reason
        self.ticket = ticket
        self.started_at = started_at
        self.ended_at = ended_at
        self.changed = False
        self.stored = False
        self.stored_databases: set[str] = set()

    def restore(self, states: Iterable[DatabaseState]) -> None:
        """Take in databases of the table."""
        states = {state.database: state for state in states}.values()
        self.stored_databases.update(state.database for state in states)
        self.draft.restore(states)

    def written(self) -> Iterator[DatabaseState]:
        """The databases that changed."""
        found = (self.draft.get(database) for database in self.draft.written)
        return (state for state in found if state is not None)

    def take(self, recorded: Recorded) -> None:
        """Fold one event; one that is no part of such a rollout changes nothing."""
        before = self.draft.status
        try:
            take(self.draft, recorded)
        except (BrokenStream, LookupError):
            return
        if getattr(recorded.event, "database", None) is not None:
            return
        self.changed = True
        if isinstance(recorded.event, e.RolloutStarted):
            self.started_at = recorded.recorded_at
        if self.draft.status in ENDED and before not in ENDED:
            self.ended_at = recorded.recorded_at


class Projection:
    """Rows in memory, by table."""

    def __init__(self) -> None:
        self.fleet = Shelf[str, FleetRow]()
        self.bundles = Shelf[str, tuple[e.BundleRegistered, Recorded]]()
        self.rollouts: dict[str, RolloutRows] = {}
        self.orders = Shelf[UUID, OrderRow]()
        self.applied = Shelf[tuple[str, str], AppliedRow]()
        self.looks = Shelf[tuple[str, str], LookRow]()
        self.named: list[tuple[str, int]] = []
        """(database, position) of the events that name a database."""

    def __len__(self) -> int:
        """How many rows are held."""
        shelves = (self.fleet, self.bundles, self.orders, self.applied, self.looks)
        databases = sum(rows.draft.total for rows in self.rollouts.values())
        return len(self.named) + databases + sum(len(shelf.rows) for shelf in shelves)

    def take(self, recorded: Recorded) -> None:
        """Let the rows say what one more event of the log says."""
        event, position = recorded.event, recorded.position
        database: str | None = getattr(event, "database", None)
        if database is not None:
            self.named.append((database, position))
            self._believe(database, recorded)
        else:
            self.named += [(one, position) for one in databases_of(event)]
        rollout = rollout_of(recorded.stream)
        if rollout is not None:
            self._travel(rollout, recorded)
        elif recorded.stream.startswith(CHECK_PREFIX):
            self._look(recorded)
        if isinstance(event, e.Ordered):
            order = OrderRow(
                event.rollout, event.database, event.attempt, position, recorded.recorded_by
            )
            self.orders.put(event.command, order)
        elif isinstance(event, e.BundleRegistered):
            self.bundles.put(event.bundle, (event, recorded))
        for word in words(event):
            self._hold(database or "", word, rollout, recorded)

    def _believe(self, database: str, recorded: Recorded) -> None:
        """What is believed of a registered database, and when it was last reached."""
        event = recorded.event
        row = self.fleet.rows.get(database)
        known = None if row is None else row.record
        record = learn(known, recorded)
        if record is None:
            return
        if row is None or isinstance(event, e.DatabaseRegistered):
            row = FleetRow(
                record,
                None,
                None,
                None,
                recorded.position,
                recorded.recorded_at,
                recorded.recorded_by,
            )
        elif isinstance(event, CONTACTS) and was_reached(event):
            version = row.server_version
            if not isinstance(event, r.AttemptFinished):
                version = event.server_version
            row = FleetRow(record, version, recorded.position, recorded.recorded_at, *row[4:])
        elif record is known:
            return
        else:
            row = row._replace(record=record)
        self.fleet.put(database, row)

    def _travel(self, rollout: str, recorded: Recorded) -> None:
        rows = self.rollouts.get(rollout)
        if rows is not None:
            rows.take(recorded)
        elif isinstance(recorded.event, e.RolloutPlanned):
            said = recorded.metadata
            rows = self.rollouts[rollout] = RolloutRows(
                begin(recorded),
                recorded.position,
                recorded.recorded_by,
                said.reason,
                said.ticket,
            )
            rows.changed = True

    def _look(self, recorded: Recorded) -> None:
        """What a check asked for and was answered."""
        event, stream = recorded.event, recorded.stream.removesuffix(REPORTS_SUFFIX)
        if isinstance(event, e.CheckRequested):
            for database in event.databases:
                row = LookRow(event.purpose, recorded.recorded_at, Lookup())
                self.looks.put((stream, database), row)
        elif isinstance(event, e.InspectionOrdered | r.DatabaseInspected):
            key = (stream, event.database)
            known = self.looks.rows.get(key)
            if known is None:
                return
            looks = {event.database: known.look}
            checks.take(looks, recorded)
            asked_at = known.requested_at
            if isinstance(event, e.InspectionOrdered):
                asked_at = recorded.recorded_at
            self.looks.put(key, LookRow(known.purpose, asked_at, looks[event.database]))

    def _hold(self, database: str, word: Word, rollout: str | None, recorded: Recorded) -> None:
        """Write what is said of a migration, unless a later command has spoken."""
        order = self.orders.rows.get(word.command) if word.command is not None else None
        position = order.ordered_position if order else 0
        if word.command is None:
            position = recorded.position
        key = (database, word.version)
        if not replaces(word, position, self.applied.rows.get(key)):
            return
        row = AppliedRow(
            database,
            word.version,
            word.state,
            word.checksum,
            word.rollout or (None if word.outside else rollout),
            word.command,
            position,
            order.ordered_by if order else None,
            recorded.position,
            recorded.recorded_at,
            word.duration_ms,
            word.outside,
        )
        self.applied.put(key, row)


class Wanted:
    """The keys of the rows that some events may read or write."""

    def __init__(self) -> None:
        self.fleet: set[str] = set()
        self.bundles: set[str] = set()
        self.databases: dict[str, set[str]] = {}
        """Databases by the rollouts that are concerned."""
        self.swept: set[str] = set()
        """Rollouts of which every database is needed that failed, or waits for an attempt."""
        self.orders: set[UUID] = set()
        self.applied: set[tuple[str, str]] = set()
        self.looks: set[tuple[str, str]] = set()


def wanted_by(recorded: Iterable[Recorded]) -> Wanted:
    """What a projection must hold before it takes these events."""
    wanted = Wanted()
    for one in recorded:
        event = one.event
        databases = databases_of(event)
        wanted.fleet.update(databases)
        rollout = rollout_of(one.stream)
        if rollout is not None:
            wanted.databases.setdefault(rollout, set()).update(databases)
            if isinstance(event, SWEEPING):
                wanted.swept.add(rollout)
        elif one.stream.startswith(CHECK_PREFIX):
            stream = one.stream.removesuffix(REPORTS_SUFFIX)
            wanted.looks.update((stream, database) for database in databases)
        if isinstance(event, e.BundleRegistered):
            wanted.bundles.add(event.bundle)
        elif isinstance(event, e.Ordered):
            wanted.orders.add(event.command)
        for word in words(event):
            wanted.applied.add((databases[0], word.version))
            if word.command is not None:
                wanted.orders.add(word.command)
    return wanted


def databases_of(event: r.Event) -> Sequence[str]:
    """Every database that `event` names: it belongs to their histories."""
    one: str | None = getattr(event, "database", None)
    if one is not None:
        return (one,)
    if isinstance(event, NAMING_SEVERAL):
        return tuple(dict.fromkeys(event.databases))
    return ()


def was_reached(event: r.DatabaseIdentified | r.AttemptFinished | r.DatabaseInspected) -> bool:
    """Whether this report says that an agent was in the database."""
    match event:
        case r.AttemptFinished():
            return event.journal_head is not None and event.verdict in MOVES_THE_HEAD
        case r.DatabaseInspected():
            return event.reachable
        case _:
            return True


@lru_cache(maxsize=256)
def rollout_of(stream: str) -> str | None:
    """The rollout whose decisions or reports `stream` holds."""
    if not stream.startswith(ROLLOUT_PREFIX):
        return None
    return stream[len(ROLLOUT_PREFIX) :].removesuffix(REPORTS_SUFFIX)
