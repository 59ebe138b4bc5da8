"""A database that is restored from an older copy, and an order that comes again after that."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from ledger.contracts.events import (
    MigrationOrdered,
    MigrationRegressed,
    ReportContradicted,
    RolloutHalted,
)
from ledger.contracts.reports import AttemptFinished, DatabaseInspected
from ledger.domain.plan_digest import PlanOutdated
from ledger.domain.states import ENDED
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from ledger.service.status import RolloutStatus
from tests.fixtures.postgres import TenantDatabases
from tests.integration.service.test_deliveries import Postman, postman, write
from tests.integration.service.test_running import PASSWORD, add, settings_of
from tests.support.house import House, found

__all__ = ["postman"]

SAVED = "CREATE TABLE kept AS TABLE migration_ledger.journal"
SET_BACK = """
    DELETE FROM migration_ledger.journal WHERE seq > (SELECT max(seq) FROM kept);
    DROP TABLE IF EXISTS two
"""
WHILE = (
    "Up\nSELECT pg_sleep(3600) WHERE to_regclass('held') IS NOT NULL;\n-- +migrate Down\nSELECT 1;"
)
EVERYBODY = "pool=default"
WHY = RequestContext("restored to 03:00, checked")


async def do(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture
async def urls(
    house: House,
    tenant_databases: TenantDatabases,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> list[str]:
    """Return the addresses of two databases, `set-back` and `other`; the folder has one file."""
    addresses = await tenant_databases(2)
    monkeypatch.setenv(PASSWORD, urlsplit(addresses[0]).password or "")
    for database, url in zip(("set-back", "other"), addresses, strict=True):
        await add(house, database, url)
    for file in house.folder.iterdir():
        file.unlink()
    write(house, "1_one", "Up\nCREATE TABLE one (id int);\n-- +migrate Down\nDROP TABLE one;")
    return addresses


async def saved(house: House, urls: list[str]) -> None:
    """Bring both to the first migration, keep what one has, and write the second."""
    await house.becomes(await house.start(select=EVERYBODY), "completed")
    await do(urls[0], SAVED)
    write(house, "2_two", "Up\nCREATE TABLE two (id int);\n-- +migrate Down\nDROP TABLE two;")


async def comes_again(postman: Postman) -> None:
    """Deliver the latest order of the one that was set back once more, until that is answered."""
    orders = [
        (command, *sent)
        for command, sent in postman.orders.items()
        if json.loads(sent[1].value)["database"] == "set-back"
    ]
    command, broker, order = orders[-1]
    before = postman.answered[command]
    broker.append(order)

    async def answered() -> bool | None:
        return True if postman.answered[command] > before else None

    await found(answered, "the order is answered again")


async def line_of(house: House, rollout: str, database: str) -> tuple[str, str]:
    status = await house.ledger.rollouts.status(rollout)
    (line,) = [one for one in status.databases if one.database == database]
    return line.status, line.problem


async def all_expired(house: House) -> bool | None:
    """Whether by now nobody may begin what was ordered."""
    ordered = [one.event for one in await house.events(MigrationOrdered)]
    last = [one.expires_at for one in ordered if isinstance(one, MigrationOrdered)][-1]
    now = await house.stores.pool.fetchval("SELECT clock_timestamp()")
    return True if now > last else None


async def ends(house: House, rollout: str) -> RolloutStatus:
    async def look() -> RolloutStatus | None:
        status = await house.ledger.rollouts.status(rollout)
        return status if status.status in (*ENDED, "halted") else None

    return await found(look, "the rollout ends")


async def test_an_order_that_runs_again_on_an_older_copy_is_told_as_a_restore_and_goes_on(
    house: House, urls: list[str], postman: Postman
) -> None:
    async with working(house.ledger, settings_of(house)):
        await saved(house, urls)
        await do(urls[1], "CREATE TABLE held (id int)")
        write(house, "3_while", WHILE)
        rollout = await house.start(select=EVERYBODY)

        async def one_is_done() -> bool | None:
            return True if (await line_of(house, rollout, "set-back"))[0] == "applied" else None

        await found(one_is_done, "one is done and the other at work")
        await do(urls[0], SET_BACK)
        await comes_again(postman)
        await house.becomes(rollout, "halted")
        (halted,) = await house.events(RolloutHalted)
        assert isinstance(halted.event, RolloutHalted)
        assert "set-back: it was restored from an older copy" in halted.event.why
        assert "`ledger fleet reinstate`" in halted.event.why
        claims = [one.event for one in await house.events(ReportContradicted)]
        (claim,) = [one for one in claims if isinstance(one, ReportContradicted) and one.effect]
        assert claim.why.startswith("first done with 2 changes, its journal at ")
        await house.at_least(1, DatabaseInspected)
        # It has all of it again, and what the halt says is the way out.
        await house.ledger.fleet.reinstate("set-back", WHY)
        await do(urls[1], "DROP TABLE held")
        await do(
            urls[1],
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            "current_database() AND query LIKE '%pg_sleep(3600)%' AND pid <> pg_backend_pid()",
        )
        await house.ledger.rollouts.resume(rollout, WHY)
        await house.becomes(rollout, "completed")
        write(house, "4_four", "Up\nCREATE TABLE four (id int);\n-- +migrate Down\nSELECT 1;")
        assert (await ends(house, await house.start(select=EVERYBODY))).status == "completed"
    assert not (await house.ledger.audit.replay()).differences


async def test_what_a_completed_rollout_lost_by_a_restore_is_told_with_the_way_out(
    house: House, urls: list[str], postman: Postman
) -> None:
    async with working(house.ledger, settings_of(house)):
        await saved(house, urls)
        rollout = await house.start(select=EVERYBODY, expiry_s=3.0)
        await house.becomes(rollout, "completed")
        await do(urls[0], SET_BACK)
        await found(lambda: all_expired(house), "its order has expired")
        await comes_again(postman)
        await house.at_least(1, DatabaseInspected)

        async def told() -> tuple[str, str] | None:
            line = await line_of(house, rollout, "set-back")
            return line if line[0] == "failed" else None

        _, problem = await found(told, "it is no longer told as applied")
        assert "what was reported as applied is not: 2;" in problem
        assert "restored from an older copy" in problem
        assert "`ledger fleet reinstate set-back`" in problem
        # Until then it is refused in the same words; then it gets what it lost.
        await house.ledger.fleet.reinstate("set-back", WHY)
        await house.at_least(1, MigrationRegressed)

        async def started() -> str | None:
            # What the look found may come between the plan and its start.
            with suppress(PlanOutdated):
                return await house.start(select=EVERYBODY)
            return None

        again = await found(started, "a plan is still true when it is started")
        assert (await ends(house, again)).status == "completed"
    last = (await house.events(AttemptFinished))[-1].event
    assert isinstance(last, AttemptFinished)
    assert (last.database, last.changed) == ("set-back", 1)
    assert not (await house.ledger.audit.replay()).differences
