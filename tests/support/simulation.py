"""A simulated world for a rollout: agents, databases and people that misbehave as chance has it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from random import Random
from uuid import UUID

from ledger.contracts.events import (
    Budget,
    InspectionOrdered,
    Ordered,
    WhenSpent,
)
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    DatabaseInspected,
    Event,
    JournalEntry,
    MigrationApplied,
    MigrationRolledBack,
)
from ledger.domain import requests
from ledger.domain.fleet import FleetStatus
from ledger.domain.refusals import RequestRefusal
from ledger.domain.rollout import DatabaseStatus, Status
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.support.spec import MIGRATIONS, ROLLOUT, given, planned

Request = Callable[[], tuple[Event, ...]]

PATIENCE = 400
"""Quiet steps in which a rollout must come to its end when agents answer."""


class World:
    """Agents and databases that misbehave as `chance` has it; the journals are the truth."""

    def __init__(self, chance: Random, waves: list[list[str]], in_flight: int) -> None:
        self.chance = chance
        self.in_flight = in_flight
        self.calm = False
        self.story = given(
            planned(
                *waves,
                in_flight=in_flight,
                budget=Budget(count=chance.choice([0, 1, 3])),
                when_spent=chance.choice(list(WhenSpent)),
            )
        )
        self.journals: dict[str, set[str]] = {name: set() for wave in waves for name in wave}
        self.inbox: list[Ordered | InspectionOrdered] = []
        self.late: list[Event] = []
        self.read = 0

    def step(self) -> None:
        """Something happens, then the ledger concludes, then everything is checked."""
        happening = self.chance.choice([self._agents, self._agents, self._time, self._people])
        (self._agents if self.calm else happening)()
        if self.calm:
            self.story.now += timedelta(seconds=30)
        self.story.conclude()
        self._take_orders()
        self._check()

    def _take_orders(self) -> None:
        for recorded in self.story.log[self.read :]:
            event = recorded.event
            if isinstance(event, (Ordered, InspectionOrdered)) and (
                self.calm or self.chance.random() < 0.9
            ):
                self.inbox.append(event)
        self.read = len(self.story.log)

    def _time(self) -> None:
        self.story.now += timedelta(seconds=self.chance.choice([1, 20, 75, 700]))

    def _agents(self) -> None:
        self.chance.shuffle(self.inbox)
        for _ in range(min(len(self.inbox), 3)):
            for report in self._answer(self.inbox.pop()):
                if self.calm or self.chance.random() < 0.8:
                    self.story.append(report)
                else:
                    self.late.append(report)
        if self.late and (self.calm or self.chance.random() < 0.5):
            self.story.append(self.late.pop(self.chance.randrange(len(self.late))))

    def _answer(self, order: Ordered | InspectionOrdered) -> list[Event]:
        if isinstance(order, InspectionOrdered):
            return [self._look(order.database, order.command)]
        if order.expires_at < self.story.now:
            return [self._end(order, Verdict.EXPIRED)]
        reports: list[Event] = [
            AttemptStarted(
                database=order.database,
                command=order.command,
                attempt=order.attempt,
                mode=order.mode,
            )
        ]
        if not self.calm and self.chance.random() < 0.2:
            return reports
        return [*reports, *self._work(order)]

    def _work(self, order: Ordered) -> list[Event]:
        journal = self.journals[order.database]
        reports: list[Event] = []
        for step in order.steps:
            if not self.calm and self.chance.random() < 0.1:
                kind = self.chance.choice(["sql", "in_doubt"])
                return [*reports, self._end(order, Verdict.FAILED, kind)]
            body = {
                "database": order.database, "command": order.command, "version": step.version,
                "checksum": step.checksum, "duration_ms": 1, "statements": 1,
            }  # fmt: skip
            if order.mode is Mode.UP:
                journal.add(step.version)
                reports.append(MigrationApplied.model_validate(body))
            elif step.version in journal:
                journal.discard(step.version)
                reports.append(MigrationRolledBack.model_validate(body))
        return [*reports, self._end(order, Verdict.DONE)]

    def _end(self, order: Ordered, verdict: Verdict, kind: str = "") -> AttemptFinished:
        return AttemptFinished(
            database=order.database,
            command=order.command,
            attempt=order.attempt,
            mode=order.mode,
            verdict=verdict,
            changed=len(order.steps) if verdict is Verdict.DONE else 0,
            journal_head="head",
            failure=Failure(kind=FailureClass(kind), message=kind) if kind else None,
        )

    def _look(self, database: str, command: UUID) -> DatabaseInspected:
        if not self.calm and self.chance.random() < 0.3:
            return DatabaseInspected(database=database, command=command, reachable=False)
        entries = tuple(
            JournalEntry(
                version=version, state="applied", direction="up", rollout=ROLLOUT,
                command=command, checksum="x", finished_at=None,
            )
            for version in sorted(self.journals[database])
        )  # fmt: skip
        return DatabaseInspected(
            database=database, command=command, reachable=True, entries=entries
        )

    def _people(self) -> None:
        state = self.story.state
        name = self.chance.choice(list(self.journals))
        asks: list[Request] = [
            lambda: requests.pause(state),
            lambda: requests.resume(state),
            lambda: requests.retry(state, None, self.story.records),
            lambda: requests.resolve(state, name, "1", applied=True),
            lambda: requests.rollback(state, MIGRATIONS) if self.chance.random() < 0.1 else (),
            self._suspend_or_reinstate(name),
        ]
        self.ask(self.chance.choice(asks))

    def _suspend_or_reinstate(self, name: str) -> Request:
        def change() -> tuple[Event, ...]:
            active = self.chance.random() < 0.7
            self.story.fleet(name, FleetStatus.ACTIVE if active else FleetStatus.SUSPENDED)
            return ()

        return change

    def _resolve(self, name: str) -> Request:
        return lambda: requests.resolve(self.story.state, name, "1", applied=False)

    def ask(self, request: Request) -> None:
        with suppress(RequestRefusal):
            for event in request():
                self.story.append(event)

    def _check(self) -> None:
        state = self.story.state
        open_ = [known for known in state.databases() if known.open]
        assert len(open_) <= self.in_flight
        assert set(state.active) == {known.database for known in state.databases() if known.active}
        assert set(state.again) == {known.database for known in state.databases() if known.again}
        assert state.counted == sum(known.counts for known in state.databases())
        for status in DatabaseStatus:
            found = sum(known.status is status for known in state.databases())
            assert state.count(status) == found

    def settle(self) -> None:
        """Everybody behaves from now on: agents answer, people answer what waits for them."""
        self.calm = True
        for name in self.journals:
            self.story.fleet(name, FleetStatus.ACTIVE)
        for _ in range(PATIENCE):
            state = self.story.state
            if state.status in (Status.COMPLETED, Status.ROLLED_BACK):
                return
            for known in list(state.databases()):
                if known.status is DatabaseStatus.BLOCKED:
                    self.ask(self._resolve(known.database))
            if state.status is Status.PAUSED:
                self.ask(lambda: requests.resume(self.story.state))
            if state.status is Status.HALTED:
                self.ask(lambda: requests.retry(self.story.state, None, self.story.records))
                self.ask(lambda: requests.resume(self.story.state))
            self.step()
