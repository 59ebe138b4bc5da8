"""Databases of an import: which of them are new to the fleet, and what is recorded of those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from ledger.contracts.events import DatabaseRegistered
from ledger.contracts.registry import TargetName
from ledger.domain import fleet as rules
from ledger.domain.fleet import FLEET, FleetState
from ledger.domain.fleet_changes import Described
from ledger.domain.refusals import AddressTaken, InvalidDatabase
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.port import Batch

PART = 2_000
"""Databases registered in one call: a megabyte."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Ids that an import registered, and those that were registered alike already."""

    added: tuple[str, ...]
    unchanged: tuple[str, ...]


def named(entries: Sequence[Described]) -> tuple[list[str], list[str]]:
    """Ids, and names on servers, of what is to be registered."""
    names = {one.connection.target.database for one in entries}
    return [one.database for one in entries], sorted(names)


def joining(fleet: FleetState, entries: Sequence[Described]) -> list[Described]:
    """Those of `entries` that are not there alike. Raises what registering them raises."""
    _check_repeated(entries)
    return [one for one in entries if _registration(fleet, one)]


def _registration(fleet: FleetState, one: Described) -> tuple[DatabaseRegistered, ...]:
    return rules.register(fleet, one.database, one.pool, one.connection, one.labels)


def parts(
    fleet: FleetState,
    new: Sequence[Described],
    encoder: RequestEncoder,
    asked: RequestContext,
    ids: Sequence[UUID],
) -> Iterator[Batch]:
    """The registrations of these, part by part; each is made when it is asked for."""
    at = encoder.clock.now()
    for start in range(0, len(new), PART):
        some = new[start : start + PART]
        events = [event for one in some for event in _registration(fleet, one)]
        encoded = encoder.encode(events, asked, ids=ids[start : start + PART], at=at)
        yield Batch(FLEET, encoded, fleet.version + start)


def imported(entries: Sequence[Described], joined: Sequence[Described]) -> ImportResult:
    """What came of an import that these have joined by."""
    new = {one.database for one in joined}
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
        target = one.connection.target
        canonical = target.canonical
        # Of two that are equal the one that is kept anyway: there may be a hundred thousand.
        other = places.setdefault(target if canonical == target else canonical, one.database)
        if other != one.database:
            raise AddressTaken(one.database, other, str(canonical))
