"""A rollout's log as it is being told, event by event; the words are in `tests.support.spec`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid5

from ledger.contracts.envelope import NAMESPACE, Metadata, Recorded
from ledger.contracts.events import RolloutStarted, UndoStarted
from ledger.contracts.registry import Connection, ContentRef, MigrationRef
from ledger.contracts.reports import (
    Event,
    Report,
)
from ledger.domain import requests
from ledger.domain.fleet import DatabaseRecord, FleetStatus
from ledger.domain.orders import DecisionContext
from ledger.domain.planning import plan_undo
from ledger.domain.progress import progress
from ledger.domain.rollback import undo_options
from ledger.domain.rollout import DatabaseState, RolloutState, fold
from migrations.model.attempt import Expectation, Identity

ROLLOUT = "r1"
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TERM = 1
BUNDLE = "b" * 64
EXPIRY_S = 60.0
DEADLINE_S = 600.0
MOST_TURNS = 1000
"""More turns than any story needs: `progress` must come to rest."""


def migration(version: str, *, down: bool = True) -> MigrationRef:
    """A migration as a bundle lists it."""
    return MigrationRef(
        version=version,
        name="change",
        format="sql",
        up_checksum=(version * 64)[:64],
        down_checksum=("d" + version * 64)[:64] if down else None,
        has_verify=False,
        transactional=True,
        files=(ContentRef(name=f"{version}_change.sql", sha256="c" * 64, size=10),),
    )


MIGRATIONS = {"1": migration("1"), "2": migration("2")}


def record(database: str, pool: str = "main", **labels: str) -> DatabaseRecord:
    """A database as the fleet knows it."""
    connection = Connection.at(host="db.internal", database=database, user="app")
    identity = Identity(uuid=uuid5(NAMESPACE, database), system_identifier="7", database_oid=5)
    expected = Expectation(identity=identity, journal_head="head-0")
    return DatabaseRecord(database, pool, connection, labels, expected=expected)


Kind = TypeVar("Kind", bound=Event)


@dataclass
class Story:
    """A rollout's log as it is being told."""

    now: datetime = START
    records: dict[str, DatabaseRecord] = field(default_factory=dict)
    migrations: Mapping[str, MigrationRef] = field(default_factory=lambda: MIGRATIONS)
    log: list[Recorded] = field(default_factory=list)
    told: RolloutState | None = None
    since: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    rollout: str = ROLLOUT
    beside: list[Story] = field(default_factory=list)
    """Of one that takes another back: that one, and what took it back before."""
    undos: list[Story] = field(default_factory=list)

    @property
    def state(self) -> RolloutState:
        """The rollout as the log has it now."""
        assert self.told is not None
        return self.told

    @property
    def situation(self) -> DecisionContext:
        """What a decision would see now."""
        beside = tuple(one.state for one in self.beside)
        return DecisionContext(self.now, TERM, self.records.get, self.migrations, beside=beside)

    def append(self, event: Event, event_id: UUID | None = None, reason: str = "") -> None:
        """Record one event at the next position, in the stream where it belongs."""
        recorded = self._recorded(event, event_id, reason)
        self.told = fold(self.told, [recorded])

    def extend(self, events: Iterable[Event]) -> None:
        """Record many events and fold them at once."""
        self.told = fold(self.told, [self._recorded(event) for event in events])

    def _recorded(self, event: Event, event_id: UUID | None = None, reason: str = "") -> Recorded:
        decision = not isinstance(event, Report)
        stream = f"rollout-{self.rollout}" if decision else f"rollout-{self.rollout}/reports"
        self.versions[stream] = self.versions.get(stream, 0) + 1
        recorded = Recorded(
            position=len(self.log) + 1,
            stream=stream,
            stream_version=self.versions[stream],
            event_id=event_id or uuid5(NAMESPACE, f"{len(self.log)}"),
            event=event,
            metadata=Metadata(reason=reason or None),
            recorded_by="tests",
            recorded_at=self.now,
        )
        self.log.append(recorded)
        return recorded

    def say(self, sayings: Iterable[Saying]) -> None:
        """Append what these say, one after the other."""
        for saying in sayings:
            for event in saying(self):
                self.append(event)

    def conclude(self) -> None:
        """Append what follows until nothing does."""
        for _ in range(MOST_TURNS):
            events = progress(self.state, self.situation)
            if not events:
                return
            for decided in events:
                self.append(decided.event, decided.event_id)
        raise AssertionError("progress does not come to rest")

    def when(self, *sayings: Saying) -> Story:
        """This happens, and its consequences."""
        self.since = len(self.log)
        self.say(sayings)
        self.conclude()
        return self

    def later(self, seconds: float) -> Story:
        """Time passes, and what follows from that alone."""
        self.since = len(self.log)
        self.now += timedelta(seconds=seconds)
        self.conclude()
        return self

    def then(self, *sayings: Saying) -> Story:
        """Exactly this was recorded since."""
        log = self.log[: self.since]
        expected = replace(self, log=log, told=fold(None, log), records=dict(self.records))
        expected.versions = {recorded.stream: recorded.stream_version for recorded in log}
        expected.say(sayings)
        happened = [essence(recorded.event) for recorded in self.log[self.since :]]
        assert happened == [essence(said.event) for said in expected.log[self.since :]]
        return self

    def go_back(self, **options: object) -> Story:
        """A person has it taken back: the rollout that does so."""
        before = [undo.state for undo in self.undos]
        for event in requests.rollback(self.state, self.migrations, before):
            self.append(event)
        return self.undo(**options)

    def undo(self, **options: object) -> Story:
        """The rollout whose start this one has just heard of, planned and started."""
        said = self.last(UndoStarted)
        before = [undo.state for undo in self.undos]
        undo = Story(self.now, self.records, self.migrations, rollout=said.by)
        undo.beside = [self, *self.undos]
        chosen = undo_options(self.state.plan).model_copy(update=options)
        planned = plan_undo(self.state, said.by, chosen, self.migrations, len(self.log), before)
        for event in (*planned, RolloutStarted(rollout=said.by)):
            undo.append(event)
        undo.since = len(undo.log)
        self.undos.append(undo)
        return undo

    def fleet(self, database: str, status: FleetStatus) -> Story:
        """The fleet changes a database's status."""
        self.records[database] = replace(self.records[database], status=status)
        return self

    def database(self, database: str) -> DatabaseState:
        """One database's state."""
        return self.state.database(database)

    def last(self, kind: type[Kind]) -> Kind:
        """The latest event, which must be of this kind."""
        event = self.log[-1].event
        assert isinstance(event, kind)
        return event

    def status(self, database: str) -> str:
        """One database's status as a word."""
        return self.database(database).status.value


Saying = Callable[[Story], Iterable[Event]]


def given(*sayings: Saying, migrations: Mapping[str, MigrationRef] = MIGRATIONS) -> Story:
    """This was recorded before, and nothing followed from it yet."""
    story = Story(migrations=migrations)
    story.say(sayings)
    story.since = len(story.log)
    return story


def essence(event: Event) -> tuple[object, ...]:
    """What an event is about, without ids, times and the like."""
    names = ("database", "databases", "wave", "attempt", "verdict", "version", "why", "applied",
             "failed", "skipped", "by", "cancel", "reachable")  # fmt: skip
    return (type(event).__name__, *(getattr(event, name, None) for name in names))
