"""Plans, bundles and changes of the fleet, asked for by several people at once."""

from __future__ import annotations

import asyncio

import pytest

from ledger.contracts.events import BundleRegistered, DatabaseSuspended
from ledger.domain.folder_refusals import ChangedMigration
from ledger.domain.refusals import EmptySelection, OutOfOrder
from ledger.errors import NoSuchRollout, SeveralRollouts
from ledger.service.request_context import RequestContext
from tests.support.house import House

CONTENT = "SELECT count(*) FROM ledger.content"


async def test_a_plan_of_a_folder_that_is_not_registered_records_nothing(house: House) -> None:
    before = await house.position()
    preview = await house.ledger.rollouts.plan(house.request(waves="1,rest"))
    assert [len(wave) for wave in preview.waves] == [1, 2]
    assert [step.label for step in preview.steps] == ["1_change", "2_change"]
    assert await house.position() == before
    assert await house.stores.pool.fetchval(CONTENT) == 0


async def test_a_plan_refuses_what_is_older_than_what_databases_have_or_notes_it(
    house: House,
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
    house.migration("15")
    (house.folder / "15_change.sql").rename(house.folder / "0_late.sql")
    with pytest.raises(OutOfOrder, match=r"0_late \(acme\).*--allow-out-of-order"):
        await house.ledger.rollouts.plan(house.request())
    preview = await house.ledger.rollouts.plan(house.request(out_of_order=True))
    assert len(preview.databases) == 3
    assert any("0_late is older than what 1 database has" in note for note in preview.notes)
    only_acme = await house.ledger.rollouts.plan(house.request(select="id=acme", out_of_order=True))
    assert [step.label for step in only_acme.steps] == ["0_late"]
    assert only_acme.already_everywhere == 2


async def test_a_plan_says_what_reading_the_files_has_noted(house: House) -> None:
    text = "-- +migrate Up\nBEGIN;\nCREATE ROLE reporting;\nCOMMIT;\n"
    (house.folder / "20_roles.sql").write_text(text)
    preview = await house.ledger.rollouts.plan(house.request())
    assert any("20_roles.sql:2: BEGIN" in note for note in preview.notes)
    assert any("second database of the same server fails" in note for note in preview.notes)


async def test_a_plan_with_nothing_to_do_starts_nothing(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
        preview = await house.ledger.rollouts.plan(house.request(select="id=acme"))
        assert preview.databases == ()
        before = await house.position()
        with pytest.raises(EmptySelection):
            await house.start(select="id=acme")
        assert await house.position() == before


async def test_a_folder_that_two_register_at_once_is_one_bundle(house: House) -> None:
    registered = await asyncio.gather(
        *[house.ledger.bundles.register(house.folder, RequestContext()) for _ in range(3)]
    )
    assert sorted(one.new for one in registered) == [False, False, True]
    assert len(await house.events(BundleRegistered)) == 1


async def test_a_changed_up_is_refused_and_its_text_is_not_kept(house: House) -> None:
    await house.start()
    before = await house.stores.pool.fetchval(CONTENT)
    house.migration("1", comment="SELECT 1;")
    with pytest.raises(ChangedMigration):
        await house.ledger.bundles.register(house.folder, RequestContext())
    with pytest.raises(ChangedMigration):
        await house.ledger.rollouts.plan(house.request())
    assert await house.stores.pool.fetchval(CONTENT) == before


async def test_changes_of_the_fleet_at_once_all_hold(house: House) -> None:
    databases = ("acme", "bolt", "crane")
    await asyncio.gather(*[house.ledger.fleet.suspend(one, RequestContext()) for one in databases])
    assert len(await house.events(DatabaseSuspended)) == 3
    with pytest.raises(EmptySelection):
        await house.start()


async def test_a_rollout_is_found_by_the_beginning_of_its_id(house: House) -> None:
    with pytest.raises(NoSuchRollout):
        await house.ledger.rollouts.current()
    first = await house.start(select="id=acme")
    assert await house.ledger.rollouts.current() == first
    assert await house.ledger.rollouts.find(first[:5]) == first
    second = await house.start(select="id=bolt")
    with pytest.raises(SeveralRollouts):
        await house.ledger.rollouts.current()
    with pytest.raises(SeveralRollouts):
        await house.ledger.rollouts.find("")
    assert await house.ledger.rollouts.find(second) == second
    with pytest.raises(NoSuchRollout):
        await house.ledger.rollouts.find("nowhere")
