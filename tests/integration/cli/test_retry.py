"""A retry forgives nobody, and a question says what will happen to each database that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.cli.app.exits import ExitCode
from tests.integration.cli.conftest import Fleet
from tests.integration.cli.test_rollout import NO_NEW_SEVEN, do
from tests.support.program import Answer, LedgerProgram

FAILED = (
    '3_no_seven.sql:2: check constraint "no_seven" of relation "parcels" is violated by some row'
)


async def halted(ledger: LedgerProgram, migrations: Path, fleet: Fleet, *broken: str) -> str:
    """A rollout over all four, at once, that halted over these; its id."""
    await ledger("up", "--yes")
    for one in broken:
        await do(fleet.addresses[one], "INSERT INTO parcels VALUES (7)")
    (migrations / "3_no_seven.sql").write_text(NO_NEW_SEVEN)
    up = await ledger("up", "--yes", "--waves", "rest", "-o", "json")
    assert up.code == ExitCode.HALTED
    rollout: str = up.json["rollout"]
    return rollout


async def states(ledger: LedgerProgram, rollout: str) -> dict[str, Any]:
    answer = await ledger("rollout", "status", rollout, "-o", "json")
    found = {one["database"]: one["status"] for one in answer.items}
    return found | {"rollout": answer.json["status"]}


def question(answer: Answer) -> list[str]:
    """What was said before the answer was given."""
    lines = answer.err.splitlines()
    return [line for line in lines if line.startswith("  ")]


async def test_retry_of_one_database_leaves_the_other_failed_and_the_rollout_halted(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    rollout = await halted(ledger, migrations, fleet, "t1", "t2")
    await do(fleet.addresses["t1"], "DELETE FROM parcels")

    retry = await ledger("rollout", "retry", rollout, "t1", "--yes", "--reason", "t1 mended")
    assert retry.code == ExitCode.HALTED
    assert await states(ledger, rollout) == {
        "t0": "applied",
        "t1": "applied",
        "t2": "failed",
        "t3": "applied",
        "rollout": "halted",
    }
    said = question(retry)
    assert said[0] == f"  retry rollout {rollout}, which is halted"
    assert said[1] == "  4 databases in 1 wave: 2 applied, 2 failed"
    assert said[2:4] == ["  tried again: 1 database", f"    t1: {FAILED} (SQLSTATE 23514)"]
    assert said[4:6] == [
        "  stay failed, and count as before: 1 database",
        f"    t2: {FAILED} (SQLSTATE 23514)",
    ]
    assert said[6] == (
        "  nothing else is ordered, and it halts again after that: 1 failure left, the budget is "
        f"0; to let them pass: `ledger rollout resume {rollout}`"
    )
    assert "1 of 4 databases had failed by then, budget is 0" in retry.out
    assert "t1 failed" not in retry.err, "what was known before is no news"
    assert "t2 failed" not in retry.err, "it was not even tried"
    watched = await ledger("rollout", "watch", rollout)
    assert watched.err.count("t2 failed: ") == 1
    assert "3 applied, 1 failed" in retry.out

    await do(fleet.addresses["t2"], "DELETE FROM parcels")
    again = await ledger("rollout", "retry", rollout, "--yes")
    assert again.code == 0
    assert "4 applied" in again.out


async def test_who_left_the_fleet_since_is_not_counted_among_those_that_are_ordered(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("up", "--yes")
    await do(fleet.addresses["t0"], "INSERT INTO parcels VALUES (7)")
    (migrations / "3_no_seven.sql").write_text(NO_NEW_SEVEN)
    up = await ledger("up", "--yes", "--waves", "1,rest", "-o", "json")
    assert up.code == ExitCode.HALTED
    assert (await ledger("fleet", "retire", "t2", "--yes")).code == 0
    assert (await ledger("fleet", "suspend", "t3", "--yes")).code == 0

    left_out = "  left out, for they are suspended or retired: 2 databases, t2, t3"
    retried = await ledger("rollout", "retry", "--no-wait")
    assert question(retried)[-2:] == ["  goes on with 1 pending database", left_out]
    resumed = await ledger("rollout", "resume", "--yes", "--no-wait")
    assert question(resumed)[-2:] == ["  ordered from now on: 1 database", left_out]


async def test_resume_names_whose_failures_it_accepts(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    rollout = await halted(ledger, migrations, fleet, "t1", "t2")
    resumed = await ledger("rollout", "resume", rollout, "--yes")
    assert resumed.code == ExitCode.HALTED, "two databases lack it"
    assert question(resumed)[1:4] == [
        "  4 databases in 1 wave: 2 applied, 2 failed",
        "  stay failed, and are accepted: 2 databases",
        f"    t1, t2: {FAILED} (SQLSTATE 23514)",
    ]
    assert "failed: " not in resumed.err
    assert (await states(ledger, rollout))["rollout"] == "completed"
    listed = await ledger("rollout", "list", "-o", "json")
    first = next(one for one in listed.items if one["rollout"] == rollout)
    assert (first["applied"], first["failed"], first["in_doubt"]) == (2, 2, 0)


async def test_abort_names_the_migrations_and_what_becomes_of_each_database(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("up", "--yes")
    await do(fleet.addresses["t0"], "INSERT INTO parcels VALUES (7)")
    (migrations / "3_no_seven.sql").write_text(NO_NEW_SEVEN)
    rollout = (await ledger("up", "--yes", "--waves", "2,rest", "-o", "json")).json["rollout"]
    aborted = await ledger("rollout", "abort", rollout, "--yes")
    assert aborted.code == 0
    assert question(aborted) == [
        f"  abort rollout {rollout}, which is halted",
        "  4 databases in 2 waves: 1 applied, 1 failed, 2 pending",
        "    3_no_seven",
        "  keep what they got: 1 database",
        "  stay failed: 1 database",
        f"    t0: {FAILED} (SQLSTATE 23514)",
        "  stay untouched: 2 databases",
    ]
    assert (await ledger("rollout", "retry", rollout, "t0", "--yes")).code == ExitCode.REFUSED


NOTED = """
-- +migrate Up
ALTER TABLE parcels ADD COLUMN note text;
-- +migrate Down
ALTER TABLE parcels DROP COLUMN note;
"""


async def test_abort_says_what_of_it_has_no_down_or_takes_data_away_when_it_goes_back(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("up", "--yes")
    await do(fleet.addresses["t0"], "INSERT INTO parcels VALUES (7)")
    (migrations / "3_noted.sql").write_text(NOTED)
    (migrations / "4_no_seven.sql").write_text(NO_NEW_SEVEN)
    (migrations / "5_for_ever.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    rollout = (await ledger("up", "--yes", "--waves", "2,rest", "-o", "json")).json["rollout"]
    asked = await ledger("rollout", "abort", rollout)
    assert asked.code == ExitCode.USAGE
    named = [line for line in question(asked) if line.startswith("    ") and "t0" not in line]
    assert named == [
        "    3_noted (back: drops column parcels.note)",
        "    4_no_seven",
        "    5_for_ever (back: has no down section)",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("rollout retry ROLLOUTx", "there is no rollout 'ROLLOUTx' (the nearest is ROLLOUT)"),
        ("rollout status t1", "there is no rollout 't1', but a database is called so"),
        ("rollout abort something-else --yes", "there is no rollout 'something-else'; `ledger"),
        ("fleet show t11", "no database 't11' is registered (the nearest is t1"),
        ("fleet show T1", "no database 'T1' is registered (the nearest is t1"),
        ("fleet suspend t11 --yes", "no database 't11' is registered (the nearest is t1"),
        ("fleet reinstate t11 --yes --reason x", "'t11' is registered (the nearest is t1"),
        ("fleet retire t11 --yes", "'t11' is registered (the nearest is t1"),
        ("fleet label t11 a=b --yes", "'t11' is registered (the nearest is t1"),
        ("fleet repoint t11 --host h --yes --reason x", "'t11' is registered (the nearest is t1"),
        ("history t11", "nothing is called 't11' (the nearest is t1"),
        ("fleet show something-else", "no database 'something-else' is registered; see `ledger"),
        ("history something-else", "nothing is called 'something-else'; see `ledger fleet list`"),
    ],
)
async def test_a_word_that_names_nothing_gets_the_nearest_and_an_unlike_one_where_they_are_listed(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet, words: str, says: str
) -> None:
    rollout = (await ledger("up", "--yes", "-o", "json")).json["rollout"]
    answer = await ledger(*words.replace("ROLLOUT", rollout).split())
    assert says.replace("ROLLOUT", rollout) in answer.err
    assert answer.code == ExitCode.REFUSED


async def test_the_list_says_who_asked_for_a_rollout_and_why_in_the_words_of_its_status(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    up = await ledger("up", "--yes", "--reason", "spring release")
    assert up.code == 0
    told = (await ledger("rollout", "status")).out
    who = told.partition("asked for by ")[2].partition(": spring release")[0]
    shown = (await ledger("rollout", "list")).out
    assert who in shown
    assert "spring release" in shown
    (row,) = (await ledger("rollout", "list", "-o", "json")).items
    assert who == f"{row['who']} (as {row['by']})"
    assert (row["reason"], row["why"]) == ("spring release", None)


async def test_status_says_what_is_wrong_with_each_and_that_nothing_is(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await halted(ledger, migrations, fleet, "t1")
    shown = await ledger("status", "--problems", "-o", "json")
    (row,) = shown.items
    assert (row["database"], FAILED in row["problem"]) == ("t1", True)
    assert "PROBLEM" in (await ledger("status", "--problems")).out
    for words, said in (
        (["--problems", "-s", "id=t0"], "Nothing is wrong with any of them."),
        (["--behind", "-s", "id=t0"], "None of them lacks anything."),
        (["--problems", "-s", "id=t0,half=h1"], "No database matches id=t0,half=h1"),
        (["-s", "id=t0,half=h1"], "No database matches id=t0,half=h1"),
    ):
        answer = await ledger("status", *words)
        assert (answer.code, said in answer.err) == (0, True), answer.err


async def test_a_rollout_says_when_none_of_the_selected_databases_is_part_of_it(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes", "-s", "id=t0")).code == 0
    none = await ledger("rollout", "status", "-s", "id=t1")
    assert "None of the selected databases is part of rollout" in none.err
    well = await ledger("rollout", "status", "-s", "id=t0", "--failed")
    assert "None of the selected databases failed" in well.err
