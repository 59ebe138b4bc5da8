"""psql scripts: run by the real psql, exactly once where they fit in one transaction."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import asyncpg
import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import (
    FailureClass,
    Limits,
    Mode,
    Verdict,
    WatchdogPolicy,
    WhenBlocked,
)
from migrations.model.migration import Language, Migration, SourceFile
from migrations.model.work import Outcome
from tests.fixtures.psql import with_psql
from tests.integration.migrations.world import World, until
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("psql")

ALLOWED = frozenset({Language.PSQL})
COPY = """\
CREATE TABLE colours (id int PRIMARY KEY, name text);
COPY colours (id, name) FROM stdin;
1\tred
2\tgreen; blue
\\.
\\set wanted 2
UPDATE colours SET name = 'violet' WHERE id = :wanted;
"""
STEPS = """\
CREATE TABLE colours (id int);
\\set n 1
INSERT INTO colours VALUES (:n);
COMMIT;
"""
SLOW = "CREATE TABLE colours (id int);\n\\set a 3\nSELECT pg_sleep(:a);\n"
PSQL_SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'migration-ledger psql' AND datname = current_database()
"""


def script(up: str, down: str = "DROP TABLE colours;\n\\set done 1\n") -> Migration:
    files = [SourceFile("1_a.up.sql", up.encode()), SourceFile("1_a.down.sql", down.encode())]
    return load_files("golang-migrate", files, reading=Reading(programs=True))


def test_where_no_psql_is_installed_the_embedded_servers_own_is_taken(tmp_path: Path) -> None:
    program = shutil.which("psql", path=with_psql(str(tmp_path)))
    assert program is not None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("psql (PostgreSQL)")


async def test_inline_copy_data_and_variables_run_up_and_down(world: World) -> None:
    migration = script(COPY)
    assert (await world.up(migration, programs=ALLOWED)).verdict is Verdict.DONE
    assert await world.fetch("SELECT id, name FROM colours ORDER BY id") == [
        (1, "red"),
        (2, "violet"),
    ]
    assert await world.journal() == [("1", "up", 1, "step_done"), ("1", "up", 0, "applied")]
    assert (await world.rollback(migration, programs=ALLOWED)).verdict is Verdict.DONE
    assert not await world.has("colours")


async def test_a_script_is_not_run_without_leave(world: World) -> None:
    outcome = await world.up(script(COPY))
    assert outcome.failure is not None
    assert outcome.failure.kind == "program"
    assert not await world.has("colours")


SQITCH = """\
CREATE SCHEMA :"s";
CREATE TABLE :"s".colours (id int, name text);
INSERT INTO :"s".colours VALUES (:n, :'name');
SELECT 'ANALYZE' \\gexec
"""
AWKWARD = "it's \\n a \\ value;\nof two lines"


async def test_declared_variables_reach_psql_as_they_are(world: World) -> None:
    values = {"s": "in quotes", "n": "7", "name": AWKWARD, "other": "unused"}
    reading = Reading(values, programs=True)
    file = SourceFile("deploy/colours.sql", SQITCH.encode())
    migration = load_files("sqitch", [file], version="colours", reading=reading)
    assert migration.up.program is not None
    assert migration.variables == ("n", "name", "s")
    assert (await world.up(migration, programs=ALLOWED)).verdict is Verdict.DONE
    assert await world.fetch('SELECT id, name FROM "in quotes".colours') == [(7, AWKWARD)]


async def test_placeholders_are_filled_in_what_psql_runs(world: World) -> None:
    text = "CREATE SCHEMA ${s};\nCREATE TABLE ${s}.t (id int);\nCOPY ${s}.t FROM stdin;\n1\n\\.\n"
    reading = Reading({"s": "shades"}, programs=True)
    file = SourceFile("V1__a.sql", text.encode())
    migration = load_files("flyway", [file], version="1", reading=reading)
    assert migration.variables == ("s",)
    assert (await world.up(migration, programs=ALLOWED)).verdict is Verdict.DONE
    assert await world.value("SELECT id FROM shades.t") == 1


async def test_a_failing_script_in_one_transaction_leaves_nothing_and_names_its_line(
    world: World,
) -> None:
    broken = COPY + "INSERT INTO colours VALUES (1, 'secret');\n"
    outcome = await world.up(script(broken), programs=ALLOWED)
    assert outcome.failure is not None
    assert (outcome.failure.sqlstate, outcome.failure.line) == ("23505", 8)
    assert "secret" not in outcome.failure.message
    assert not await world.has("colours")
    again = await world.up(script(COPY), programs=ALLOWED)
    assert again.verdict is Verdict.DONE


async def test_a_script_that_commits_by_itself_is_in_doubt_after_its_failure(world: World) -> None:
    outcome = await world.up(script(STEPS + "SELECT 1/0;\n"), programs=ALLOWED)
    assert outcome.failure is not None
    assert outcome.failure.kind == "in_doubt"
    assert "line 5" in outcome.failure.message
    again = await world.up(script(STEPS + "SELECT 1/0;\n"), programs=ALLOWED)
    assert again.failure is not None
    assert again.failure.kind == "in_doubt"


async def test_a_script_whose_psql_found_no_session_is_not_in_doubt(world: World) -> None:
    name = world.settings.user
    await world.execute_as_superuser(f'ALTER ROLE "{name}" CONNECTION LIMIT 1')
    outcome = await world.up(script(STEPS), programs=ALLOWED)
    assert outcome.failure is not None
    assert outcome.failure.kind != "in_doubt", outcome.failure
    await world.execute_as_superuser(f'ALTER ROLE "{name}" CONNECTION LIMIT -1')
    again = await world.up(script(STEPS), programs=ALLOWED)
    assert again.verdict is Verdict.DONE, again.failure


async def test_a_script_for_which_there_is_no_psql_is_not_in_doubt(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        outcome = await world.up(script(STEPS), programs=ALLOWED)
    assert outcome.failure is not None
    assert outcome.failure.kind == "program"
    again = await world.up(script(STEPS), programs=ALLOWED)
    assert again.verdict is Verdict.DONE, again.failure


async def test_a_script_that_commits_by_itself_can_succeed(world: World) -> None:
    outcome = await world.up(script(STEPS), programs=ALLOWED)
    assert outcome.verdict is Verdict.DONE
    assert await world.journal() == [
        ("1", "up", -1, "intent"),
        ("1", "up", 1, "step_done"),
        ("1", "up", 0, "applied"),
    ]


async def test_error_stop_switched_off_does_not_pass_for_success(world: World) -> None:
    careless = "\\unset ON_ERROR_STOP\nCREATE TABLE colours (id int);\nSELECT nothing;\n"
    outcome = await world.up(script(careless), programs=ALLOWED)
    assert outcome.verdict is Verdict.FAILED
    assert not await world.has("colours")


async def test_a_script_that_waits_tells_for_whom(world: World) -> None:
    """Its psql has a session of its own, and that is the one that waits."""
    await world.execute("CREATE TABLE colours (id int)")
    holder = await asyncpg.connect(world.url, server_settings={"application_name": "guilty"})
    await holder.execute("BEGIN; LOCK colours IN SHARE MODE")
    up = script("\\set n 1\nSET lock_timeout = 0;\nINSERT INTO colours VALUES (:n);\n")
    running = asyncio.create_task(world.do(world.work(Mode.UP, up, programs=ALLOWED)))
    expected = f"held by pid {holder.get_server_pid()} (guilty), user {world.settings.user}, "

    async def told() -> bool:
        return any(expected in wait for wait in world.hearing.waits)

    await until(told)
    assert "holds ShareLock on public.colours" in world.hearing.waits[-1]
    await holder.close()
    assert (await running).verdict is Verdict.DONE


async def test_a_script_that_waits_for_too_long_is_given_up_where_that_is_asked_for(
    world: World,
) -> None:
    await world.execute("CREATE TABLE colours (id int)")
    holder = await asyncpg.connect(world.url)
    await holder.execute("BEGIN; LOCK colours IN SHARE MODE")
    up = script("\\set n 1\nINSERT INTO colours VALUES (:n);\n")
    policy = WatchdogPolicy(WhenBlocked.GIVE_UP, 1.0)
    limits = Limits(lock_timeout_s=600, retry_budget=5, retry_for_s=600, watchdog=policy)
    outcome = await world.do(world.work(Mode.UP, up, programs=ALLOWED), limits)
    await holder.close()
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.LOCK_TIMEOUT
    assert "given up after waiting" in outcome.failure.message


async def test_a_script_that_fits_in_one_transaction_is_tried_again_for_its_locks(
    world: World,
) -> None:
    await world.execute("CREATE TABLE colours (id int)")
    holder = await asyncpg.connect(world.url)
    await holder.execute("BEGIN; LOCK colours IN SHARE MODE")
    up = script("CREATE TABLE shades (id int);\n\\set n 1\nINSERT INTO colours VALUES (:n);\n")
    patient = Limits(lock_timeout_s=0.2, retry_budget=50, retry_for_s=60)
    running = asyncio.create_task(world.do(world.work(Mode.UP, up, programs=ALLOWED), patient))

    async def told() -> bool:
        return any("to try again after SQLSTATE 55P03" in wait for wait in world.hearing.waits)

    await until(told)
    await holder.close()
    outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM colours") == 1


@pytest.mark.parametrize(
    "then",
    [
        "SELECT pg_sleep(:a)",
        "DO $$ BEGIN LOOP RAISE NOTICE '%', repeat('x', 10000); END LOOP; END $$",
    ],
    ids=["silent", "without end"],
)
async def test_a_cancelled_script_ends_with_its_psql(world: World, then: str) -> None:
    migration = script(f"CREATE TABLE colours (id int);\n\\set a 60\n{then};\n")
    task = asyncio.create_task(world.do(world.work(Mode.UP, migration, programs=ALLOWED)))
    await until(lambda: world.value(PSQL_SESSIONS))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE_S):
            await task

    async def gone() -> bool:
        return not await world.value(PSQL_SESSIONS)

    assert await until(gone)
    assert not await world.has("colours")


async def _without_its_agent(world: World, migration: Migration) -> asyncio.Task[Outcome]:
    """Work whose session is cut while psql runs, as when an agent dies; psql goes on."""
    task = asyncio.create_task(world.do(world.work(Mode.UP, migration, programs=ALLOWED)))
    await until(lambda: world.value(PSQL_SESSIONS))
    await world.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'migration-ledger' AND datname = current_database()"
    )
    return task


async def test_a_session_lost_while_psql_runs_finds_its_work_in_the_journal(world: World) -> None:
    outcome = await (await _without_its_agent(world, script(SLOW)))
    assert outcome.verdict is Verdict.DONE
    applied = [row for row in await world.journal() if row[3] == "applied"]
    assert applied == [("1", "up", 0, "applied")]


async def test_a_psql_that_outlives_its_agent_cannot_commit_behind_the_next_attempt(
    world: World,
) -> None:
    first = await _without_its_agent(world, script(SLOW))
    other = await world.up(script("CREATE TABLE shades (id int);\n\\set x 1\n"), programs=ALLOWED)
    assert other.verdict is Verdict.DONE
    assert (await first).verdict is not Verdict.DONE
    assert await world.has("shades")
    assert not await world.has("colours")


async def test_neither_settings_file_nor_arguments_carry_anything(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".psqlrc").write_text("SELECT 1/0;\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
    assert (await world.up(script(COPY), programs=ALLOWED)).verdict is Verdict.DONE


async def test_a_missing_psql_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    outcome = await world.up(script(COPY), programs=ALLOWED)
    assert outcome.failure is not None
    assert "psql is not installed" in outcome.failure.message


COMPOSED = """\
CREATE TABLE cards (n text);
INSERT INTO cards VALUES ('4111');
\\set a 1
DO $$ BEGIN RAISE EXCEPTION 'card % is wrong', (SELECT n FROM cards); END $$;
"""
DEPENDED_UPON = """\
CREATE TABLE orders (total int);
CREATE VIEW report_7 AS SELECT total FROM orders;
\\set a 1
ALTER TABLE orders DROP COLUMN total;
"""


@pytest.mark.parametrize("commits", [False, True])
async def test_what_a_script_composed_of_values_is_masked_and_names_in_the_way_are_said(
    world: World, *, commits: bool
) -> None:
    end = "COMMIT;\n" if commits else ""
    composed = await world.up(script(COMPOSED + end), programs=ALLOWED)
    assert composed.failure is not None
    assert "4111" not in composed.failure.message
    assert "its code raised an error" in composed.failure.message
    await world.execute("DROP TABLE IF EXISTS cards; DROP SCHEMA migration_ledger CASCADE")
    named = await world.up(script(DEPENDED_UPON + end), programs=ALLOWED)
    assert named.failure is not None
    assert "view report_7 depends on column total of table orders" in named.failure.message


async def test_a_value_that_a_constraint_refuses_is_masked_in_what_psql_says(world: World) -> None:
    text = "CREATE TABLE t (id int PRIMARY KEY, n text UNIQUE);\n\\set a 1\n"
    text += "INSERT INTO t VALUES (1, 'secret'), (2, 'secret');\n"
    outcome = await world.up(script(text), programs=ALLOWED)
    assert outcome.failure is not None
    assert "secret" not in outcome.failure.message
    assert "t_n_key" in outcome.failure.message
    assert (outcome.failure.sqlstate, outcome.failure.line) == ("23505", 3)


FAILS_IN_A_PIPE = [
    "\\set x `sed s/a/b/ /nowhere/nosuch | cat`",
    "\\set x `false | cat`",
    "\\set x `true | false | cat`",
    "\\set x `echo 'a|b' | cat | grep -q c`",
    "\\set x `grep x /nowhere/nosuch | wc -l`",
    "\\copy colours from program 'sed s/a/b/ /nowhere/nosuch | cat' csv",
    "\\copy colours to program 'false | cat' csv",
    "\\set x `true; false | cat`",
    "\\copy colours from program 'sed ''s/a|b/c/'' /nowhere/nosuch | cat' csv",
]
HOLDS_IN_A_PIPE = [
    ("\\set x `echo 'a|b' | tr -d '|'`", "ab"),
    ("\\set x `yes | head -n 1`", "y"),
    ("\\set x `echo a | grep b | wc -l | tr -d ' '`", "0"),
    ("\\set x `(false | true) && echo a`", "a"),
    ("\\set x `false || echo a`", "a"),
]


@pytest.mark.parametrize("line", FAILS_IN_A_PIPE)
async def test_a_program_that_fails_in_front_of_another_one_ends_the_script(
    world: World, line: str
) -> None:
    one = script(f"CREATE TABLE colours (id int);\n{line}\nSELECT 1;\n")
    outcome = await world.up(one, programs=ALLOWED, psql_shell=True)
    assert outcome.failure is not None
    assert (outcome.failure.file, outcome.failure.line) == ("1_a.up.sql", 2)
    assert "failed (exit status" in outcome.failure.message
    assert not await world.has("colours")


@pytest.mark.parametrize(("line", "x"), HOLDS_IN_A_PIPE)
async def test_a_pipe_that_does_its_work_does_it(world: World, line: str, x: str) -> None:
    one = script(f"{line}\nCREATE TABLE colours AS SELECT :'x'::text AS x;\n")
    outcome = await world.up(one, programs=ALLOWED, psql_shell=True)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT x FROM colours") == x


FAILS_IN_THE_SHELL = [
    "\\! false",
    "\\! echo a; exit 3",
    "\\! /nowhere/nosuch",
    "\\! grep -q x /nowhere/nosuch # a comment",
    "\\! false | cat",
    "\\! cd / && false | cat",
    "\\! printf 'a\\n' | grep -q b",
    "SELECT 1 \\g | false",
    "SELECT 1 \\g (format=unaligned tuples_only=on) | false",
    "SELECT 1 \\gx |cat /nowhere/nosuch",
    "\\o |false",
    "\\! exec false",
    "\\! trap true EXIT; exit 4",
    "\\! trap - EXIT; (false)",
    "\\set x `exec false`",
    "\\set x `trap 'echo a' EXIT; exit 2`",
    "SELECT 1 \\g | exec false",
]
HOLDS_IN_THE_SHELL = [
    "\\! true;",
    "\\! exec true",
    "\\! trap 'true' EXIT; (true)",
    "\\! # nothing",
    "\\set x `` ",
    "\\! true\r",
    "SELECT 1 \\g | cat\r",
    "\\! true &",
    "\\! true # and | nothing | else",
    "\\! echo 'a|b' | grep b | cat",
    "\\! cd / && ls | head -n 1",
    "\\! false || true",
    "\\! printf '%s\\n' a | cat",
    "\\! if false; then false; fi",
    "\\set x `echo 3;`",
    "SELECT 1 \\g | cat",
    "\\o | cat",
    "\\o /dev/null",
    "SELECT '\\! false';",
    "-- \\! false",
]


@pytest.mark.parametrize("line", FAILS_IN_THE_SHELL)
async def test_a_program_of_the_shell_that_fails_ends_the_script(world: World, line: str) -> None:
    end = "\n\\o\n" if line.startswith("\\o") else "\n"
    one = script(f"CREATE TABLE colours (id int);\n{line}{end}SELECT 1;\n")
    outcome = await world.up(one, programs=ALLOWED, psql_shell=True)
    assert outcome.failure is not None
    assert (outcome.failure.file, outcome.failure.line) == ("1_a.up.sql", 2)
    assert "failed (exit status" in outcome.failure.message
    assert not await world.has("colours")


@pytest.mark.parametrize("line", HOLDS_IN_THE_SHELL)
async def test_a_program_of_the_shell_that_does_its_work_does_it(world: World, line: str) -> None:
    one = script(f"CREATE TABLE colours (id int);\n{line}\nSELECT 1;\n")
    outcome = await world.up(one, programs=ALLOWED, psql_shell=True)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.has("colours")
