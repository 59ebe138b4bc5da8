"""How far what is shown is behind the log, told to whoever may not bring it up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import pytest

from tests.fixtures.postgres import PostgresServer
from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram

BEHIND = "behind the log: nobody leads, and this role may not bring it up to date."


@pytest.fixture
async def viewer(installed: str, postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of the ledger for somebody who may only read."""
    name = f"{postgres_server.prefix}_viewer_{uuid4().hex[:8]}"
    await postgres_server.execute(
        f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'p' IN ROLE ledger_viewer"
    )
    parts = urlsplit(installed)
    address = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"{quote(name)}:p@{address}"))
    await postgres_server.execute(f'DROP ROLE "{name}"')


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
