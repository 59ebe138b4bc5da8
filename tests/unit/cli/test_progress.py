"""What a person hears of a rollout while it travels."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ledger.cli.app.exits import ExitCode
from ledger.cli.rollout.progress import LASTING_S, Lines, News
from ledger.cli.rollout.watch import ending
from ledger.domain.waiting import Reason
from ledger.service.status import DatabaseLine, RolloutStatus, WaveStatus
from tests.support.manual_clock import ManualClock

SINCE = datetime(2026, 1, 1, 9, tzinfo=UTC)


def status(
    *databases: DatabaseLine,
    is_: str = "running",
    why: str = "",
    counts: dict[str, int] | None = None,
) -> RolloutStatus:
    found = counts or {}
    size = sum(found.values()) or len(databases)
    wave = WaveStatus(wave=0, size=size, opened=True, completed=False, counts=found)
    return RolloutStatus(
        rollout="r1",
        status=is_,
        mode="up",
        why=why,
        waves=(wave,),
        counts=found,
        databases=databases,
    )


def waiting(text: str, *, helps: str = "", status: str = "ordered") -> DatabaseLine:
    return DatabaseLine("acme", 0, status, 1, waits_for=text, helps=helps)


def failed(problem: str, attempt: int = 1) -> DatabaseLine:
    return DatabaseLine("acme", 0, "failed", attempt, problem=problem)


def test_a_failure_is_told_once_per_attempt() -> None:
    news = News(ManualClock())
    assert news.of(status(failed("no table"))) == [
        "acme failed: no table",
        "rollout r1 is running",
    ]
    assert news.of(status(failed("no table"))) == []
    assert news.of(status(failed("no table", attempt=2))) == ["acme failed: no table"]


def test_a_halt_is_told_with_its_reason() -> None:
    assert News(ManualClock()).of(status(is_="halted", why="1 of 4 failed")) == [
        "rollout r1 is halted: 1 of 4 failed"
    ]


def test_a_wait_is_told_when_it_lasts_with_the_command_that_helps() -> None:
    clock = ManualClock()
    news = News(clock)
    lonely = status(waiting("no agent in pool eu", helps="ledger-agent run --pool eu"))
    assert news.of(lonely) == ["rollout r1 is running"]
    clock.passed_s = LASTING_S - 0.1
    assert news.of(lonely) == []
    clock.passed_s = LASTING_S
    assert news.of(lonely) == ["acme: no agent in pool eu; try: ledger-agent run --pool eu"]
    assert news.of(lonely) == []


def test_what_holds_a_database_up_is_told_once_though_the_next_try_changes() -> None:
    clock = ManualClock()
    news = News(clock)
    told = []
    for second in range(int(2 * LASTING_S)):
        clock.passed_s = float(second)
        line = waiting(f"a lock, next retry at 09:00:{second:02}")
        told += news.of(status(replace(line, reason=Reason.HELD_UP, since=SINCE)))
    assert len(told) == 2


def test_a_wait_that_changes_begins_anew() -> None:
    clock = ManualClock()
    news = News(clock)
    news.of(status(waiting("lock held by pid 7")))
    clock.passed_s = 2.0
    news.of(status(waiting("running: migration 1")))
    clock.passed_s = 4.0
    assert news.of(status(waiting("running: migration 1"))) == []


def test_waiting_for_ones_turn_is_no_news() -> None:
    clock = ManualClock()
    news = News(clock)
    queue = status(waiting("wave 2 is not open yet", status="pending"))
    news.of(queue)
    clock.passed_s = 100.0
    assert news.of(queue) == []


def test_lines_count_what_is_done_and_name_what_is_not_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Lines().show(
        status(counts={"applied": 3, "skipped": 1, "failed": 1, "running": 2, "pending": 1})
    )
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "wave 1 of 1: 5 of 8 done, 1 skipped, 1 failed, 2 running"


def test_going_back_counts_what_went_back(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().show(status(is_="rolling_back", counts={"applied": 3, "rolled_back": 2}))
    assert capsys.readouterr().err.splitlines()[1] == ("wave 1 of 1: 2 of 5 done, 2 rolled back")


@pytest.mark.parametrize(
    ("is_", "counts", "wanted", "code"),
    [
        ("completed", {"applied": 4}, "completed", ExitCode.OK),
        ("completed", {"applied": 3, "failed": 1}, "completed", ExitCode.HALTED),
        ("halted", {"applied": 3, "failed": 1}, "completed", ExitCode.HALTED),
        ("paused", {"applied": 3, "pending": 1}, "completed", ExitCode.HALTED),
        ("aborted", {"applied": 3}, "completed", ExitCode.HALTED),
        ("rolled_back", {"rolled_back": 3}, "completed", ExitCode.HALTED),
        ("rolled_back", {"rolled_back": 3, "failed": 1}, "rolled_back", ExitCode.OK),
        ("halted", {"rolled_back": 3, "rollback_failed": 1}, "rolled_back", ExitCode.HALTED),
    ],
)
def test_only_the_ending_that_was_wanted_without_troubles_ends_with_0(
    is_: str, counts: dict[str, int], wanted: str, code: ExitCode
) -> None:
    assert ending(status(is_=is_, counts=counts), wanted) is code
