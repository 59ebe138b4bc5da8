"""Spans of real waits, by both who hear of them: an agent, and a command of `ledger db`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agents.job import Job
from agents.outbox import Outbox
from agents.reporter import Reporter
from agents.settings import AgentSettings
from ledger import exporters, telemetry
from ledger.bus.local import LocalBroker, LocalBus
from ledger.cli.db.progress import Telling
from ledger.contracts.messages import Received
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from migrations.model.attempt import Limits, Mode, Verdict, WatchdogPolicy, WhenBlocked
from migrations.model.work import Observer
from migrations.runner import run
from migrations.running import telemetry as statements
from tests.integration.migrations.world import World, migration, session
from tests.support.orders import inspect_command

ALTER = migration("002", "ALTER TABLE users ADD email text")
POLICY = WatchdogPolicy(WhenBlocked.CANCEL, 1.0)
LIMITS = Limits(
    lock_timeout_s=60, retry_budget=1, retry_for_s=60, advisory_wait_s=30, watchdog=POLICY
)
SECRET = "hunter2"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What keeps the spans that are made from now on, by all of ours."""
    exporter = InMemorySpanExporter()
    provider = exporters.provider_of("t", "1", exporter, at_once=True)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(statements, "_TRACER", provider.get_tracer("statements"))
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def reporter() -> Observer:
    """An agent's, on a job whose reports go nowhere."""
    now = SYSTEM_CLOCK.now()
    job = Job(inspect_command(expires_at=now), Received("t", 0, 0, "acme", b"", ()), now)
    outbox = Outbox(LocalBus(LocalBroker()), SYSTEM_CLOCK, SYSTEM_CHANCE)
    return Reporter(job, AgentSettings(pool="main"), outbox, SYSTEM_CLOCK)


@pytest.mark.parametrize("hears", [reporter, Telling], ids=["an agent", "ledger db"])
async def test_a_blocker_that_was_cancelled_has_a_span_as_long_as_the_wait_for_it(
    world: World, made: InMemorySpanExporter, hears: Callable[[], Observer]
) -> None:
    await world.execute(f"SET ROLE {world.owner}; CREATE TABLE users (id int, name text)")
    observer = hears()
    work = replace(world.work(Mode.UP, ALTER), may_cancel=True)
    query = f"SELECT pg_sleep(600), count(*) FROM users WHERE name = '{SECRET}'"
    async with session(world.url, "BEGIN", "SELECT * FROM users") as busy:
        working = asyncio.create_task(busy.execute(query))
        with observer if isinstance(observer, Telling) else nullcontext():
            at_work = asyncio.create_task(run(world.settings, work, LIMITS, observer))
            with pytest.raises(asyncpg.QueryCanceledError):
                await working
            await busy.execute("ROLLBACK")
            outcome = await at_work
    assert outcome.verdict is Verdict.DONE
    spans = made.get_finished_spans()
    (step,) = [span for span in spans if span.name == "migrate 002 up"]
    (watchdog,) = [span for span in spans if span.name == telemetry.WATCHDOG_SPAN]
    waits = [span for span in spans if span.name == telemetry.WAIT_SPAN.format(cause="lock")]
    assert waits
    for span in (watchdog, *waits):
        assert span.parent is not None
        assert span.parent.span_id == step.context.span_id
        assert SECRET not in str(span.attributes)
        assert "shop" not in str(span.attributes)
    seconds = ((watchdog.end_time or 0) - (watchdog.start_time or 0)) / 1e9
    assert seconds >= POLICY.after_s
    for wait in waits:
        said = dict(wait.attributes or {})
        assert said == {telemetry.WAITED_FOR: "AccessExclusiveLock on public.users"}
    assert (waits[0].end_time or 0) > (watchdog.start_time or 0)


@pytest.mark.parametrize("hears", [reporter, Telling], ids=["an agent", "ledger db"])
async def test_a_statement_that_was_given_up_has_a_span_that_says_so(
    world: World, made: InMemorySpanExporter, hears: Callable[[], Observer]
) -> None:
    await world.execute(f"SET ROLE {world.owner}; CREATE TABLE users (id int, name text)")
    observer = hears()
    limits = replace(LIMITS, watchdog=WatchdogPolicy(WhenBlocked.GIVE_UP, 1.0))
    query = f"SELECT count(*) FROM users WHERE name = '{SECRET}'"
    async with session(world.url, "BEGIN", query):
        with observer if isinstance(observer, Telling) else nullcontext():
            outcome = await run(world.settings, world.work(Mode.UP, ALTER), limits, observer)
    assert outcome.verdict is Verdict.FAILED
    spans = made.get_finished_spans()
    (step,) = [span for span in spans if span.name == "migrate 002 up"]
    (watchdog,) = [span for span in spans if span.name == telemetry.WATCHDOG_SPAN]
    assert watchdog.parent is not None
    assert watchdog.parent.span_id == step.context.span_id
    assert dict(watchdog.attributes or {}) == {
        telemetry.WAITED_FOR: "AccessExclusiveLock on public.users",
        telemetry.ERROR_TYPE: "lock_timeout",
    }
    assert not watchdog.status.is_ok
    assert ((watchdog.end_time or 0) - (watchdog.start_time or 0)) / 1e9 >= POLICY.after_s
    assert SECRET not in str([span.attributes for span in spans])
