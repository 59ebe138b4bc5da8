"""How an agent ends: the first signal asks, the second forces, and no session is left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ledger.contracts.reports import MigrationApplied
from migrations.model.attempt import Verdict
from tests.integration.agents.conftest import (
    ADD_NOTE,
    HELD_BACK,
    SLEEP_LONG,
    Desk,
    Place,
    asleep,
    backends,
    columns,
    holding,
    kafka_maker,
)
from tests.support import warm
from tests.support.patience import PATIENCE_S


@pytest.fixture
def place(kafka_broker: str) -> Place:
    """Agents of these tests are processes, so their broker is a real one."""
    return Place(kafka_maker(kafka_broker))


@asynccontextmanager
async def process(bootstrap: str, pool: str, *flags: str) -> AsyncIterator[warm.WarmProcess]:
    """`ledger-agent run` as people run it; killed at the end if it still lives."""
    words = ("run", "--pool", pool, "--kafka", bootstrap, "--insecure-postgres", *flags)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LEDGER_")}
    running = await warm.start(words, Path.cwd(), kept, "ledger-agent")
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            _, said = await running.communicate()
            logging.getLogger(__name__).warning("the agent was killed; it said: %s", said)


async def ended(running: warm.WarmProcess) -> tuple[int | None, str]:
    """The exit code and what was said."""
    async with asyncio.timeout(PATIENCE_S):
        _, said = await running.communicate()
    return running.returncode, said.decode()


async def said_line(running: warm.WarmProcess, words: bytes) -> None:
    """Return when it has written a line with these words."""
    async with asyncio.timeout(PATIENCE_S):
        while words not in (line := await running.stderr.readline()):
            assert line, f"it ended without a word of {words!r}"


async def test_the_first_signal_lets_what_runs_finish(
    kafka_broker: str, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [HELD_BACK])
    async with process(kafka_broker, desk.pool) as running:
        async with holding(tenant_database):
            await desk.send(command, files=[HELD_BACK])
            await asleep(tenant_database)
            running.send_signal(signal.SIGTERM)
        assert (await desk.finished(command)).verdict is Verdict.DONE
        code, said = await ended(running)
    assert code == 0
    assert "finishing 1 databases" in said
    assert "Traceback" not in said
    assert "slept" in await columns(tenant_database)
    assert await backends(tenant_database) == 0


async def test_the_second_signal_cancels_and_leaves_no_session(
    kafka_broker: str, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [SLEEP_LONG])
    async with process(kafka_broker, desk.pool) as running:
        await desk.send(command, files=[SLEEP_LONG])
        await asleep(tenant_database)
        running.send_signal(signal.SIGINT)
        await said_line(running, b"stop again to cancel")
        running.send_signal(signal.SIGINT)
        code, said = await ended(running)
    assert code == 130
    assert "Traceback" not in said
    assert await backends(tenant_database) == 0
    assert "slept_long" not in await columns(tenant_database)


async def test_the_grace_period_ends_in_cancelling(
    kafka_broker: str, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [SLEEP_LONG])
    async with process(kafka_broker, desk.pool, "--grace-s", "1") as running:
        await desk.send(command, files=[SLEEP_LONG])
        await asleep(tenant_database)
        running.send_signal(signal.SIGTERM)
        code, _ = await ended(running)
    assert code == 0
    assert await backends(tenant_database) == 0


async def test_work_that_a_shutdown_cancelled_comes_to_another_agent_and_did_not_fail(
    kafka_broker: str, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [SLEEP_LONG])
    async with process(kafka_broker, desk.pool, "--grace-s", "0") as running:
        await desk.send(command, files=[SLEEP_LONG])
        await asleep(tenant_database)
        running.send_signal(signal.SIGTERM)
        await ended(running)
    assert "AttemptFinished" not in desk.reports_on(command)
    async with process(kafka_broker, desk.pool):
        finished = await desk.finished(command)
    assert finished.verdict is Verdict.CANCELLED


async def test_queued_commands_of_an_agent_that_ends_are_done_by_the_next(
    kafka_broker: str, desk: Desk, tenant_database: str
) -> None:
    slow = desk.apply(tenant_database, [HELD_BACK])
    queued = desk.apply(tenant_database, [ADD_NOTE])
    async with process(kafka_broker, desk.pool) as running:
        async with holding(tenant_database):
            await desk.send(slow, queued, files=[HELD_BACK, ADD_NOTE])
            await asleep(tenant_database)
            running.send_signal(signal.SIGTERM)
            await said_line(running, b"finishing 1 databases")
        await ended(running)
    assert desk.reports_on(queued) == []
    async with process(kafka_broker, desk.pool):
        assert (await desk.finished(queued)).verdict is Verdict.DONE


async def test_a_killed_agent_is_answered_for_by_the_next(
    kafka_broker: str, desk: Desk, tenant_database: str
) -> None:
    command = desk.apply(tenant_database, [HELD_BACK])
    async with process(kafka_broker, desk.pool) as running, holding(tenant_database):
        await desk.send(command, files=[HELD_BACK])
        await asleep(tenant_database)
        running.kill()
        await ended(running)
    async with process(kafka_broker, desk.pool):
        assert (await desk.finished(command)).verdict is Verdict.DONE
    applied = [r for r in desk.heard if isinstance(r.report, MigrationApplied)]
    assert len({reported.event_id for reported in applied}) == 1
    assert "slept" in await columns(tenant_database)


async def test_an_agent_that_waits_for_a_broker_ends_when_asked() -> None:
    async with process("127.0.0.1:1", "nobody") as running:
        await said_line(running, b"waiting for the broker")
        running.send_signal(signal.SIGTERM)
        code, said = await ended(running)
    assert code == 0
    assert "Traceback" not in said
