"""A check: agents look at databases, read-only, and say what is there. Pure.

```
CheckRequested ─▶ a look at each database (within a limit) ─▶ its answer ─▶ CheckFinished
                        └── unanswered at its expiry ─▶ another one, twice at most
```

The request is the one order of all its looks: `progress` makes of it what travels to an agent, and
says so to nobody else. Of the answers those are recorded that teach something
(`ledger.domain.belief`); how many there were says CheckFinished (ops/decisions/0028). Whoever leads
next asks again where no answer was kept: to look twice is harmless.

A check is over when every database has answered or was asked `ATTEMPTS` times in vain. A
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
from uuid import UUID

from ledger.contracts.envelope import Recorded, consequence_id, inspection_id
from ledger.contracts.events import (
    CheckFinished,
    CheckRequested,
    InspectionOrdered,
    MigrationRegressed,
    Purpose,
)
from ledger.contracts.reports import DatabaseInspected, Event
from ledger.domain.check_results import lost
from ledger.domain.fleet import DatabaseRecord, FleetState, require
from ledger.domain.orders import Decision, DecisionContext, of_database
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
STALE_S = 3600.0
"""After so many seconds in which nobody led, nobody waits for looks any more that nobody began."""
ANSWERED_LATE = 10
"""So many attempts before the latest may still be answered."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One database of a check: how often it was asked, until when, and whether it answered.

    `is_read` says that the answer tells what the journal holds.
    """

    attempt: int = 0
    command: UUID | None = None
    expires_at: datetime | None = None
    answered_at: datetime | None = None
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
    """A check as whoever leads knows it; `position` and `requested_at` are those of its request.

    What was recorded behind the request is no matter of it. With `given_up`, nothing more is asked.
    Beside the databases stands what `progress` needs, so that it never walks the fleet: `owing` are
    those that were asked and of which more may be wanted, `cursor` is the place before which all
    were asked.
    """

    check: str
    purpose: Purpose
    position: int
    requested_at: datetime
    asked_by: str
    looks: Looks
    adoption: Adoption | None = None
    preflight: PreflightRequest | None = None
    given_up: bool = False
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
        """The stream of the request."""
        return f"check-{self.check}"

    def is_settled(self, records: Callable[[str], DatabaseRecord | None], now: datetime) -> bool:
        """Whether nothing more will be asked; `records` gives what is known of a database."""
        if self.given_up:
            return True
        if self.purpose is Purpose.REINSTATE:
            return all(
                self.looks[database].is_read
                or (record := records(database)) is None
                or record.retired
                for database in (*self.owing, *self.unasked)
            )
        owed = (self.looks[database] for database in self.owing)
        return not any(records(database) for database in self.unasked) and all(
            look.answered or look.is_silent(now) for look in owed
        )


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


def begin(recorded: Recorded) -> CheckState:
    """The check that was asked for. Raises `ValueError` when this is no request for one."""
    asked = recorded.event
    if not isinstance(asked, CheckRequested):
        raise ValueError(f"stream {recorded.stream} does not start with CheckRequested")
    return CheckState(
        asked.check,
        asked.purpose,
        recorded.position,
        recorded.recorded_at,
        recorded.recorded_by,
        Looks(asked.databases),
        asked.adoption,
        asked.preflight,
    )


def restored(state: CheckState, changed: Mapping[str, Lookup]) -> CheckState:
    """The state with these looks, and all that follows from them."""
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


def asked(state: CheckState, orders: Iterable[InspectionOrdered]) -> CheckState:
    """The check after these looks were sent."""
    return restored(
        state,
        {one.database: Lookup(one.attempt, one.command, one.expires_at) for one in orders},
    )


def answered(
    state: CheckState, attempts: Mapping[str, tuple[int, bool]], at: datetime
) -> CheckState:
    """The check after these databases answered: which attempt, and whether a journal was read."""
    return restored(
        state,
        {
            database: Lookup(attempt=attempt, answered_at=at, is_read=is_read)
            for database, (attempt, is_read) in attempts.items()
        },
    )


def attempt_of(state: CheckState, report: DatabaseInspected) -> int | None:
    """Which look of the check this answers; `None` if none, whoever else says so.

    One that may have been sent by whoever led before counts: the request has asked for it.
    """
    look = state.looks.get(report.database)
    if look is None:
        return None
    latest = max(ATTEMPTS, look.attempt)
    for attempt in range(latest, max(0, latest - ANSWERED_LATE), -1):
        if inspection_id(state.stream, report.database, attempt) == report.command:
            return attempt
    return None


def is_awaited(state: CheckState, database: str, attempt: int) -> bool:
    """Whether an answer to this look says something still: one is enough, read or need not be."""
    look = state.looks[database]
    if not look.answered:
        return True
    return state.is_owing(look) and attempt > look.attempt


def progress(
    state: CheckState, situation: DecisionContext, in_flight: int = IN_FLIGHT
) -> tuple[InspectionOrdered, ...]:
    """The next looks within the limit; suspended databases are looked at like all others."""
    if state.given_up:
        return ()
    now = situation.now
    free = in_flight - sum(state.looks[database].is_open(now) for database in state.owing)
    again = (one for one in state.owing if _is_due(state, state.looks[one], now))
    orders: list[InspectionOrdered] = []
    for database in chain(again, state.unasked):
        if free <= 0:
            break
        ordered = _order(state, database, state.looks[database], situation)
        if ordered is not None:
            orders.append(ordered)
            free -= 1
    return tuple(orders)


def next_wake(state: CheckState, now: datetime) -> datetime | None:
    """When an unanswered look expires or is asked for again; `None` when nothing is waited for."""
    looks = (state.looks[database] for database in state.owing)
    moments = (look.expires_at if look.is_open(now) else _again_at(state, look) for look in looks)
    return min((moment for moment in moments if moment and moment > now), default=None)


def regressed(
    state: CheckState,
    answers: Mapping[str, DatabaseInspected],
    applied: Mapping[str, Mapping[str, UUID]],
    records: Callable[[str], DatabaseRecord | None],
) -> tuple[Decision, ...]:
    """What the journals of databases that answered lost, for the fleet's stream.

    `applied` gives, per database, the versions that the log says are in force there, each with the
    command that applied it; `records` what is known of a database.
    """
    found: list[Decision] = []
    for database, answer in answers.items():
        versions = applied.get(database, {})
        if not versions:
            continue
        record = records(database)
        known = record.expected.identity if record is not None else None
        for version in lost(state.purpose, answer, versions, known):
            found.append(_regressed(state, database, version, versions[version]))
    return tuple(found)


def finish(state: CheckState, now: datetime, changed: int, lost: int) -> Decision:
    """What is said of a check that is over: `changed` answers are in the log, `lost` migrations."""
    looks = state.looks
    read = sum(look.is_read for look in looks.values())
    silent = tuple(database for database, look in looks.items() if not look.answered)
    event = CheckFinished(
        check=state.check,
        asked_by=state.asked_by,
        databases=len(looks),
        read=read,
        unread=len(looks) - read - len(silent),
        silent=silent,
        changed=changed,
        lost=lost,
        duration_ms=max(0, round((now - state.requested_at).total_seconds() * 1000)),
    )
    return Decision(consequence_id(state.stream, event, ""), event)


def _is_due(state: CheckState, look: Lookup, now: datetime) -> bool:
    again_at = _again_at(state, look)
    return not look.is_open(now) and again_at is not None and again_at <= now


def _again_at(state: CheckState, look: Lookup) -> datetime | None:
    """When a look that was asked for is asked for again; `None` when it is not."""
    if not look.answered and look.attempt < ATTEMPTS:
        return look.expires_at
    since = look.answered_at or look.expires_at
    if state.purpose is not Purpose.REINSTATE or look.is_read or since is None:
        return None
    return look_again_at(since, look.attempt)


def _order(
    state: CheckState, database: str, look: Lookup, situation: DecisionContext
) -> InspectionOrdered | None:
    record = situation.records(database)
    if record is None or (state.purpose is Purpose.REINSTATE and record.retired):
        return None
    attempt, asked = look.attempt + 1, state.preflight
    return InspectionOrdered(
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
        preflight=asked and replace(asked, policy=of_database(asked.policy, record)),
    )


def _regressed(state: CheckState, database: str, version: str, command: UUID) -> Decision:
    event = MigrationRegressed(database=database, version=version, command=command)
    return Decision(consequence_id(state.stream, event, f"{database}/{version}"), event)
