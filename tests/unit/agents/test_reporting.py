"""What an agent's heartbeats say while something is waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agents.job import Job, JobPhase
from agents.outbox import Outbox
from agents.reporter import Reporter
from agents.settings import AgentSettings
from ledger.bus.local import LocalBroker, LocalBus
from ledger.contracts.messages import Received
from tests.support.manual_clock import ManualClock, SeededChance
from tests.support.orders import inspect_command

NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)


class Work:
    """A job in an agent's hands, who reports on it, and a clock."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        command = inspect_command(expires_at=NOW)
        self.job = Job(command, Received("t", 0, 0, "acme", b"", ()), NOW)
        outbox = Outbox(LocalBus(LocalBroker()), self.clock, SeededChance())
        settings = AgentSettings(pool="main")
        self.reporter = Reporter(self.job, settings, outbox, self.clock)


def test_a_wait_is_said_with_its_beginning_and_the_next_try() -> None:
    work = Work()
    work.reporter.waiting("a lock", 12.0, 3.0)
    busy = work.job.busy()
    assert (busy.phase, busy.waits_for) == (JobPhase.WAITING, "a lock")
    assert busy.waiting_since == NOW - timedelta(seconds=12)
    assert busy.next_try_at == NOW + timedelta(seconds=3)


def test_the_beginning_of_a_wait_stays_though_two_clocks_measure_it() -> None:
    work = Work()
    work.reporter.waiting("a lock", 0.0, 1.0)
    work.clock.advance(5)
    work.reporter.waiting("a lock", 4.98, 1.0)
    assert work.job.busy().waiting_since == NOW


def test_while_it_is_tried_again_no_next_try_lies_in_the_past() -> None:
    work = Work()
    work.reporter.waiting("a lock", 0.0, 1.0)
    work.reporter.trying_again()
    busy = work.job.busy()
    assert (busy.phase, busy.waits_for, busy.next_try_at) == (JobPhase.RUNNING, "a lock", None)
    assert busy.waiting_since == NOW


def test_when_a_statement_has_what_it_waited_for_nothing_is_said_to_be_waited_for() -> None:
    work = Work()
    work.reporter.waiting("ShareLock on a transaction that began before", 2.0, None)
    assert work.job.busy().phase == JobPhase.WAITING
    work.reporter.going_on()
    busy = work.job.busy()
    assert (busy.phase, busy.waits_for, busy.waiting_since) == (JobPhase.RUNNING, "", None)
