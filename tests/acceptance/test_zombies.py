"""Messages and processes from the past: they come late, and change nothing."""

from __future__ import annotations

import asyncio

from ledger.bus.kafka import KafkaBus
from ledger.bus.port import Message, Received
from ledger.bus.security import KafkaSettings
from ledger.contracts.reports import CommandRefused, MigrationApplied
from ledger.contracts.topics import commands_topic
from tests.support import invariants
from tests.support.fleet import Fleet
from tests.support.patience import PATIENCE_S
from tests.support.processes import until

FIRST = "20260101000000"


async def test_an_agent_that_slept_past_its_session_finds_its_work_done(fleet: Fleet) -> None:
    fleet.migration(FIRST, await fleet.hold())
    await fleet.serve()
    first = fleet.agent("first", LEDGER_AGENT_CONCURRENCY="2")
    rollout = await fleet.start("--waves", "rest")
    await until(lambda: fleet.is_running("pg_sleep"), "a migration runs")
    first.freeze()
    await fleet.let_go()
    fleet.agent("second")
    # The second takes over all but the two, at most, that the first holds the locks of.
    await fleet.at_least(4, MigrationApplied)
    await until(lambda: _took_part(fleet, "second"), "the second agent took over")
    first.thaw()
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    assert {line.attempt for line in status.databases} == {1}
    await invariants.hold(fleet)


async def test_an_order_to_go_up_that_comes_after_its_rollback_is_refused(fleet: Fleet) -> None:
    fleet.migration(FIRST)
    await fleet.serve()
    agent = fleet.agent()
    rollout = await fleet.start("--waves", "rest")
    await fleet.reached(rollout, "completed")
    old = await _commands(fleet, 6)
    await fleet.ledger("rollout", "rollback", rollout, "--yes", "--reason", "not wanted")
    await fleet.reached(f"undo-{rollout}", "completed")
    before = [await tenant.value("SELECT count(*) FROM ran") for tenant in fleet.tenants]
    assert before == [2] * 6
    # An agent that has seen none of it, so that only the databases can know better.
    agent.ask_to_stop()
    assert await agent.ended() == 0
    fleet.agent("fresh")
    await _publish(fleet, old)
    await until(lambda: _refusals(fleet, 6), "all late orders are refused")
    assert await fleet.with_effect(FIRST) == []
    assert [await tenant.value("SELECT count(*) FROM ran") for tenant in fleet.tenants] == before
    await invariants.hold(fleet)


async def test_every_command_published_three_times_and_shuffled_runs_once(fleet: Fleet) -> None:
    fleet.migration(FIRST)
    await fleet.serve()
    rollout = await fleet.start("--waves", "rest")
    commands = await _commands(fleet, 6)
    await _publish(fleet, [*reversed(commands), *commands, *commands[::2]])
    fleet.agent("first")
    fleet.agent("second")
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    await invariants.hold(fleet)


async def test_a_message_that_nobody_can_read_stops_nobody(fleet: Fleet) -> None:
    fleet.migration(FIRST)
    await fleet.serve()
    fleet.agent()
    topic = commands_topic(fleet.pool)
    nonsense = [Message(topic, tenant.id, b"{nonsense", ()) for tenant in fleet.tenants]
    await _publish_messages(fleet, nonsense)
    rollout = await fleet.start("--waves", "rest")
    status = await fleet.reached(rollout, "completed")
    assert status.counts == {"applied": 6}
    await invariants.hold(fleet)


async def _took_part(fleet: Fleet, agent: str) -> bool:
    applied = await fleet.events(MigrationApplied)
    return any(one.metadata.agent == f"{fleet.pool}-{agent}" for one in applied)


async def _refusals(fleet: Fleet, number: int) -> bool:
    refused = [one.event for one in await fleet.events(CommandRefused)]
    kinds = [one.failure.kind for one in refused if isinstance(one, CommandRefused)]
    return kinds == ["fence"] * number


async def _commands(fleet: Fleet, databases: int) -> list[Received]:
    """What is on the topic of the fleet's pool, once so many databases have a command there."""
    bus = KafkaBus(KafkaSettings(bootstrap=fleet.bootstrap or ""), "test")
    await bus.start()
    try:
        reader = await bus.read(commands_topic(fleet.pool), {})
        found: list[Received] = []
        async with asyncio.timeout(PATIENCE_S):
            while len({message.key for message in found}) < databases:
                found += await reader.poll(0.5, 500)
        return found
    finally:
        await bus.close()


async def _publish(fleet: Fleet, received: list[Received]) -> None:
    await _publish_messages(
        fleet, [Message(one.topic, one.key, one.value, one.headers) for one in received]
    )


async def _publish_messages(fleet: Fleet, messages: list[Message]) -> None:
    bus = KafkaBus(KafkaSettings(bootstrap=fleet.bootstrap or ""), "test")
    await bus.start()
    try:
        await bus.ensure_topics([messages[0].topic])
        await bus.publish(messages)
    finally:
        await bus.close()
