"""Days on which everything happens: faults, people who ask at once, backups that are restored."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from ledger.contracts.events import (
    Budget,
    MigrationOrdered,
    ReportContradicted,
    RetryRequested,
    RolloutAborted,
    RolloutHalted,
    RolloutPaused,
    RolloutResumed,
    WhenSpent,
)
from ledger.contracts.reports import AttemptFinished
from ledger.domain.refusals import RequestRefusal
from ledger.domain.states import ENDED
from ledger.errors import AnotherLeader, LedgerError, Overtaken, VersionConflict
from migrations.model.attempt import FailureClass
from migrations.running.plan import applied_versions
from tests.support.engine_places import migration
from tests.support.manual_clock import simulate
from tests.support.simulated_house import WHY, SimulatedAgent, SimulatedHouse, SimulatedLeader

FLEET = tuple(f"db{number}" for number in range(6))
TABLES = {"001": "users", "002": "groups", "003": "items", "004": "notes"}
FOLDER = tuple(
    migration(
        version,
        f"CREATE TABLE {name} (id int)",
        f"SELECT pg_sleep({seconds})",
        down=f"DROP TABLE {name}",
    )
    for (version, name), seconds in zip(TABLES.items(), (2, 8, 0.5, 20), strict=True)
)
LOST = (VersionConflict, Overtaken)
"""How nobody's request may end, however busy its rollout is."""
STOPS = (RolloutPaused, RolloutHalted, RolloutAborted)
GOES_ON = (RolloutResumed, RetryRequested)


@dataclass
class Day:
    """A house, who is at work in it, and what may happen next."""

    house: SimulatedHouse
    dice: random.Random
    leader: SimulatedLeader | None = None
    agents: list[SimulatedAgent] = field(default_factory=list)
    backups: dict[str, list[Any]] = field(default_factory=dict)
    rollout: str = ""

    async def passes(self) -> None:
        """Forty things happen; then all is mended, and everything has to come to its end."""
        self.leader, self.agents = self.house.lead(), [self.house.work() for _ in range(2)]
        if self.dice.random() < 0.5:
            await self.house.becomes(await self.house.start(*FOLDER[:2]), "completed")
        self.rollout = await self._start()
        for _ in range(40):
            await self.house.clock.sleep(self.dice.choice([0.0, 0.3, 4.0, 30.0, 90.0]))
            await self.dice.choice(self.happenings())()
            check_effects(self.house)
        await self.all_is_mended()
        await self.comes_to_its_end()

    def happenings(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What may happen, each as often as it stands here."""
        return (
            self.leader_changes, self.agent_changes, self.database_goes, self.clock_goes,
            self.backup, self.restore, self.people_ask, self.people_ask, self.people_ask,
        )  # fmt: skip

    async def _start(self) -> str:
        return await self.house.start(
            *FOLDER[: self.dice.randint(3, 4)],
            wave_spec=self.dice.choice(["rest", "1,rest", "2,2,rest"]),
            in_flight=self.dice.randint(1, 6),
            budget=Budget(count=self.dice.choice([0, 1, 3])),
            when_spent=self.dice.choice([WhenSpent.HALT, WhenSpent.HALT, WhenSpent.ROLLBACK]),
            expiry_s=self.dice.choice([20.0, 300.0]),
            deadline_s=self.dice.choice([60.0, 600.0]) + 300.0,
        )

    # --- what goes wrong ---

    async def leader_changes(self) -> None:
        """It dies, with or without another one, or comes back."""
        if self.leader is not None:
            await self.leader.dies()
            self.leader = None
        if self.dice.random() < 0.7:
            self.leads()

    def leads(self) -> None:
        """Somebody leads, if nobody does."""
        if self.leader is None or self.leader.task.done():
            try:
                self.leader = self.house.lead()
            except AnotherLeader:
                return

    async def agent_changes(self) -> None:
        """One joins, and one dies."""
        if len(self.agents) < 3:
            self.agents.append(self.house.work())
        if self.dice.random() < 0.6:
            await self.agents.pop(self.dice.randrange(len(self.agents))).dies()

    async def database_goes(self) -> None:
        """One cannot be reached, or can again."""
        one = self.house.engine.named(self.dice.choice(FLEET))
        one.reachable = not one.reachable

    async def clock_goes(self) -> None:
        """The clock of a server is wrong, or right again."""
        one = self.house.engine.named(self.dice.choice(FLEET))
        one.off = self.dice.choice([timedelta(), timedelta(hours=1), timedelta(hours=-1)])

    async def backup(self) -> None:
        """One is saved as it is."""
        name = self.dice.choice(FLEET)
        one = self.house.engine.named(name)
        self.backups.setdefault(name, []).append(
            (set(one.tables), deepcopy(one.journals), one.uuid, one.owner)
        )

    async def restore(self) -> None:
        """One is set back, while nobody is at work there, and somebody says so."""
        name = self.dice.choice(FLEET)
        one = self.house.engine.named(name)
        if one.held:
            return
        kept = self.dice.choice([*self.backups.get(name, []), (set(), {}, None, "")])
        one.tables, one.journals, one.uuid, one.owner = deepcopy(kept)
        await self.ask(self.house.fleet.reinstate(name, WHY))

    async def people_ask(self) -> None:
        """Up to four ask for something in one moment."""
        rollouts, now = self.house.rollouts, self.rollout
        unfinished = await self.house.stores.reads.unfinished_rollouts()
        if unfinished:
            now = self.dice.choice(unfinished)
        requests: list[Callable[[], Awaitable[object]]] = [
            lambda: rollouts.pause(now, WHY),
            lambda: rollouts.resume(now, WHY),
            lambda: rollouts.retry(now, [], WHY),
            lambda: rollouts.retry(now, [self.dice.choice(FLEET)], WHY),
            lambda: rollouts.resolve(now, self.dice.choice(FLEET), "001", applied=False, asked=WHY),
            self._next,
        ]
        if self.dice.random() < 0.2:
            cancel = self.dice.random() < 0.5
            requests += [
                lambda: rollouts.abort(now, WHY, cancel=cancel),
                lambda: self.house.undo(now),
            ]
        several = [self.dice.choice(requests)() for _ in range(self.dice.randint(1, 4))]
        await asyncio.gather(*[self.ask(one) for one in several])

    async def _next(self) -> None:
        self.rollout = await self._start()

    async def ask(self, request: Awaitable[object]) -> None:
        """A request may be refused, and never lose a race."""
        try:
            await request
        except LOST:
            raise
        except (RequestRefusal, LedgerError):
            pass

    # --- what comes of it ---

    async def all_is_mended(self) -> None:
        """Everybody is there and well."""
        for name in FLEET:
            one = self.house.engine.named(name)
            one.reachable, one.off = True, timedelta()
        self.leads()
        while len(self.agents) < 2:
            self.agents.append(self.house.work())

    async def rollouts_end(self) -> None:
        """All that were begun, by somebody who lets them go on."""
        house, reads = self.house, self.house.stores.reads
        for _ in range(200):
            await house.clock.sleep(60.0)
            unfinished = list(await reads.unfinished_rollouts())
            if not unfinished:
                break
            for one in unfinished:
                course = await house.rollouts.course(one)
                if course.status == "paused" or course.status == "halted":
                    await self.ask(house.rollouts.resume(one, WHY))
        assert not await reads.unfinished_rollouts(), "they end"

    async def comes_to_its_end(self) -> None:
        """Rollouts end, whoever was set back is taken in, and everybody gets everything."""
        house = self.house
        await self.rollouts_end()
        for _ in range(3):
            for name in FLEET:
                await house.fleet.reinstate(name, WHY)
            await house.clock.sleep(600.0)
            try:
                last = await house.start(*FOLDER, budget=Budget(percent=100.0))
            except RequestRefusal:
                break
            await house.until(last, lambda status: status.status in ENDED)
        for name in FLEET:
            assert in_force(house, name) == list(TABLES), name


def in_force(house: SimulatedHouse, name: str) -> list[str]:
    """What the journal of a database says is applied."""
    record = house.engine.named(name).record("")
    return sorted(applied_versions(record.entries if record else ()))


def check_effects(house: SimulatedHouse) -> None:
    """A database has what its journal says, and nothing without what comes before it."""
    for name in FLEET:
        versions = in_force(house, name)
        assert {TABLES[one] for one in versions} == house.engine.named(name).tables
        assert versions == list(TABLES)[: len(versions)], f"{name} has {versions}"


def check_brakes(house: SimulatedHouse) -> None:
    """No order follows what stops a rollout, until it goes on."""
    stopped: dict[str, str] = {}
    for one in house.events(*STOPS, *GOES_ON, MigrationOrdered):
        if isinstance(one.event, STOPS):
            stopped[one.stream] = type(one.event).__name__
        elif isinstance(one.event, GOES_ON):
            stopped.pop(one.stream, None)
        else:
            assert one.stream not in stopped, (one.position, stopped[one.stream])


def check_reports(house: SimulatedHouse) -> None:
    """Nobody contradicts himself, and nothing is a defect."""
    assert not house.events(ReportContradicted)
    for one in house.events(AttemptFinished):
        assert isinstance(one.event, AttemptFinished)
        failure = one.event.failure
        assert failure is None or failure.kind is not FailureClass.INTERNAL, failure


def live_through(day: Day) -> None:
    """Let a day pass, with a fleet, and end who is at work in it."""
    house = day.house

    async def main() -> None:
        await house.stores.initialise()
        await house.register(*FLEET)
        try:
            await day.passes()
        finally:
            for one in day.agents:
                await one.dies()
            if day.leader is not None:
                await day.leader.dies()

    simulate(house.clock, main())


@pytest.mark.parametrize("seed", [2, 8, 17, 24])
def test_whatever_happens_brakes_grip_and_all_comes_to_a_good_end(seed: int) -> None:
    house = SimulatedHouse(seed)
    live_through(Day(house, random.Random(seed)))
    check_effects(house)
    check_brakes(house)
    check_reports(house)
