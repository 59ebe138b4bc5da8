"""What viewers and operators can do, with somebody who leads and without."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from ledger.contracts.events import LeadershipTaken, RolloutPlanned
from ledger.contracts.registry import Connection
from ledger.domain.surroundings import LeadingProcess
from ledger.errors import NotPermitted, ReadModelsBehind
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from ledger.settings import Settings
from ledger.store.connections import Pool
from ledger.store.leadership import current_leader
from ledger.store.views import queries
from tests.integration.service.conftest import LogIn
from tests.support.house import House, found


async def test_an_operator_steers_a_rollout_that_a_leader_carries(
    house: House, log_in: LogIn
) -> None:
    async with house.leading(), house.actor() as actor, log_in("ledger_operator") as operator:
        rollouts = operator.ledger.rollouts
        preview = await rollouts.plan(operator.request())
        assert len(preview.databases) == 3
        rollout = await operator.start(in_flight=1)
        assert await rollouts.current() == rollout
        acme = await actor.ordered("acme")
        await rollouts.pause(rollout, RequestContext("lunch"))
        await actor.applies(acme)
        assert not await house.unsent(actor)
        assert (await rollouts.status(rollout)).status == "paused"
        await rollouts.resume(rollout, RequestContext())
        for database in ("bolt", "crane"):
            await actor.applies(await actor.ordered(database))
        await operator.becomes(rollout, "completed")
        assert rollout in [row.rollout for row in await rollouts.list()]
        planned = (await house.events(RolloutPlanned))[0]
        assert "operator" in planned.recorded_by


async def test_an_operator_whom_nobody_projects_for_is_told_what_to_do(
    house: House, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PATIENCE_S", 0.3)
    async with log_in("ledger_operator") as operator:
        with pytest.raises(ReadModelsBehind, match="start `ledger serve`"):
            await operator.start()
        assert await operator.ledger.rollouts.list() == [], "what is there is shown"
    assert not await house.events(RolloutPlanned)


async def test_an_operator_waits_for_a_leader_that_is_about_to_project(
    house: House, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    async def look(pool: Pool) -> LeadingProcess | None:
        looked.append(True)
        return await current_leader(pool)

    async def again() -> bool | None:
        return len(looked) > 1 or None

    monkeypatch.setattr(queries, "current_leader", look)
    monkeypatch.setattr(queries, "ALONE_S", queries.PATIENCE_S)
    async with log_in("ledger_operator") as operator:
        listing = asyncio.create_task(operator.ledger.rollouts.list())
        await found(again, "the operator had looked, waited and looked again")
        async with house.leading():
            assert await listing == []


async def test_what_an_operator_starts_without_a_leader_stays_recorded(
    house: House, log_in: LogIn
) -> None:
    await house.ledger.bundles.register(house.folder, RequestContext())
    await house.stores.reads.caught_up()
    async with log_in("ledger_operator") as operator:
        rollout = await operator.start(select="id=acme")
        settings = Settings(database_url=SecretStr(operator.url))
        async with working(operator.ledger, settings):
            # Leading needs the service role: without it a person only watches.
            assert await operator.ledger.leader() is None
            assert (await operator.ledger.rollouts.status(rollout)).status == "running"
    assert not await house.events(LeadershipTaken)
    async with house.leading(), house.actor() as actor:
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")


async def test_a_viewer_sees_what_one_process_has_done_when_it_has_ended(
    house: House, log_in: LogIn
) -> None:
    async with working(house.ledger, Settings(database_url=SecretStr(house.url))):
        await house.at_least(1, LeadershipTaken)
        await house.stores.reads.caught_up()
        await house.ledger.fleet.suspend("acme", RequestContext("moved"))
    async with log_in("ledger_viewer") as viewer:
        head = (await viewer.stores.log.head()).position
        assert await viewer.stores.reads.position() == head


async def test_a_viewer_reads_and_changes_nothing(house: House, log_in: LogIn) -> None:
    async with house.leading(), log_in("ledger_viewer") as viewer:
        rollout = await house.start(select="id=acme")
        assert await viewer.ledger.rollouts.find(rollout[:4]) == rollout
        assert (await viewer.ledger.rollouts.status(rollout)).rollout == rollout
        assert len(await viewer.ledger.fleet.list()) == 3
        with pytest.raises(NotPermitted, match="ledger_operator"):
            await viewer.ledger.rollouts.pause(rollout, RequestContext())
        with pytest.raises(NotPermitted):
            await viewer.ledger.fleet.suspend("acme", RequestContext())
        viewer.migration("3")
        with pytest.raises(NotPermitted):
            await viewer.start(select="id=bolt")


async def test_an_operator_registers_targets_with_further_schemas_and_a_history(
    log_in: LogIn,
) -> None:
    connection = Connection.at(
        "db1", "z", schema="a", history="shop", user="x", further_schemas=("extensions", "public")
    )
    async with log_in("ledger_operator") as theirs:
        await theirs.ledger.fleet.add("z", "main", connection, {}, RequestContext("because"))
        (found,) = await theirs.ledger.fleet.list("id=z")
    assert found.connection == connection
