"""Verify scripts of Sqitch: asked when the change is committed, and what comes of the answer."""

from __future__ import annotations

import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import FailureClass, Verdict
from migrations.model.migration import Language, Migration, SourceFile
from migrations.verify_applied import verify
from tests.integration.migrations.world import World

TABLE = "BEGIN;\nCREATE TABLE t (id int);\nCOMMIT;\n"
BACK = "DROP TABLE t;\n"
ALLOWED = frozenset({Language.PSQL})


def change(deploy: str, check: str, revert: str = "", *, programs: bool = False) -> Migration:
    files = {"deploy/a.sql": deploy, "revert/a.sql": revert, "verify/a.sql": check}
    sources = [SourceFile(name, text.encode()) for name, text in files.items() if text]
    return load_files("sqitch", sources, version="a", reading=Reading(programs=programs))


async def test_the_change_is_committed_when_its_verify_script_runs(world: World) -> None:
    deploy = "CREATE TYPE mood AS ENUM ('a');\n"
    assert (await world.up(change(deploy, "SELECT 'a'::mood;\n"))).verdict is Verdict.DONE
    # A new value of an enum can be used by nobody before it is committed.
    more = load_files(
        "sqitch",
        [
            SourceFile("deploy/b.sql", b"ALTER TYPE mood ADD VALUE 'b';\n"),
            SourceFile("verify/b.sql", b"BEGIN;\nSELECT 1 / (count('b'::mood));\nROLLBACK;\n"),
        ],
        version="b",
    )
    assert (await world.up(more)).verdict is Verdict.DONE
    assert await world.journal() == [
        ("a", "up", 1, "step_done"),
        ("a", "up", 0, "applied"),
        ("b", "up", 1, "step_done"),
        ("b", "up", 0, "applied"),
    ]


async def test_what_each_part_of_a_verify_script_does_is_gone_for_the_next(world: World) -> None:
    check = (
        "SET application_name = 'checks';\nBEGIN;\nINSERT INTO t VALUES (1);\n"
        "SELECT 1 / count(*) FROM t;\nCOMMIT;\n"
        "BEGIN;\nSELECT 1 / (count(*) = 0)::int FROM t;\nROLLBACK;\n"
        "SELECT 1 / (current_setting('application_name') = 'checks')::int;\n"
    )
    migration = change(TABLE, check)
    assert (await world.up(migration)).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM t") == 0
    (again,) = await verify(world.settings, [migration])
    assert again.failure is None
    await world.execute("INSERT INTO t VALUES (7)")
    (broken,) = await verify(world.settings, [migration])
    assert broken.failure is not None
    assert (broken.failure.file, broken.failure.line) == ("verify/a.sql", 7)


async def test_a_change_that_does_not_hold_is_taken_back_by_its_revert_script(
    world: World,
) -> None:
    outcome = await world.up(change(TABLE, "SELECT 1/0;\n", BACK))
    assert outcome.failure is not None
    assert "division by zero" in outcome.failure.message
    assert outcome.failure.message.endswith("; the change was taken back")
    assert (outcome.failure.file, outcome.failure.line) == ("verify/a.sql", 1)
    assert not await world.has("t")
    assert await world.journal() == [
        ("a", "up", 1, "step_done"),
        ("a", "down", 0, "rolled_back"),
        ("a", "up", 0, "failed"),
    ]
    mended = change(TABLE, "SELECT 1/1;\n", BACK)
    assert (await world.up(mended, rollout="again")).verdict is Verdict.DONE


@pytest.mark.parametrize("revert", ["", "SELECT 1;\nDROP TABLE nowhere;\n"])
async def test_a_change_that_nothing_takes_back_is_half_done_and_goes_on(
    world: World, revert: str
) -> None:
    check = "SELECT 1 / count(*) FROM t;\n"
    outcome = await world.up(change(TABLE, check, revert))
    assert outcome.failure is not None
    assert "what it made stays, half done" in outcome.failure.message
    assert "correct the verify script or the data and apply it again" in outcome.failure.message
    assert ("revert/a.sql:2" in outcome.failure.message) is bool(revert)
    assert await world.has("t")
    await world.execute("INSERT INTO t VALUES (1)")
    assert (await world.up(change(TABLE, check, revert), rollout="2")).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM t") == 1


async def test_a_half_done_change_is_rolled_back(world: World) -> None:
    broken = change(TABLE, "SELECT 1/0;\n")
    assert (await world.up(broken, rollout="one")).verdict is Verdict.FAILED
    mended = change(TABLE, "SELECT 1/0;\n", BACK)
    assert (await world.rollback(mended, undoes="one", rollout="two")).verdict is Verdict.DONE
    assert not await world.has("t")


FOR_PSQL = "SELECT 1 / count(*) AS n FROM t \\gset\nINSERT INTO t VALUES (:'n');\n"


@pytest.mark.usefixtures("psql")
async def test_psql_runs_a_verify_script_and_what_it_does_is_taken_back(world: World) -> None:
    deploy = TABLE.replace("COMMIT", "INSERT INTO t VALUES (1); COMMIT")
    migration = change(deploy, FOR_PSQL, BACK, programs=True)
    assert (await world.up(migration, programs=ALLOWED)).verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM t") == 1
    (later,) = await verify(world.settings, [migration], programs=ALLOWED)
    assert later.failure is None
    await world.execute("DELETE FROM t")
    (broken,) = await verify(world.settings, [migration], programs=ALLOWED)
    assert broken.failure is not None
    assert (broken.failure.file, broken.failure.line) == ("verify/a.sql", 1)
    assert broken.failure.kind is FailureClass.VERIFY
    assert await world.value("SELECT count(*) FROM t") == 0


SEVERAL = (
    "BEGIN;\nINSERT INTO t VALUES (8);\nSELECT 1 / count(*) AS n FROM t \\gset\nROLLBACK;\n"
    "BEGIN;\nSELECT 1 / (count(*) = 0)::int AS n FROM t \\gset\nROLLBACK;\n"
)


@pytest.mark.usefixtures("psql")
async def test_a_script_of_several_transactions_is_asked_again_by_psql_as_it_is(
    world: World,
) -> None:
    migration = change(TABLE, SEVERAL, BACK, programs=True)
    assert (await world.up(migration, programs=ALLOWED)).verdict is Verdict.DONE
    (later,) = await verify(world.settings, [migration], programs=ALLOWED)
    assert later.failure is None, later.failure
    await world.execute("INSERT INTO t VALUES (7)")
    (broken,) = await verify(world.settings, [migration], programs=ALLOWED)
    assert broken.failure is not None
    assert (broken.failure.file, broken.failure.line) == ("verify/a.sql", 6)
    assert await world.value("SELECT count(*) FROM t") == 1


@pytest.mark.parametrize(
    ("script", "allowed", "says"),
    [(FOR_PSQL, frozenset(), "--allow-code"), ("\\! true\n", ALLOWED, "--allow-shell")],
)
async def test_what_may_not_run_is_said_of_its_migration_and_the_others_are_asked(
    world: World, script: str, allowed: frozenset[Language], says: str
) -> None:
    await world.up(change(TABLE, ""))
    of_psql = change(TABLE, script, BACK, programs=True)
    plain = [SourceFile("deploy/b.sql", b"SELECT 1;\n"), SourceFile("verify/b.sql", b"SELECT 1;\n")]
    other = load_files("sqitch", plain, version="b")
    await world.up(other)
    first, second = await verify(world.settings, [of_psql, other], programs=allowed)
    assert first.failure is not None
    assert says in first.failure.message
    assert second.failure is None


@pytest.mark.usefixtures("psql")
async def test_a_verify_script_that_fails_in_psql_is_told_with_its_line(world: World) -> None:
    outcome = await world.up(change(TABLE, FOR_PSQL, BACK, programs=True), programs=ALLOWED)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.VERIFY
    assert (outcome.failure.file, outcome.failure.line) == ("verify/a.sql", 1)
    assert outcome.failure.message.endswith("the change was taken back")
    assert not await world.has("t")


async def test_without_leave_the_change_is_applied_and_its_verify_script_is_left_out(
    world: World,
) -> None:
    migration = change(TABLE, FOR_PSQL)
    assert any("so the verify script is left out" in note for note in migration.notes)
    assert (await world.up(migration)).verdict is Verdict.DONE
    assert await world.journal() == [("a", "up", 0, "applied")]
