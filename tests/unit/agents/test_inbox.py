"""What is taken, and which positions may be committed, whatever the order in which commands end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import inbox
from agents.allegiance import Allegiance
from agents.inbox import Inbox, Unfinished
from agents.job import Job
from agents.outbox import Outbox
from agents.scheduler import Scheduler
from agents.texts import Library, Texts
from ledger.bus.local import LocalBroker, LocalBus
from ledger.contracts.messages import Message, Received
from ledger.contracts.topics import REPORTS
from ledger.contracts.wire import encode_command
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from tests.support.manual_clock import ManualClock
from tests.unit.agents.test_scheduler import NOW, job_for

LEDGER = UUID(int=1)
COMMANDS = 12
LIMIT = 2
"""Commands in hand; the tests below have more to take."""


def message(offset: int, partition: int = 0) -> Received:
    return Received("t", partition, offset, "k", b"", ())


def test_the_lowest_unfinished_message_holds_the_position() -> None:
    unfinished = Unfinished()
    for offset in (5, 6, 7):
        unfinished.took(message(offset))
    unfinished.finished(message(6))
    unfinished.finished(message(7))
    assert unfinished.to_commit() == {0: 5}
    unfinished.finished(message(5))
    assert unfinished.to_commit() == {0: 8}


def test_partitions_do_not_hold_each_other_up() -> None:
    unfinished = Unfinished()
    unfinished.took(message(3, partition=0))
    unfinished.took(message(9, partition=1))
    unfinished.finished(message(9, partition=1))
    assert unfinished.to_commit() == {0: 3, 1: 10}


def test_what_is_committed_already_is_not_committed_again() -> None:
    unfinished = Unfinished()
    unfinished.took(message(3))
    unfinished.finished(message(3))
    unfinished.committed({0: 4})
    assert unfinished.to_commit() == {}


def test_a_message_that_is_delivered_again_is_unfinished_again() -> None:
    unfinished = Unfinished()
    for _ in range(2):
        unfinished.took(message(3))
        unfinished.finished(message(3))
    unfinished.took(message(3))
    assert unfinished.to_commit() == {0: 3}


def test_a_broker_that_counts_from_0_again_is_followed_and_nothing_beyond_its_end_is_kept() -> None:
    unfinished = Unfinished()
    for offset in range(50):
        unfinished.took(message(offset))
        unfinished.finished(message(offset))
    unfinished.committed({0: 50})
    unfinished.took(other := Received("t", 0, 0, "k", b"of the new life", ()))
    assert unfinished.to_commit() == {0: 0}
    unfinished.finished(other)
    assert unfinished.to_commit() == {0: 1}


def test_what_was_kept_of_an_earlier_life_is_kept_again_in_the_new_one() -> None:
    unfinished = Unfinished()
    for _ in range(2):
        unfinished.took(message(0))
        unfinished.finished(message(0))
        assert unfinished.to_commit() == {0: 1}
        unfinished.committed({0: 1})
        assert unfinished.to_commit() == {}


def test_work_of_an_earlier_life_does_not_finish_the_message_in_its_place() -> None:
    unfinished = Unfinished()
    unfinished.took(message(3))
    for offset in range(4):
        unfinished.took(Received("t", 0, offset, "k", b"of the new life", ()))
    unfinished.finished(message(3))
    for offset in range(3):
        unfinished.finished(Received("t", 0, offset, "k", b"of the new life", ()))
    assert unfinished.to_commit() == {0: 3}


def test_work_that_outlives_its_broker_holds_no_position_beyond_what_was_read() -> None:
    unfinished = Unfinished()
    unfinished.took(message(9))
    unfinished.took(new := Received("t", 0, 0, "k", b"of the new life", ()))
    unfinished.finished(new)
    assert unfinished.to_commit() == {0: 1}


@given(st.permutations(range(12)), st.integers(0, 12))
def test_no_unfinished_message_is_ever_passed_over(order: list[int], ended: int) -> None:
    unfinished = Unfinished()
    for offset in range(12):
        unfinished.took(message(offset))
    for offset in order[:ended]:
        unfinished.finished(message(offset))
    position = unfinished.to_commit()[0]
    assert position == min(order[ended:], default=12)


class Partition:
    """A group member with one partition; what is paused stays where it is."""

    def __init__(self) -> None:
        self._waiting = [_received(offset) for offset in range(COMMANDS)]
        self._paused = False

    async def poll(self, timeout_s: float, limit: int) -> Sequence[Received]:
        await asyncio.sleep(0.001)
        taken = [] if self._paused else self._waiting[:limit]
        del self._waiting[: len(taken)]
        return taken

    async def commit(self, positions: Mapping[int, int]) -> None:
        assert positions == {0: 0}, "nothing was published, so nothing may be passed over"

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    async def close(self) -> None:
        """Nothing is open."""


def _received(offset: int) -> Received:
    command = replace(job_for(f"db{offset}", "h").command, ledger=LEDGER)
    message = encode_command(command)
    return Received(message.topic, 0, offset, message.key, message.value, message.headers)


async def answered_while_no_report_is_published(turns: int) -> int:
    """How many commands an agent answers in so many turns."""
    answered: list[str] = []
    outbox = Outbox(LocalBus(LocalBroker()), SYSTEM_CLOCK, SYSTEM_CHANCE)

    async def work(job: Job) -> None:
        job.ticket = outbox.add([Message(REPORTS, "rollout-r/reports", b"{}")])
        job.answered = True
        answered.append(job.command.database)

    scheduler = Scheduler(
        LIMIT,
        LIMIT,
        Library(Texts(1024)),
        work,
        lambda job: None,
        lambda job: box.over(job),
        outbox.hurry,
        ManualClock(NOW),
    )
    box = Inbox(scheduler, outbox, LIMIT, ManualClock(NOW), SYSTEM_CHANCE, Allegiance(LEDGER))
    member = Partition()
    for _ in range(turns):
        await box.turn(member)
        await scheduler.idle()
    return len(answered)


async def test_a_command_that_is_delivered_again_while_it_runs_is_not_passed_over() -> None:
    outbox = Outbox(LocalBus(LocalBroker()), SYSTEM_CLOCK, SYSTEM_CHANCE)
    running = asyncio.Event()

    async def work(job: Job) -> None:
        await running.wait()
        job.answered = True

    scheduler = Scheduler(
        LIMIT,
        LIMIT,
        Library(Texts(1024)),
        work,
        lambda job: None,
        lambda job: box.over(job),
        outbox.hurry,
        ManualClock(NOW),
    )
    box = Inbox(scheduler, outbox, LIMIT, ManualClock(NOW), SYSTEM_CHANCE, Allegiance(LEDGER))
    member = Again()
    await box.turn(member)
    await box.turn(member)
    await box.commit(member)
    assert member.kept == {0: 0}
    running.set()
    await scheduler.idle()
    await box.commit(member)
    assert member.kept == {0: 1}


class Again(Partition):
    """A partition whose only command is delivered with every poll."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, int] = {}

    async def poll(self, timeout_s: float, limit: int) -> Sequence[Received]:
        return [_received(0)]

    async def commit(self, positions: Mapping[int, int]) -> None:
        self.kept.update(positions)


async def test_reports_that_gather_keep_no_command_from_being_taken() -> None:
    assert await answered_while_no_report_is_published(3 * COMMANDS) == COMMANDS


async def test_nothing_more_is_taken_when_the_bus_takes_no_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "UNACKNOWLEDGED", 5)
    assert 5 <= await answered_while_no_report_is_published(3 * COMMANDS) < 5 + LIMIT
