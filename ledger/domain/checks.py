"""A check: agents look at databases, read-only, and say what is there. Pure.

```
CheckRequested ─▶ InspectionOrdered (within a limit) ─▶ DatabaseInspected   for each database
                        └── unanswered at its expiry ─▶ InspectionOrdered, twice at most
```

A check is finished when every database has answered or was asked `ATTEMPTS` times in vain. A
database that was reinstated or repointed is asked on, at growing intervals, until its journal was
read or it is retired: what a restore lost must not stay unknown. When nothing more is asked,
each journal is compared with what the log says was applied: what a journal lost becomes
MigrationRegressed on the fleet's stream (`ledger.domain.check_results.lost` says what counts).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Protocol
from uuid import UUID

from ledger.contracts.envelope import Recorded, consequence_id, inspection_id
from ledger.contracts.events import (
    CheckRequested,
    InspectionOrdered,
    MigrationRegressed,
    Purpose,
)
from ledger.contracts.reports import DatabaseInspected, Event
from ledger.domain.check_results import lost
from ledger.domain.fleet import DatabaseRecord, FleetState, require
from ledger.domain.orders import Decision, DecisionContext, with_own_windows
from ledger.domain.outcomes import look_again_at
from ledger.domain.refusals import EmptySelection
from migrations.model.attempt import Adoption
from migrations.model.preflight import PreflightRequest

IN_FLIGHT = 100
"""Databases looked at at once: a look is short and takes no lock."""
CHUNK = 1000
"""Databases that are copied together."""
ATTEMPTS = 2
"""How often a database is asked before the check goes on without it."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One database of a check: how often it was asked, where, until when, and what it answered.

    `asked_position` is that of the first time: what was recorded later is no matter of this check.
    `is_read` says that the answer tells what the journal holds. Who only has to know that there is
    an answer keeps none.
    """

    attempt: int = 0
    command: UUID | None = None
    asked_position: int = 0
    expires_at: datetime | None = None
    answer: DatabaseInspected | None = None
    answered_at: datetime | None = None
    answered_position: int = 0
    is_read: bool = False

    @property
    def answered(self) -> bool:
        """Whether there is an answer to the latest question."""
        return self.answered_at is not None

    def is_open(self, now: datetime) -> bool:
        """Whether an answer may still come."""
        return not self.answered and self.expires_at is not None and self.expires_at > now

    def is_silent(self, now: datetime) -> bool:
        """Whether it was asked as often as it is, in vain."""
        return not self.answered and self.attempt >= ATTEMPTS and not self.is_open(now)


class Looks(Mapping[str, Lookup]):
    """The databases of a check, in chunks: changing some copies only the chunks they are in."""

    def __init__(self, databases: Iterable[str]) -> None:
        names = tuple(dict.fromkeys(databases))
        self.names = names
        self._chunks: tuple[Mapping[str, Lookup], ...] = tuple(
            dict.fromkeys(names[start : start + CHUNK], Lookup())
            for start in range(0, len(names), CHUNK)
        )
        self._where = {name: number // CHUNK for number, name in enumerate(names)}

    def changed(self, looks: Mapping[str, Lookup]) -> Looks:
        """The same with these in their places; this one stays as it is."""
        chunks = list(self._chunks)
        by_chunk: dict[int, dict[str, Lookup]] = {}
        for database, look in looks.items():
            number = self._where[database]
            if number not in by_chunk:
                by_chunk[number] = dict(chunks[number])
            by_chunk[number][database] = look
        for number, chunk in by_chunk.items():
            chunks[number] = chunk
        new = Looks.__new__(Looks)
        new.names, new._where, new._chunks = self.names, self._where, tuple(chunks)
        return new

    def __getitem__(self, database: str) -> Lookup:
        return self._chunks[self._where[database]][database]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class CheckState:
    """A check at one position of the log; `version` is that of its own stream.

    Beside the databases stands what `progress` needs, so that it never walks the fleet: `owing` are
    those that were asked and of which more may be wanted, `cursor` is the place before which all
    were asked.
    """

    check: str
    purpose: Purpose
    adoption: Adoption | None = None
    preflight: PreflightRequest | None = None
    looks: Looks = field(default_factory=lambda: Looks(()))
    version: int = 0
    position: int = 0
    owing: Mapping[str, None] = field(default_factory=dict)
    cursor: int = 0

    @property
    def unasked(self) -> Iterator[str]:
        """The databases that were never asked."""
        names = self.looks.names
        for index in range(self.cursor, len(names)):
            if self.looks[names[index]].attempt == 0:
                yield names[index]

    def is_owing(self, look: Lookup) -> bool:
        """Whether more may be wanted of a database that looks like this."""
        if look.attempt == 0:
            return False
        return not look.answered or (self.purpose is Purpose.REINSTATE and not look.is_read)

    @property
    def stream(self) -> str:
        """The stream of the request and its orders."""
        return f"check-{self.check}"

    def is_finished(self, now: datetime) -> bool:
        """Whether every database answered, or was asked in vain."""
        return next(self.unasked, None) is None and all(
            look.answered or look.is_silent(now) for look in self._owed()
        )

    def is_settled(self, records: Callable[[str], DatabaseRecord | None], now: datetime) -> bool:
        """Whether nothing more will be asked."""
        if self.purpose is not Purpose.REINSTATE:
            return self.is_finished(now)
        return all(
            self.looks[database].is_read or _has_left(records(database))
            for database in (*self.owing, *self.unasked)
        )

    def _owed(self) -> Iterator[Lookup]:
        return (self.looks[database] for database in self.owing)


def request_check(
    fleet: FleetState,
    check: str,
    databases: Sequence[str],
    purpose: Purpose = Purpose.CHECK,
    adoption: Adoption | None = None,
    preflight: PreflightRequest | None = None,
) -> tuple[Event, ...]:
    """Ask the agents to look at these databases; `adoption`, `preflight` say for what beside.

    Raises `EmptySelection`, or what `ledger.domain.fleet.require` raises.
    """
    if not databases:
        raise EmptySelection("")
    for database in databases:
        require(fleet, database)
    chosen = tuple(dict.fromkeys(databases))
    asked = CheckRequested(check=check, purpose=purpose, databases=chosen)
    return (asked.model_copy(update={"adoption": adoption, "preflight": preflight}),)


def evolve(state: CheckState | None, recorded: Recorded) -> CheckState:
    """The check after one more event. Raises `ValueError` when it does not start with a request."""
    return fold(state, (recorded,))


def fold(state: CheckState | None, events: Iterable[Recorded], *, lean: bool = False) -> CheckState:
    """The check after these events; what they do not speak of is not walked.

    With `lean`, no answer is kept, and of databases of which nothing is wanted any more, only where
    they were asked and answered. Raises `ValueError` when there is no state and the first event is
    no CheckRequested.
    """
    own: dict[str, Lookup] = {}
    for recorded in events:
        if isinstance(recorded.event, CheckRequested):
            asked = recorded.event
            looks = Looks(asked.databases)
            said = asked.adoption, asked.preflight
            state, own = CheckState(asked.check, asked.purpose, *said, looks), {}
        if state is None:
            raise ValueError(f"stream {recorded.stream} does not start with CheckRequested")
        take(_Draft(own, state.looks), recorded)
        version = recorded.stream_version if recorded.stream == state.stream else state.version
        state = replace(state, version=version, position=recorded.position)
    if state is None:
        raise ValueError("a check has at least its CheckRequested")
    return restored(state, own, lean=lean)


def restored(state: CheckState, changed: Mapping[str, Lookup], *, lean: bool) -> CheckState:
    """The state with these looks, and all that follows from them; `lean` is as in `fold`."""
    if lean:
        changed = {one: _lean(look, state.is_owing(look)) for one, look in changed.items()}
    looks = state.looks.changed(changed)
    owing = dict(state.owing)
    for database, look in changed.items():
        if state.is_owing(look):
            owing[database] = None
        else:
            owing.pop(database, None)
    cursor, names = state.cursor, looks.names
    while cursor < len(names) and looks[names[cursor]].attempt:
        cursor += 1
    return replace(state, looks=looks, owing=owing, cursor=cursor)


def _lean(look: Lookup, owing: bool) -> Lookup:
    if owing or not look.attempt:
        return look if look.answer is None else replace(look, answer=None)
    return replace(look, command=None, expires_at=None, answer=None)


class _Draft:
    """Looks that are being changed, over those that stay."""

    def __init__(self, own: dict[str, Lookup], base: Mapping[str, Lookup]) -> None:
        self._own = own
        self._base = base

    def __contains__(self, database: object) -> bool:
        return database in self._own or database in self._base

    def __getitem__(self, database: str) -> Lookup:
        return self._own.get(database) or self._base[database]

    def __setitem__(self, database: str, look: Lookup) -> None:
        self._own[database] = look


def progress(
    state: CheckState, situation: DecisionContext, in_flight: int = IN_FLIGHT
) -> tuple[Decision, ...]:
    """The next looks within the limit; suspended databases are looked at like all others."""
    now = situation.now
    free = in_flight - sum(state.looks[database].is_open(now) for database in state.owing)
    again = (one for one in state.owing if _is_due(state, state.looks[one], now))
    events: list[Decision] = []
    for database in chain(again, state.unasked):
        if free <= 0:
            break
        ordered = _order(state, database, state.looks[database], situation)
        if ordered is not None:
            events.append(ordered)
            free -= 1
    return tuple(events)


def next_wake(state: CheckState, now: datetime) -> datetime | None:
    """When an unanswered look expires or is asked for again; `None` when nothing is waited for."""
    looks = (state.looks[database] for database in state.owing)
    moments = (look.expires_at if look.is_open(now) else _again_at(state, look) for look in looks)
    return min((moment for moment in moments if moment and moment > now), default=None)


def regressed(
    state: CheckState,
    applied: Mapping[str, Mapping[str, UUID]],
    records: Callable[[str], DatabaseRecord | None],
) -> tuple[Decision, ...]:
    """What the journals lost, for the fleet's stream.

    `applied` gives, per database, the versions that the log says are in force there, each with the
    command that applied it; `records` what is known of a database.
    """
    found: list[Decision] = []
    for database, look in state.looks.items():
        versions = applied.get(database, {})
        if look.answer is None or not versions:
            continue
        record = records(database)
        known = record.expected.identity if record is not None else None
        for version in lost(state.purpose, look.answer, versions, known):
            found.append(_regressed(state, database, version, versions[version]))
    return tuple(found)


def _is_due(state: CheckState, look: Lookup, now: datetime) -> bool:
    again_at = _again_at(state, look)
    return not look.is_open(now) and again_at is not None and again_at <= now


def _again_at(state: CheckState, look: Lookup) -> datetime | None:
    """When a look that was asked for is asked for again; `None` when it is not."""
    if look.expires_at is None:
        return None
    if not look.answered and look.attempt < ATTEMPTS:
        return look.expires_at
    if state.purpose is not Purpose.REINSTATE or look.is_read:
        return None
    return look_again_at(look.answered_at or look.expires_at, look.attempt)


def _has_left(record: DatabaseRecord | None) -> bool:
    return record is None or record.retired


def _order(
    state: CheckState, database: str, look: Lookup, situation: DecisionContext
) -> Decision | None:
    record = situation.records(database)
    if record is None or (state.purpose is Purpose.REINSTATE and record.retired):
        return None
    attempt, asked = look.attempt + 1, state.preflight
    event = InspectionOrdered(
        stream=state.stream,
        database=database,
        pool=record.pool,
        command=inspection_id(state.stream, database, attempt),
        attempt=attempt,
        term=situation.term,
        purpose=state.purpose,
        connection=record.connection,
        expires_at=situation.after(situation.policy.inspection_s),
        adoption=state.adoption,
        preflight=asked and replace(asked, policy=with_own_windows(asked.policy, record)),
    )
    return Decision(consequence_id(state.stream, event, str(event.command)), event)


def _regressed(state: CheckState, database: str, version: str, command: UUID) -> Decision:
    event = MigrationRegressed(database=database, version=version, command=command)
    return Decision(consequence_id(state.stream, event, f"{database}/{version}"), event)


class LooksByName(Protocol):
    """Looks that can be changed."""

    def __contains__(self, database: object, /) -> bool: ...

    def __getitem__(self, database: str, /) -> Lookup: ...

    def __setitem__(self, database: str, look: Lookup, /) -> None: ...


def take(looks: LooksByName, recorded: Recorded) -> None:
    """Let these looks say what one more event says of them; others are not touched."""
    match recorded.event:
        case InspectionOrdered() as event if event.database in looks:
            look = looks[event.database]
            looks[event.database] = replace(
                look,
                attempt=event.attempt,
                command=event.command,
                asked_position=look.asked_position or recorded.position,
                expires_at=event.expires_at,
                answer=None,
                answered_at=None,
                is_read=False,
            )
        case DatabaseInspected() as event if event.database in looks:
            looks[event.database] = replace(
                looks[event.database],
                answer=event,
                answered_at=recorded.recorded_at,
                answered_position=recorded.position,
                is_read=event.reachable and event.failure is None,
            )
        case _:
            # The request made the state; an agent's other reports say nothing about a look.
            return
