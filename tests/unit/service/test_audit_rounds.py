"""The record audited again and again: what each round finds is told until it is so no more."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ledger import instruments
from ledger.contracts.events import Audited, DifferenceFound
from ledger.domain.differences import Difference, DifferenceKind, Replayed
from ledger.errors import LedgerError, LedgerUnreachable, NotPermitted
from ledger.service.audit import ChainVerdict, ComparedEnd, Comparison, KeptEnd
from ledger.service.audit_rounds import AuditRounds
from tests.support.manual_clock import ManualClock, simulate
from tests.support.measurements import measured

ROW = Difference("rollout", {"rollout": "r1"}, DifferenceKind.CHANGED, ("status",))
GOOD = {("chain",): 0, ("kept end",): 0, ("rows",): 0}


class Record:
    """A record that is as a test says."""

    def __init__(self) -> None:
        self.position = 10
        self.broken = self.rehashed = self.away = False
        self.rows: tuple[Difference, ...] = ()
        self.kept: list[tuple[KeptEnd, ...]] = []
        self.recorded: list[DifferenceFound] = []
        self.refusal: LedgerError | None = None

    async def verify(self, kept: tuple[KeptEnd, ...] = ()) -> ChainVerdict:
        if self.away:
            raise LedgerUnreachable("the database does not answer", "start it")
        self.kept.append(kept)
        self.position += 1
        if self.broken:
            compared = (ComparedEnd(one, None, Comparison.UNREACHED) for one in kept)
            return ChainVerdict(3, None, "the event is not the one", tuple(compared))
        found = Comparison.CHANGED if self.rehashed else Comparison.SAME
        compared = (ComparedEnd(one, b"x" if self.rehashed else one.chain, found) for one in kept)
        return ChainVerdict(self.position, f"chain {self.position}".encode(), "", tuple(compared))

    async def replay(self) -> Replayed:
        return Replayed(self.position, self.position, {}, self.rows, more=False)

    async def record(self, found: DifferenceFound) -> None:
        if self.refusal:
            raise self.refusal
        self.recorded.append(found)


async def test_a_round_that_finds_nothing_keeps_the_end_for_the_next() -> None:
    record = Record()
    rounds = AuditRounds(record, ManualClock())
    assert rounds.trouble == "the first round has not ended"
    for _ in range(3):
        await rounds.audit()
    assert record.kept == [(), (KeptEnd(11, b"chain 11"),), (KeptEnd(12, b"chain 12"),)]
    assert rounds.trouble == ""


async def test_what_differs_is_measured_and_said_once_until_it_is_mended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record, clock = Record(), ManualClock()
    with measured(monkeypatch) as measurements:
        rounds = AuditRounds(record, clock)
        rounds.observe()
        assert measurements.values(instruments.AUDIT_DIFFERENCES) == {}
        assert measurements.values(instruments.AUDIT_AGE) == {}
        await rounds.audit()
        clock.advance(60)
        assert measurements.values(instruments.AUDIT_DIFFERENCES) == GOOD
        assert measurements.values(instruments.AUDIT_AGE) == {(): 60}
        record.rows = (ROW, ROW)
        for _ in range(2):
            await rounds.audit()
        assert measurements.values(instruments.AUDIT_DIFFERENCES) == GOOD | {("rows",): 2}
        assert measurements.values(instruments.AUDIT_AGE) == {(): 0}
        record.rows, record.broken = (), True
        await rounds.audit()
        assert measurements.values(instruments.AUDIT_DIFFERENCES) == GOOD | {("chain",): 1}
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert [("`ledger replay`" in one, "`ledger audit verify`" in one) for one in said] == [
        (True, False),
        (False, True),
    ]


async def test_a_log_that_was_hashed_again_stays_so_against_the_end_from_before() -> None:
    record = Record()
    rounds = AuditRounds(record, ManualClock())
    await rounds.audit()
    record.rehashed = True
    for _ in range(2):
        await rounds.audit()
        assert rounds.differences["kept end"] == 1
    assert set(record.kept[1:]) == {(KeptEnd(11, b"chain 11"),)}


def test_a_ledger_that_does_not_answer_is_said_once_and_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = Record()
    record.away = True

    clock = ManualClock()

    async def scenario() -> None:
        rounds = AuditRounds(record, clock)
        running = asyncio.create_task(rounds.run(3600.0))
        await clock.sleep(200)
        assert "does not answer" in rounds.trouble
        record.away = False
        await clock.sleep(100)
        assert rounds.trouble == ""
        await clock.sleep(7200)
        assert 2 <= len(record.kept) <= 3
        running.cancel()
        await asyncio.wait([running])

    simulate(clock, scenario())
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1


async def test_what_differs_is_recorded_with_its_place_and_what_does_not_is_not() -> None:
    record = Record()
    rounds = AuditRounds(record, ManualClock())
    await rounds.audit()
    assert record.recorded == []
    record.rehashed, record.rows = True, (ROW, ROW)
    await rounds.audit()
    record.broken, record.rows = True, ()
    await rounds.audit()
    assert [(one.audited, one.place, one.differences) for one in record.recorded] == [
        (Audited.KEPT_END, "up to position 11", 1),
        (Audited.ROWS, "rollout", 2),
        (Audited.CHAIN, "position 3", 1),
    ]


async def test_whoever_may_not_record_it_measures_all_the_same_and_says_once_who_may(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = Record()
    record.rows, record.refusal = (ROW,), NotPermitted("watch", "DifferenceFound")
    rounds = AuditRounds(record, ManualClock())
    for _ in range(3):
        await rounds.audit()
    assert rounds.differences[Audited.ROWS] == 1
    assert rounds.trouble == ""
    (said,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert "nobody is notified" in said
    assert "ledger_auditor" in said


def test_what_could_not_be_recorded_for_the_moment_is_recorded_when_the_ledger_answers() -> None:
    record, clock = Record(), ManualClock()
    record.broken, record.refusal = True, LedgerUnreachable("it does not answer", "start it")

    async def scenario() -> None:
        rounds = AuditRounds(record, clock)
        running = asyncio.create_task(rounds.run(86_400.0))
        await clock.sleep(30)
        assert rounds.differences[Audited.CHAIN] == 1
        assert record.recorded == []
        record.refusal = None
        await clock.sleep(100)
        assert [one.audited for one in record.recorded] == [Audited.CHAIN]
        running.cancel()
        await asyncio.wait([running])

    simulate(clock, scenario())
