"""An epoch that no ledger gave locks nobody out for ever, and its reset lets nothing else in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from ledger.contracts.events import DatabaseFenceReset
from ledger.contracts.registry import Connection
from ledger.contracts.reports import AttemptFinished
from ledger.domain.refusals import (
    FenceHolds,
    FenceUnread,
    ReasonRequired,
)
from ledger.errors import RequestUnfit
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from migrations.errors import FailureClass
from migrations.model.attempt import Epoch, ForgedFence
from tests.fixtures.postgres import TenantDatabases
from tests.integration.leader.conftest import house, house_template
from tests.integration.service.conftest import LogIn, log_in
from tests.integration.service.test_running import PASSWORD, settings_of
from tests.support.forged_entry import forge
from tests.support.house import House, found
from tests.support.raw_event import NewEvent

__all__ = ["house", "house_template", "log_in"]

MOST = 2**63 - 1
ASKED = RequestContext("forged by its owner")
FORGED = {
    "the largest": Epoch(MOST, MOST),
    "a large term": Epoch(MOST, 1),
    "a large position": Epoch(1, MOST),
    "a negative term": Epoch(-1, 5),
    "a negative position": Epoch(1, -1),
    "the smallest": Epoch(-(2**63), -(2**63)),
    "a little further than the ledger is": Epoch(1, 10_000),
    "the next term but five": Epoch(6, 1),
}


@dataclass(frozen=True)
class Tenant:
    """A real database of the fleet that was migrated once, and who leads it now."""

    house: House
    url: str
    versions: list[str]

    async def roll_out(self) -> str:
        """The status of one more rollout."""
        version = str(len(self.versions) + 3)
        self.versions.append(version)
        self.house.migration(version)
        rollout = await self.house.start(select="id=real")

        async def look() -> str | None:
            status = (await self.house.ledger.rollouts.status(rollout)).status
            return status if status in ("completed", "halted") else None

        status = await found(look, "the rollout stands still")
        if status == "halted":
            await self.house.ledger.rollouts.abort(rollout, RequestContext("over"), cancel=False)
        return status

    async def problem(self) -> str | None:
        """What `ledger fleet check` says."""
        checks = self.house.ledger.checks
        check = await self.house.ledger.fleet.check("id=real", RequestContext())
        result = await checks.answers(check, 30.0)
        assert result.finished
        return (await checks.problems(result)).get("real")

    async def look(self) -> ForgedFence:
        """Where the journal ends, as an agent sees it."""
        checks = self.house.ledger.checks
        check = await self.house.ledger.fleet.check("id=real", RequestContext())
        seen, _ = await checks.fence(await checks.answers(check, 30.0), "real")
        return seen

    async def reset(self) -> ForgedFence:
        """Let orders in again, where the journal ends now."""
        seen = await self.look()
        await self.house.ledger.fleet.reset_fence("real", seen, ASKED)
        return seen

    async def last_failure(self) -> str:
        last = (await self.house.events(AttemptFinished))[-1].event
        assert isinstance(last, AttemptFinished)
        assert last.failure is not None
        return last.failure.kind


@asynccontextmanager
async def at_work(house: House, url: str) -> AsyncIterator[Tenant]:
    parts = urlsplit(url)
    connection = Connection.at(
        host=parts.hostname or "",
        port=parts.port or 5432,
        database=parts.path[1:],
        user=parts.username or "",
        password=f"env:{PASSWORD}",
        sslmode="disable",
    )
    await house.ledger.fleet.add("real", "default", connection, {}, RequestContext())
    async with working(house.ledger, settings_of(house)):
        tenant = Tenant(house, url, [])
        assert await tenant.roll_out() == "completed"
        yield tenant


@pytest.fixture
async def tenant(
    house: House, tenant_databases: TenantDatabases, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Tenant]:
    """Yield a migrated database that is led, with an agent."""
    (url,) = await tenant_databases(1)
    monkeypatch.setenv(PASSWORD, urlsplit(url).password or "")
    async with at_work(house, url) as tenant:
        yield tenant


@pytest.mark.parametrize("rollout", ["", "another"], ids=["a visit", "another's migration"])
@pytest.mark.parametrize("epoch", FORGED.values(), ids=FORGED)
async def test_after_a_reset_the_next_order_applies_and_a_second_forgery_is_refused_again(
    tenant: Tenant, epoch: Epoch, rollout: str
) -> None:
    await forge(tenant.url, epoch, rollout=rollout, migration="900" if rollout else "")
    said = await tenant.problem()
    assert said is not None
    assert f"order {epoch.term}.{epoch.position}" in said
    assert "`ledger fleet reset-fence real --reason WHY`" in said
    assert await tenant.roll_out() == "halted"

    seen = await tenant.reset()
    assert seen.epoch == epoch
    assert await tenant.roll_out() == "completed"
    assert await tenant.problem() is None
    assert await tenant.roll_out() == "completed"
    assert (await tenant.house.ledger.audit.replay()).agrees

    await forge(tenant.url, epoch)
    assert await tenant.problem() is not None
    assert await tenant.roll_out() == "halted"
    assert await tenant.last_failure() in (FailureClass.IDENTITY, FailureClass.FENCE)


async def test_where_nothing_is_wrong_nothing_is_recorded(tenant: Tenant) -> None:
    seen = await tenant.look()
    with pytest.raises(FenceHolds):
        await tenant.house.ledger.fleet.check_fence("real", seen, ASKED)
    with pytest.raises(FenceHolds):
        await tenant.house.ledger.fleet.reset_fence("real", seen, ASKED)
    assert not await tenant.house.events(DatabaseFenceReset)


async def test_an_earlier_epoch_of_this_ledger_keeps_nobody_out(tenant: Tenant) -> None:
    await forge(tenant.url, Epoch(1, 1))
    assert await tenant.problem() is None
    with pytest.raises(FenceHolds):
        await tenant.reset()
    assert await tenant.roll_out() == "completed"


async def test_a_reset_needs_a_reason(tenant: Tenant) -> None:
    await forge(tenant.url, FORGED["the largest"])
    seen = await tenant.look()
    with pytest.raises(ReasonRequired):
        await tenant.house.ledger.fleet.reset_fence("real", seen, RequestContext(" "))


async def test_a_reset_of_another_end_of_the_journal_lets_nothing_in(tenant: Tenant) -> None:
    await forge(tenant.url, FORGED["the largest"])
    seen = await tenant.look()
    fleet = tenant.house.ledger.fleet
    await fleet.reset_fence("real", replace(seen, epoch=Epoch(MOST, MOST - 1)), ASKED)
    assert await tenant.roll_out() == "halted"
    await fleet.reset_fence("real", replace(seen, journal_head="0" * 64), ASKED)
    assert await tenant.roll_out() == "halted"
    await fleet.reset_fence("real", seen, ASKED)
    assert await tenant.roll_out() == "completed"


async def test_an_entry_behind_the_one_that_was_named_keeps_its_epoch(tenant: Tenant) -> None:
    """The same epoch again, at another place of the chain, is another forgery."""
    await forge(tenant.url, FORGED["the largest"])
    await tenant.reset()
    await forge(tenant.url, FORGED["the largest"])
    assert await tenant.roll_out() == "halted"
    await tenant.reset()
    assert await tenant.roll_out() == "completed"


async def test_a_reset_outlasts_a_reinstatement(tenant: Tenant) -> None:
    await forge(tenant.url, FORGED["the largest"], rollout="another", migration="900")
    await tenant.reset()
    check = await tenant.house.ledger.fleet.reinstate("real", ASKED)
    # What its journal says is known before anything is planned from it.
    assert (await tenant.house.ledger.checks.answers(check, 15.0)).finished
    assert await tenant.roll_out() == "completed"


async def test_a_database_that_nobody_can_read_is_told_as_such(tenant: Tenant) -> None:
    check = await tenant.house.ledger.fleet.check("id=acme", RequestContext())
    checks = tenant.house.ledger.checks
    result = await checks.answers(check, 0.0)
    with pytest.raises(FenceUnread):
        await checks.fence(result, "acme")


BODY = '{"database":"acme","epoch":{"term":%s,"position":%s},"journal_head":"%s"}'
HEAD = "5" * 64
UNFIT = {
    "an epoch that was given": BODY % (0, 1, HEAD),
    "no number": BODY % ('"x"', 1, HEAD),
    "a part of a number": BODY % (1.5, 1, HEAD),
    "too large": BODY % (2**63, 1, HEAD),
    "nothing": BODY % ("null", 1, HEAD),
    "no head": BODY % (MOST, 1, "x"),
    "no position": BODY.replace(',"position":%s', "") % (MOST, HEAD),
    "no epoch": BODY.replace('{"term":%s,"position":%s}', "%s") % (MOST, HEAD),
    "another database": BODY.replace("acme", "nosuchdb") % (MOST, 1, HEAD),
}


@pytest.mark.parametrize("body", UNFIT.values(), ids=UNFIT)
async def test_the_database_refuses_such_a_reset_by_hand(
    house: House, log_in: LogIn, body: str
) -> None:
    before = await house.position()
    async with log_in("ledger_operator") as theirs:
        event = NewEvent(uuid4(), "DatabaseFenceReset", 1, body.encode(), b"{}")
        with pytest.raises(RequestUnfit):
            await theirs.stores.log.append("fleet", [event], expected_version=3)
    assert await house.position() == before


async def test_an_operator_may_reset_what_is_beyond_the_ledger(house: House, log_in: LogIn) -> None:
    async with log_in("ledger_operator") as theirs:
        seen = ForgedFence(Epoch(MOST, -1), HEAD)
        await theirs.ledger.fleet.reset_fence("acme", seen, ASKED)
    (recorded,) = await house.events(DatabaseFenceReset)
    assert re.search("ledger_operator", recorded.recorded_by)
