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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    DatabaseRegistered,
    DatabaseReinstated,
    DatabaseRelabelled,
    DatabaseRepointed,
    DatabaseRetired,
    DatabaseSuspended,
)
from ledger.contracts.registry import Connection, Expected
from ledger.contracts.reports import Event
from ledger.domain.description import check_connection, check_id, check_labels, check_pool
from ledger.domain.refusals import (
    AddressTaken,
    AlreadyRegistered,
    ReasonRequired,
    RetiredDatabase,
    UnknownDatabase,
)


class FleetStatus(StrEnum):
    """Whether a database takes part in new orders."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class DatabaseRecord:
    """One registered database; `expected` is what the ledger believes of it when it orders.

    `unanswered` says that an order of ours may have moved the journal's head, or be about to.
    """

    database: str
    pool: str
    connection: Connection
    labels: Mapping[str, str] = field(default_factory=dict)
    status: FleetStatus = FleetStatus.ACTIVE
    expected: Expected = field(default_factory=Expected)
    unanswered: bool = False

    @property
    def active(self) -> bool:
        """Whether the database may be ordered."""
        return self.status is FleetStatus.ACTIVE

    @property
    def retired(self) -> bool:
        """Whether the database left the fleet for good."""
        return self.status is FleetStatus.RETIRED


class Address(NamedTuple):
    """What tells one target from another before anybody connects."""

    host: str
    port: int
    dbname: str
    schema: str

    @classmethod
    def of(cls, connection: Connection) -> Address:
        """Where a connection leads; host names do not differ by case or a dot at their end."""
        host = connection.host.lower().removesuffix(".")
        return cls(host, connection.port, connection.dbname, connection.schema_name)

    def __str__(self) -> str:
        schema = f" (schema {self.schema})" if self.schema else ""
        return f"{self.host}:{self.port}/{self.dbname}{schema}"


@dataclass(frozen=True, slots=True)
class FleetState:
    """All databases by id, retired ones included. `version` is the fleet stream's.

    `addresses` are the ids of those that are not retired, by where they are.
    """

    databases: Mapping[str, DatabaseRecord] = field(default_factory=dict)
    version: int = 0
    addresses: Mapping[Address, str] = field(default_factory=dict)


def evolve(state: FleetState, recorded: Recorded) -> FleetState:
    """The fleet after one more event; events of other streams change nothing."""
    return fold(state, (recorded,))


def fold(state: FleetState, events: Iterable[Recorded]) -> FleetState:
    """The fleet after these events; the map is copied once, whatever their number."""
    databases = dict(state.databases)
    addresses = dict(state.addresses)
    version = state.version
    for recorded in events:
        if recorded.stream == FLEET:
            version = recorded.stream_version
            if not _has_subject(databases, recorded.event):
                continue
            _move(databases, addresses, recorded.event)
            _apply(databases, recorded.event)
    return FleetState(databases, version, addresses)


FLEET = "fleet"
"""The stream of these events."""


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
        raise RetiredDatabase(database)
    return known


def _check_address(state: FleetState, database: str, connection: Connection) -> None:
    address = Address.of(connection)
    other = state.addresses.get(address, database)
    if other != database:
        raise AddressTaken(database, other, str(address))


def _differences(known: DatabaseRecord, wanted: DatabaseRecord) -> list[str]:
    differs = [name for name in ("pool", "labels") if getattr(known, name) != getattr(wanted, name)]
    differs += [
        name
        for name in Connection.model_fields
        if getattr(known.connection, name) != getattr(wanted.connection, name)
    ]
    return differs


def _has_subject(databases: Mapping[str, DatabaseRecord], event: Event) -> bool:
    """Whether this is said of somebody: of a database that never joined, or joins twice, it is not.

    No request of ours says such a thing. What is in the log all the same changes nothing.
    """
    database = getattr(event, "database", None)
    return isinstance(event, DatabaseRegistered) is not (database in databases)


def _move(
    databases: Mapping[str, DatabaseRecord], addresses: dict[Address, str], event: Event
) -> None:
    """Who is where after this event; `databases` are those before it."""
    if isinstance(event, DatabaseRepointed | DatabaseRetired):
        left = Address.of(databases[event.database].connection)
        if addresses.get(left) == event.database:
            del addresses[left]
    if isinstance(event, DatabaseRegistered | DatabaseRepointed):
        addresses[Address.of(event.connection)] = event.database


def _apply(databases: dict[str, DatabaseRecord], event: Event) -> None:
    match event:
        case DatabaseRegistered():
            databases[event.database] = DatabaseRecord(
                event.database, event.pool, event.connection, dict(event.labels)
            )
        case DatabaseRelabelled():
            known = databases[event.database]
            databases[event.database] = replace(known, labels=dict(event.labels))
        case DatabaseRepointed():
            databases[event.database] = replace(
                databases[event.database],
                pool=event.pool,
                connection=event.connection,
                expected=Expected(),
                unanswered=False,
            )
        case DatabaseSuspended():
            _set_status(databases, event.database, FleetStatus.SUSPENDED)
        case DatabaseReinstated():
            known = replace(databases[event.database], expected=Expected(), unanswered=False)
            databases[event.database] = replace(known, status=FleetStatus.ACTIVE)
        case DatabaseRetired():
            _set_status(databases, event.database, FleetStatus.RETIRED)
        case _:
            # The fleet's stream also holds what was learned (MigrationRegressed); that is no part
            # of who the databases are.
            return


def _set_status(databases: dict[str, DatabaseRecord], database: str, status: FleetStatus) -> None:
    databases[database] = replace(databases[database], status=status)
