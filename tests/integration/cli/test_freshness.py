"""How far what is shown is behind the log, told to whoever may not bring it up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import pytest

from ledger.cli.app.exits import ExitCode
from tests.fixtures.postgres import PostgresServer
from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram

BEHIND = "behind the log: nobody leads, and this role may not bring it up to date."


@asynccontextmanager
async def member(installed: str, server: PostgresServer, of: str) -> AsyncIterator[str]:
    """The address of the ledger for a member of one of its roles."""
    name = f"{server.prefix}_{of}_{uuid4().hex[:8]}"
    await server.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'p' IN ROLE {of}")
    parts = urlsplit(installed)
    address = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"{quote(name)}:p@{address}"))
    await server.execute(f'DROP ROLE "{name}"')


@pytest.fixture
async def viewer(installed: str, postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of the ledger for somebody who may only read."""
    async with member(installed, postgres_server, "ledger_viewer") as url:
        yield url


@pytest.fixture
async def operator(installed: str, postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of the ledger for somebody who may ask, and not lead."""
    async with member(installed, postgres_server, "ledger_operator") as url:
        yield url


async def test_where_nobody_leads_an_operator_sees_a_rollout_and_can_stop_it(
    ledger: LedgerProgram, fleet: Fleet, operator: str, migrations: Path
) -> None:
    for steer, status in (("pause", "paused"), ("abort", "aborted")):
        started = await ledger("up", "--yes", "--no-wait", "-o", "json")
        rollout = started.json["rollout"]
        shown = await ledger("rollout", "status", LEDGER_DATABASE_URL=operator)
        assert shown.code == ExitCode.OK, shown.err
        assert f"rollout {rollout} is running" in shown.err + shown.out
        assert "no leader" in shown.out
        assert "ledger serve" in shown.out
        told = await ledger("rollout", steer, "--yes", LEDGER_DATABASE_URL=operator)
        assert told.code == ExitCode.OK, told.err
        assert f"rollout {rollout} is {status}" in told.out
        shown = await ledger("rollout", "status", rollout, LEDGER_DATABASE_URL=operator)
        assert f"rollout {rollout} is {status}" in shown.err + shown.out
        agents = await ledger("agents", LEDGER_DATABASE_URL=operator)
        assert (agents.code, "nobody leads" in agents.err) == (ExitCode.OK, True)
        listed = await ledger("rollout", "list", LEDGER_DATABASE_URL=operator)
        assert listed.code == ExitCode.OK, listed.err
        if status == "paused":
            assert (await ledger("rollout", "abort", rollout, "--yes")).code == ExitCode.OK


async def test_a_viewer_is_told_how_many_events_are_not_shown_until_somebody_shows_them(
    ledger: LedgerProgram, fleet: Fleet, viewer: str
) -> None:
    assert "behind" not in (await ledger("status")).err
    await ledger("fleet", "suspend", "t0")
    one = await ledger("status", "-o", "json", LEDGER_DATABASE_URL=viewer)
    assert f"What is shown is 1 event {BEHIND}\n" in one.err
    await ledger("fleet", "label", "t1", "tier=gold")
    two = await ledger("rollout", "list", "-o", "json", LEDGER_DATABASE_URL=viewer)
    assert f"What is shown is 2 events {BEHIND}\n" in two.err
    assert "behind" not in (await ledger("status")).err
    assert "behind" not in (await ledger("status", LEDGER_DATABASE_URL=viewer)).err
