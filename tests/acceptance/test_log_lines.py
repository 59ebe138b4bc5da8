"""Few lines are written while everything around is away, and each of them says something new."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from urllib.parse import urlsplit

from ledger.contracts.reports import AttemptStarted
from ledger.embedded.kafka import EmbeddedKafka
from tests.acceptance.conftest import MakeFleet
from tests.support.black_hole import black_hole
from tests.support.pages import free_port
from tests.support.processes import Process, until

FIRST = "20260101000000"
AWAY_S = 15.0
"""How long all is away: many tries of everybody, far more than LINES, and less than until a line
may come again.
"""
LINES = 12
"""Of one program in that time, at most; each try alone would be several a second."""


async def test_while_broker_ledger_database_and_tenants_are_away_few_lines_are_written(
    make_fleet: MakeFleet, victim: EmbeddedKafka
) -> None:
    await asyncio.to_thread(victim.start)
    fleet = await make_fleet(databases=3, bootstrap=victim.bootstrap, port=free_port())
    fleet.migration(FIRST)
    url = urlsplit(fleet.ledger_url)
    async with black_hole(url.hostname or "", url.port or 5432) as hole:
        through = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{hole.port}")
        more = {"LEDGER_MONITORING_LOG": "json"}
        agent = fleet.agent(**more)
        leader = await fleet.serve(LEDGER_DATABASE_URL=through.geturl(), **more)
        await fleet.start("--waves", "rest", "--expiry", "600")
        await fleet.at_least(3, AttemptStarted)
        before = {one: len(one.said()) for one in (agent, leader)}
        await asyncio.to_thread(victim.kill)
        await until(lambda: "broker" in agent.said()[before[agent] :], "the agent says so")
        await until(lambda: "broker" in leader.said()[before[leader] :], "the leader says so")
        await asyncio.sleep(AWAY_S)
        for one in (agent, leader):
            check(written(one, before[one]))
        hole.swallow()
        lost = len(leader.said())
        assert await leader.ended() != 0
        check(written(leader, lost))


def written(process: Process, since: int) -> list[str]:
    """The lines that it wrote since then, without their numbers; JSON by what it says."""
    lines = []
    for line in process.said()[since:].splitlines():
        said = json.loads(line)["message"] if line.startswith("{") else line
        lines.append(re.sub(r"\d+", "0", said))
    return lines


def check(lines: list[str]) -> None:
    """Few lines, none twice, and no traceback."""
    assert len(lines) <= LINES, lines
    assert [line for line, times in Counter(lines).items() if times > 1] == []
    assert not any("Traceback" in line for line in lines)
