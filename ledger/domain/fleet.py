"""The fleet: which databases there are, where they are, and what may be said about them.

```
(none) ─register─▶ active ⇄ suspended          suspend / reinstate
                     └────────┴─retire─▶ retired   for good: the id cannot come back
```

Each request is one function that answers with the events to append; none means that what was asked
holds already. What the ledger has learned of a database (identity, journal head) is no part of
these events: a projection fills `DatabaseRecord.expected` from the agents' reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    DatabaseFenceReset,
    DatabaseRegistered,
    DatabaseReinstated,
    DatabaseRelabelled,
    DatabaseRepointed,
    DatabaseRetired,
    DatabaseSuspended,
    FactRecorded,
)
from ledger.contracts.registry import Connection, TargetName
from ledger.contracts.reports import Event
from ledger.domain.description import check_connection, check_id, check_labels, check_pool
from ledger.domain.refusals import (
    AddressTaken,
    AlreadyRegistered,
    FenceHolds,
    InvalidArgument,
    ReasonRequired,
    RetiredDatabase,
    UnknownDatabase,
)
from migrations.model.attempt import Epoch, Expectation, ForgedFence
from migrations.model.clocks import moment_text


class UnknownFact(InvalidArgument):
    """Nothing follows from a fact of this name."""

    def __init__(self, fact: str, known: Sequence[str]) -> None:
        super().__init__(f"nothing follows from a fact {fact!r}; write {' or '.join(known)}")


class FactOfTheFuture(InvalidArgument):
    """A fact is of something that was done."""

    def __init__(self, at: datetime) -> None:
        super().__init__(
            f"{moment_text(at)} is not over yet; write when it was done, or correct the clock"
        )


class FleetStatus(StrEnum):
    """Whether a database takes part in new orders."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class DatabaseRecord:
    """One registered database; `expected` is what the ledger believes of it when it orders.

    `unanswered` says that an order of ours may have moved the journal's head, or be about to;
    `command` is the latest one ordered since the database was taken in, or taken in anew.
    """

    database: str
    pool: str
    connection: Connection
    labels: Mapping[str, str] = field(default_factory=dict)
    status: FleetStatus = FleetStatus.ACTIVE
    expected: Expectation = field(default_factory=Expectation)
    unanswered: bool = False
    command: UUID | None = None
    backed_up_at: datetime | None = None
    """When a job that backs it up last had recorded that it did."""

    @property
    def active(self) -> bool:
        """Whether the database may be ordered."""
        return self.status is FleetStatus.ACTIVE

    @property
    def retired(self) -> bool:
        """Whether the database left the fleet for good."""
        return self.status is FleetStatus.RETIRED


@dataclass(frozen=True, slots=True)
class FleetState:
    """All databases by id, retired ones included. `version` is the fleet stream's.

    `addresses` are the ids of those that are not retired, by where they are.
    """

    databases: Mapping[str, DatabaseRecord] = field(default_factory=dict)
    version: int = 0
    addresses: Mapping[TargetName, str] = field(default_factory=dict)

    @property
    def has_any(self) -> bool:
        """Whether there is a database that did not leave the fleet."""
        return any(not record.retired for record in self.databases.values())


def fold(state: FleetState, events: Iterable[Recorded]) -> FleetState:
    """The fleet after these events; those of other streams change nothing. One copy of the map."""
    databases = dict(state.databases)
    addresses = dict(state.addresses)
    version = state.version
    for recorded in events:
        if recorded.stream != FLEET:
            continue
        version = recorded.stream_version
        database = getattr(recorded.event, "database", None)
        known = databases.get(database) if database is not None else None
        record = evolve_record(known, recorded.event)
        if record is not None and record is not known:
            _move(addresses, known, record)
            databases[record.database] = record
    return FleetState(databases, version, addresses)


def evolve_record(record: DatabaseRecord | None, event: Event) -> DatabaseRecord | None:
    """One database after an event of the fleet's stream.

    Nothing is said of an unknown one, and nobody joins twice: no request of ours says such a thing,
    and what is in the log all the same changes nothing.
    """
    if isinstance(event, DatabaseRegistered):
        if record is not None:
            return record
        return DatabaseRecord(event.database, event.pool, event.connection, dict(event.labels))
    if record is None:
        return None
    match event:
        case DatabaseRelabelled():
            return replace(record, labels=dict(event.labels))
        case DatabaseRepointed():
            # What was backed up was another database.
            moved = replace(_forgotten(record), backed_up_at=None)
            return replace(moved, pool=event.pool, connection=event.connection)
        case FactRecorded():
            later = record.backed_up_at is None or record.backed_up_at < event.at
            said = event.fact == BACKUP and later
            return replace(record, backed_up_at=event.at) if said else record
        case DatabaseSuspended():
            return replace(record, status=FleetStatus.SUSPENDED)
        case DatabaseReinstated():
            return replace(_forgotten(record), status=FleetStatus.ACTIVE)
        case DatabaseRetired():
            return replace(record, status=FleetStatus.RETIRED)
        case _:
            # The fleet's stream also holds what was learned (MigrationRegressed); that is no part
            # of who the databases are.
            return record


FLEET = "fleet"
"""The stream of these events."""
BACKUP = "backup"
FACTS = (BACKUP,)
"""What can be recorded with `ledger fact record`."""
FACT_AHEAD = timedelta(minutes=1)
"""How far a job's clock may be ahead of ours."""


def register(
    state: FleetState,
    database: str,
    pool: str,
    connection: Connection,
    labels: Mapping[str, str] | None = None,
) -> tuple[DatabaseRegistered, ...]:
    """Let a database join. Registering it again just as it is changes nothing.

    Raises `InvalidDatabase`, `AlreadyRegistered`, `AddressTaken` or `RetiredDatabase`.
    """
    wanted = DatabaseRecord(database, pool, connection, dict(labels or {}))
    check_id(database)
    check_pool(database, pool)
    check_connection(database, connection)
    check_labels(database, wanted.labels)
    known = state.databases.get(database)
    if known is None:
        _check_address(state, database, connection)
        return (
            DatabaseRegistered(
                database=database, pool=pool, connection=connection, labels=dict(wanted.labels)
            ),
        )
    if known.status is FleetStatus.RETIRED:
        raise RetiredDatabase(database)
    differs = _differences(known, wanted)
    if differs:
        raise AlreadyRegistered(database, differs)
    return ()


def relabel(state: FleetState, database: str, labels: Mapping[str, str]) -> tuple[Event, ...]:
    """Replace a database's labels. Raises `InvalidDatabase` and what `require` raises."""
    known = require(state, database)
    check_labels(database, labels)
    if dict(known.labels) == dict(labels):
        return ()
    return (DatabaseRelabelled(database=database, labels=dict(labels)),)


def repoint(
    state: FleetState, database: str, pool: str, connection: Connection, reason: str | None
) -> tuple[Event, ...]:
    """Say that a database is reached elsewhere now; its identity is learned again.

    Raises `InvalidDatabase`, `AddressTaken`, `ReasonRequired` and what `require` raises.
    """
    known = require(state, database)
    check_pool(database, pool)
    check_connection(database, connection)
    if (known.pool, known.connection) == (pool, connection):
        return ()
    _check_address(state, database, connection)
    if not (reason or "").strip():
        raise ReasonRequired("`ledger fleet repoint`")
    return (DatabaseRepointed(database=database, pool=pool, connection=connection),)


def suspend(state: FleetState, database: str) -> tuple[Event, ...]:
    """Leave a database out of new orders. Raises what `require` raises."""
    if require(state, database).status is FleetStatus.SUSPENDED:
        return ()
    return (DatabaseSuspended(database=database),)


def reinstate(state: FleetState, database: str, reason: str | None) -> tuple[Event, ...]:
    """Take a database as it is now: suspended before, or restored in place.

    Always an event, because identity and journal are learned again. Raises `ReasonRequired` and
    what `require` raises.
    """
    require(state, database)
    if not (reason or "").strip():
        raise ReasonRequired("`ledger fleet reinstate`")
    return (DatabaseReinstated(database=database),)


def is_beyond(epoch: Epoch, issued: Epoch) -> bool:
    """Whether no order of this ledger can have that epoch; `issued` is where its log is now.

    Such an epoch may keep orders out, until the log gets there or for ever.
    """
    return not (0 <= epoch.term <= issued.term and 0 <= epoch.position <= issued.position)


def reset_fence(
    state: FleetState, database: str, found: ForgedFence, issued: Epoch, reason: str | None
) -> tuple[Event, ...]:
    """Let orders into a database whose journal was found to end in an order that nobody gave.

    Raises `FenceHolds`, `ReasonRequired` and what `require` raises.
    """
    require(state, database)
    if not is_beyond(found.epoch, issued):
        raise FenceHolds(database, f"{found.epoch.term}.{found.epoch.position}")
    if not (reason or "").strip():
        raise ReasonRequired(
            "`ledger fleet reset-fence`", "lets orders in that a journal keeps out"
        )
    return (
        DatabaseFenceReset(database=database, epoch=found.epoch, journal_head=found.journal_head),
    )


def record_fact(
    state: FleetState, database: str, fact: str, at: datetime, now: datetime
) -> tuple[Event, ...]:
    """Take a job's word for when it did something. What was done before is known already.

    Raises `UnknownFact`, `FactOfTheFuture` and what `require` raises.
    """
    if fact not in FACTS:
        raise UnknownFact(fact, FACTS)
    known = require(state, database).backed_up_at
    if at > now + FACT_AHEAD:
        raise FactOfTheFuture(at)
    if known is not None and at <= known:
        return ()
    return (FactRecorded(database=database, fact=fact, at=at),)


def retire(state: FleetState, database: str) -> tuple[Event, ...]:
    """Let a database leave for good. Raises `UnknownDatabase`."""
    known = state.databases.get(database)
    if known is None:
        raise UnknownDatabase(database)
    if known.status is FleetStatus.RETIRED:
        return ()
    return (DatabaseRetired(database=database),)


def require(state: FleetState, database: str) -> DatabaseRecord:
    """The database's record; raises `UnknownDatabase` or `RetiredDatabase`."""
    known = state.databases.get(database)
    if known is None:
        raise UnknownDatabase(database)
    if known.status is FleetStatus.RETIRED:
        raise RetiredDatabase(
            database,
            f"`ledger fleet show {database}` shows what it had, and if it is in use again, "
            "`ledger fleet add` registers it under a new id",
        )
    return known


def _check_address(state: FleetState, database: str, connection: Connection) -> None:
    other = state.addresses.get(connection.target.canonical, database)
    if other != database:
        raise AddressTaken(database, other, str(connection.target))


def _differences(known: DatabaseRecord, wanted: DatabaseRecord) -> list[str]:
    differs = [name for name in ("pool", "labels") if getattr(known, name) != getattr(wanted, name)]
    before, after = known.connection.parts, wanted.connection.parts
    return differs + [name for name in after if before[name] != after[name]]


def _move(
    addresses: dict[TargetName, str], known: DatabaseRecord | None, record: DatabaseRecord
) -> None:
    """Who is where, when one database is other than it was known."""
    if known is not None:
        if (known.connection, known.retired) == (record.connection, record.retired):
            return
        left = known.connection.target.canonical
        if addresses.get(left) == known.database:
            del addresses[left]
    if not record.retired:
        addresses[record.connection.target.canonical] = record.database


def _forgotten(record: DatabaseRecord) -> DatabaseRecord:
    """The same without what was learned of it."""
    return replace(record, expected=Expectation(), unanswered=False, command=None)
