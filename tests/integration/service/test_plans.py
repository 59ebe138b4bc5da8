"""A plan is drawn once: what was shown is what is started, or it is refused by what differs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from ledger.contracts.events import BundleRegistered, RolloutPlanned, RolloutStarted, WavePlanned
from ledger.contracts.registry import Variable
from ledger.domain.folder_refusals import ChangedMigration
from ledger.domain.plan_digest import PlanOutdated, canonical, digest
from ledger.domain.refusals import BusyDatabases
from ledger.service.request_context import RequestContext
from tests.support.house import House

WHY = RequestContext(reason="because")


@pytest.fixture
def calls(house: House, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how often a folder was loaded, the fleet read, and versions asked for."""
    import migrations.formats.bundle as bundles

    found: Counter[str] = Counter()
    load, read = bundles.load_folder, house.stores.log.fleet_since
    versions = house.stores.reads.database_versions

    def load_folder(*given: Any, **named: Any) -> Any:
        found["folder loaded"] += 1
        return load(*given, **named)

    async def fleet_since(position: int) -> Any:
        found["fleet read"] += 1
        return await read(position)

    async def database_versions(*given: Any) -> Any:
        found["versions asked"] += 1
        return await versions(*given)

    monkeypatch.setattr(bundles, "load_folder", load_folder)
    monkeypatch.setattr(house.stores.log, "fleet_since", fleet_since)
    monkeypatch.setattr(house.stores.reads, "database_versions", database_versions)
    return found


async def test_to_plan_and_to_start_asks_each_thing_once(house: House, calls: Counter[str]) -> None:
    plan = await house.ledger.rollouts.plan(house.request())
    await house.ledger.rollouts.start(plan)
    assert calls == {"folder loaded": 1, "fleet read": 1, "versions asked": 1}


async def test_what_was_shown_is_what_is_recorded(house: House) -> None:
    plan = await house.ledger.rollouts.plan(house.request(waves="1,rest"))
    rollout = await house.ledger.rollouts.start(plan)
    recorded = await house.events(RolloutPlanned, WavePlanned)
    assert tuple(one.event for one in recorded) == plan.events
    assert {one.stream for one in recorded} == {f"rollout-{rollout}"}
    status = await house.ledger.rollouts.status(rollout)
    assert status.document()["digest"] == plan.digest == digest(plan.events)


async def test_the_digest_is_that_of_the_bytes_in_the_log(house: House) -> None:
    plan = await house.ledger.rollouts.plan(house.request())
    rollout = await house.ledger.rollouts.start(plan)
    types = [RolloutPlanned.__name__, WavePlanned.__name__]
    stream = house.stores.log.read_stream(f"rollout-{rollout}", types=types)
    bodies = [json.loads(raw.body) async for raw in stream]
    assert bodies[0]["digest"] == plan.digest
    assert canonical(bodies) == canonical([one.model_dump(mode="json") for one in plan.events])


async def test_two_plans_of_the_same_have_one_digest_and_two_rollouts(house: House) -> None:
    one, two = [await house.ledger.rollouts.plan(house.request()) for _ in range(2)]
    assert one.digest == two.digest
    assert one.rollout != two.rollout


async def nothing_started(house: House) -> bool:
    return not await house.events(RolloutPlanned, RolloutStarted)


async def test_a_database_that_joined_since_refuses_the_start(house: House) -> None:
    plan = await house.ledger.rollouts.plan(house.request())
    await house.register("dune")
    with pytest.raises(PlanOutdated, match="databases joined: dune"):
        await house.ledger.rollouts.start(plan)
    assert await nothing_started(house)


async def test_a_database_that_was_suspended_since_refuses_the_start(house: House) -> None:
    plan = await house.ledger.rollouts.plan(house.request())
    await house.ledger.fleet.suspend("bolt", WHY)
    with pytest.raises(PlanOutdated, match="databases left: bolt"):
        await house.ledger.rollouts.start(plan)
    assert await nothing_started(house)


async def test_what_another_rollout_applied_since_refuses_the_start(house: House) -> None:
    plan = await house.ledger.rollouts.plan(house.request())
    async with house.leading(), house.actor() as actor:
        other = await house.start(select="id=acme")
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(other, "completed")
        with pytest.raises(PlanOutdated, match="databases left: acme"):
            await house.ledger.rollouts.start(plan)


async def test_a_rollout_that_did_all_of_it_since_leaves_nothing_to_start(house: House) -> None:
    plan = await house.ledger.rollouts.plan(house.request(select="id=acme"))
    async with house.leading(), house.actor() as actor:
        other = await house.start(select="id=acme")
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(other, "completed")
        with pytest.raises(PlanOutdated, match="nothing is left to do"):
            await house.ledger.rollouts.start(plan)


async def test_a_log_that_went_on_without_touching_the_plan_leaves_it_as_it_was_shown(
    house: House,
) -> None:
    plan = await house.ledger.rollouts.plan(house.request(select="id in (acme,bolt)"))
    await house.register("dune")
    rollout = await house.ledger.rollouts.start(plan)
    assert rollout == plan.rollout
    assert tuple(one.event for one in await house.events(RolloutPlanned, WavePlanned)) == (
        plan.events
    )


async def test_a_folder_that_was_edited_since_is_registered_as_it_was_shown(house: House) -> None:
    plan = await house.ledger.rollouts.plan(house.request())
    house.migration("2", comment="DROP TABLE t1;")
    house.migration("3")
    await house.ledger.rollouts.start(plan)
    (registered,) = await house.events(BundleRegistered)
    assert isinstance(registered.event, BundleRegistered)
    assert registered.event.bundle == plan.bundle.bundle
    assert [ref.version for ref in registered.event.migrations] == ["1", "2"]
    for ref in registered.event.migrations:
        for file in ref.files:
            kept = "SELECT count(*) FROM ledger.content WHERE sha256 = decode($1, 'hex')"
            assert await house.stores.pool.fetchval(kept, file.sha256) == 1


async def test_a_version_that_another_registered_differently_since_refuses_the_start(
    house: House,
) -> None:
    plan = await house.ledger.rollouts.plan(house.request())
    house.migration("2", comment="SELECT 1;")
    await house.ledger.bundles.register(house.folder, WHY)
    with pytest.raises(ChangedMigration):
        await house.ledger.rollouts.start(plan)
    assert await nothing_started(house)


async def test_the_latest_bundle_is_the_one_that_was_shown(house: House) -> None:
    await house.ledger.bundles.register(house.folder, WHY)
    plan = await house.ledger.rollouts.plan(house.request(folder=None))
    house.migration("3")
    await house.ledger.bundles.register(house.folder, WHY)
    await house.ledger.rollouts.start(plan)
    (planned,) = await house.events(RolloutPlanned)
    assert isinstance(planned.event, RolloutPlanned)
    assert [step.version for step in planned.event.steps] == ["1", "2"]


async def test_a_label_that_changed_since_refuses_the_start(house: House) -> None:
    await house.ledger.fleet.label("acme", {"tier": "gold"}, (), WHY)
    plan = await house.ledger.rollouts.plan(house.request(select="tier=gold"))
    await house.ledger.fleet.label("bolt", {"tier": "gold"}, (), WHY)
    with pytest.raises(PlanOutdated, match="databases joined: bolt"):
        await house.ledger.rollouts.start(plan)


async def test_a_value_that_a_label_gives_and_that_changed_since_refuses_the_start(
    house: House,
) -> None:
    text = "-- +migrate Up\nCREATE SCHEMA ${region};\n"
    (house.folder / "3_region.sql").write_text(text)
    for database in ("acme", "bolt", "crane"):
        await house.ledger.fleet.label(database, {"region": "eu"}, (), WHY)
    declared = (Variable(name="region", value="eu", label="region"),)
    plan = await house.ledger.rollouts.plan(house.request(variables=declared))
    await house.ledger.fleet.label("bolt", {"region": "us"}, (), WHY)
    with pytest.raises(PlanOutdated, match="other values in: bolt"):
        await house.ledger.rollouts.start(plan)


async def test_a_plan_is_started_once(house: House) -> None:
    plan = await house.ledger.rollouts.plan(house.request())
    await house.ledger.rollouts.start(plan)
    with pytest.raises(BusyDatabases, match=plan.rollout):
        await house.ledger.rollouts.start(plan)
    assert len(await house.events(RolloutPlanned)) == 1


async def test_of_two_that_start_at_once_what_they_were_shown_one_is_refused(house: House) -> None:
    plans = [await house.ledger.rollouts.plan(house.request()) for _ in range(2)]
    ends = await asyncio.gather(
        *[house.ledger.rollouts.start(one) for one in plans], return_exceptions=True
    )
    refused = [one for one in ends if isinstance(one, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], BusyDatabases)
    assert len(await house.events(RolloutPlanned)) == 1
