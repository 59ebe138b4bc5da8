"""Data migrations over a fleet in one process: progress is reported, and a rollback restores."""

from __future__ import annotations

import asyncio

import asyncpg

from ledger.cli.record.rows import told
from ledger.contracts.reports import (
    AttemptFinished,
    BatchProgressed,
    MigrationApplied,
    MigrationRolledBack,
)
from ledger.runtime import working
from ledger.service.history import Search
from ledger.service.request_context import RequestContext
from tests.integration.service.test_programs import settings_of, tenant
from tests.support.house import House

__all__ = ["tenant"]

UP = "-- +migrate Data table=users key=id batch=50 backup=settings\n"
MOVE = "UPDATE users SET settings = '{}' FROM batch WHERE users.id = batch.id;\n"
SLOWLY = "SELECT pg_sleep(0.6) FROM batch LIMIT 1;\n"
SETTINGS = "SELECT md5(string_agg(settings::text, ',' ORDER BY id)) FROM users"


async def value(url: str, sql: str) -> object:
    """One value of a tenant database."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def write(house: House) -> None:
    """Put one data migration into the house's folder."""
    for other in house.folder.iterdir():
        other.unlink()
    (house.folder / "1_move.sql").write_text(f"{UP}{MOVE}{SLOWLY}")


async def test_a_failed_data_migration_tells_what_of_it_is_committed(
    house: House, tenant: str
) -> None:
    broken = "UPDATE users SET settings = (CASE WHEN users.id = 230 THEN 'x' ELSE '{}' END)::json\n"
    text = f"{UP}{broken}FROM batch WHERE users.id = batch.id;\n"
    await asyncio.to_thread(write, house)
    await asyncio.to_thread((house.folder / "1_move.sql").write_text, text)
    async with working(house.ledger, settings_of(house, ())):
        rollout = await house.start(select="id=real")
        await house.becomes(rollout, "halted")
        (line,) = (await house.ledger.rollouts.status(rollout)).databases
        assert (line.status, line.progress) == ("failed", "200 rows committed, in 4 batches")
        (group,) = (await house.ledger.rollouts.summary(rollout)).groups or ()
        assert (group.status, group.progress) == ("failed", "200 rows committed, in 4 batches")
        (last,) = [one.event for one in await house.events(AttemptFinished)]
        assert isinstance(last, AttemptFinished)
        assert (last.changed, last.rows, last.batches) == (0, 200, 4)
        history = await house.ledger.history.lines(Search(database="real"))
        events = [line.recorded.event for line in history]
        (told_,) = [told(one) for one in events if isinstance(one, AttemptFinished)]
        assert "verdict=failed changed=0 rows=200 batches=4" in told_
        assert await value(tenant, "SELECT count(*) FROM users WHERE settings::text = '{}'") == 200

        await house.ledger.rollouts.retry(rollout, [], RequestContext())
        await house.becomes(rollout, "halted")
        (line,) = (await house.ledger.rollouts.status(rollout)).databases
        assert (line.attempt, line.progress) == (2, "200 rows committed, in 4 batches")
        undo = await house.roll_back(rollout)
        await house.becomes(undo, "completed")
        (line,) = (await house.ledger.rollouts.status(rollout)).databases
        assert (line.status, line.progress) == ("failed", ""), "it was taken back"
    replayed = await house.ledger.audit.replay()
    assert replayed.agrees, replayed.differences


async def test_a_rollout_tells_how_far_its_data_is_and_takes_it_back(
    house: House, tenant: str
) -> None:
    await asyncio.to_thread(write, house)
    before = await value(tenant, SETTINGS)
    async with working(house.ledger, settings_of(house, ())):
        rollout = await house.start(select="id=real")
        (first, *_) = await house.at_least(1, BatchProgressed)
        said = first.event
        assert isinstance(said, BatchProgressed)
        assert (said.version, said.direction, said.total) == ("1", "up", 300)
        assert said.rows == said.batches * 50
        status = await house.ledger.rollouts.status(rollout)
        assert " of ~300 · " in status.databases[0].progress
        await house.becomes(rollout, "completed")
        assert len(await house.events(MigrationApplied)) == 1
        assert (await house.ledger.rollouts.status(rollout)).databases[0].progress == ""
        assert await value(tenant, "SELECT count(*) FROM users WHERE settings = '{}'") == 300
        told = [one.event for one in await house.events(BatchProgressed)]
        rows = [event.rows for event in told if isinstance(event, BatchProgressed)]
        assert rows == sorted(set(rows))
        undo = await house.roll_back(rollout)
        await house.becomes(undo, "completed")
    assert len(await house.events(MigrationRolledBack)) == 1
    assert await value(tenant, SETTINGS) == before
    replayed = await house.ledger.audit.replay()
    assert replayed.agrees, replayed.differences
