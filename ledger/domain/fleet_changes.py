"""What is to be recorded so that the fleet is as it is described: one value, shown and recorded.

    compare, relabelled ─▶ FleetChanges (drawn from a version of the fleet) ─▶ shown · confirmed
                                                                                    │
    the fleet moved on meanwhile: drawn again; if it says the same it is recorded, else refused

Only what really changes becomes an event, so the same description again records nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ledger.contracts.events import (
    DatabaseRegistered,
    DatabaseRelabelled,
    DatabaseRepointed,
    DatabaseRetired,
)
from ledger.contracts.registry import Connection, TargetName
from ledger.contracts.reports import Event
from ledger.domain import fleet as rules
from ledger.domain.description import check_labels, faults
from ledger.domain.fleet import DatabaseRecord, FleetState
from ledger.domain.refusals import AddressTaken, RequestRefusal, RetiredDatabase

TOLD = 20
"""So many databases that cannot be as they are described are named."""
WORDS = {"database": "dbname"}
"""What people write for a part of a connection, where that is another word: libpq's."""


class Described(Protocol):
    """How a database is to be."""

    @property
    def database(self) -> str:
        """Its id."""

    @property
    def pool(self) -> str:
        """Whose agents reach it."""

    @property
    def connection(self) -> Connection:
        """Where it is."""

    @property
    def labels(self) -> Mapping[str, str]:
        """What it is called by in selections."""

    @property
    def line(self) -> int:
        """Where its file says so; 0 where no file does."""


class ChangeKind(StrEnum):
    """What becomes of a database."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class FleetChange:
    """What changes of one database: each field's value before and after, `None` for none."""

    kind: ChangeKind
    database: str
    fields: Mapping[str, tuple[str | None, str | None]]
    events: tuple[Event, ...]

    @property
    def moves(self) -> bool:
        """Whether it is reached otherwise afterwards, so that its journal is to be read again."""
        return any(isinstance(event, DatabaseRepointed) for event in self.events)


@dataclass(frozen=True, slots=True)
class FleetChanges:
    """All changes, by kind and id, drawn from a version of the fleet's stream.

    `unchanged` are as they are described; `absent` are not described, and stay.
    """

    version: int
    changes: tuple[FleetChange, ...] = ()
    unchanged: tuple[str, ...] = ()
    absent: tuple[str, ...] = field(default=())

    @property
    def events(self) -> list[Event]:
        """What is recorded, in this order: who leaves makes place for who comes."""
        order = (ChangeKind.REMOVE, ChangeKind.CHANGE, ChangeKind.ADD)
        return [event for kind in order for one in self.of(kind) for event in one.events]

    @property
    def moved(self) -> list[str]:
        """Databases whose journals are to be read again."""
        return [one.database for one in self.changes if one.moves]

    def of(self, kind: ChangeKind) -> list[FleetChange]:
        """The changes of one kind."""
        return [one for one in self.changes if one.kind is kind]


class UnfitDescription(RequestRefusal):
    """Databases cannot be as they are described, because of what the fleet has already."""

    def __init__(self, why: Sequence[RequestRefusal]) -> None:
        told = [f"  {one}" for one in why[:TOLD]]
        if len(why) > TOLD:
            told.append(f"  and {len(why) - TOLD:,} more")
        super().__init__("\n".join(["the fleet cannot become like this:", *told]))
        self.why = tuple(why)


class FleetMoved(RequestRefusal):
    """The fleet is no longer what the changes were drawn from."""

    def __init__(self, databases: Sequence[str]) -> None:
        named = f" ({', '.join(databases[:5])})" if databases else ""
        super().__init__(
            f"somebody changed the fleet while you looked at this{named}, so it would do something "
            "else than was shown; nothing was recorded; start again to see what it is now"
        )


def compare(state: FleetState, wanted: Sequence[Described], *, prune: bool) -> FleetChanges:
    """What makes the fleet as it is described; with `prune`, who is not described leaves.

    No two of `wanted` have one id or one address. Raises `UnfitDescription`, or the one refusal.
    """
    described = {one.database for one in wanted}
    absent = sorted(
        one.database
        for one in state.databases.values()
        if not one.retired and one.database not in described
    )
    stay: dict[TargetName, str] = {}
    if not prune:
        for database in absent:
            stay[state.databases[database].connection.target.canonical] = database
    refused: list[RequestRefusal] = []
    changes: list[FleetChange] = []
    unchanged: list[str] = []
    for one in sorted(wanted, key=lambda one: one.database):
        refusals = list(_refusals(state, one, stay))
        refused += refusals
        if refusals:
            continue
        change = _change(state.databases.get(one.database), one)
        if change is None:
            unchanged.append(one.database)
        else:
            changes.append(change)
    if refused:
        raise refused[0] if len(refused) == 1 else UnfitDescription(refused)
    if prune:
        changes += [_removal(state.databases[database]) for database in absent]
    ordered = sorted(changes, key=lambda one: list(ChangeKind).index(one.kind))
    left = () if prune else tuple(absent)
    return FleetChanges(state.version, tuple(ordered), tuple(unchanged), left)


def relabelled(
    state: FleetState,
    databases: Iterable[str],
    labels: Mapping[str, str],
    removed: Collection[str],
) -> FleetChanges:
    """What sets and takes away labels of these databases; the others stay.

    Raises `InvalidDatabase` and what `ledger.domain.fleet.require` raises.
    """
    changes: list[FleetChange] = []
    unchanged: list[str] = []
    for database in databases:
        known = rules.require(state, database)
        kept = {name: value for name, value in known.labels.items() if name not in removed}
        wanted = kept | dict(labels)
        check_labels(database, wanted)
        if wanted == dict(known.labels):
            unchanged.append(database)
            continue
        event = DatabaseRelabelled(database=database, labels=wanted)
        fields = _differences(_labels(known.labels), _labels(wanted))
        changes.append(FleetChange(ChangeKind.CHANGE, database, fields, (event,)))
    return FleetChanges(state.version, tuple(changes), tuple(unchanged))


def refuse_moved(shown: FleetChanges, now: FleetChanges) -> None:
    """Raise `FleetMoved` when something else would be shown now, the values before it included."""
    if shown.changes != now.changes:
        before = {one.database: one for one in shown.changes}
        after = {one.database: one for one in now.changes}
        names = sorted(before.keys() | after.keys())
        raise FleetMoved([name for name in names if before.get(name) != after.get(name)])


def _refusals(
    state: FleetState, one: Described, stay: Mapping[TargetName, str]
) -> Iterable[RequestRefusal]:
    yield from faults(one.database, one.pool, one.connection, one.labels)
    known = state.databases.get(one.database)
    if known is not None and known.retired:
        where = f" (line {one.line})" if one.line else ""
        advice = f"take it out of the file{where}, or register it under a new id"
        yield RetiredDatabase(one.database, advice)
    target = one.connection.target
    other = stay.get(target.canonical)
    if other is not None:
        yield AddressTaken(one.database, other, str(target))


def _change(known: DatabaseRecord | None, one: Described) -> FleetChange | None:
    labels = dict(one.labels)
    if known is None:
        joined = DatabaseRegistered(
            database=one.database, pool=one.pool, connection=one.connection, labels=labels
        )
        fields = _differences({}, _described(one.pool, one.connection, labels))
        return FleetChange(ChangeKind.ADD, one.database, fields, (joined,))
    events: list[Event] = []
    if (known.pool, known.connection) != (one.pool, one.connection):
        moved = DatabaseRepointed(database=one.database, pool=one.pool, connection=one.connection)
        events.append(moved)
    if dict(known.labels) != labels:
        events.append(DatabaseRelabelled(database=one.database, labels=labels))
    if not events:
        return None
    before = _described(known.pool, known.connection, known.labels)
    fields = _differences(before, _described(one.pool, one.connection, labels))
    return FleetChange(ChangeKind.CHANGE, one.database, fields, tuple(events))


def _removal(known: DatabaseRecord) -> FleetChange:
    before = _described(known.pool, known.connection, known.labels)
    event = DatabaseRetired(database=known.database)
    return FleetChange(ChangeKind.REMOVE, known.database, _differences(before, {}), (event,))


def _described(pool: str, connection: Connection, labels: Mapping[str, str]) -> dict[str, str]:
    """Everything that is said of a database, by what people write; labels among it."""
    parts = {WORDS.get(name, name): value for name, value in connection.parts.items()}
    said = {"pool": pool, **parts}
    known = {name: _text(value) for name, value in said.items() if value}
    return known | _labels(labels)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {f"label {name}": labels[name] for name in sorted(labels)}


def _differences(
    before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    names = [*after, *(name for name in before if name not in after)]
    return {
        name: (before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    }
