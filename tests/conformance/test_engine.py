"""What every engine does: the databases in memory and a real PostgreSQL keep the same promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from migrations.engine import PostgresEngine
from migrations.model.attempt import Epoch, Expectation, FailureClass, Mode, Resolution, Verdict
from migrations.model.clocks import ComparedClock
from migrations.model.work import Silence, StepResult
from migrations.target.entries import Said, genesis, next_head
from migrations.target.session import ConnectionSettings
from tests.fixtures.postgres import FreshDatabase
from tests.support.engine_places import (
    LEDGER,
    PATIENT,
    EnginePlace,
    Hearing,
    MemoryEnginePlace,
    Orders,
    PostgresEnginePlace,
    migration,
    table,
)
from tests.support.manual_clock import SeededChance
from tests.support.memory_engine import MemoryEngine
from tests.support.patience import PATIENCE_S

USERS, GROUPS = table("001", "users"), table("002", "groups")
BROKEN = migration("002", "CREATE TABLE half (id int)", "SELECT 1/0", down="SELECT 1")
SLOW = migration("001", "CREATE TABLE slow (id int)", "SELECT pg_sleep(0.6)", down="SELECT 1")
ENDLESS = migration("001", "CREATE TABLE slow (id int)", "SELECT pg_sleep(600)", down="SELECT 1")


@pytest.fixture
def memory_engine() -> EnginePlace:
    """Return an empty database in memory."""
    settings = ConnectionSettings("db.internal", 5432, "acme", "app", allow_plaintext=True)
    return MemoryEnginePlace(MemoryEngine(SYSTEM_CLOCK, SeededChance()), settings)


@pytest.fixture
async def postgres_engine(fresh_database: FreshDatabase) -> EnginePlace:
    """Return an empty database of a real server, entered by an ordinary login."""
    engine = PostgresEngine(SYSTEM_CLOCK, SYSTEM_CHANCE)
    return PostgresEnginePlace(engine, await fresh_database())


@pytest.fixture(params=["memory", "postgres"])
def place(request: pytest.FixtureRequest) -> EnginePlace:
    """An engine with one empty database, by each adapter."""
    found: EnginePlace = request.getfixturevalue(f"{request.param}_engine")
    return found


@pytest.fixture
def orders(place: EnginePlace) -> Orders:
    """Work on it."""
    return Orders(place)


async def until_begun(hearing: Hearing) -> None:
    """Return when a statement has run."""
    async with asyncio.timeout(PATIENCE_S):
        await hearing.begun.wait()


async def test_what_is_applied_is_there_with_its_entry_and_is_reported(orders: Orders) -> None:
    outcome = await orders.up(USERS, GROUPS)
    assert (outcome.verdict, outcome.failure) == (Verdict.DONE, None)
    assert [step.result for step in outcome.steps] == [StepResult.APPLIED] * 2
    assert orders.hearing.finished == list(outcome.steps)
    assert orders.hearing.statements == ["001 1/1", "002 1/1"]
    assert orders.hearing.first_contacts == [True]
    assert await orders.place.tables() == {"users", "groups"}
    assert await orders.place.journal() == [
        ("001", "up", 0, "applied"),
        ("002", "up", 0, "applied"),
    ]
    assert await orders.place.sessions() == 0


async def test_a_failure_leaves_neither_effect_nor_success_and_ends_the_work(
    orders: Orders,
) -> None:
    outcome = await orders.up(USERS, BROKEN, table("003", "later"))
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.sqlstate) == (FailureClass.SQL, "22012")
    assert (outcome.failure.file, outcome.failure.line) == ("002_m.sql", 3)
    assert [step.result for step in outcome.steps] == [StepResult.APPLIED, StepResult.FAILED]
    assert await orders.place.tables() == {"users"}
    assert await orders.place.journal() == [("001", "up", 0, "applied"), ("002", "up", 0, "failed")]


async def test_the_same_command_again_finds_what_it_did_and_does_it_no_second_time(
    orders: Orders,
) -> None:
    work = orders.work(Mode.UP, USERS, BROKEN)
    first = await orders.do(work)
    again = await orders.do(work)
    assert [step.result for step in again.steps] == [step.result for step in first.steps]
    assert [step.recovered for step in again.steps] == [True, True]
    assert again.journal_head == first.journal_head
    assert orders.hearing.statements == ["001 1/1", "002 1/2"]


async def test_a_later_command_skips_what_is_applied(orders: Orders) -> None:
    first = await orders.up(USERS)
    expectation = Expectation(first.identity, first.journal_head)
    second = await orders.up(USERS, GROUPS, rollout="rollout-2", expectation=expectation)
    assert [step.result for step in second.steps] == [StepResult.SKIPPED, StepResult.APPLIED]
    assert second.identity == first.identity
    assert orders.hearing.first_contacts == [True, False]


async def test_an_overtaken_command_is_refused_and_changes_nothing(orders: Orders) -> None:
    late = orders.work(Mode.UP, GROUPS)
    await orders.up(USERS)
    before = await orders.place.journal()
    outcome = await orders.do(late)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.FENCE
    assert (await orders.place.journal(), await orders.place.tables()) == (before, {"users"})


async def test_work_that_has_nothing_to_do_moves_the_fence(orders: Orders) -> None:
    await orders.up(USERS)
    late = orders.work(Mode.UP, GROUPS)
    assert (await orders.up(USERS)).verdict is Verdict.DONE
    assert (await orders.do(late)).verdict is Verdict.REFUSED


@pytest.mark.parametrize("what", ["head", "identity", "owner", "forged epoch"])
async def test_another_database_than_the_expected_one_is_refused(orders: Orders, what: str) -> None:
    first = await orders.up(USERS)
    assert first.identity is not None
    other = replace(first.identity, system_identifier="7")
    changes: dict[str, dict[str, Any]] = {
        "head": {"expectation": Expectation(first.identity, "0" * 64)},
        "identity": {"expectation": Expectation(other, first.journal_head)},
        "owner": {"owner": "ledger-2"},
        "forged epoch": {"epoch": Epoch(9_000_000, 1)},
    }
    changed = changes[what]
    if what == "forged epoch":
        await orders.up(USERS, **changed)
        changed = {}
    before = await orders.place.journal()
    outcome = await orders.up(GROUPS, **changed)
    assert outcome.verdict is Verdict.REFUSED
    assert (await orders.place.journal(), await orders.place.tables()) == (before, {"users"})


@pytest.mark.parametrize("ours", [True, False], ids=["the same rollout", "another one"])
async def test_work_that_the_ledger_was_not_told_of_is_no_strangers_if_it_is_the_rollouts_own(
    orders: Orders, ours: bool
) -> None:
    first = await orders.up(USERS, rollout="rollout-2")
    known = Expectation(first.identity, first.journal_head)
    # Another delivery of an earlier order of it went on, after that was answered.
    await orders.up(GROUPS, rollout="rollout-2")
    later = table("003", "items")
    rollout = "rollout-2" if ours else "rollout-3"
    outcome = await orders.up(later, rollout=rollout, expectation=known)
    assert (outcome.verdict is Verdict.DONE) is ours
    assert ("items" in await orders.place.tables()) is ours


async def test_what_takes_a_rollout_back_meets_its_work_of_which_the_ledger_was_not_told(
    orders: Orders,
) -> None:
    first = await orders.up(USERS, rollout="rollout-2")
    known = Expectation(first.identity, first.journal_head)
    await orders.up(GROUPS, rollout="rollout-2")
    back = orders.work(
        Mode.ROLLBACK, GROUPS, USERS, rollout="back", undoes="rollout-2", expectation=known
    )
    assert (await orders.do(back)).verdict is Verdict.DONE
    assert not await orders.place.tables()


async def test_what_may_not_begin_any_more_changes_nothing_and_what_has_begun_goes_on(
    orders: Orders,
) -> None:
    refused = await orders.do(orders.work(Mode.UP, USERS), may_begin=lambda: False)
    assert refused.failure is not None
    assert refused.failure.kind is FailureClass.EXPIRED
    assert (await orders.place.journal(), await orders.place.tables()) == ([], set())
    work = orders.work(Mode.UP, USERS)
    await orders.do(work)
    again = await orders.do(work, may_begin=lambda: False)
    assert again.verdict is Verdict.DONE


async def test_work_on_one_target_is_done_by_one_at_a_time(orders: Orders) -> None:
    first = asyncio.create_task(orders.do(orders.work(Mode.UP, SLOW)))
    await until_begun(orders.hearing)
    other = Orders(orders.place, position=10)
    second = await other.do(other.work(Mode.UP, SLOW, GROUPS), PATIENT)
    assert (await first).verdict is Verdict.DONE
    assert [step.result for step in second.steps][1:] == [StepResult.APPLIED]
    assert any("lock" in one for one in other.hearing.waits)
    assert other.hearing.statements == ["002 1/1"]


async def test_whoever_waits_too_long_for_the_lock_fails_and_changes_nothing(
    orders: Orders,
) -> None:
    first = asyncio.create_task(orders.do(orders.work(Mode.UP, SLOW)))
    await until_begun(orders.hearing)
    other = Orders(orders.place, position=10)
    second = await other.up(GROUPS)
    assert second.verdict is Verdict.FAILED
    assert second.failure is not None
    assert (second.failure.kind, second.steps) == (FailureClass.LOCK_TIMEOUT, ())
    assert (await first).verdict is Verdict.DONE
    assert await orders.place.tables() == {"slow"}


async def test_a_cancelled_command_leaves_nothing_but_its_word(orders: Orders) -> None:
    work = orders.work(Mode.UP, ENDLESS)
    running = asyncio.create_task(orders.do(work))
    await until_begun(orders.hearing)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (said,) = orders.hearing.finished
    assert said.failure is not None
    assert said.failure.kind is FailureClass.CANCELLED
    assert await orders.place.tables() == set()
    assert await orders.place.journal() == [("001", "up", 0, "failed")]
    assert await orders.place.sessions() == 0
    assert (await orders.up(USERS)).verdict is Verdict.DONE


async def test_a_rollback_undoes_what_its_rollout_applied_and_no_more(orders: Orders) -> None:
    await orders.up(USERS)
    await orders.up(GROUPS, rollout="rollout-2")
    work = orders.work(Mode.ROLLBACK, GROUPS, USERS, rollout="rollout-2")
    outcome = await orders.do(work)
    assert [(one.version, one.result) for one in outcome.steps] == [("002", StepResult.ROLLED_BACK)]
    assert await orders.place.tables() == {"users"}
    again = await orders.do(orders.work(Mode.ROLLBACK, GROUPS, rollout="rollout-2"))
    assert (again.verdict, again.steps) == (Verdict.DONE, ())


async def test_going_down_undoes_what_is_applied_and_refuses_what_cannot_be(
    orders: Orders,
) -> None:
    await orders.up(USERS, migration("002", "CREATE TABLE groups (id int)"))
    stuck = await orders.do(
        orders.work(Mode.DOWN, migration("002", "CREATE TABLE groups (id int)"), USERS)
    )
    assert stuck.failure is not None
    assert stuck.failure.kind is FailureClass.IRREVERSIBLE
    assert await orders.place.tables() == {"users", "groups"}
    down = await orders.do(orders.work(Mode.DOWN, USERS))
    assert [one.result for one in down.steps] == [StepResult.ROLLED_BACK]
    assert await orders.place.tables() == {"groups"}


async def test_a_persons_word_is_written_and_believed(orders: Orders) -> None:
    await orders.up(GROUPS)
    word = Resolution("001", applied=True, reason="done by hand")
    outcome = await orders.up(USERS, GROUPS, resolutions=(word,))
    assert outcome.verdict is Verdict.DONE
    assert await orders.place.tables() == {"groups"}
    assert ("001", "resolve", 0, "applied") in await orders.place.journal()


async def test_a_changed_text_is_refused(orders: Orders) -> None:
    await orders.up(USERS)
    outcome = await orders.up(table("001", "people"))
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.CHECKSUM
    assert await orders.place.tables() == {"users"}


async def test_a_look_finds_what_the_journal_holds(orders: Orders) -> None:
    place = orders.place
    before = await place.engine.inspect(place.settings, "")
    assert (before.reachable, before.failure, before.identity) == (True, None, None)
    outcome = await orders.up(USERS, BROKEN)
    found = await place.engine.inspect(place.settings, "")
    assert found.identity == outcome.identity
    assert (found.journal_head, found.owner) == (outcome.journal_head, LEDGER)
    assert found.epoch == Epoch(1, orders.position)
    assert [(one.migration, one.state.value) for one in found.entries] == [
        ("001", "applied"),
        ("002", "failed"),
    ]
    assert list(found.latest) == ["001"]
    assert found.place is not None
    assert before.place == found.place


async def test_the_journal_is_chained_from_the_databases_id(orders: Orders) -> None:
    place = orders.place
    await orders.up(USERS, BROKEN)
    await orders.do(orders.work(Mode.ROLLBACK, USERS))
    found = await place.engine.inspect(place.settings, "")
    assert found.record is not None
    head = genesis(found.record.database_uuid, "")
    assert len(found.record.entries) == 4
    for entry in found.record.entries:
        head = next_head(head, Said(entry.command, entry.rollout, LEDGER, entry.epoch), entry)
        assert entry.head == head
    assert found.journal_head == head


async def test_a_look_at_rest_waits_for_whoever_is_at_work(orders: Orders) -> None:
    place, hearing = orders.place, Hearing()
    work = asyncio.create_task(orders.do(orders.work(Mode.UP, SLOW)))
    await until_begun(orders.hearing)
    found = await place.engine.inspect_at_rest(place.settings, "", hearing)
    assert "001" in found.latest
    assert hearing.waits
    assert (await work).verdict is Verdict.DONE


async def test_where_nobody_answers_is_an_outcome(orders: Orders) -> None:
    engine, nowhere = orders.place.engine, orders.place.nowhere
    limits = replace(PATIENT, retry_for_s=0.5)
    outcome = await engine.run(nowhere, orders.work(Mode.UP, USERS), limits, orders.hearing)
    assert (outcome.verdict, outcome.identity) == (Verdict.FAILED, None)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.UNAVAILABLE
    assert orders.hearing.waits
    assert all(wait.startswith("to connect again, after ") for wait in orders.hearing.waits)
    found = await engine.inspect(nowhere, "")
    assert not found.reachable
    at_rest = await engine.inspect_at_rest(nowhere, "", Silence())
    assert at_rest.failure is not None
    assert at_rest.failure.kind is FailureClass.UNAVAILABLE


async def test_where_the_clocks_are_apart_nothing_is_begun(orders: Orders) -> None:
    ahead = ComparedClock(lambda: datetime.now(UTC) + timedelta(hours=2), "our clock")
    outcome = await orders.up(USERS, clock=ahead)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.CLOCK
    assert await orders.place.tables() == set()
    found = await orders.place.engine.inspect(orders.place.settings, "", ahead)
    assert found.clocks is not None


async def test_what_other_tools_left_is_nothing_here(orders: Orders) -> None:
    place = orders.place
    assert await place.engine.histories(place.settings, "", None) == ()
