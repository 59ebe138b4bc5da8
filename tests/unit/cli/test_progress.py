"""What a person hears of a rollout while it travels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ledger.cli.app.exits import ExitCode
from ledger.cli.app.output import Output, OutputFormat
from ledger.cli.db.progress import Telling
from ledger.cli.rollout.progress import CAUSES_TOLD, COUNTED_EVERY_S, LASTING_S, Lines, News
from ledger.cli.rollout.status import headlines, show_rollout
from ledger.cli.rollout.watch import conclude, ending
from ledger.domain.waiting import Reason
from ledger.service.status import DatabaseLine, RolloutStatus, WaveStatus
from tests.support.manual_clock import ManualClock

SINCE = datetime(2026, 1, 1, 9, tzinfo=UTC)


def status(
    *databases: DatabaseLine,
    is_: str = "running",
    why: str = "",
    counts: dict[str, int] | None = None,
    mode: str = "up",
    undone_by: str | None = None,
) -> RolloutStatus:
    found = counts or {}
    size = sum(found.values()) or len(databases)
    wave = WaveStatus(wave=0, size=size, opened=True, completed=False, counts=found)
    return RolloutStatus(
        rollout="r1",
        status=is_,
        mode=mode,
        undone_by=undone_by,
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


def many(number: int, problem: str, *, attempt: int = 1) -> list[DatabaseLine]:
    return [
        DatabaseLine(f"t{n:03}", 0, "failed", attempt, problem=problem.format(f"t{n:03}"))
        for n in range(number)
    ]


def test_of_many_that_fail_alike_the_first_are_named_and_the_others_counted_as_they_grow() -> None:
    clock = ManualClock()
    news = News(clock)
    lost = "role of {} is missing"
    first = news.of(status(*many(60, lost), failed("no table")))
    assert first[:5] == [f"t{n:03} failed: role of t{n:03} is missing" for n in range(5)]
    assert first[5:] == [
        "55 more databases failed: role of DATABASE is missing",
        "acme failed: no table",
        "rollout r1 is running",
    ]
    assert news.of(status(*many(70, lost))) == []
    clock.passed_s = COUNTED_EVERY_S
    assert news.of(status(*many(70, lost))) == [
        "65 more databases failed: role of DATABASE is missing"
    ]
    assert news.of(status(*many(71, lost), is_="completed")) == [
        "66 more databases failed: role of DATABASE is missing",
        "rollout r1 is completed",
    ]


def test_where_only_some_failures_are_at_hand_their_number_is_not_said_to_be_all() -> None:
    some = replace(status(*many(6, "no table")), more=500)
    assert "at least 1 more database failed: no table" in News(ManualClock()).of(some)


def test_a_failure_that_was_known_when_somebody_spoke_is_no_news_but_a_later_attempt_is() -> None:
    news = News(ManualClock(), known=[("acme", "failed", 1)])
    assert news.of(status(failed("no table"))) == ["rollout r1 is running"]
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


def test_what_keeps_all_databases_waiting_is_told_in_one_line_and_again_if_it_comes_back() -> None:
    news = News(ManualClock())
    lost = replace(
        waiting("the broker cannot be reached", helps="ledger-agent check"),
        reason=Reason.NO_BROKER,
    )
    gone = status(lost, replace(lost, database="bolt"), replace(lost, database="cyan"))
    told = "the broker cannot be reached; try: ledger-agent check"
    assert news.of(gone) == [told, "rollout r1 is running"]
    assert news.of(gone) == []
    assert news.of(status(waiting("", status="applied"))) == []
    assert news.of(gone) == [told]


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
    assert said[1] == "wave 1 of 1: 4 of 8 done, 1 skipped, 1 failed, 2 running"


def test_going_back_counts_what_went_back(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().show(status(mode="rollback", counts={"pending": 3, "applied": 2, "skipped": 1}))
    assert capsys.readouterr().err.splitlines()[1] == (
        "wave 1 of 1: 3 of 6 done, 1 with nothing to undo"
    )


def with_waves(is_: str, *waves: WaveStatus) -> RolloutStatus:
    total: Counter[str] = Counter()
    for wave in waves:
        total.update(wave.counts)
    return replace(status(is_=is_, counts=dict(total)), waves=waves)


CANARY = WaveStatus(0, 1, opened=True, completed=False, counts={"failed": 1})
UNOPENED = WaveStatus(1, 20, opened=False, completed=False, counts={"pending": 20})


@pytest.mark.parametrize(
    ("is_", "reads"),
    [
        ("running", "not opened, 20 to come"),
        ("halted", "not opened, 20 to come"),
        ("paused", "not opened, 20 to come"),
        ("completed", "never opened"),
        ("aborted", "never opened"),
    ],
)
def test_a_wave_that_never_opened_has_nothing_done_in_it(is_: str, reads: str) -> None:
    lines = headlines(with_waves(is_, CANARY, UNOPENED))
    assert lines[-1] == f"  wave 2: {reads}"


def test_what_an_aborted_rollout_left_unfinished_is_counted_as_such() -> None:
    counts = {"applied": 2, "unknown": 1, "failed": 1, "pending": 1}
    wave = WaveStatus(0, 5, opened=True, completed=False, counts=counts)
    lines = headlines(with_waves("aborted", wave))
    assert lines[-1] == "  wave 1: 2 of 4 done, 1 failed, 1 unknown, 1 untouched"


def test_an_unfinished_database_is_shown_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    line = DatabaseLine("acme", 0, "unfinished", 2)
    show_rollout(status(line, is_="paused"), Output(OutputFormat.TABLE))
    assert "acme" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("up", "rollout r1 completed: 3 applied, 1 skipped"),
        ("down", "rollout r1 completed: 3 undone, 1 skipped"),
        ("rollback", "rollout r1 completed: 3 undone, 1 with nothing to undo"),
    ],
)
def test_its_end_is_told_in_the_words_of_the_way_it_went(
    capsys: pytest.CaptureFixture[str], mode: str, said: str
) -> None:
    done = status(is_="completed", mode=mode, counts={"applied": 3, "skipped": 1})
    conclude(done, Output(OutputFormat.TABLE))
    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize("is_", ["completed", "aborted"])
def test_whoever_ends_with_failures_is_told_where_they_stand_and_what_tries_them_again(
    capsys: pytest.CaptureFixture[str], is_: str
) -> None:
    lines = (
        DatabaseLine("acme", 0, "failed", 1, helps="ledger up"),
        DatabaseLine("bolt", 0, "applied", 1),
    )
    ended = replace(status(is_=is_, counts={"applied": 1, "failed": 1}), databases=lines)
    conclude(ended, Output(OutputFormat.TABLE))
    assert capsys.readouterr().err == (
        "See `ledger rollout status r1` for what failed, and why; then `ledger up`.\n"
    )
    conclude(status(is_=is_, counts={"applied": 2}), Output(OutputFormat.TABLE))
    assert capsys.readouterr().err == ""


def test_a_way_back_is_suggested_only_where_there_is_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    halted = status(DatabaseLine("acme", 0, "failed", 1), is_="halted", counts={"failed": 1})
    conclude(halted, Output(OutputFormat.TABLE))
    assert "`ledger rollout rollback r1` or `ledger rollout abort r1`" in capsys.readouterr().err
    conclude(halted, Output(OutputFormat.TABLE), way_back=False)
    said = capsys.readouterr().err
    assert "rollback" not in said
    assert "`ledger rollout resume r1` or `ledger rollout abort r1`" in said


def test_the_end_of_what_was_undone_is_told_with_what_undid_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    undone = status(is_="aborted", counts={"applied": 2, "failed": 1}, undone_by="undo-r1")
    undo = replace(status(is_="completed", mode="rollback", counts={"applied": 2}), undoes="r1")
    conclude(undone, Output(OutputFormat.TABLE), undo)
    assert capsys.readouterr().out.splitlines() == [
        "rollout r1 aborted; undone by undo-r1: 2 applied, 1 failed",
        "rollout r1 completed; undoes r1: 2 undone",
    ]


@pytest.mark.parametrize(
    ("is_", "counts", "undone_by", "code"),
    [
        ("completed", {"applied": 4}, None, ExitCode.OK),
        ("completed", {"applied": 4}, "undo-r1", ExitCode.HALTED),
        ("completed", {"applied": 3, "failed": 1}, None, ExitCode.HALTED),
        ("halted", {"applied": 3, "failed": 1}, None, ExitCode.HALTED),
        ("paused", {"applied": 3, "pending": 1}, None, ExitCode.HALTED),
        ("aborted", {"applied": 3}, None, ExitCode.HALTED),
        ("aborted", {"applied": 3, "failed": 1}, "undo-r1", ExitCode.HALTED),
    ],
)
def test_only_a_whole_rollout_without_troubles_that_nobody_took_back_ends_with_0(
    is_: str, counts: dict[str, int], undone_by: str | None, code: ExitCode
) -> None:
    assert ending(status(is_=is_, counts=counts, undone_by=undone_by)) is code


def test_a_wait_of_one_database_is_told_at_once_and_then_less_and_less_often(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = ManualClock()
    telling = Telling(clock)
    told = []
    for second in range(0, 300, 2):
        telling.waiting("to connect again, after 5 s: nobody listens", float(second), 2.0)
        clock.passed_s = second + 2.0
        told += [second] if capsys.readouterr().err else []
    assert told == [0, 10, 30, 70, 130, 190, 250]
    telling.waiting("a lock, held by pid 7 (psql), 0 s", 300.0, 2.0)
    assert "waiting: a lock, held by pid 7" in capsys.readouterr().err, "another one is news"
    telling.waiting("a lock, held by pid 7 (psql), 2 s", 302.0, 2.0)
    assert capsys.readouterr().err == ""
    telling.waiting("a lock, held by pid 7 (psql), 0 s", 0.0, 2.0)
    assert "(for 0 s), next try in 2.0 s" in capsys.readouterr().err, "so is one that begins anew"


def test_of_very_many_causes_the_first_are_told_and_the_others_counted() -> None:
    clock = ManualClock()
    news = News(clock)
    failed = [
        DatabaseLine(f"t{at:03}", 0, "failed", 1, problem=f"row {at} has no number")
        for at in range(200)
    ]
    blocked = DatabaseLine("t900", 0, "blocked", 1, problem="in doubt")
    told = news.of(status(*failed[:100], blocked))
    assert [one for one in told if "failed: row" in one] == [
        f"t{at:03} failed: row {at} has no number" for at in range(CAUSES_TOLD)
    ]
    assert "90 more databases failed, for 90 other reasons" in told
    assert "t900 blocked: in doubt" in told, "failures do not hide it"
    clock.passed_s += COUNTED_EVERY_S
    again = news.of(status(*failed, blocked))
    assert again == ["190 more databases failed, for 190 other reasons"]
    assert news.of(status(*failed, blocked)) == []
