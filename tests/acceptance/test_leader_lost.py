"""A leader that is frozen, or whose database is a black hole: seen, ended, and replaced."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from ledger.contracts.events import LeadershipTaken, MigrationOrdered
from tests.acceptance.conftest import MakeFleet
from tests.support import invariants
from tests.support.black_hole import BlackHole, black_hole
from tests.support.fleet import Fleet
from tests.support.processes import until

FIRST = "20260101000000"
SILENT = "has not given a sign of life since 20"
TAKE_OVER = "ledger serve --take-over"


@pytest.fixture
async def alone(make_fleet: MakeFleet) -> Fleet:
    """Return two databases without a broker: the leader does the work itself."""
    return await make_fleet(databases=2)


async def test_a_frozen_leader_is_named_everywhere_replaced_and_records_nothing_more(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST)
    fleet.agent()
    frozen = await fleet.serve()
    await fleet.at_least(1, LeadershipTaken)
    frozen.freeze()
    rollout = await fleet.start("--waves", "rest")

    await until(lambda: _says_silent(fleet), "the status says that the leader is silent")
    rows = json.loads((await fleet.ledger("rollout", "status", rollout, "-o", "json")).out)["items"]
    # Agents are alive, and only a leader hears them: the leader is the nearer cause.
    assert {row["try"] for row in rows} == {TAKE_OVER}
    assert all(SILENT in row["waits_for"] for row in rows)
    stayed = await fleet.ledger("rollout", "watch", rollout, "--timeout", "6", code=8)
    assert SILENT in stayed.err
    assert f"`{TAKE_OVER}`" in stayed.err
    refused = await fleet.ledger("serve", code=4)
    assert SILENT in refused.err
    assert f"`{TAKE_OVER}`" in refused.err

    asked = await fleet.ledger("serve", "--take-over", code=2)
    assert "--yes" in asked.err
    second = await fleet.serve("--take-over", "--yes")
    await fleet.reached(rollout, "completed")
    before = len(await fleet.events())
    frozen.thaw()
    assert await frozen.ended() in (4, 5)
    last = frozen.said().strip().splitlines()[-1]
    assert last.startswith("ledger: leadership")
    assert "Traceback" not in frozen.said()
    assert len(await fleet.events()) == before
    assert len(await fleet.events(LeadershipTaken)) == 2
    second.ask_to_stop()
    assert await second.ended() == 0
    await invariants.hold(fleet)


async def test_a_leader_that_is_well_is_not_replaced(alone: Fleet) -> None:
    first = await alone.serve()
    refused = await alone.ledger("serve", "--take-over", "--yes", code=4)
    assert "stop it first" in refused.err
    assert first.exit_code is None


@pytest.fixture
async def hole(alone: Fleet) -> AsyncIterator[BlackHole]:
    """Return a way to the ledger's database that may swallow everything."""
    parts = urlsplit(alone.ledger_url)
    async with black_hole(parts.hostname or "localhost", parts.port or 5432) as made:
        yield made


@pytest.mark.parametrize("busy", [False, True], ids=["at-rest", "at-work"])
async def test_a_leader_whose_database_is_a_black_hole_ends_within_its_bound(
    alone: Fleet, hole: BlackHole, busy: bool
) -> None:
    alone.migration(FIRST)
    leader = await alone.serve(LEDGER_DATABASE_URL=_through(alone.ledger_url, hole))
    if busy:
        await alone.start("--waves", "rest")
        await alone.at_least(1, MigrationOrdered)
    hole.swallow()
    assert await leader.ended() in (5, 6)
    assert leader.said().strip().splitlines()[-1].startswith("ledger: ")
    assert "Traceback" not in leader.said()


async def test_who_leads_behind_a_black_hole_can_be_replaced_at_once(
    alone: Fleet, hole: BlackHole
) -> None:
    alone.migration(FIRST)
    leader = await alone.serve(LEDGER_DATABASE_URL=_through(alone.ledger_url, hole))
    rollout = await alone.start("--waves", "rest")
    hole.swallow()
    assert await leader.ended() in (5, 6)
    # Its session is there still: the server has not noticed. Its silence is what counts.
    await until(lambda: _says_silent_or_nobody(alone), "nobody is said to lead well")
    await alone.serve("--take-over", "--yes")
    await alone.reached(rollout, "completed")
    await invariants.hold(alone)


async def test_watching_outlasts_a_ledgers_database_that_is_away_for_a_moment(
    fleet: Fleet,
) -> None:
    parts = urlsplit(fleet.ledger_url)
    fleet.migration(FIRST)
    async with black_hole(parts.hostname or "localhost", parts.port or 5432) as hole:
        await fleet.serve()
        rollout = await fleet.start("--waves", "rest")
        through = {"LEDGER_DATABASE_URL": _through(fleet.ledger_url, hole)}
        watching = fleet.watch(rollout, **through)
        await until(lambda: "is running" in watching.said(), "it watches")
        hole.go_away()
        await until(lambda: "The ledger's database is away" in watching.said(), "it says so")
        fleet.agent()
        await fleet.reached(rollout, "completed")
        assert watching.exit_code is None
        hole.come_back()
        assert await watching.ended() == 0
    assert "The ledger's database is back." in watching.said()
    assert "Traceback" not in watching.said()
    await invariants.hold(fleet)


async def test_a_leader_behind_a_black_hole_stops_when_it_is_told_to(
    alone: Fleet, hole: BlackHole
) -> None:
    leader = await alone.serve(LEDGER_DATABASE_URL=_through(alone.ledger_url, hole))
    hole.swallow()
    leader.ask_to_stop()
    await leader.ended()
    assert "Traceback" not in leader.said()


def _through(url: str, hole: BlackHole) -> str:
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{credentials}@{hole.host}:{hole.port}").geturl()


async def _says_silent(fleet: Fleet) -> bool:
    return SILENT in (await fleet.ledger("status")).err


async def _says_silent_or_nobody(fleet: Fleet) -> bool:
    said = (await fleet.ledger("status")).err
    return SILENT in said or "nobody leads" in said
