"""Applying, skipping, undoing; failures that are kept; what an order may not do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

from migrations.inspection import inspect
from migrations.model.attempt import Epoch, Mode, Resolution, Verdict
from migrations.model.work import OutsideChange, StepResult
from tests.integration.migrations.world import (
    World,
    expecting,
    migration,
    overtaking,
    smuggled,
    users,
)

EMAIL = migration("002", "ALTER TABLE users ADD email text", "ALTER TABLE users DROP email")
BROKEN = migration("002", "ALTER TABLE users ADD a int;\nSELECT 1/0", "SELECT 1")


async def test_migrations_are_applied_in_order_and_journalled(world: World) -> None:
    outcome = await world.up(users(), EMAIL)
    assert outcome.verdict is Verdict.DONE
    assert [step.result for step in outcome.steps] == [StepResult.APPLIED] * 2
    assert await world.journal() == [("001", "up", 0, "applied"), ("002", "up", 0, "applied")]
    assert world.hearing.statements == ["1/1 CREATE TABLE users", "1/1 ALTER TABLE users"]


async def test_the_same_command_again_repeats_its_report(world: World) -> None:
    work = world.work(Mode.UP, users())
    first = await world.do(work)
    again = await world.do(work)
    assert again.steps[0].recovered
    assert not first.steps[0].recovered
    assert again.steps[0].duration_ms == first.steps[0].duration_ms
    assert again.journal_head == first.journal_head


async def test_what_another_rollout_applied_is_skipped_and_not_rolled_back(world: World) -> None:
    await world.up(users(), rollout="other")
    outcome = await world.up(users(), EMAIL)
    assert [step.result for step in outcome.steps] == [StepResult.SKIPPED, StepResult.APPLIED]
    undone = await world.rollback(users(), EMAIL)
    assert [(step.version, step.result) for step in undone.steps] == [
        ("002", StepResult.ROLLED_BACK)
    ]
    assert await world.has("users")


async def test_a_rollback_with_nothing_to_undo_is_done_without_steps(world: World) -> None:
    outcome = await world.rollback(users())
    assert (outcome.verdict, outcome.steps) == (Verdict.DONE, ())


async def test_down_undoes_whoever_applied(world: World) -> None:
    await world.up(users(), rollout="other")
    outcome = await world.do(world.work(Mode.DOWN, users()))
    assert outcome.steps[0].result is StepResult.ROLLED_BACK
    assert not await world.has("users")


async def test_a_migration_without_down_stops_the_whole_rollback(world: World) -> None:
    final = migration("001", "CREATE TABLE users (id int)", None)
    await world.up(final, EMAIL)
    outcome = await world.rollback(final, EMAIL)
    assert outcome.failure is not None
    assert outcome.failure.kind == "irreversible"
    assert (
        await world.value(
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"
        )
        == 2
    )


async def test_a_failed_migration_leaves_nothing_and_is_journalled(world: World) -> None:
    outcome = await world.up(users(), BROKEN, migration("003", "SELECT 1"))
    assert outcome.verdict is Verdict.FAILED
    assert [step.result for step in outcome.steps] == [StepResult.APPLIED, StepResult.FAILED]
    failure = outcome.failure
    assert failure is not None
    assert (failure.sqlstate, failure.line, failure.file) == ("22012", 3, "002_m.sql")
    assert await world.journal() == [("001", "up", 0, "applied"), ("002", "up", 0, "failed")]
    assert (
        await world.value(
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"
        )
        == 1
    )


async def test_a_failure_is_repeated_to_its_command_and_tried_again_by_a_new_one(
    world: World,
) -> None:
    await world.up(users())
    broken = migration("002", "SELECT 1 / count(*) FROM users")
    work = world.work(Mode.UP, broken)
    await world.do(work)
    await world.execute("INSERT INTO users VALUES (1)")
    repeated = await world.do(work)
    assert (repeated.steps[0].result, repeated.steps[0].recovered) == (StepResult.FAILED, True)
    assert (await world.up(broken)).verdict is Verdict.DONE


async def test_a_changed_up_section_is_refused_before_anything_runs(world: World) -> None:
    await world.up(users())
    changed = migration("001", "CREATE TABLE users (id bigint)")
    early = migration("000", "CREATE TABLE early ()")
    outcome = await world.up(early, changed, out_of_order=True)
    assert outcome.failure is not None
    assert outcome.failure.kind == "checksum"
    assert not await world.has("early")


async def test_a_changed_down_section_is_only_noted(world: World) -> None:
    await world.up(users(), rollout="other")
    changed = migration("001", "CREATE TABLE users (id int)", "DROP TABLE IF EXISTS users")
    outcome = await world.up(changed)
    assert outcome.steps[0].result is StepResult.SKIPPED
    assert "down section has changed" in outcome.steps[0].note


async def test_a_verify_section_that_does_not_hold_undoes_the_migration(world: World) -> None:
    outcome = await world.up(users(verify="SELECT count(*) > 0 FROM users"))
    assert outcome.failure is not None
    assert outcome.failure.kind == "verify"
    assert not await world.has("users")


async def test_a_verify_section_without_a_row_does_not_hold(world: World) -> None:
    outcome = await world.up(users(verify="SELECT true FROM users"))
    assert outcome.failure is not None
    assert "no row" in outcome.failure.message


async def test_an_order_older_than_the_last_one_is_refused(world: World) -> None:
    late = world.work(Mode.UP, users())
    await world.rollback(users())
    outcome = await world.do(late)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "fence"
    assert not await world.has("users")


async def test_every_attempt_commits_its_epoch_whatever_came_of_it(world: World) -> None:
    await world.up(users(), epoch=Epoch(1, 10))
    for work in (
        world.work(Mode.UP, users(), epoch=Epoch(1, 20)),
        world.work(Mode.UP, BROKEN, epoch=Epoch(1, 30)),
        world.work(Mode.ROLLBACK, EMAIL, epoch=Epoch(2, 1)),
    ):
        await world.do(work)
        assert (await inspect(world.settings)).epoch == work.epoch


async def test_an_order_overtaken_in_the_middle_of_its_transaction_is_refused(
    world: World,
) -> None:
    other = await overtaking(world)
    outcome = await world.up(smuggled(EMAIL, EMAIL.up.statements[0].text, other))
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "fence"
    assert (
        await world.value(
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"
        )
        == 1
    )


async def test_another_database_is_refused(world: World) -> None:
    first = await world.up(users())
    await world.execute("UPDATE migration_ledger.journal SET database_uuid = gen_random_uuid()")
    outcome = await world.up(EMAIL, expectation=expecting(first))
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "identity"


async def test_a_database_that_lost_history_is_refused(world: World) -> None:
    await world.up(users())
    known = expecting(await world.up(EMAIL))
    await world.execute("DELETE FROM migration_ledger.journal WHERE migration = '002'")
    outcome = await world.up(migration("003", "SELECT 1"), expectation=known)
    assert outcome.verdict is Verdict.REFUSED


async def test_a_redelivered_command_meets_its_own_entries_behind_the_expected_head(
    world: World,
) -> None:
    known = expecting(await world.up(users()))
    work = world.work(Mode.UP, EMAIL, expectation=known)
    await world.do(work)
    again = await world.do(work)
    assert again.verdict is Verdict.DONE
    assert again.steps[0].recovered


async def test_a_database_without_the_expected_journal_is_refused_untouched(
    world: World,
) -> None:
    elsewhere = await world.up(users())
    await world.execute("DROP SCHEMA migration_ledger CASCADE")
    outcome = await world.up(EMAIL, expectation=expecting(elsewhere))
    assert outcome.verdict is Verdict.REFUSED
    assert not await world.has("migration_ledger.journal")


async def test_another_ledgers_database_is_refused(world: World) -> None:
    await world.up(users())
    outcome = await world.up(EMAIL, owner="ledger-2")
    assert outcome.verdict is Verdict.REFUSED


async def test_work_outside_the_ledger_needs_leave_and_is_told_at_the_next_contact(
    world: World,
) -> None:
    known = expecting(await world.up(users()))
    by_hand = world.work(Mode.UP, EMAIL, owner="", rollout="", reason="hotfix 7", epoch=Epoch(0, 0))
    assert (await world.do(by_hand)).verdict is Verdict.REFUSED
    assert (await world.do(by_hand, outside=True)).verdict is Verdict.DONE
    outcome = await world.up(EMAIL, expectation=known)
    assert outcome.steps[0].result is StepResult.SKIPPED
    (change,) = outcome.outside
    assert isinstance(change, OutsideChange)
    assert (change.version, change.reason) == ("002", "hotfix 7")


async def test_a_role_owns_what_the_migration_makes_and_the_journal_stays_ours(
    world: World,
) -> None:
    made = migration("001", "CREATE TABLE users (id int)")
    options = replace(made.up.options, role=world.owner)
    with_role = replace(made, up=replace(made.up, options=options))
    assert (await world.up(with_role)).verdict is Verdict.DONE
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'users'"
    assert await world.value(owner) == world.owner


async def test_settings_of_one_migration_do_not_reach_the_next(world: World) -> None:
    leak = migration("001", f"SET work_mem = '1MB';\nSET ROLE {world.owner}")
    check = migration(
        "002",
        "SELECT 1",
        verify="SELECT current_setting('work_mem') <> '1MB' AND current_user = session_user",
    )
    assert (await world.up(leak, check)).verdict is Verdict.DONE


async def test_a_target_is_a_schema_with_its_own_journal_in_the_same_database(
    world: World,
) -> None:
    await world.execute("CREATE SCHEMA a; CREATE SCHEMA b")
    first = await world.up(users(), target="a")
    second = await world.up(users(), target="b")
    assert await world.has("a.users")
    assert await world.has("b.users")
    assert first.identity == second.identity
    assert first.journal_head != second.journal_head


async def test_schemas_that_are_met_at_once_agree_who_the_database_is(world: World) -> None:
    names = [f"tenant_{number}" for number in range(8)]
    await world.execute(";".join(f"CREATE SCHEMA {name}" for name in names))
    outcomes = await asyncio.gather(*(world.up(users(), target=name) for name in names))
    assert {outcome.verdict for outcome in outcomes} == {Verdict.DONE}
    assert len({outcome.identity for outcome in outcomes}) == 1


async def test_a_person_settles_what_is_in_doubt(world: World) -> None:
    outcome = await world.up(smuggled(users(), "CREATE TABLE users (id int)", "COMMIT"))
    assert outcome.failure is not None
    assert outcome.failure.kind == "in_doubt"
    stuck = await world.up(users())
    assert stuck.failure is not None
    assert stuck.failure.kind == "in_doubt"
    word = Resolution("001", applied=True, reason="looked: the table is there")
    settled = await world.up(users(), resolutions=(word,))
    assert settled.verdict is Verdict.DONE
    assert (await world.journal())[-1] == ("001", "resolve", 0, "applied")
    assert not (await world.rollback(users())).failure
    assert not await world.has("users")


async def test_an_order_for_nothing_is_done(world: World) -> None:
    outcome = await world.do(world.work(Mode.UP, command=uuid4()))
    assert (outcome.verdict, outcome.steps) == (Verdict.DONE, ())
