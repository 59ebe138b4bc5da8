"""Folds events into the rows of the read models. Pure: events in, rows of what changed out.

A rollout's rows are the domain's own state (`ledger.domain.rollout`), a registered database's what
the leader believes too (`ledger.domain.belief`), a check's the domain's looks. No rule says twice
what follows from an event.

A projection holds the rows that it was given or has made, and no more. Live, it lives for a batch
of events and is given the rows that these concern (`keys_of`). A replay's holds all rows from the
first event on; when they are too many it is written, forgotten and given rows again. What it does
not hold is therefore not there, or not concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Generic, TypeVar
from uuid import UUID

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.envelope import Recorded
from ledger.domain.belief import NOTHING, TAUGHT, learn, tells_the_head
from ledger.domain.builder import RolloutBuilder
from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import FLEET, evolve_record
from ledger.domain.rollout import BrokenStream, RolloutState, begin, take
from ledger.domain.states import ENDED, DatabaseState
from ledger.store.views.executions import TIMED, execution_of, sized
from ledger.store.views.rows import (
    AppliedRow,
    ExecutionRow,
    FleetRow,
    OrderRow,
    ReadingRow,
    RequestedCheck,
)
from ledger.store.views.versions import SPEAKING, Claim, replaces

REPORTS_SUFFIX = "/reports"
ROLLOUT_PREFIX = "rollout-"
CHECK_PREFIX = "check-"
ABOUT_ONE = frozenset(kind for kind in e.EVENTS.values() if "database" in kind.model_fields)
"""Events that name one database."""
NAMING_SEVERAL = (e.WavePlanned, e.RetryRequested)
"""Events with a list of databases; RolloutPlanned only counts them. A look that was asked for is
no part of a database's history: what it changed is, and that it was in vain (CheckFinished)."""
SWEEPING = frozenset({e.RolloutResumed, e.RolloutAborted, e.UndoStarted})
"""What changes databases that it does not name: those that failed, those that wait for another."""
ORDERS = frozenset({e.MigrationOrdered})
REGISTERED = ORDERS | {e.BundleRegistered, e.EventSetAside, r.Unreadable}
"""What no rule of a rollout, a check or a migration folds, and all the same makes a row."""
CONTACTS = frozenset({r.DatabaseIdentified, r.AttemptFinished, r.DatabaseInspected})
# Types are looked up, not tested with isinstance: that costs more than most of these rules.

Key = TypeVar("Key")
Row = TypeVar("Row")


class Shelf(Generic[Key, Row]):
    """Rows of one table by their keys, and those of them that are in the table as they were."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        """Rows are never changed, only replaced."""
        self.stored: dict[Key, Row] = {}

    def restore(self, key: Key, row: Row) -> None:
        """Take in a row of the table."""
        self.rows[key] = self.stored[key] = row

    def changed(self) -> list[tuple[Key, Row]]:
        """The rows that are not in the table, or not so."""
        stored = self.stored
        return [(key, row) for key, row in self.rows.items() if stored.get(key) is not row]


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
        self.changed = True
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
        if type(recorded.event) in ABOUT_ONE:
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
        self.bundles = Shelf[str, tuple[e.BundleRegistered, Recorded] | None]()
        self.rollouts: dict[str, RolloutRows] = {}
        self.orders = Shelf[UUID, OrderRow]()
        self.applied = Shelf[tuple[str, str], AppliedRow]()
        self.executions: dict[int, ExecutionRow] = {}
        self.checks = Shelf[str, RequestedCheck]()
        self.readings = Shelf[tuple[str, str], ReadingRow]()
        self.unreadable = Shelf[int, UnreadableEvent]()
        self.named: list[tuple[str, int]] = []
        """(database, position) of the events that name a database."""

    def __len__(self) -> int:
        """How many rows are held."""
        shelves = (
            self.fleet, self.bundles, self.orders, self.applied, self.checks, self.readings,
            self.unreadable,
        )  # fmt: skip
        databases = sum(rows.draft.total for rows in self.rollouts.values())
        written_once = len(self.named) + len(self.executions)
        return written_once + databases + sum(len(shelf.rows) for shelf in shelves)

    def take(self, recorded: Recorded) -> None:
        """Let the rows say what one more event of the log says."""
        event, position, stream = recorded.event, recorded.position, recorded.stream
        kind = type(event)
        one = _database(event) if kind in ABOUT_ONE else ""
        if one:
            self.named.append((one, position))
            if kind in TAUGHT or stream == FLEET:
                self._believe(one, recorded)
        else:
            self.named += [(each, position) for each in databases_of(event)]
        rollout = rollout_of(stream)
        if rollout is not None:
            self._travel(rollout, recorded)
        elif stream.startswith(CHECK_PREFIX):
            self._look(recorded)
        if kind in TIMED:
            self._time(one, rollout, recorded)
        rule = SPEAKING.get(kind)
        if rule is not None:
            for word in rule(event):
                self._hold(one, word, rollout, recorded)
        elif kind in REGISTERED:
            self._register(recorded)

    def _believe(self, database: str, recorded: Recorded) -> None:
        """What is believed of a registered database, and when it was last reached."""
        event = recorded.event
        kind = type(event)
        row = self.fleet.rows.get(database)
        registered = None if row is None else row.registered
        if registered is not None and kind is e.DatabaseRegistered:
            # Nobody joins twice.
            return
        if recorded.stream == FLEET:
            registered = evolve_record(registered, event)
        if registered is None:
            return
        if row is None:
            where = (recorded.position, recorded.recorded_at, recorded.recorded_by)
            row = FleetRow(registered, NOTHING, None, None, None, *where)
        belief = learn(row.belief, event)
        if kind in CONTACTS and was_reached(event):
            version = row.server_version
            if kind is not r.AttemptFinished:
                version = event.server_version  # type: ignore[attr-defined]
            met = (version, recorded.position, recorded.recorded_at)
            row = FleetRow(registered, belief, *met, *row[5:])
        else:
            row = FleetRow(registered, belief, *row[2:])
        self.fleet.rows[database] = row

    def _register(self, recorded: Recorded) -> None:
        """What is written once: an order, a bundle, what cannot be read, that it is set aside."""
        event = recorded.event
        if isinstance(event, e.MigrationOrdered):
            where = (event.rollout, event.database, event.attempt)
            row = OrderRow(*where, recorded.position, recorded.recorded_by)
            self.orders.rows[event.command] = row
        elif isinstance(event, e.BundleRegistered):
            self.bundles.rows[event.bundle] = (event, recorded)
        elif isinstance(event, r.Unreadable):
            self.unreadable.rows[recorded.position] = UnreadableEvent(
                recorded.position,
                recorded.stream,
                event.type,
                recorded.recorded_at,
                recorded.recorded_by,
            )
        elif isinstance(event, e.EventSetAside):
            known = self.unreadable.rows.get(event.position)
            # What can be read has no row: nobody takes it away by saying that it cannot.
            if known is not None and not known.aside:
                self.unreadable.rows[event.position] = _set_aside(known, recorded)

    def _time(self, database: str, rollout: str | None, recorded: Recorded) -> None:
        """That a migration ran; or, before it does, how large the tables are that it will touch."""
        command: UUID = recorded.event.command  # type: ignore[attr-defined]
        order = self.orders.rows.get(command)
        if type(recorded.event) is not r.PreflightChecked:
            row = execution_of(database, rollout, recorded, order)
            self.executions[recorded.position] = row
        elif order is not None:
            self.orders.rows[command] = sized(order, recorded.event)

    def _travel(self, rollout: str, recorded: Recorded) -> None:
        rows = self.rollouts.get(rollout)
        if rows is not None:
            rows.take(recorded)
        elif isinstance(recorded.event, e.RolloutPlanned):
            said = recorded.metadata
            where = (recorded.position, recorded.recorded_by)
            self.rollouts[rollout] = RolloutRows(begin(recorded), *where, said.reason, said.ticket)

    def _look(self, recorded: Recorded) -> None:
        """That looks were asked for and are over, and which journals were to be read and were."""
        event, stream = recorded.event, recorded.stream.removesuffix(REPORTS_SUFFIX)
        where = (recorded.position, recorded.recorded_at)
        if isinstance(event, e.CheckRequested):
            self.checks.rows[stream] = RequestedCheck(event.purpose, len(event.databases), *where)
            for database in _to_be_read(event):
                self.readings.rows[stream, database] = ReadingRow()
        elif isinstance(event, e.CheckFinished):
            known = self.checks.rows.get(stream)
            if known is not None:
                self.checks.rows[stream] = RequestedCheck(*known[:4], *where)
        elif isinstance(event, r.DatabaseInspected) and reads_journal(event):
            key = (stream, event.database)
            reading = self.readings.rows.get(key)
            if reading is not None and reading.read_at is None:
                self.readings.rows[key] = ReadingRow(*where)

    def _hold(self, database: str, word: Claim, rollout: str | None, recorded: Recorded) -> None:
        """Write what is said of a migration, unless a later command has spoken."""
        order = self.orders.rows.get(word.command) if word.command is not None else None
        position = order.ordered_position if order else 0
        if word.command is None:
            position = recorded.position
        key = (database, word.version)
        if not replaces(word, position, self.applied.rows.get(key)):
            return
        self.applied.rows[key] = AppliedRow(
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


def _set_aside(row: UnreadableEvent, recorded: Recorded) -> UnreadableEvent:
    said = recorded.metadata
    return row._replace(
        aside_position=recorded.position,
        aside_at=recorded.recorded_at,
        aside_by=recorded.recorded_by,
        aside_who=said.actor.name if said.actor else None,
        aside_reason=said.reason,
    )


class RowKeys:
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
        self.checks: set[str] = set()
        self.readings: set[tuple[str, str]] = set()
        self.unreadable: set[int] = set()


def keys_of(recorded: Iterable[Recorded]) -> RowKeys:
    """What a projection must hold before it takes these events."""
    keys = RowKeys()
    for one in recorded:
        event = one.event
        databases = databases_of(event)
        keys.fleet.update(databases)
        rollout = rollout_of(one.stream)
        if rollout is not None:
            keys.databases.setdefault(rollout, set()).update(databases)
            if type(event) in SWEEPING:
                keys.swept.add(rollout)
        elif one.stream.startswith(CHECK_PREFIX):
            stream = one.stream.removesuffix(REPORTS_SUFFIX)
            keys.checks.add(stream)
            wanted = _to_be_read(event) if isinstance(event, e.CheckRequested) else databases
            keys.readings.update((stream, database) for database in wanted)
        if isinstance(event, e.BundleRegistered):
            keys.bundles.add(event.bundle)
        elif isinstance(event, e.MigrationOrdered | r.PreflightChecked):
            keys.orders.add(event.command)
        elif isinstance(event, e.EventSetAside):
            keys.unreadable.add(event.position)
        for word in SPEAKING[type(event)](event) if type(event) in SPEAKING else ():
            keys.applied.add((databases[0], word.version))
            if word.command is not None:
                keys.orders.add(word.command)
    return keys


def databases_of(event: r.Event) -> Sequence[str]:
    """Every database that `event` names: it belongs to their histories."""
    if type(event) in ABOUT_ONE:
        return (_database(event),)
    if isinstance(event, NAMING_SEVERAL):
        return tuple(dict.fromkeys(event.databases))
    if isinstance(event, e.CheckFinished):
        return tuple(dict.fromkeys(event.silent))
    return ()


def _to_be_read(asked: e.CheckRequested) -> Sequence[str]:
    """The databases whose journal must not stay unread, of these that are to be looked at."""
    return tuple(dict.fromkeys(asked.databases)) if asked.purpose is e.Purpose.REINSTATE else ()


def reads_journal(answer: r.DatabaseInspected) -> bool:
    """Whether this look tells what the journal holds."""
    return answer.reachable and answer.failure is None


def was_reached(event: r.Event) -> bool:
    """Whether this report says that an agent was in the database."""
    match event:
        case r.AttemptFinished():
            return tells_the_head(event)
        case r.DatabaseInspected():
            return event.reachable
        case _:
            return True


_database: Callable[[r.Event], str] = attrgetter("database")


@lru_cache(maxsize=256)
def rollout_of(stream: str) -> str | None:
    """The rollout whose decisions or reports `stream` holds."""
    if not stream.startswith(ROLLOUT_PREFIX):
        return None
    return stream[len(ROLLOUT_PREFIX) :].removesuffix(REPORTS_SUFFIX)
