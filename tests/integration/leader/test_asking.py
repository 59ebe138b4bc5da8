"""What people ask of a busy rollout: recorded at the first try, honoured before the next order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.events import (
    MigrationOrdered,
    OutcomeResolved,
    RetryRequested,
    RolloutAborted,
    RolloutCompleted,
    RolloutPaused,
    RolloutPlanned,
    RolloutResumed,
    UndoStarted,
)
from ledger.contracts.reports import AttemptFinished, Event, JournalEntry
from ledger.domain.plan_digest import PlanOutdated
from ledger.domain.refusals import BusyDatabases, NothingToRetry, WrongStatus
from ledger.domain.rollback import UndoUnderWay
from ledger.service.request_context import RequestContext
from ledger.store.port import Batch
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.integration.store.conftest import cutting_proxy
from tests.support.house import (
    Actor,
    House,
    failures,
    finished,
    found,
    house_at,
    seen,
)
from tests.support.race import Race, names, two_of_three


async def pause(house: House, rollout: str) -> None:
    await house.ledger.rollouts.pause(rollout, RequestContext("stop"))


async def abort(house: House, rollout: str) -> None:
    await house.ledger.rollouts.abort(rollout, RequestContext("stop"))


async def cancel(house: House, rollout: str) -> None:
    await house.ledger.rollouts.abort(rollout, RequestContext("stop"), cancel=True)


async def roll_back(house: House, rollout: str) -> None:
    await house.roll_back(rollout)


BRAKES: dict[str, tuple[Callable[[House, str], Awaitable[None]], type[Event]]] = {
    "pause": (pause, RolloutPaused),
    "abort": (abort, RolloutAborted),
    "abort --cancel": (cancel, RolloutAborted),
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
        await race.was_run("MigrationOrdered")
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
                if isinstance(one, ApplyCommand) and one.order.mode is Mode.UP:
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
    doubt = Failure(kind=FailureClass.IN_DOUBT, message="nobody can tell")
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
        assert [word.version for word in again.order.resolutions] == ["1"]
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
    assert await house.events(RolloutResumed) == [], "a retry ends a halt by itself"


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
        log = away.stores.log

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
        race.before["UndoStarted"] = lambda: abort(house, rollout)
        await roll_back(house, rollout)
        assert race.refused == ["UndoStarted"]
        await house.at_least(1, UndoStarted)


async def test_one_that_ended_and_whose_databases_are_taken_does_not_go_back(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme", to_version="1")
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
        other = await house.start(select="id=acme")
        with pytest.raises(BusyDatabases, match=other):
            await roll_back(house, rollout)
    assert await house.events(UndoStarted) == []


async def test_a_rollback_that_was_shown_is_refused_when_the_rollout_has_gone_on(
    house: House,
) -> None:
    async with two_of_three(house) as (rollout, actor):
        plan = await house.ledger.rollouts.plan_rollback(rollout, RequestContext("back"))
        assert sorted(plan.databases) == ["acme", "bolt"]
        await actor.applies(await actor.ordered("acme"))
        await actor.ordered("crane")
        with pytest.raises(PlanOutdated, match="databases joined: crane"):
            await house.ledger.rollouts.start(plan)
        assert await house.events(UndoStarted) == []
        await pause(house, rollout)
        plan = await house.ledger.rollouts.plan_rollback(rollout, RequestContext("back"))
        undo = await house.ledger.rollouts.start(plan)
    assert (undo, sorted(plan.databases)) == (f"undo-{rollout}", ["acme", "bolt", "crane"])


async def test_of_many_who_roll_back_at_once_one_begins_and_the_others_are_told(
    house: House,
) -> None:
    async with two_of_three(house) as (rollout, _):
        await pause(house, rollout)
        answers_ = await asyncio.gather(
            *[house.roll_back(rollout) for _ in range(4)], return_exceptions=True
        )
    assert sorted(map(str, answers_))[-1] == f"undo-{rollout}"
    assert sum(isinstance(answer, UndoUnderWay) for answer in answers_) == 3
    assert len(await house.events(UndoStarted)) == 1


async def test_news_of_databases_does_not_outdate_a_rollback(house: House, race: Race) -> None:
    async with two_of_three(house) as (rollout, actor):
        await pause(house, rollout)
        plan = await house.ledger.rollouts.plan_rollback(rollout, RequestContext("back"))
        await actor.applies(await actor.ordered("acme"))
        await house.at_least(1, AttemptFinished)
        await house.ledger.rollouts.start(plan)
    assert len(await house.events(UndoStarted)) == 1


async def test_while_a_rollback_is_asked_for_nothing_more_is_ordered_or_it_is_in_it(
    house: House, race: Race
) -> None:
    async with two_of_three(house) as (rollout, actor):

        async def order_crane() -> None:
            await actor.applies(await actor.ordered("acme"))
            await house.at_least(3, MigrationOrdered)

        race.before["UndoStarted"] = order_crane
        with pytest.raises(PlanOutdated):
            await roll_back(house, rollout)
        assert race.refused == ["UndoStarted"]
        assert (await house.ledger.rollouts.course(rollout)).status == "running"


async def test_a_rollback_whose_answer_is_lost_is_started_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_of_three(house) as (rollout, _):
        await pause(house, rollout)
    async with cutting_proxy(house.url) as proxy, house_at(proxy.url, house.folder) as away:
        log = away.stores.log

        async def append_both(first: Batch, second: Batch, **given: Any) -> Any:
            proxy.deaf = True
            return await type(log).append_both(log, first, second, **given)

        monkeypatch.setattr(log, "append_both", append_both)
        undo = await away.roll_back(rollout)
    assert proxy.cut == 1
    assert len(await house.events(UndoStarted)) == 1
    planned = [one.event for one in await house.events(RolloutPlanned)]
    assert [getattr(one, "undoes", None) for one in planned] == [None, rollout]
    assert (await house.ledger.rollouts.course(undo)).status == "running"


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
