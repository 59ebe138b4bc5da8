"""The fleet: registering, describing, moving and checking databases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import ValidationError

from ledger.contracts.events import Purpose
from ledger.contracts.registry import Connection
from ledger.contracts.reports import Event
from ledger.contracts.validation import message_of
from ledger.domain import fleet as rules
from ledger.domain.checks import request_check
from ledger.domain.fleet import FLEET, DatabaseRecord, FleetState
from ledger.domain.fleet_changes import Described, FleetChanges, compare, relabelled
from ledger.domain.refusals import EmptySelection, InvalidDatabase
from ledger.domain.selection_words import chosen
from ledger.errors import VersionConflict
from ledger.service.fleet_reader import FleetPage, FleetReader
from ledger.service.fleet_records import record_changes
from ledger.service.registrations import ImportResult, imported, joining, named, parts
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.port import Batch, Log
from ledger.store.views.port import Views
from migrations.model.attempt import Adoption, Epoch, ForgedFence
from migrations.model.preflight import PreflightRequest

TRIES = 5
"""How often a request is decided again because somebody else changed the fleet meanwhile."""


class FleetService:
    """Requests about databases. Every method raises the refusals of `ledger.domain.fleet`."""

    def __init__(self, log: Log, reads: Views | None, encoder: RequestEncoder) -> None:
        self._log = log
        self._encoder = encoder
        self._reader = FleetReader(log, reads)

    async def state(self) -> FleetState:
        """The fleet as the log says it is now."""
        return await self._reader.whole()

    async def list(self, selection: str = "") -> Sequence[DatabaseRecord]:
        """The databases that the selection means, suspended ones included, by id.

        Without a selection, retired ones are listed too.
        """
        return (await self.page(selection)).databases

    async def page(
        self,
        selection: str = "",
        *,
        retired: bool = True,
        after: str = "",
        limit: int | None = None,
    ) -> FleetPage:
        """As `list`: the next `limit` of them behind the id `after`, and how many there are."""
        return await self._reader.page(selection, retired=retired, after=after, limit=limit)

    async def words(self, key: str | None = None, near: str = "") -> Sequence[str]:
        """Labels that databases have, or values of one `key` around `near` in their order."""
        return await self._reader.words(key, near)

    async def check_known(self, database: str) -> None:
        """Raise `UnknownDatabase`, with the nearest id, where no database has this one."""
        await self._reader.existing(database)

    async def add(
        self,
        database: str,
        pool: str,
        connection: Connection,
        labels: Mapping[str, str],
        asked: RequestContext,
    ) -> None:
        """Register one database."""
        await self.change(
            lambda fleet: rules.register(fleet, database, pool, connection, labels),
            asked,
            [database],
            [connection.target.database],
        )

    async def check_fact(self, database: str, fact: str, at: datetime) -> None:
        """Raise what `record_fact` would refuse with now; nothing is recorded."""
        fleet = await self._reader.existing(database)
        rules.record_fact(fleet, database, fact, at, self._encoder.clock.now())

    async def record_fact(
        self, database: str, fact: str, at: datetime, asked: RequestContext
    ) -> bool:
        """Take a job's word for when it did something. Whether that was news."""
        now = self._encoder.clock.now()
        return await self.change(
            lambda fleet: rules.record_fact(fleet, database, fact, at, now), asked, [database]
        )

    async def check_retire(self, database: str) -> None:
        """Raise what `retire` would refuse with now; nothing is recorded."""
        rules.retire(await self._reader.existing(database), database)

    async def preview_import(self, entries: Sequence[Described]) -> ImportResult:
        """What `import_` would answer now; nothing is registered. Raises what it would raise."""
        fleet = await self._reader.some(*named(entries))
        return imported(entries, joining(fleet, entries))

    async def import_(self, entries: Sequence[Described], asked: RequestContext) -> ImportResult:
        """Register many databases, all or none; of what is said of them, little is held at once."""
        for attempt in range(TRIES):
            fleet = await self._reader.some(*named(entries))
            new = joining(fleet, entries)
            if not new:
                break
            ids = [self._encoder.chance.ordered_uuid() for _ in new]
            try:
                await self._log.append_parts(partial(parts, fleet, new, self._encoder, asked, ids))
                break
            except VersionConflict:
                if attempt == TRIES - 1:
                    raise
        return imported(entries, new)

    async def compare(self, entries: Sequence[Described], *, prune: bool = False) -> FleetChanges:
        """What makes the fleet as these entries describe it; with `prune`, all others leave."""
        return compare(await self.state(), entries, prune=prune)

    async def apply(
        self,
        shown: FleetChanges,
        entries: Sequence[Described],
        asked: RequestContext,
        *,
        prune: bool = False,
    ) -> None:
        """Record what `compare` gave and was shown. Raises `FleetMoved` if it is outdated."""
        redraw = partial(self.compare, entries, prune=prune)
        await record_changes(self._log, self._encoder, shown, redraw, asked)

    async def compare_labels(
        self, selection: str, labels: Mapping[str, str], remove: Collection[str]
    ) -> FleetChanges:
        """What sets these labels of the selected databases, and takes those away."""
        fleet = await self.state()
        found = [one.database for one in chosen(fleet.databases.values(), selection)]
        if not found:
            raise EmptySelection(selection, registered=fleet.has_any)
        return relabelled(fleet, found, labels, remove)

    async def label_all(
        self,
        shown: FleetChanges,
        selection: str,
        labels: Mapping[str, str],
        remove: Collection[str],
        asked: RequestContext,
    ) -> None:
        """Record what `compare_labels` gave and was shown. Raises `FleetMoved`."""
        redraw = partial(self.compare_labels, selection, labels, remove)
        await record_changes(self._log, self._encoder, shown, redraw, asked)

    async def label(
        self,
        database: str,
        labels: Mapping[str, str],
        remove: Collection[str],
        asked: RequestContext,
    ) -> bool:
        """Set these labels and take those away; the others stay. Whether that changed anything."""
        return await self.change(
            lambda fleet: _relabelled(fleet, database, labels, remove), asked, [database]
        )

    async def check_label(
        self, database: str, labels: Mapping[str, str], remove: Collection[str]
    ) -> None:
        """Raise what `label` would refuse with now; nothing is recorded."""
        _relabelled(await self._reader.existing(database), database, labels, remove)

    async def repoint(
        self, database: str, pool: str | None, changes: Mapping[str, Any], asked: RequestContext
    ) -> str | None:
        """Say where a database is now; its journal is read again. The id of that check, if any."""

        return await self._change_and_look(
            lambda fleet: _repointed(fleet, database, pool, changes, asked),
            database,
            asked,
            _names(changes),
        )

    async def check_repoint(
        self, database: str, pool: str | None, changes: Mapping[str, Any], asked: RequestContext
    ) -> None:
        """Raise what `repoint` would refuse with now; nothing is recorded."""
        fleet = await self._with_neighbours(database, _names(changes))
        _repointed(fleet, database, pool, changes, asked)

    async def suspend(self, database: str, asked: RequestContext) -> bool:
        """Leave a database out of new orders. Whether that changed anything."""
        return await self.change(lambda fleet: rules.suspend(fleet, database), asked, [database])

    async def check_suspend(self, database: str) -> None:
        """Raise what `suspend` would refuse with now; nothing is recorded."""
        rules.suspend(await self._reader.existing(database), database)

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
        rules.reinstate(await self._reader.existing(database), database, asked.reason)

    async def check_fence(self, database: str, found: ForgedFence, asked: RequestContext) -> None:
        """Raise what `reset_fence` would refuse with now; nothing is recorded."""
        issued = await self._issued()
        fleet = await self._reader.existing(database)
        rules.reset_fence(fleet, database, found, issued, asked.reason)

    async def reset_fence(self, database: str, found: ForgedFence, asked: RequestContext) -> None:
        """Let orders in where a journal was `found` to end in an order that was never given."""
        issued = await self._issued()
        await self.change(
            lambda fleet: rules.reset_fence(fleet, database, found, issued, asked.reason),
            asked,
            [database],
        )

    async def retire(self, database: str, asked: RequestContext) -> bool:
        """Let a database leave for good. Whether that changed anything."""
        return await self.change(lambda fleet: rules.retire(fleet, database), asked, [database])

    async def check(
        self,
        selection: str,
        asked: RequestContext,
        purpose: Purpose = Purpose.CHECK,
        adoption: Adoption | None = None,
        preflight: PreflightRequest | None = None,
    ) -> str:
        """Ask the agents to look at the selected databases, suspended ones too; the check's id.

        `adoption` says for whose history they look, of those that other tools left; `preflight`
        is what they ask beside.
        """
        fleet = await self.state()
        found = [one.database for one in chosen(fleet.databases.values(), selection)]
        if not found:
            raise EmptySelection(selection, registered=fleet.has_any)
        check = self._encoder.new_id()
        events = request_check(fleet, check, found, purpose, adoption, preflight)
        await self._log.append(
            f"check-{check}", self._encoder.encode(events, asked), expected_version=0
        )
        await self._log.announce()
        return check

    async def _issued(self) -> Epoch:
        """How far this ledger has come: no order of it can have a higher term or position."""
        head = await self._log.head()
        return Epoch(head.term, head.position)

    async def _change_and_look(
        self,
        decide: Callable[[FleetState], Iterable[Event]],
        database: str,
        asked: RequestContext,
        names: Sequence[str] = (),
    ) -> str | None:
        """Change what is believed of a database and have its journal read again, both or neither.

        The id of the check, or `None` when there was nothing to change.
        """
        check, at = self._encoder.new_id(), self._encoder.clock.now()
        for attempt in range(TRIES):
            fleet = await self._with_neighbours(database, names)
            changes = self._encoder.encode(tuple(decide(fleet)), asked, at=at)
            if not changes:
                return None
            looks = request_check(fleet, check, [database], Purpose.REINSTATE)
            change = Batch(FLEET, changes, fleet.version)
            look = Batch(f"check-{check}", self._encoder.encode(looks, asked, at=at), 0)
            try:
                await self._log.append_both(change, look)
            except VersionConflict:
                if attempt == TRIES - 1:
                    raise
            else:
                return check
        raise AssertionError

    async def _with_neighbours(self, database: str, names: Sequence[str]) -> FleetState:
        """A database, and whoever may be where it is or is to be."""
        fleet = await self._reader.existing(database, names)
        known = fleet.databases[database]
        if known.connection.target.database not in names:
            fleet = await self._reader.some([database], [*names, known.connection.target.database])
        return fleet

    async def change(
        self,
        decide: Callable[[FleetState], Iterable[Event]],
        asked: RequestContext,
        databases: Collection[str],
        names: Collection[str] = (),
    ) -> bool:
        """Decide on these databases as they are and append; again when somebody else was first.

        Whoever has one of `names` on its server may be in the way, and is known, too.
        """
        for attempt in range(TRIES):
            fleet = await self._reader.some(databases, names)
            events = self._encoder.encode(tuple(decide(fleet)), asked)
            try:
                await self._log.append(FLEET, events, expected_version=fleet.version)
            except VersionConflict:
                if attempt == TRIES - 1:
                    raise
            else:
                return bool(events)
        raise AssertionError


def _names(changes: Mapping[str, Any]) -> list[str]:
    wanted = changes.get("database")
    return [wanted] if isinstance(wanted, str) else []


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
