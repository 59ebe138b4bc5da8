"""Which command runs when: lanes, limits, cancellation, draining."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from agents.job import Job, Stop
from agents.scheduler import Scheduler
from agents.texts import Library, Texts
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.messages import Received
from ledger.contracts.registry import Connection, ContentRef, MigrationRef
from tests.support.manual_clock import ManualClock
from tests.support.orders import apply_command, cancel_command
from tests.support.patience import PATIENCE_S
from tests.support.turns import settled

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Bench:
    """A scheduler whose work waits until a test lets it go."""

    def __init__(self, concurrency: int = 4, per_host: int = 2) -> None:
        self.texts = Texts(1024)
        self.running: dict[str, asyncio.Event] = {}
        self.most = 0
        self.begun: list[str] = []
        self.over: list[Job] = []
        self.asked: list[UUID] = []
        self.rests: list[int] = []
        """How many jobs were over whenever the scheduler came to rest."""
        self.clock = ManualClock(NOW)
        self.scheduler = Scheduler(
            concurrency,
            per_host,
            Library(self.texts),
            self._work,
            lambda job: self.asked.append(job.id),
            self.over.append,
            lambda: self.rests.append(len(self.over)),
            self.clock,
        )

    def submit(self, database: str, host: str = "h", *, texts: bool = False) -> Job:
        """Hand in a command for `database`."""
        job = job_for(database, host, texts=texts)
        self.scheduler.submit(job)
        return job

    def cancel(self, job: Job) -> None:
        """Take the order of this job back."""
        assert isinstance(job.command, ApplyCommand)
        self.scheduler.cancel(cancel_command(job.command))

    async def let_go(self, database: str) -> None:
        """Let the work on `database` end."""
        self.running[database].set()
        await settled()

    async def _work(self, job: Job) -> None:
        database = job.command.database
        assert database not in self.running, "two jobs on one database"
        self.begun.append(database)
        self.running[database] = asyncio.Event()
        self.most = max(self.most, len(self.running))
        try:
            await self.running[database].wait()
        finally:
            del self.running[database]


async def test_a_database_is_never_worked_on_twice_at_once() -> None:
    bench = Bench()
    for _ in range(3):
        bench.submit("acme")
    for done in range(1, 4):
        await settled()
        assert len(bench.begun) == done
        await bench.let_go("acme")
    assert len(bench.over) == 3


async def test_different_databases_run_side_by_side_up_to_the_limit() -> None:
    bench = Bench(concurrency=3, per_host=10)
    for number in range(6):
        bench.submit(f"db{number}")
    await settled()
    assert bench.begun == ["db0", "db1", "db2"]
    await bench.let_go("db1")
    assert bench.begun == ["db0", "db1", "db2", "db3"]
    await stop(bench)


async def test_it_says_when_nobody_is_at_work_any_more() -> None:
    bench = Bench()
    bench.submit("acme")
    bench.submit("bolt")
    await settled()
    await bench.let_go("acme")
    assert bench.rests == []
    await bench.let_go("bolt")
    assert bench.rests == [2]


async def test_a_busy_server_is_passed_over_for_another() -> None:
    bench = Bench(concurrency=4, per_host=1)
    for database, host in (("a", "one"), ("b", "one"), ("c", "two")):
        bench.submit(database, host)
    await settled()
    assert bench.begun == ["a", "c"]
    await bench.let_go("a")
    assert bench.begun == ["a", "c", "b"]
    await stop(bench)


async def test_a_command_that_is_in_hand_is_not_taken_twice() -> None:
    bench = Bench()
    job = bench.submit("acme")
    assert not bench.scheduler.submit(job_for("acme", "h", command=job.id))
    await stop(bench)


async def test_cancelling_stops_what_runs_and_starts_the_next() -> None:
    bench = Bench()
    first, _ = bench.submit("acme"), bench.submit("acme")
    await settled()
    bench.cancel(first)
    await settled()
    assert bench.over == [first]
    assert first.stop is Stop.ORDERED
    assert bench.begun == ["acme", "acme"]
    await stop(bench)


async def test_a_cancelled_command_is_marked_when_it_arrives_later() -> None:
    bench = Bench()
    job = job_for("acme", "h")
    bench.cancel(job)
    bench.scheduler.submit(job)
    assert job.stop is Stop.ORDERED
    await stop(bench)


async def test_a_command_without_its_texts_waits_and_they_are_asked_for_once() -> None:
    bench = Bench()
    job = bench.submit("acme", texts=True)
    await settled()
    assert bench.begun == []
    assert job.waits_for == "migration texts"
    for _ in range(3):
        bench.clock.advance(3)
        bench.scheduler.look_again()
    assert bench.asked == [job.id]
    await stop(bench)


async def test_a_command_whose_texts_never_come_is_started_to_be_refused_as_expired() -> None:
    bench = Bench()
    bench.submit("acme", texts=True)
    bench.clock.advance(7200)
    bench.scheduler.look_again()
    await settled()
    assert bench.begun == ["acme"]
    await stop(bench)


async def test_draining_starts_nothing_and_lets_what_runs_end() -> None:
    bench = Bench(concurrency=1)
    bench.submit("a")
    bench.submit("b")
    await settled()
    bench.scheduler.drain()
    await bench.let_go("a")
    async with asyncio.timeout(PATIENCE_S):
        await bench.scheduler.idle()
    assert bench.begun == ["a"]


async def test_work_that_breaks_off_frees_its_database(caplog: pytest.LogCaptureFixture) -> None:
    over: list[Job] = []

    async def work(job: Job) -> None:
        raise RuntimeError("a defect")

    def rest() -> None:
        """Nobody asks."""

    scheduler = Scheduler(
        1, 1, Library(Texts(1)), work, lambda _: None, over.append, rest, ManualClock(NOW)
    )
    jobs = [job_for("acme", "h"), job_for("acme", "h")]
    for job in jobs:
        scheduler.submit(job)
    async with asyncio.timeout(PATIENCE_S):
        await scheduler.idle()
    assert over == jobs
    assert "broke off" in caplog.text


async def stop(bench: Bench) -> None:
    """End what a test left running."""
    bench.scheduler.stop_all()
    async with asyncio.timeout(PATIENCE_S):
        await bench.scheduler.idle()


def job_for(database: str, host: str, *, command: UUID | None = None, texts: bool = False) -> Job:
    """A job on `database`."""
    ref = MigrationRef(
        version="1",
        name="one",
        format="sql-migrate",
        up_checksum="0" * 64,
        down_checksum=None,
        has_verify=False,
        transactional=True,
        files=(ContentRef(name="1_one.sql", sha256="1" * 64, size=3),),
    )
    apply = apply_command(
        (ref,) if texts else (),
        command=command or uuid4(),
        database=database,
        connection=Connection.at(host=host, database=database, user="u"),
        expires_at=NOW + timedelta(hours=1),
    )
    return Job(apply, Received("t", 0, 0, database, b"", ()), NOW)
