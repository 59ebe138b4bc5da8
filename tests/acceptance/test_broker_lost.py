"""A broker that is gone: the cause that is named at once, and nobody else is blamed meanwhile."""

from __future__ import annotations

import asyncio
import json

from ledger.contracts.reports import AttemptStarted
from ledger.domain.waiting import Reason
from ledger.embedded.kafka import EmbeddedKafka
from tests.acceptance.conftest import RESEND_NEVER
from tests.support.fleet import Fleet
from tests.support.processes import run, until
from tests.support.runbook import steps

FIRST = "20260101000000"
GONE = "the broker cannot be reached"
INNOCENT = {Reason.NO_AGENT, Reason.NOT_TAKEN, Reason.CLOCK, Reason.NO_LEADER}


async def test_without_the_broker_that_is_the_first_cause_named_and_no_agent_is_blamed(
    breakable: Fleet, victim: EmbeddedKafka
) -> None:
    fleet = breakable
    fleet.migration(FIRST, "SELECT pg_sleep(5);")
    # A second sending of the orders does not find it out.
    leader = await fleet.serve(**RESEND_NEVER)
    agent = fleet.agent()
    rollout = await fleet.start("--waves", "2,rest", "--in-flight", "2")
    await fleet.at_least(1, AttemptStarted)
    seen = json.loads((await fleet.ledger("agents", "-o", "json")).out)
    (row,) = seen["items"]
    assert (row["agent"], row["pool"], row["state"]) == (f"{fleet.pool}-agent", fleet.pool, "alive")
    assert row["version"]
    assert (seen["broker"], seen["pools"]) == (True, {fleet.pool: 6})
    assert seen["pools_without_agent"] == []

    await asyncio.to_thread(victim.kill)
    named: list[set[Reason]] = []

    async def is_named() -> bool:
        status = await fleet.status(rollout)
        named.append({one.reason for one in status.databases if one.reason is not None})
        return named[-1] == {Reason.NO_BROKER}

    await until(is_named, "the broker is named")
    assert not INNOCENT & set().union(*named)
    shown = await fleet.ledger("rollout", "status", rollout)
    assert GONE in shown.out
    assert "ledger-agent check" in shown.out
    watching = fleet.watch(rollout)
    await until(lambda: GONE in watching.said(), "who watches is told")
    assert "no agent" not in watching.said()
    listed = await fleet.ledger("agents")
    assert GONE in listed.err
    assert "no agent" not in listed.err

    await asyncio.to_thread(victim.start)
    blamed: set[Reason] = set()

    async def is_back() -> bool:
        status = await fleet.status(rollout)
        blamed.update(one.reason for one in status.databases if one.reason is not None)
        return Reason.NO_BROKER not in {one.reason for one in status.databases}

    await until(is_back, "the broker is back")
    checking, staying = steps("broker-lost.md", {})
    checked = await run(*checking.words, env=fleet.env)
    assert checked.code == 0, checked
    # What was at work may be done by now: then there is none to stay with but the one by name.
    await fleet.ledger(*staying.words[1:], rollout)
    await fleet.reached(rollout, "completed")
    assert Reason.NO_AGENT not in blamed
    for process in (leader, agent, watching):
        assert "Traceback" not in process.said()
        assert "Error" not in process.said()
