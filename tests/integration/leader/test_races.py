"""Who wins when the conductor, agents and people write at once: the log's order, and always people.

A test gets between a decision and its append: what it does there is in the log before the append,
and nobody who decided has heard of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import Metadata, Recorded, encode, report_id
from ledger.contracts.events import (
    AttemptTimedOut,
    InspectionOrdered,
    MigrationOrdered,
    OutcomeResolved,
    RetryRequested,
    RollbackOrdered,
    RollbackStarted,
    RolloutAborted,
    RolloutCompleted,
    RolloutHalted,
    RolloutPaused,
    RolloutResumed,
    WaveOpened,
)
from ledger.contracts.registry import FailureDetail, Mode
from ledger.contracts.reports import (
    AttemptFinished,
    CommandRefused,
    Event,
    JournalEntry,
    MigrationFailed,
    Report,
    Verdict,
)
from ledger.domain.outcomes import IN_DOUBT
from ledger.domain.refusals import BusyDatabases, NothingToRetry, WrongStatus
from ledger.errors import Overtaken, VersionConflict
from ledger.service.request_context import RequestContext
from tests.integration.store.conftest import cutting_proxy
from tests.support.house import (
    Actor,
    House,
    answers,
    failures,
    finished,
    found,
    house_at,
    seen,
)

Meanwhile = Callable[[], Awaitable[None]]
ORDERS = (MigrationOrdered, RollbackOrdered, InspectionOrdered)


@dataclass
class Race:
    """Gets between decisions and their appends.

    `before` names event types, and what to do once before the first append that holds one.
    """

    house: House
    before: dict[str, Meanwhile] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    asked: int = 0

    async def report(self, rollout: str, *reports: Report) -> None:
        """Put reports into the log, as an intake does, and tell nobody."""
        encoded = [encode(one, report_id(one), Metadata(agent="actor")) for one in reports]
        await self.append(f"rollout-{rollout}/reports", encoded, skip_known=True)

    async def append(self, stream: str, events: Sequence[Any], **given: Any) -> Any:
        """The append of the log, which a test does not get between."""
        return await type(self.house.ledger.log).append(
            self.house.ledger.log, stream, events, **given
        )


@pytest.fixture
def race(house: House, monkeypatch: pytest.MonkeyPatch) -> Race:
    """Return a race on the house's log."""
    racing = Race(house)

    async def append(stream: str, events: Sequence[Any], **given: Any) -> Any:
        types = {event.type for event in events}
        decided = given.get("premise") is not None
        racing.asked += decided and given.get("term") is None
        for type_ in types & racing.before.keys() if decided else ():
            meanwhile = racing.before.pop(type_)
            await meanwhile()
            racing.done.append(type_)
        try:
            return await racing.append(stream, events, **given)
        except (Overtaken, VersionConflict):
            racing.refused += sorted(types)
            raise

    monkeypatch.setattr(house.ledger.log, "append", append)
    return racing


def refusal(command: ApplyCommand) -> CommandRefused:
    """An agent that does not begin."""
    failure = FailureDetail(kind="fence", message="no")
    return CommandRefused(database=command.database, command=command.command, failure=failure)


def names(recorded: Sequence[Recorded]) -> list[str]:
    """The databases that these are about."""
    return [getattr(one.event, "database", "") for one in recorded]


async def orders_behind(house: House, turn: type[Event]) -> list[str]:
    """Whom something was ordered of after the first event of this type."""
    (first, *_) = await house.events(turn)
    return names([one for one in await house.events(*ORDERS) if one.position > first.position])


@asynccontextmanager
async def two_of_three(house: House, **changes: object) -> AsyncIterator[tuple[str, Actor]]:
    """A rollout with acme and bolt in hand while crane waits for a place."""
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=2, **changes)
        await actor.commands(2)
        yield rollout, actor


ENDS = {
    "its last word alone": lambda command: [failures(command)[-1]],
    "all of it": failures,
    "a refusal": lambda command: [refusal(command), finished(command, Verdict.REFUSED)],
}


@pytest.mark.parametrize("reports", ENDS.values(), ids=ENDS.keys())
async def test_a_failure_that_nobody_has_heard_of_halts_before_the_next_order(
    house: House, race: Race, reports: Callable[[ApplyCommand], list[Report]]
) -> None:
    async with two_of_three(house) as (rollout, actor):
        bolt = await actor.ordered("bolt")
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *reports(bolt))
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "halted")
    assert race.refused == ["MigrationOrdered"]
    assert sorted(names(await house.events(MigrationOrdered))) == ["acme", "bolt"]


async def test_while_the_last_word_on_a_failure_is_missing_nothing_is_ordered(
    house: House, race: Race
) -> None:
    async with two_of_three(house) as (rollout, actor):
        bolt = await actor.ordered("bolt")
        first, last = failures(bolt)[:-1], failures(bolt)[-1]
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *first)
        await actor.applies(await actor.ordered("acme"))
        await house.at_least(1, AttemptFinished)
        await house.at_least(1, MigrationFailed)
        await actor.say(f"rollout-{rollout}", last)
        await house.becomes(rollout, "halted")
    assert await orders_behind(house, MigrationFailed) == []


async def test_a_failure_that_is_no_failure_in_the_end_lets_it_go_on(
    house: House, race: Race
) -> None:
    async with two_of_three(house) as (rollout, actor):
        bolt = await actor.ordered("bolt")
        first = failures(bolt)[:-1]
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *first)
        await actor.applies(await actor.ordered("acme"))
        await house.at_least(1, MigrationFailed)
        await actor.say(f"rollout-{rollout}", finished(bolt, Verdict.CANCELLED))
        await actor.ordered("bolt", attempt=2)
        await actor.ordered("crane")


async def test_failures_that_the_budget_bears_do_not_hold_anything_up(
    house: House, race: Race
) -> None:
    async with two_of_three(house, budget="1") as (rollout, actor):
        bolt = await actor.ordered("bolt")
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *failures(bolt))
        await actor.applies(await actor.ordered("acme"))
        await actor.applies(await actor.ordered("crane"))
        await house.becomes(rollout, "completed")
    assert (race.done, race.refused) == (["MigrationOrdered"], [])


async def test_a_budget_that_several_spend_together_is_spent(house: House, race: Race) -> None:
    more = [f"d{number}" for number in range(8)]
    await house.register(*more)
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=5, budget="2")
        (first, *others) = [one for one in await actor.commands(5) if isinstance(one, ApplyCommand)]

        async def three_fail() -> None:
            for one in others[:3]:
                await race.report(rollout, *failures(one))

        race.before["MigrationOrdered"] = three_fail
        await actor.applies(first)
        await house.becomes(rollout, "halted")
    assert race.refused == ["MigrationOrdered"]
    assert len(await house.events(MigrationOrdered)) == 5


async def test_what_only_makes_room_never_holds_an_order_up(house: House, race: Race) -> None:
    async with two_of_three(house) as (rollout, actor):
        bolt = await actor.ordered("bolt")
        race.before["MigrationOrdered"] = lambda: race.report(rollout, *answers(bolt))
        await actor.applies(await actor.ordered("acme"))
        await actor.applies(await actor.ordered("crane"))
        await house.becomes(rollout, "completed")
    assert (race.done, race.refused) == (["MigrationOrdered"], [])


async def test_failures_of_another_rollout_are_its_own(house: House, race: Race) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=1)
        acme = await actor.ordered("acme")
        await house.register("dune")
        other = await house.start(select="id=dune")
        dune = await actor.ordered("dune")
        race.before["MigrationOrdered"] = lambda: race.report(other, *failures(dune))
        await actor.applies(acme)
        for database in ("bolt", "crane"):
            await actor.applies(await actor.ordered(database))
        await house.becomes(rollout, "completed")
        await house.becomes(other, "halted")
    assert race.refused == []


async def test_a_stray_word_on_an_attempt_that_has_ended_stops_nothing(
    house: House, race: Race
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(waves="1,rest")
        acme = await actor.ordered("acme")
        race.before["WaveOpened"] = lambda: race.report(rollout, refusal(acme))
        await actor.applies(acme)
        await actor.commands(3)
    assert race.done == ["WaveOpened"]
    assert len(await house.events(WaveOpened)) == 2
    assert await house.events(RolloutHalted) == []


async def test_an_answer_that_nobody_has_heard_of_is_no_time_out(house: House, race: Race) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme", expiry_s=0.5, deadline_s=1.0)
        acme = await actor.ordered("acme")
        race.before["AttemptTimedOut"] = lambda: race.report(rollout, *answers(acme))
        await house.becomes(rollout, "completed")
    assert race.refused == ["AttemptTimedOut"]
    assert await house.events(AttemptTimedOut) == []


async def test_a_late_answer_that_nobody_has_heard_of_spares_the_look(
    house: House, race: Race
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme", expiry_s=0.5, deadline_s=1.0)
        acme = await actor.ordered("acme")
        race.before["InspectionOrdered"] = lambda: race.report(rollout, *answers(acme))
        await house.becomes(rollout, "completed")
    assert "InspectionOrdered" in race.refused
    assert await house.events(InspectionOrdered) == []


# --- what people ask ---


async def pause(house: House, rollout: str) -> None:
    await house.ledger.rollouts.pause(rollout, RequestContext("stop"))


async def abort(house: House, rollout: str) -> None:
    await house.ledger.rollouts.abort(rollout, RequestContext("stop"))


async def cancel(house: House, rollout: str) -> None:
    await house.ledger.rollouts.abort(rollout, RequestContext("stop"), cancel=True)


async def roll_back(house: House, rollout: str) -> None:
    await house.ledger.rollouts.rollback(rollout, RequestContext("back"))


BRAKES: dict[str, tuple[Callable[[House, str], Awaitable[None]], type[Event]]] = {
    "pause": (pause, RolloutPaused),
    "abort": (abort, RolloutAborted),
    "abort --cancel": (cancel, RolloutAborted),
    "rollback": (roll_back, RollbackStarted),
}


@pytest.mark.parametrize(("ask", "turn"), BRAKES.values(), ids=BRAKES.keys())
async def test_a_request_is_recorded_at_the_first_try_and_no_order_follows_it(
    house: House,
    race: Race,
    ask: Callable[[House, str], Awaitable[None]],
    turn: type[Event],
) -> None:
    async with two_of_three(house) as (rollout, actor):
        race.before["MigrationOrdered"] = lambda: ask(house, rollout)
        await actor.applies(await actor.ordered("acme"))
        await house.at_least(1, turn)
        if turn is RollbackStarted:
            await actor.ordered("acme", Mode.ROLLBACK, attempt=2)
        else:
            await actor.applies(await actor.ordered("bolt"))
            await house.at_least(2, AttemptFinished)
    assert race.refused == ["MigrationOrdered"]
    assert race.asked == 1
    assert sorted(names(await house.events(MigrationOrdered))) == ["acme", "bolt"]


@pytest.mark.parametrize(("ask", "turn"), BRAKES.values(), ids=BRAKES.keys())
async def test_a_request_never_loses_to_a_conductor_that_orders_all_the_time(
    house: House,
    race: Race,
    ask: Callable[[House, str], Awaitable[None]],
    turn: type[Event],
) -> None:
    many = [f"d{number:03}" for number in range(120)]
    for database in many:
        await house.register(database)

    async def work(actor: Actor) -> None:
        told = 0
        while True:
            await actor.hear()
            for one in actor.heard[told:]:
                if isinstance(one, ApplyCommand) and one.mode is Mode.UP:
                    await actor.applies(one)
            told = len(actor.heard)
            await asyncio.sleep(0)

    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=4)
        working = asyncio.create_task(work(actor))
        try:
            await house.at_least(12, MigrationOrdered)
            await ask(house, rollout)
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
    assert race.asked == 1
    (turned,) = await house.events(turn)
    later = [one for one in await house.events(MigrationOrdered) if one.position > turned.position]
    assert later == []


async def test_a_retry_beside_the_conductor_is_recorded_at_the_first_try(
    house: House, race: Race
) -> None:
    async with two_of_three(house, budget="3") as (rollout, actor):
        acme, bolt = await actor.ordered("acme"), await actor.ordered("bolt")

        async def retry() -> None:
            await house.ledger.rollouts.retry(rollout, (), RequestContext("data fixed"))

        race.before["MigrationOrdered"] = retry
        await actor.fails(bolt)
        await actor.ordered("bolt", attempt=2)
        assert race.refused == ["MigrationOrdered"]
        assert race.asked == 1
        await actor.applies(acme)
        (asked,) = await house.events(RetryRequested)
        assert isinstance(asked.event, RetryRequested)
        assert asked.event.databases == ("bolt",)


async def test_a_word_beside_the_conductor_is_recorded_at_the_first_try(
    house: House, race: Race
) -> None:
    doubt = FailureDetail(kind=IN_DOUBT, message="nobody can tell")
    async with two_of_three(house) as (rollout, actor):
        acme, bolt = await actor.ordered("acme"), await actor.ordered("bolt")
        await actor.say(bolt.stream, finished(bolt, Verdict.FAILED, failure=doubt))
        await house.at_least(1, AttemptFinished)

        async def resolve() -> None:
            await house.ledger.rollouts.resolve(
                rollout, "bolt", "1", applied=False, asked=RequestContext("seen")
            )

        race.before["MigrationOrdered"] = resolve
        await actor.applies(acme)
        again = await actor.ordered("bolt", attempt=2)
        assert [word.version for word in again.resolutions] == ["1"]
    assert race.refused == ["MigrationOrdered"]
    assert race.asked == 1
    assert len(await house.events(OutcomeResolved)) == 1


async def test_a_request_that_the_end_came_before_is_refused_as_such(
    house: House, race: Race
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        acme = await actor.ordered("acme")

        async def it_ends() -> None:
            await actor.applies(acme)
            await house.at_least(1, RolloutCompleted)

        race.before["RolloutPaused"] = it_ends
        with pytest.raises(WrongStatus, match="completed"):
            await pause(house, rollout)
    assert race.refused == ["RolloutPaused"]
    assert await house.events(RolloutPaused) == []


async def test_a_resume_after_a_second_halt_forgives_both(house: House, race: Race) -> None:
    async with two_of_three(house) as (rollout, actor):
        acme, bolt = await actor.ordered("acme"), await actor.ordered("bolt")
        await actor.fails(acme)
        await house.becomes(rollout, "halted")
        race.before["RolloutResumed"] = lambda: race.report(rollout, *failures(bolt))
        await house.ledger.rollouts.resume(rollout, RequestContext("never mind"))
        await actor.applies(await actor.ordered("crane"))
        await house.becomes(rollout, "completed")
    assert race.refused == []


async def test_who_is_answered_for_meanwhile_is_not_tried_again(house: House, race: Race) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme", expiry_s=0.5, deadline_s=1.0)
        await actor.ordered("acme")
        look = await actor.looked_at("acme")
        entries = [
            JournalEntry(
                version=version,
                state="applied",
                direction="up",
                rollout=rollout,
                command=look.command,
                checksum="c" * 64,
                finished_at=None,
            )
            for version in ("1", "2")
        ]
        race.before["RetryRequested"] = lambda: race.report(rollout, seen(look, entries))
        with pytest.raises((NothingToRetry, WrongStatus)):
            await house.ledger.rollouts.retry(rollout, ["acme"], RequestContext())
    assert race.refused == ["RetryRequested"]
    assert await house.events(RetryRequested) == []


async def test_news_of_others_does_not_delay_a_retry(house: House, race: Race) -> None:
    async with two_of_three(house, budget="3") as (rollout, actor):
        acme, bolt = await actor.ordered("acme"), await actor.ordered("bolt")
        await actor.fails(bolt)
        await actor.ordered("crane")
        race.before["RetryRequested"] = lambda: race.report(rollout, *failures(acme))
        await house.ledger.rollouts.retry(rollout, ["bolt"], RequestContext())
        await actor.ordered("bolt", attempt=2)
    assert race.asked == 1
    assert race.refused == []


PAIRS = {
    "two pauses": (pause, pause, RolloutPaused),
    "two aborts": (abort, cancel, RolloutAborted),
    "two rollbacks": (roll_back, roll_back, RollbackStarted),
}


@pytest.mark.parametrize(("one", "other", "turn"), PAIRS.values(), ids=PAIRS.keys())
async def test_of_two_who_ask_the_same_at_once_the_second_is_told(
    house: House,
    race: Race,
    one: Callable[[House, str], Awaitable[None]],
    other: Callable[[House, str], Awaitable[None]],
    turn: type[Event],
) -> None:
    async with two_of_three(house) as (rollout, _):
        race.before[turn.__name__] = lambda: one(house, rollout)
        with pytest.raises(WrongStatus):
            await other(house, rollout)
    assert race.refused == [turn.__name__]
    assert len(await house.events(turn)) == 1


async def test_of_two_who_ask_for_one_retry_the_second_is_told(house: House, race: Race) -> None:
    async with two_of_three(house, budget="0") as (rollout, actor):
        await actor.fails(await actor.ordered("bolt"))
        await house.becomes(rollout, "halted")

        async def retry() -> None:
            await house.ledger.rollouts.retry(rollout, ["bolt"], RequestContext("fixed"))

        race.before["RetryRequested"] = retry
        with pytest.raises(NothingToRetry):
            await retry()
    assert len(await house.events(RetryRequested)) == 1
    assert len(await house.events(RolloutResumed)) == 1


async def test_a_pause_and_an_abort_at_once_both_hold(house: House, race: Race) -> None:
    async with two_of_three(house) as (rollout, _):
        race.before["RolloutAborted"] = lambda: pause(house, rollout)
        await abort(house, rollout)
    assert race.refused == ["RolloutAborted"]
    assert (await house.ledger.rollouts.course(rollout)).status == "aborted"


async def test_many_who_ask_at_once_are_each_answered(house: House) -> None:
    async with two_of_three(house) as (rollout, _):
        answers_ = await asyncio.gather(
            *[pause(house, rollout) for _ in range(8)], return_exceptions=True
        )
    assert sum(answer is None for answer in answers_) == 1
    assert all(answer is None or isinstance(answer, WrongStatus) for answer in answers_)
    assert len(await house.events(RolloutPaused)) == 1


async def test_a_request_whose_answer_is_lost_is_recorded_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = await house.start()
    async with cutting_proxy(house.url) as proxy, house_at(proxy.url, house.folder) as away:
        log = away.ledger.log

        async def append(stream: str, events: Sequence[Any], **given: Any) -> Any:
            proxy.deaf = True
            return await type(log).append(log, stream, events, **given)

        monkeypatch.setattr(log, "append", append)
        await pause(away, rollout)
    assert proxy.cut == 1
    assert len(await house.events(RolloutPaused)) == 1


async def test_one_that_ended_while_its_rollback_was_asked_for_goes_back_if_it_is_free(
    house: House, race: Race
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        await actor.ordered("acme")
        race.before["RollbackStarted"] = lambda: abort(house, rollout)
        await roll_back(house, rollout)
        assert race.refused == ["RollbackStarted"]
        await house.at_least(1, RollbackStarted)


async def test_one_that_ended_and_whose_databases_are_taken_does_not_go_back(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme", to_version="1")
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
        other = await house.start(select="id=acme")
        with pytest.raises(BusyDatabases, match=other):
            await roll_back(house, rollout)
    assert await house.events(RollbackStarted) == []


async def test_the_only_unfinished_rollout_is_known_before_anybody_projects(house: House) -> None:
    first = await house.start(select="id=acme")
    assert await house.ledger.rollouts.current() == first
    await abort(house, first)
    second = await house.start(select="id=bolt")
    assert await house.ledger.rollouts.current() == second
    assert await house.ledger.rollouts.find(first[:6]) == first


async def test_what_a_rollout_is_now_is_told_without_its_databases(house: House) -> None:
    async with two_of_three(house) as (rollout, _):
        await pause(house, rollout)

        async def paused() -> bool | None:
            course = await house.ledger.rollouts.course(rollout)
            return course.status == "paused" or None

        await found(paused, "it is paused")
        listed = await house.ledger.rollouts.listed(rollout)
    assert listed.databases == 3
