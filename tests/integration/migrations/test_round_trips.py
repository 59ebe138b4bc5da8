"""How often a database is waited for: counted on the line, without a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import pytest

from migrations.model.attempt import Verdict
from ops.bench.contest.line import Line, delayed_line
from ops.bench.contest.workload import CREATE_USERS, WORKS
from tests.integration.migrations.world import World, expecting, migration

AT_MOST = 8
"""Connecting, SCRAM and saying good-bye included."""

FIRST, SECOND = (
    migration(work.version, ";\n".join(work.up), ";\n".join(work.down)) for work in WORKS
)


@asynccontextmanager
async def watched(world: World) -> AsyncIterator[tuple[World, Line]]:
    """The same database over a line that counts."""
    parts = urlsplit(world.url)
    assert parts.hostname
    async with delayed_line(parts.hostname, parts.port or 5432, 0, noted=True) as line:
        login = parts.netloc.rpartition("@")[0]
        url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{line.port}"))
        yield replace(world, url=url), line


@pytest.fixture
async def counted(world: World) -> AsyncIterator[tuple[World, Line]]:
    """A database with users, over a line that counts."""
    await world.execute(CREATE_USERS)
    async with watched(world) as found:
        yield found


async def test_first_and_later_migrations_take_eight_round_trips(
    counted: tuple[World, Line],
) -> None:
    world, line = counted
    first = await world.up(FIRST)
    second = await world.up(FIRST, SECOND, expectation=expecting(first))
    assert first.verdict is second.verdict is Verdict.DONE
    trips = [session.round_trips for session in line.sessions]
    assert len(trips) == 2
    assert max(trips) <= AT_MOST, trips
