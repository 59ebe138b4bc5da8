"""Correcting the text of a migration: free while no database has it or may have it."""

from __future__ import annotations

import pytest

from ledger.contracts.events import BundleRegistered
from ledger.domain.folder_refusals import BaselineGap, ChangedMigration
from ledger.service.request_context import RequestContext
from migrations.model.attempt import Mode
from tests.support.house import House

ASKED = RequestContext("because")


ACME = "id=acme"


def correct(house: House) -> None:
    house.migration("1", comment="SELECT 1;")


async def abort(house: House, rollout: str) -> None:
    await house.ledger.rollouts.abort(rollout, ASKED)


async def test_a_text_that_was_registered_and_never_run_is_corrected_with_a_note(
    house: House,
) -> None:
    await house.ledger.bundles.register(house.folder, RequestContext())
    correct(house)

    plan = await house.ledger.rollouts.plan(house.request(select=ACME))

    assert any("1_change has another text" in note for note in plan.notes)
    await house.ledger.rollouts.start(plan)
    assert len(await house.events(BundleRegistered)) == 2


async def test_a_text_that_failed_everywhere_is_corrected_once_its_rollout_has_ended(
    house: House,
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select=ACME)
        await actor.fails(await actor.ordered("acme"))
        await house.becomes(rollout, "halted")
        correct(house)
        with pytest.raises(ChangedMigration, match="ledger rollout abort") as refused:
            await house.ledger.rollouts.plan(house.request(select=ACME))
        assert refused.value.holders == (f"rollout {rollout}",)

        await abort(house, rollout)

        again = await house.start(select=ACME)
        await actor.applies(await actor.ordered("acme", rollout=again))
        await house.becomes(again, "completed")


async def test_a_text_that_a_database_has_is_frozen_and_the_database_is_named(
    house: House,
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select=ACME)
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
    correct(house)

    with pytest.raises(ChangedMigration, match="in acme;") as refused:
        await house.ledger.rollouts.plan(house.request(select=ACME))

    assert refused.value.holders == ("acme",)
    with pytest.raises(ChangedMigration):
        await house.ledger.bundles.register(house.folder, RequestContext())


async def test_a_text_that_was_rolled_back_everywhere_is_corrected(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select=ACME)
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
        back = await house.roll_back(rollout)
        await actor.applies(await actor.ordered("acme", Mode.ROLLBACK))
        await house.becomes(back, "completed")
    correct(house)

    assert (await house.ledger.rollouts.plan(house.request(select=ACME))).databases == ("acme",)


async def test_an_order_that_is_still_at_work_after_an_abort_freezes_its_text(
    house: House,
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select=ACME)
        await actor.ordered("acme")
        await abort(house, rollout)
        correct(house)

        with pytest.raises(ChangedMigration):
            await house.ledger.rollouts.plan(house.request(select=ACME))


async def test_a_database_that_left_the_fleet_freezes_nothing(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select=ACME)
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
    await house.ledger.fleet.retire("acme", ASKED)
    correct(house)

    plan = await house.ledger.rollouts.plan(house.request(select="id=bolt"))
    assert plan.databases == ("bolt",)


async def test_a_baseline_that_leaves_a_gap_in_a_database_is_refused_by_name(
    house: House,
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select=ACME)
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
    for name in ("1_change.sql", "2_change.sql"):
        (house.folder / name).unlink()
    base = house.folder / "9_base.sql"
    base.write_text("-- +migrate Baseline through=3\nCREATE TABLE all_of_it (id int);\n")
    house.migration("4")

    with pytest.raises(BaselineGap, match="acme lacks 3 of B3_base"):
        await house.ledger.rollouts.plan(house.request(select=ACME))

    base.write_text("-- +migrate Baseline through=2\nCREATE TABLE all_of_it (id int);\n")
    plan = await house.ledger.rollouts.plan(house.request(select=ACME))
    assert [ref.version for ref in plan.steps] == ["4"]
    assert not [note for note in plan.notes if "not in the folder" in note]
