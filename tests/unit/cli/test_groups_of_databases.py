"""A large rollout, fleet or check as a person first sees it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ledger.cli.app.output import Output, OutputFormat
from ledger.cli.fleet.groups import show_checks, show_numbers, show_pools
from ledger.cli.rollout.status import headlines, lasting, show_groups
from ledger.contracts.reports import DatabaseInspected
from ledger.domain.check_results import SILENT, problem
from ledger.domain.fleet import FleetStatus
from ledger.service.fleet_overview import FleetGroup, FleetNumbers, PoolNumbers
from ledger.service.rollout_groups import grouped
from ledger.service.status import (
    DatabaseGroup,
    DatabaseLine,
    RolloutOrigin,
    RolloutStatus,
    WaveStatus,
)
from migrations.model.attempt import Rights
from tests.support.manual_clock import ManualClock

PEOPLE = Output(OutputFormat.TABLE)
BEGAN = datetime(2026, 11, 29, 14, 38, 59, tzinfo=UTC)


def rollout(*groups: DatabaseGroup, waves: int = 2, **changes: Any) -> RolloutStatus:
    """A rollout over a hundred databases, of which eight failed."""
    done = WaveStatus(0, 50, opened=True, completed=True, counts={"applied": 50})
    now = WaveStatus(1, 50, opened=True, completed=False, counts={"failed": 8, "pending": 42})
    later = [WaveStatus(n, 0, opened=False, completed=False, counts={}) for n in range(2, waves)]
    known: dict[str, Any] = {
        "rollout": "7c1e",
        "status": "halted",
        "mode": "up",
        "why": "8 of 58 failed",
        "waves": (done, now, *later),
        "counts": {"failed": 8, "pending": 42, "applied": 50},
        "databases": (),
        "groups": groups,
        "in_flight": 20,
        "allowed": 2,
        "used": 8,
        "versions": ("1", "2"),
    }
    return RolloutStatus(**known | changes)


def test_nobody_is_current_where_nothing_is_registered(capsys: pytest.CaptureFixture[str]) -> None:
    show_numbers(FleetNumbers(60, 60, 0, (), ()), PEOPLE, compared=False)
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "60 databases: nothing is registered that they could lack"


def test_problems_stand_first_and_each_reason_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [
        DatabaseLine("c", 0, "pending", 0, waits_for="halted: no", helps="ledger rollout resume 7"),
        DatabaseLine("a", 0, "failed", 1, problem="no table", helps="ledger rollout retry 7 a"),
        DatabaseLine("b", 0, "failed", 1, problem="no table", helps="ledger rollout retry 7 b"),
        DatabaseLine("d", 0, "failed", 1, problem="no column"),
        DatabaseLine("e", 0, "applied", 1),
    ]
    show_groups(rollout(*grouped(lines)), PEOPLE)
    said = capsys.readouterr().out.split("\n\n")
    assert said[1:4] == [
        "2 failed: a, b\n    no table\n    try: ledger rollout retry 7 a b",
        "1 failed: d\n    no column",
        "1 pending: c\n    waits: halted: no\n    try: ledger rollout resume 7",
    ]
    assert said[4] == "50 applied"


def test_one_wait_of_many_databases_is_one_line_whoever_holds_each_up_and_since_when(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [
        DatabaseLine(
            f"t{at}", 0, "running", 1,
            waits_for=f"a lock, held by pid {at} (shop), {at} s, since 2026-11-29 14:39:0{at}Z",
        )
        for at in range(6)
    ]  # fmt: skip
    other = DatabaseLine("t9", 0, "running", 1, waits_for="a lock, held by pid 1 (psql), 3 s")
    (first, second) = grouped([*lines, other])
    assert (first.databases, first.examples) == (6, ("t0", "t1", "t2", "t3", "t4"))
    assert first.waits_for == lines[0].waits_for, "as the first of them says it"
    assert (second.databases, second.examples) == (1, ("t9",))


def test_of_very_many_reasons_the_rest_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    groups = [DatabaseGroup("failed", 2, ("a",), problem=f"reason {n}") for n in range(40)]
    groups += [DatabaseGroup("blocked", 1, ("b",)), DatabaseGroup("ordered", 1_500, ("c",))]
    show_groups(rollout(*groups), PEOPLE)
    said = capsys.readouterr().out
    assert said.count("failed: a and 1 more") == 5
    assert "70 more failed, of 35 other reasons" in said
    assert "1 blocked: b" in said, "however many reasons failures have"
    assert "1,500 ordered: c and 1,499 more" in said


def test_accepted_failures_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    show_groups(rollout(DatabaseGroup("failed", 1, ("a",), accepted=True)), PEOPLE)
    assert "1 failed, accepted: a" in capsys.readouterr().out


def test_who_asked_why_since_when_and_at_what_cost_stands_on_top() -> None:
    origin = RolloutOrigin("ops", "anna", "spring", "OPS-1", BEGAN, BEGAN)
    clock = ManualClock()
    clock.start = BEGAN + timedelta(minutes=12, seconds=4)
    said = headlines(rollout(origin=origin), clock)
    assert said[:7] == [
        "rollout 7c1e is halted: 8 of 58 failed",
        "  up: 1, 2",
        "  asked for by anna (as ops): spring, ticket OPS-1",
        "  started 2026-11-29 14:38:59 UTC, 12 min 4 s ago",
        "  100 databases: 50 applied, 8 failed, 42 pending",
        "  budget used: 8 of 2; in flight: 0 of 20",
        "  wave 1: 50 of 50 done",
    ]


def test_one_that_ended_says_how_long_it_took() -> None:
    ended = BEGAN + timedelta(days=1, hours=2, minutes=3)
    origin = RolloutOrigin("ops", None, None, None, BEGAN, BEGAN, ended)
    said = headlines(rollout(status="completed", origin=origin), ManualClock())
    assert said[2:4] == [
        "  asked for by ops",
        "  started 2026-11-29 14:38:59 UTC, took 1 d 2 h",
    ]


def test_of_many_waves_those_that_move_have_a_line() -> None:
    said = headlines(rollout(waves=30))
    assert said[-2:] == [
        "  waves: 1 of 30 completed, 28 not opened",
        "  wave 2: 0 of 50 done, 8 failed",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


def checked(database: str, problem: str | None = None, reachable: bool | None = True) -> Any:
    return {"database": database, "reachable": reachable, "problem": problem}


def test_a_check_tells_problems_by_cause_whatever_database_they_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [checked(f"t{n}") for n in range(60)]
    rows += [checked(name, f"GRANT CREATE ON DATABASE {name}") for name in ("acme", "bolt")]
    rows += [checked("cyan", "is acme as well"), checked("dust", reachable=None)]
    show_checks(rows, PEOPLE)
    said = capsys.readouterr().out.split("\n\n")
    assert said[0] == "64 databases: 60 fine, 3 with a problem, 1 without an answer"
    assert said[1:4] == [
        "2: acme, bolt\n    GRANT CREATE ON DATABASE DATABASE",
        "1: cyan\n    is acme as well",
        f"1: dust\n    {SILENT}",
    ]


def test_one_cause_is_one_group_whatever_other_databases_its_text_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    enough = Rights(create_schema=True, create_in_target=True, superuser=False)
    names = [f"t{n}" for n in range(60)]
    rows = []
    for name in names:
        others = tuple(one for one in names if one != name)[:3]
        rights = replace(enough, reaches=others, reaches_more=56)
        answer = DatabaseInspected(database=name, command=UUID(int=1), reachable=True,
                                   rights=rights)  # fmt: skip
        rows.append(checked(name, problem(answer, None, None, ())))
    rows += [checked(name, problem(answer, None, name, ())) for name in ("acme", "bolt")]
    show_checks(rows, PEOPLE)
    said = capsys.readouterr().out.split("\n\n")
    assert said[1].startswith("60: t0, t1, t2, t3, t4 and 55 more\n    its login reaches other")
    assert "`ledger fleet label -s 'SELECTION' shared_login=accepted`" in said[1]
    assert said[2].startswith("2: acme, bolt\n    the same database as another one under")


def test_a_fleet_is_counted_with_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = FleetNumbers(
        total=1_060,
        current=1_057,
        suspended=1,
        behind=(
            FleetGroup(FleetStatus.ACTIVE, 2, ("a", "b"), ("1", "2", "3", "4")),
            FleetGroup(FleetStatus.SUSPENDED, 1, ("c",), ("4",)),
        ),
        troubles=(FleetGroup(FleetStatus.ACTIVE, 1, ("a",), problem="1: no table"),),
    )
    show_numbers(numbers, PEOPLE)
    assert capsys.readouterr().out.split("\n\n")[:4] == [
        "1,060 databases: 1,057 current, 3 behind; 1 of them suspended",
        "1 with a problem: a\n    1: no table",
        "2 behind: a, b\n    lack 1, 2, 3 and 1 more",
        "1 behind, suspended: c\n    lack 4",
    ]


def test_a_list_of_a_large_fleet_is_counted_by_status_and_pool(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_pools(
        [
            PoolNumbers("active", "eu", 40, ("a",)),
            PoolNumbers("active", "us", 19, ("b",)),
            PoolNumbers("retired", "us", 3, ("c",)),
            PoolNumbers("suspended", "us", 1, ("d",)),
        ],
        PEOPLE,
    )
    assert capsys.readouterr().out.splitlines()[:5] == [
        "60 databases: 59 active, 1 suspended",
        "  suspended in pool us: d",
        "  pool eu: 40 databases",
        "  pool us: 20 databases",
        "  besides, 3 retired",
    ]


def test_of_very_many_pools_the_largest_are_told_and_the_rest_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pools = [PoolNumbers("active", f"p{at}", at, ("a",)) for at in range(1, 31)]
    pools += [PoolNumbers("suspended", f"p{at}", 1, (f"s{at}",)) for at in range(1, 31)]
    show_pools(pools, PEOPLE)
    said = capsys.readouterr().out
    assert "  pool p30: 31 databases\n  pool p29: " in said
    assert "  10 other pools: 65 databases" in said
    assert "  suspended in 10 other pools: 10 databases" in said
    assert said.count("\n") < 50
