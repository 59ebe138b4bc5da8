"""The fleet: registering, describing, moving and checking databases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from ledger.contracts.events import DatabaseRegistered, Purpose
from ledger.contracts.registry import Connection, TargetName
from ledger.contracts.reports import Event
from ledger.contracts.validation import message_of
from ledger.domain import fleet as rules
from ledger.domain.checks import CheckState, Lookup, fold, request_check
from ledger.domain.fleet import FLEET, DatabaseRecord, FleetState
from ledger.domain.refusals import AddressTaken, EmptySelection, InvalidDatabase
from ledger.domain.selection import parse
from ledger.errors import UnknownCheck, VersionConflict
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.log.decode import open_event
from ledger.store.log.streams import read_both
from ledger.store.port import Batch, Log
from migrations.model.attempt import Adoption, Epoch, ForgedFence

TRIES = 5
"""How often a request is decided again because somebody else changed the fleet meanwhile."""


class Described(Protocol):
    """One database of an import file."""

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


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Ids that an import registered, and those that were registered alike already."""

    added: tuple[str, ...]
    unchanged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One database of a check; `look.answer` is `None` until an agent answered."""

    database: str
    pool: str
    role: str | None
    look: Lookup


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found so far."""

    check: str
    finished: bool
    rows: tuple[CheckRow, ...]


class FleetService:
    """Requests about databases. Every method raises the refusals of `ledger.domain.fleet`."""

    def __init__(self, log: Log, encoder: RequestEncoder) -> None:
        self._log = log
        self._encoder = encoder

    async def state(self) -> FleetState:
        """The fleet as the log says it is now."""
        events = [open_event(raw) async for raw in self._log.read_stream(FLEET)]
        return rules.fold(FleetState(), events)

    async def list(self, selection: str = "") -> Sequence[DatabaseRecord]:
        """The databases that the selection means, suspended ones included, by id.

        Without a selection, retired ones are listed too.
        """
        terms = parse(selection)
        records = (await self.state()).databases.values()
        chosen = [one for one in records if all(term.holds(one) for term in terms)]
        return sorted(chosen, key=lambda record: record.database)

    async def add(
        self,
        database: str,
        pool: str,
        connection: Connection,
        labels: Mapping[str, str],
        asked: RequestContext,
    ) -> None:
        """Register one database."""
        await self._change(
            lambda fleet: rules.register(fleet, database, pool, connection, labels), asked
        )

    async def check_retire(self, database: str) -> None:
        """Raise what `retire` would refuse with now; nothing is recorded."""
        rules.retire(await self.state(), database)

    async def preview_import(self, entries: Sequence[Described]) -> ImportResult:
        """What `import_` would answer now; nothing is registered. Raises what it would raise."""
        return _imported(entries, _register_all(await self.state(), entries))

    async def import_(self, entries: Sequence[Described], asked: RequestContext) -> ImportResult:
        """Register many databases, all or none."""
        events: tuple[DatabaseRegistered, ...] = ()

        def register_all(fleet: FleetState) -> Iterable[Event]:
            nonlocal events
            events = _register_all(fleet, entries)
            return events

        await self._change(register_all, asked)
        return _imported(entries, events)

    async def label(
        self,
        database: str,
        labels: Mapping[str, str],
        remove: Collection[str],
        asked: RequestContext,
    ) -> None:
        """Set these labels and take those away; the others stay."""
        await self._change(lambda fleet: _relabelled(fleet, database, labels, remove), asked)

    async def check_label(
        self, database: str, labels: Mapping[str, str], remove: Collection[str]
    ) -> None:
        """Raise what `label` would refuse with now; nothing is recorded."""
        _relabelled(await self.state(), database, labels, remove)

    async def repoint(
        self, database: str, pool: str | None, changes: Mapping[str, Any], asked: RequestContext
    ) -> str | None:
        """Say where a database is now; its journal is read again. The id of that check, if any."""

        return await self._change_and_look(
            lambda fleet: _repointed(fleet, database, pool, changes, asked), database, asked
        )

    async def check_repoint(
        self, database: str, pool: str | None, changes: Mapping[str, Any], asked: RequestContext
    ) -> None:
        """Raise what `repoint` would refuse with now; nothing is recorded."""
        _repointed(await self.state(), database, pool, changes, asked)

    async def suspend(self, database: str, asked: RequestContext) -> None:
        """Leave a database out of new orders."""
        await self._change(lambda fleet: rules.suspend(fleet, database), asked)

    async def check_suspend(self, database: str) -> None:
        """Raise what `suspend` would refuse with now; nothing is recorded."""
        rules.suspend(await self.state(), database)

    async def reinstate(self, database: str, asked: RequestContext) -> str:
        """Take a database as it is now; its journal is read again. The id of that check."""
        check = await self._change_and_look(
            lambda fleet: rules.reinstate(fleet, database, asked.reason), database, asked
        )
        if check is None:
            raise AssertionError
        return check

    async def check_reinstate(self, database: str, asked: RequestContext) -> None:
        """Raise what `reinstate` would refuse with now; nothing is recorded."""
        rules.reinstate(await self.state(), database, asked.reason)

    async def check_fence(self, database: str, found: ForgedFence, asked: RequestContext) -> None:
        """Raise what `reset_fence` would refuse with now; nothing is recorded."""
        issued = await self._issued()
        rules.reset_fence(await self.state(), database, found, issued, asked.reason)

    async def reset_fence(self, database: str, found: ForgedFence, asked: RequestContext) -> None:
        """Let orders in where a journal was `found` to end in an order that was never given."""
        issued = await self._issued()
        await self._change(
            lambda fleet: rules.reset_fence(fleet, database, found, issued, asked.reason), asked
        )

    async def retire(self, database: str, asked: RequestContext) -> None:
        """Let a database leave for good."""
        await self._change(lambda fleet: rules.retire(fleet, database), asked)

    async def check(
        self,
        selection: str,
        asked: RequestContext,
        purpose: Purpose = Purpose.CHECK,
        adoption: Adoption | None = None,
    ) -> str:
        """Ask the agents to look at the selected databases, suspended ones too; the check's id.

        `adoption` says for whose history they look, of those that other tools left.
        """
        chosen = [one.database for one in await self.list(selection) if not one.retired]
        if not chosen:
            raise EmptySelection(selection)
        check = self._encoder.new_id()
        events = request_check(await self.state(), check, chosen, purpose, adoption)
        await self._log.append(
            f"check-{check}", self._encoder.encode(events, asked), expected_version=0
        )
        await self._log.announce()
        return check

    async def check_result(self, check: str) -> CheckResult:
        """What was found so far. Raises `UnknownCheck`."""
        events = await read_both(self._log, f"check-{check}")
        if not events:
            raise UnknownCheck(check)
        state: CheckState = fold(None, events)
        fleet = (await self.state()).databases
        rows = tuple(_row(fleet[database], look) for database, look in state.looks.items())
        return CheckResult(check, state.is_finished(self._encoder.clock.now()), rows)

    async def _issued(self) -> Epoch:
        """How far this ledger has come: no order of it can have a higher term or position."""
        head = await self._log.head()
        return Epoch(head.term, head.position)

    async def _change_and_look(
        self, decide: Callable[[FleetState], Iterable[Event]], database: str, asked: RequestContext
    ) -> str | None:
        """Change what is believed of a database and have its journal read again, both or neither.

        The id of the check, or `None` when there was nothing to change.
        """
        check = self._encoder.new_id()
        for attempt in range(TRIES):
            fleet = await self.state()
            changes = self._encoder.encode(tuple(decide(fleet)), asked)
            if not changes:
                return None
            looks = request_check(fleet, check, [database], Purpose.REINSTATE)
            change = Batch(FLEET, changes, fleet.version)
            look = Batch(f"check-{check}", self._encoder.encode(looks, asked), 0)
            try:
                await self._log.append_both(change, look)
            except VersionConflict:
                if attempt == TRIES - 1:
                    raise
            else:
                return check
        raise AssertionError

    async def _change(
        self, decide: Callable[[FleetState], Iterable[Event]], asked: RequestContext
    ) -> bool:
        """Decide on the fleet as it is and append; again when somebody else was first."""
        for attempt in range(TRIES):
            fleet = await self.state()
            events = self._encoder.encode(tuple(decide(fleet)), asked)
            try:
                await self._log.append(FLEET, events, expected_version=fleet.version)
            except VersionConflict:
                if attempt == TRIES - 1:
                    raise
            else:
                return bool(events)
        raise AssertionError


def _row(record: DatabaseRecord, look: Lookup) -> CheckRow:
    return CheckRow(record.database, record.pool, record.connection.role, look)


def _relabelled(
    fleet: FleetState, database: str, labels: Mapping[str, str], remove: Collection[str]
) -> Iterable[Event]:
    known = rules.require(fleet, database).labels
    kept = {name: value for name, value in known.items() if name not in remove}
    return rules.relabel(fleet, database, kept | dict(labels))


def _repointed(
    fleet: FleetState,
    database: str,
    pool: str | None,
    changes: Mapping[str, Any],
    asked: RequestContext,
) -> tuple[Event, ...]:
    known = rules.require(fleet, database)
    connection = _changed(database, known.connection, changes)
    return rules.repoint(fleet, database, pool or known.pool, connection, asked.reason)


def _changed(database: str, known: Connection, changes: Mapping[str, Any]) -> Connection:
    try:
        return Connection.at(**(known.parts | dict(changes)))
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise InvalidDatabase(
            database, str(problem["loc"][-1]), f"is wrong: {message_of(problem)}"
        ) from None


def _register_all(
    fleet: FleetState, entries: Sequence[Described]
) -> tuple[DatabaseRegistered, ...]:
    """The events that let those of `entries` join that are not there alike."""
    _check_repeated(entries)
    return tuple(
        event
        for one in entries
        for event in rules.register(fleet, one.database, one.pool, one.connection, one.labels)
    )


def _imported(entries: Sequence[Described], events: Sequence[DatabaseRegistered]) -> ImportResult:
    new = {event.database for event in events}
    added = tuple(one.database for one in entries if one.database in new)
    return ImportResult(added, tuple(one.database for one in entries if one.database not in new))


def _check_repeated(entries: Iterable[Described]) -> None:
    """Raise for an id, or a target, that stands twice in one file."""
    seen: set[str] = set()
    places: dict[TargetName, str] = {}
    for one in entries:
        if one.database in seen:
            raise InvalidDatabase(
                one.database, "id", "stands twice in the file; remove one of them"
            )
        seen.add(one.database)
        target = one.connection.target.canonical
        other = places.setdefault(target, one.database)
        if other != one.database:
            raise AddressTaken(one.database, other, str(target))
