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
    MigrationOrdered,
    UndoStarted,
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
from tests.support.spec import ROLLOUT, Story, given, planned

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
        self.inbox: list[tuple[Story, int, MigrationOrdered | InspectionOrdered]] = []
        self.late: list[tuple[Story, Event]] = []
        self.read: dict[str, int] = {}
        self.orders = 0
        self.fences: dict[str, int] = {}
        """The latest order that a database let in: no earlier one gets in any more."""

    @property
    def stories(self) -> list[Story]:
        """The rollout, and those that take it back."""
        return [self.story, *self.story.undos]

    @property
    def course(self) -> Story:
        """The one that has not ended, or the last one."""
        return self.stories[-1]

    def step(self) -> None:
        """Something happens, then the ledger concludes, then everything is checked."""
        happening = self.chance.choice([self._agents, self._agents, self._time, self._people])
        (self._agents if self.calm else happening)()
        if self.calm:
            self._pass(30)
        self._conclude()
        for story in self.stories:
            self._take_orders(story)
            self._check(story)

    def _conclude(self) -> None:
        for story in self.stories:
            story.conclude()
            if isinstance(story.log[-1].event, UndoStarted) and not story.undos:
                story.undo().conclude()

    def _take_orders(self, story: Story) -> None:
        for recorded in story.log[self.read.get(story.rollout, 0) :]:
            event = recorded.event
            if not isinstance(event, (MigrationOrdered, InspectionOrdered)):
                continue
            self.orders += 1
            if self.calm or self.chance.random() < 0.9:
                self.inbox.append((story, self.orders, event))
        self.read[story.rollout] = len(story.log)

    def _time(self) -> None:
        self._pass(self.chance.choice([1, 20, 75, 700]))

    def _pass(self, seconds: int) -> None:
        for story in self.stories:
            story.now += timedelta(seconds=seconds)

    def _agents(self) -> None:
        self.chance.shuffle(self.inbox)
        for _ in range(min(len(self.inbox), 3)):
            story, number, order = self.inbox.pop()
            for report in self._answer(number, order):
                if self.calm or self.chance.random() < 0.8:
                    story.append(report)
                else:
                    self.late.append((story, report))
        if self.late and (self.calm or self.chance.random() < 0.5):
            story, report = self.late.pop(self.chance.randrange(len(self.late)))
            story.append(report)

    def _answer(self, number: int, order: MigrationOrdered | InspectionOrdered) -> list[Event]:
        if isinstance(order, InspectionOrdered):
            return [self._look(order.database, order.command)]
        if number < self.fences.get(order.database, 0):
            return [self._end(order, Verdict.REFUSED, "stale_epoch")]
        if order.expires_at < self.story.now:
            return [self._end(order, Verdict.EXPIRED)]
        self.fences[order.database] = number
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

    def _work(self, order: MigrationOrdered) -> list[Event]:
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
        return [*reports, self._end(order, Verdict.DONE, changed=len(reports))]

    def _end(
        self, order: MigrationOrdered, verdict: Verdict, kind: str = "", changed: int = 0
    ) -> AttemptFinished:
        return AttemptFinished(
            database=order.database,
            command=order.command,
            attempt=order.attempt,
            mode=order.mode,
            verdict=verdict,
            changed=changed,
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
        state = self.course.state
        name = self.chance.choice(list(self.journals))
        asks: list[Request] = [
            lambda: requests.pause(state),
            lambda: requests.resume(state),
            lambda: requests.retry(state, None, self.story.records),
            lambda: requests.retry(state, [name], self.story.records),
            lambda: requests.resolve(state, name, "1", applied=True),
            self._go_back,
            self._suspend_or_reinstate(name),
        ]
        self.ask(self.chance.choice(asks))

    def _go_back(self) -> tuple[Event, ...]:
        if self.chance.random() < 0.1:
            self.story.go_back()
        return ()

    def _suspend_or_reinstate(self, name: str) -> Request:
        def change() -> tuple[Event, ...]:
            active = self.chance.random() < 0.7
            self.story.fleet(name, FleetStatus.ACTIVE if active else FleetStatus.SUSPENDED)
            return ()

        return change

    def _resolve(self, name: str) -> Request:
        return lambda: requests.resolve(self.course.state, name, "1", applied=False)

    def ask(self, request: Request) -> None:
        with suppress(RequestRefusal):
            for event in request():
                self.course.append(event)

    def _check(self, story: Story) -> None:
        state = story.state
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
            state = self.course.state
            if state.status is Status.COMPLETED:
                return
            for known in list(state.databases()):
                if known.status is DatabaseStatus.BLOCKED:
                    self.ask(self._resolve(known.database))
            if state.status is Status.PAUSED:
                self.ask(lambda: requests.resume(self.course.state))
            if state.status is Status.HALTED:
                self.ask(lambda: requests.retry(self.course.state, None, self.story.records))
                self.ask(lambda: requests.resume(self.course.state))
            self.step()
