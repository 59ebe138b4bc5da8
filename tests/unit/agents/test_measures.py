"""What an agent measures of its work, to the second."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from agents import tracing, worker
from agents.job import Job, JobPhase
from agents.outbox import Outbox
from agents.reporter import Reporter
from agents.runtime import Agent
from agents.scheduler import Scheduler
from agents.settings import AgentSettings
from agents.tracing import process_span
from agents.worker import Worker
from ledger import instruments
from ledger.bus.local import LocalBroker, LocalBus
from ledger.contracts.messages import Message, Received
from migrations.errors import FailureClass
from migrations.model.attempt import Verdict
from migrations.model.migration import Direction
from tests.support.engine_places import migration
from tests.support.manual_clock import ManualClock, SeededChance
from tests.support.measurements import Measurements, measured
from tests.support.orders import apply_command, inspect_command

SETTINGS = AgentSettings(pool="main", concurrency=7)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measurements]:
    """Those of an agent."""
    with measured(monkeypatch) as taken:
        taken.of(worker, _duration=instruments.ATTEMPT)
        taken.of(tracing, _processed=instruments.PROCESSED)
        yield taken


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


def job_of(clock: ManualClock) -> Job:
    command = inspect_command(expires_at=clock.now() + timedelta(hours=1))
    return Job(command, Received("t", 0, 0, "acme", b"", ()), clock.now())


def reporter_of(job: Job, clock: ManualClock) -> Reporter:
    outbox = Outbox(LocalBus(LocalBroker()), clock, SeededChance())
    return Reporter(job, SETTINGS, outbox, clock)


def agent_of(clock: ManualClock) -> Agent:
    return Agent(LocalBus(LocalBroker()), SETTINGS, clock, chance=SeededChance())


def test_jobs_and_their_ages_are_told_by_what_is_done(
    measurements: Measurements, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued, first, second, waiting = jobs = [job_of(clock) for _ in range(4)]
    monkeypatch.setattr(Scheduler, "jobs", lambda _: jobs)
    agent_of(clock).observe()
    clock.advance(10)
    both = migration("1", "CREATE TABLE a ()", "CREATE TABLE b ()")
    assert both.up is not None
    reporters = {id(job): reporter_of(job, clock) for job in jobs}
    for job in (first, second, waiting):
        reporters[id(job)].step_started(both, Direction.UP)
    clock.advance(20)
    reporters[id(second)].statement_finished(both, both.up.statements[0], 1, 2, 20_000)
    reporters[id(waiting)].waiting("a lock", 4.0, None)
    clock.advance(30)
    pool = SETTINGS.pool
    assert measurements.values(instruments.JOBS) == {
        (pool, JobPhase.QUEUED): 1,
        (pool, JobPhase.CONNECTING): 0,
        (pool, JobPhase.WAITING): 1,
        (pool, JobPhase.RUNNING): 2,
    }
    assert measurements.values(instruments.JOBS_AGE) == {
        (pool, JobPhase.QUEUED): 60,
        (pool, JobPhase.CONNECTING): 0,
        (pool, JobPhase.WAITING): 34,
        (pool, JobPhase.RUNNING): 60,
    }
    assert measurements.values(instruments.STATEMENT_AGE) == {(pool,): 50}
    assert measurements.values(instruments.CONCURRENCY) == {(pool,): 7}
    jobs.remove(first)
    assert measurements.values(instruments.STATEMENT_AGE) == {(pool,): 30}
    # What waits does not run; when it has what it waited for, it begins.
    jobs.remove(second)
    assert measurements.values(instruments.STATEMENT_AGE) == {(pool,): 0}
    reporters[id(waiting)].going_on()
    clock.advance(5)
    assert measurements.values(instruments.STATEMENT_AGE) == {(pool,): 5}
    assert queued.phase is JobPhase.QUEUED


async def test_reports_that_the_broker_has_not_taken_are_counted(
    measurements: Measurements, clock: ManualClock
) -> None:
    agent = agent_of(clock)
    agent.observe()
    assert measurements.values(instruments.REPORTS_WAITING) == {(SETTINGS.pool,): 0}
    agent._outbox.add([Message("t", "k", b"") for _ in range(3)])
    assert measurements.values(instruments.REPORTS_WAITING) == {(SETTINGS.pool,): 3}


@pytest.mark.parametrize(
    ("verdict", "kind", "told"),
    [
        (Verdict.DONE, None, ("success", "")),
        (Verdict.FAILED, FailureClass.SQL, ("failure", "sql")),
        (Verdict.REFUSED, FailureClass.IDENTITY, ("error", "identity")),
        (Verdict.EXPIRED, FailureClass.EXPIRED, ("timeout", "expired")),
        (Verdict.CANCELLED, FailureClass.CANCELLED, ("cancellation", "cancelled")),
    ],
)
async def test_attempts_are_measured_by_how_they_ended_and_the_class_of_their_failure(
    measurements: Measurements,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    verdict: Verdict,
    kind: FailureClass | None,
    told: tuple[str, str],
) -> None:
    async def do(_: Worker, job: Job, __: Reporter) -> Verdict:
        clock.advance(42)
        job.failed_by = kind
        return verdict

    monkeypatch.setattr(Worker, "_do_or_stop", do)
    agent = agent_of(clock)
    ordered = apply_command(database="acme", pool=SETTINGS.pool)
    await agent._worker.work(Job(ordered, Received("t", 0, 0, "acme", b"", ()), clock.now()))
    # A look is no attempt: nothing is tried.
    await agent._worker.work(job_of(clock))
    assert measurements.durations(instruments.ATTEMPT) == {told: (1, 42.0)}


def test_the_time_of_a_consumer_is_measured_where_there_is_a_broker(
    measurements: Measurements, clock: ManualClock
) -> None:
    for messaging in ("kafka", ""):
        with process_span(job_of(clock), messaging, clock):
            clock.advance(3)
    assert measurements.durations(instruments.PROCESSED) == {
        ("kafka", "t", "process", "agents.main"): (1, 3.0)
    }


def test_a_pool_is_told_with_every_number_and_no_database(
    measurements: Measurements, clock: ManualClock
) -> None:
    other = SETTINGS.model_copy(update={"pool": "other"})
    Agent(LocalBus(LocalBroker()), other, clock, chance=SeededChance()).observe()
    assert set(measurements.values(instruments.STATEMENT_AGE)) == {("other",)}
