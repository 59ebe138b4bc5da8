"""Days on which every command may come again, whatever was said of it before, and to anybody."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from ledger.bus.port import Message
from ledger.contracts.events import Budget, MigrationOrdered, ReportContradicted
from ledger.contracts.reports import AttemptFinished
from ledger.domain.refusals import RequestRefusal
from ledger.domain.rollout import fold
from ledger.domain.states import ENDED, DatabaseStatus
from migrations.model.attempt import FailureClass, Verdict
from migrations.running.plan import begun_or_applied
from tests.simulation.test_bad_days import (
    FLEET,
    FOLDER,
    TABLES,
    Day,
    check_brakes,
    check_effects,
    check_reports,
    in_force,
    live_through,
)
from tests.support.manual_clock import simulate
from tests.support.simulated_house import WHY, SimulatedHouse

LATELY = 60
"""So many of the last messages come again more often than those before."""
NOT_DONE = (DatabaseStatus.FAILED, DatabaseStatus.PENDING)


class Echo:
    """Keeps every command that is published, to be sent once more."""

    def __init__(self, house: SimulatedHouse) -> None:
        self.sent: list[Message] = []
        self.append = house.broker.append
        house.broker.append = self._keep  # type: ignore[method-assign]

    def _keep(self, message: Message) -> None:
        self.append(message)
        if message.topic.startswith("ledger.commands"):
            self.sent.append(message)


@dataclass
class EchoingDay(Day):
    """Nobody is set back, so nobody has to be taken in again."""

    echo: Echo = field(init=False)

    def __post_init__(self) -> None:
        self.echo = Echo(self.house)

    def happenings(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What goes wrong, and as often something that comes again."""
        return (
            self.leader_changes, self.agent_changes, self.database_goes, self.clock_goes,
            self.comes_again, self.comes_again, self.comes_again,
            self.people_ask, self.people_ask, self.people_ask,
        )  # fmt: skip

    async def comes_again(self) -> None:
        """Up to six messages of the day, most of them late ones."""
        for _ in range(self.dice.randint(1, 6)):
            lately = self.dice.random() < 0.7
            sent = self.echo.sent[-LATELY:] if lately else self.echo.sent
            if sent:
                self.echo.append(self.dice.choice(sent))

    async def comes_to_its_end(self) -> None:
        """What is shown is what is there, and the next rollout goes on from it."""
        await self.rollouts_end()
        await self.house.clock.sleep(700.0)
        check_statuses(self.house)
        try:
            last = await self.house.start(*FOLDER, budget=Budget(percent=100.0))
            await self.house.until(last, lambda status: status.status in ENDED)
        except RequestRefusal:
            # All of them had everything before.
            pass
        for name in FLEET:
            assert in_force(self.house, name) == list(TABLES), name


def check_statuses(house: SimulatedHouse) -> None:
    """No rollout calls failed or pending what its database has by it."""
    recorded = house.events()
    for rollout in {one.event.rollout for one in house.events(MigrationOrdered)}:  # type: ignore[attr-defined]
        streams = (f"rollout-{rollout}", f"rollout-{rollout}/reports")
        state = fold(None, [one for one in recorded if one.stream in streams])
        assert state is not None
        steps = {step.version for step in state.plan.steps}
        for database in state.databases():
            record = house.engine.named(database.database).record("")
            ours = begun_or_applied(record.entries if record else (), (rollout,))
            if state.plan.undoes is None and database.status in NOT_DONE:
                assert not steps <= ours, database
                assert database.status is DatabaseStatus.FAILED or not ours, database


def check_nobody_looks_changed(house: SimulatedHouse) -> None:
    """No database is refused as another one: only this ledger has worked there."""
    for one in house.events(AttemptFinished):
        assert isinstance(one.event, AttemptFinished)
        failure = one.event.failure
        assert failure is None or failure.kind is not FailureClass.IDENTITY, one


@pytest.mark.parametrize("seed", [103, 108, 116, 121, 128, 141])
def test_a_command_that_comes_again_at_any_time_contradicts_nobody(seed: int) -> None:
    house = SimulatedHouse(seed)
    live_through(EchoingDay(house, random.Random(seed)))
    check_effects(house)
    check_brakes(house)
    check_reports(house)
    check_nobody_looks_changed(house)


@dataclass(frozen=True)
class Given:
    """What keeps the first delivery of a command from its work, and what mends that."""

    verdict: Verdict
    at_first: Callable[[SimulatedHouse], None]
    mended: Callable[[SimulatedHouse], None]


def _off(hours: int) -> Callable[[SimulatedHouse], None]:
    def turn(house: SimulatedHouse) -> None:
        house.engine.named("db0").off = timedelta(hours=hours)

    return turn


def _reachable(there: bool) -> Callable[[SimulatedHouse], None]:
    def turn(house: SimulatedHouse) -> None:
        house.engine.named("db0").reachable = there

    return turn


GIVEN = {
    "refused, for a clock": Given(Verdict.REFUSED, _off(1), _off(0)),
    "failed, for the database was away": Given(Verdict.FAILED, _reachable(False), _reachable(True)),
}


def _is_order(message: Message) -> bool:
    return any(b"MigrationOrdered" in value for name, value in message.headers if name == "ce_type")


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_what_a_later_delivery_did_is_known_and_goes_on(given: Given) -> None:
    house = SimulatedHouse()
    echo = Echo(house)

    async def main() -> None:
        await house.stores.initialise()
        await house.register("db0")
        async with house.at_work():
            before = await house.start(FOLDER[0])
            await house.becomes(before, "completed")
            echo.sent.clear()
            given.at_first(house)
            rollout = await house.start(*FOLDER[:3], expiry_s=900.0)
            await house.until(rollout, lambda status: len(house.events(AttemptFinished)) == 2)
            (_, last) = house.events(AttemptFinished)
            assert isinstance(last.event, AttemptFinished)
            assert last.event.verdict is given.verdict
            given.mended(house)
            echo.append(next(one for one in echo.sent if _is_order(one)))
            status = await house.becomes(rollout, "completed", "halted")
            if status.status == "halted":
                # A failure is a person's to let go on, whatever became of it since.
                await house.clock.sleep(60.0)
                check_statuses(house)
                await house.rollouts.resume(rollout, WHY)
                await house.becomes(rollout, "completed")
            again = await house.start(*FOLDER)
            await house.becomes(again, "completed")
            assert in_force(house, "db0") == list(TABLES)

    simulate(house.clock, main())
    assert not house.events(ReportContradicted)
    check_nobody_looks_changed(house)
    check_statuses(house)
