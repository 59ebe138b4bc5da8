"""A database whose COMMIT got no answer is no stranger to the next order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from ledger.contracts.events import ReportContradicted
from ledger.contracts.registry import Connection
from ledger.contracts.reports import AttemptFinished
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from migrations.model.attempt import Verdict
from tests.fixtures.postgres import TenantDatabases
from tests.integration.service.test_running import PASSWORD, settings_of
from tests.support.cut_line import Cut, CutLine, cut_line
from tests.support.house import House


@pytest.fixture(params=[Cut.BEFORE, Cut.AFTER])
async def line(
    request: pytest.FixtureRequest,
    house: House,
    tenant_databases: TenantDatabases,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[CutLine]:
    """Yield a line to a registered database; it breaks at the commit of version 3, for good."""
    (url,) = await tenant_databases(1)
    parts = urlsplit(url)
    monkeypatch.setenv(PASSWORD, parts.password or "")
    async with cut_line(url, b"'3'", b"COMMIT", cut=request.param, away=True) as line:
        connection = Connection.at(
            host="127.0.0.1",
            port=line.port,
            database=parts.path[1:],
            user=parts.username or "",
            password=f"env:{PASSWORD}",
            sslmode="disable",
        )
        await house.ledger.fleet.add("real", "default", connection, {}, RequestContext())
        yield line


async def lost(house: House, line: CutLine) -> str:
    """A rollout that halted because nobody could ask what its last COMMIT did."""
    await house.becomes(await house.start(select="id=real"), "completed")
    house.migration("3")
    asked = house.request(select="id=real")
    # A server that is away is waited for, and no test waits for minutes.
    limits = replace(asked.options.limits, retry_for_s=1.0)
    asked = replace(asked, options=asked.options.model_copy(update={"limits": limits}))
    rollouts = house.ledger.rollouts
    rollout = await rollouts.start(await rollouts.plan(asked))
    await house.becomes(rollout, "halted")
    assert line.is_cut()
    last = (await house.events(AttemptFinished))[-1].event
    assert isinstance(last, AttemptFinished)
    assert (last.verdict, last.journal_head) == (Verdict.FAILED, None)
    line.gone = False
    return rollout


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_retry_goes_on_from_what_the_journal_says(
    house: House, line: CutLine, restarted: bool
) -> None:
    async with working(house.ledger, settings_of(house)):
        rollout = await lost(house, line)
        if not restarted:
            await house.ledger.rollouts.retry(rollout, [], RequestContext("the server is back"))
            await house.becomes(rollout, "completed")
    if restarted:
        async with working(house.ledger, settings_of(house)):
            await house.ledger.rollouts.retry(rollout, [], RequestContext("the server is back"))
            await house.becomes(rollout, "completed")
    assert (await house.ledger.rollouts.status(rollout)).counts == {"applied": 1}
    assert await house.events(ReportContradicted) == []


async def test_a_rollback_takes_back_what_was_committed(house: House, line: CutLine) -> None:
    async with working(house.ledger, settings_of(house)):
        rollout = await lost(house, line)
        undo = await house.roll_back(rollout)
        await house.becomes(undo, "completed")
        again = await house.start(select="id=real")
        await house.becomes(again, "completed")
    assert await house.events(ReportContradicted) == []


async def test_the_next_rollout_finds_the_database_as_it_is(house: House, line: CutLine) -> None:
    async with working(house.ledger, settings_of(house)):
        rollout = await lost(house, line)
        await house.ledger.rollouts.abort(rollout, RequestContext("over"), cancel=False)
        again = await house.start(select="id=real")
        await house.becomes(again, "completed")
        house.migration("4")
        await house.becomes(await house.start(select="id=real"), "completed")
    assert await house.events(ReportContradicted) == []
