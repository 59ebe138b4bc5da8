"""Python modules on a real database: the rules of every other migration hold for them."""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from migrations import standalone
from migrations.formats.bundle import load_files
from migrations.model.attempt import Failure, Limits, Mode, Verdict
from migrations.model.migration import Language, Migration, SourceFile
from migrations.model.work import Outcome, Silence, StepResult, Work
from migrations.runner import run
from tests.integration.migrations.world import IMPATIENT, World, migration, until

PYTHON = frozenset({Language.PYTHON})
DOWN = "async def down(conn):\n    await conn.execute('DROP TABLE t')\n"
CREATE = "async def up(conn):\n    await conn.execute('CREATE TABLE t (id int, name text)')\n"


def module(text: str, version: str = "001") -> Migration:
    return load_files("python", [SourceFile(f"{version}_m.py", text.encode())])


def body(*lines: str) -> Migration:
    """A module whose `up` has these lines, after it has made the table t."""
    return module(CREATE + "".join(f"    {line}\n" for line in lines))


async def ask(
    world: World, mode: Mode, *migrations: Migration, programs: frozenset[Language] = PYTHON
) -> Outcome:
    work = replace(world.work(mode, *migrations), programs=programs)
    return await run(world.settings, work, IMPATIENT, world.hearing)


async def applied(world: World, *migrations: Migration) -> Outcome:
    outcome = await ask(world, Mode.UP, *migrations)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    return outcome


async def failure(world: World, *migrations: Migration) -> Failure:
    outcome = await ask(world, Mode.UP, *migrations)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    return outcome.failure


async def tables(world: World) -> set[str]:
    rows = await world.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row[0] for row in rows}


async def test_a_module_goes_up_is_verified_comes_down_and_goes_up_again(world: World) -> None:
    one = module(
        CREATE
        + "    await conn.executemany('INSERT INTO t VALUES ($1, $2)', [(1, 'a'), (2, 'b')])\n"
        + DOWN
        + "async def verify(conn):\n    return await conn.fetchval('SELECT count(*) FROM t') == 2\n"
    )
    outcome = await applied(world, one)
    assert [(step.result, step.statements) for step in outcome.steps] == [(StepResult.APPLIED, 2)]
    assert world.hearing.statements == ["1/1 CREATE TABLE t", "2/2 INSERT t"]
    back = await ask(world, Mode.ROLLBACK, one)
    assert [step.result for step in back.steps] == [StepResult.ROLLED_BACK]
    assert await tables(world) == set()
    await applied(world, one)
    assert await world.fetch("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


async def test_every_way_to_read_and_write_is_there(world: World) -> None:
    one = body(
        "tag = await conn.copy_records_to_table('t', records=[(1, 'a'), (2, 'b')])",
        "assert tag == 'COPY 2', 'copied'",
        "rows = [row['id'] async for row in conn.cursor('SELECT id FROM t ORDER BY id')]",
        "assert rows == [1, 2], 'cursor'",
        "assert (await conn.fetchrow('SELECT name FROM t WHERE id = $1', 2))[0] == 'b', 'row'",
        "assert len(await conn.fetch('TABLE t')) == 2, 'rows'",
        "assert await conn.fetchval('SELECT 1, 2', column=1) == 2, 'value'",
        "tag = await conn.execute('UPDATE t SET name = $2 WHERE id = $1', 1, 'c')",
        "assert tag == 'UPDATE 1', 'tag'",
        "await conn.execute('DELETE FROM t WHERE id = 2; DELETE FROM t WHERE id = 3;')",
    )
    await applied(world, one)
    assert await world.fetch("SELECT id, name FROM t") == [(1, "c")]


async def test_what_a_module_raises_rolls_everything_back(world: World) -> None:
    said = await failure(world, body("raise ValueError('the numbers do not agree')"))
    assert (said.kind, said.file, said.line) == ("code", "001_m.py", 3)
    assert said.message == "ValueError in up: the numbers do not agree"
    assert await tables(world) == set()
    assert (await world.journal())[-1][3] == "failed"


async def test_a_text_that_was_composed_is_not_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        said = await failure(
            world, body("secret = 'x' * 3", "raise KeyError(f'{secret} is not expected')")
        )
    assert said.message.startswith("KeyError in up; its text is in the debug log only")
    assert "xxx" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_failed_statement_is_reported_with_the_modules_line(world: World) -> None:
    said = await failure(
        world, body("x = 1", "await conn.execute('INSERT INTO nowhere VALUES (1)')")
    )
    assert (said.kind, said.sqlstate, said.file, said.line) == ("sql", "42P01", "001_m.py", 4)
    assert said.statement == "INSERT INTO nowhere VALUES ($1)"


async def test_values_in_a_servers_message_are_masked(world: World) -> None:
    said = await failure(world, body("await conn.fetchval('SELECT $1::text::int', 'ada@example')"))
    assert said.sqlstate == "22P02"
    assert "ada" not in said.message


async def test_a_failure_that_the_module_catches_still_fails_it(world: World) -> None:
    said = await failure(
        world,
        body(
            "try:",
            "    await conn.execute('SELECT 1 / 0')",
            "except Exception:",
            "    pass",
        ),
    )
    assert said.sqlstate == "22012"
    assert await tables(world) == set()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("await conn.execute('COMMIT')", "COMMIT is transaction control"),
        ("await conn.execute('SELECT 1; ROLLBACK')", "ROLLBACK is transaction control"),
        ("await conn.fetch('SELECT pg_advisory_unlock_all()')", "pg_advisory_unlock_all"),
        ("await conn.execute('DISCARD ALL')", "DISCARD ALL"),
        ("await conn.execute('CREATE INDEX CONCURRENTLY i ON t (id)')", "SQL file of its own"),
        ("await conn.execute('VACUUM t')", "# +migrate Up notransaction"),
        ("await conn.fetch('SELECT 1; SELECT 2')", "2 statements in a call that takes one"),
        ("await conn.execute('SELEC 1')", "PostgreSQL's grammar says"),
        ("await conn.execute('SEL' + 'EC secret')", "refuses a composed statement"),
        ("await conn.transaction()", "AttributeError"),
    ],
)
async def test_a_call_that_would_break_the_rules_is_refused(
    world: World, line: str, problem: str
) -> None:
    said = await failure(world, body("try:", f"    {line}", "finally:", "    pass"))
    assert problem in said.message
    assert said.kind == "code"
    assert said.line == 4
    assert await tables(world) == set()


async def test_a_refused_call_cannot_be_caught(world: World) -> None:
    said = await failure(
        world, body("try:", "    await conn.execute('COMMIT')", "except Exception: pass")
    )
    assert "transaction control" in said.message


async def test_a_procedure_that_commits_is_found_out(world: World) -> None:
    await world.execute("CREATE PROCEDURE sneaky() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'")
    said = await failure(world, body("await conn.execute('CALL sneaky()')"))
    assert said.kind in ("sql", "in_doubt")
    assert await tables(world) == set()


async def test_verify_must_return_true(world: World) -> None:
    for number, answer in enumerate(("return False", "pass", "return 1"), start=1):
        one = module(CREATE + DOWN + f"async def verify(conn):\n    {answer}\n", f"00{number}")
        said = await failure(world, one)
        assert said.kind == "verify"
    assert await tables(world) == set()


async def test_verify_may_only_read(world: World) -> None:
    one = module(CREATE + "async def verify(conn):\n    await conn.execute('DROP TABLE t')\n")
    said = await failure(world, one)
    assert "Verify" in said.message
    assert await tables(world) == set()


async def test_statement_timeouts_hold_for_modules(world: World) -> None:
    one = module(
        "# +migrate Up statement_timeout=50ms\n"
        + CREATE
        + "    await conn.fetch('SELECT pg_sleep(9)')\n"
    )
    assert (await failure(world, one)).sqlstate == "57014"


async def test_a_lock_timeout_runs_the_whole_module_again(world: World) -> None:
    await world.execute("CREATE TABLE busy (id int)")
    tries = await asyncpg.connect(world.url)
    hold = tries.transaction()
    await hold.start()
    await tries.execute("LOCK TABLE busy")
    one = module(
        "runs = []\nasync def up(conn):\n"
        "    runs.append(1)\n    assert len(runs) == 1, 'the module was executed anew'\n"
        "    await conn.execute('CREATE TABLE t (id int)')\n"
        "    await conn.execute('ALTER TABLE busy ADD x int')\n"
    )
    limits, work = Limits(lock_timeout_s=0.1), replace(world.work(Mode.UP, one), programs=PYTHON)

    async def waits() -> bool:
        return bool(world.hearing.waits)

    asked = asyncio.create_task(run(world.settings, work, limits, world.hearing))
    await until(waits)
    await hold.rollback()
    await tries.close()
    outcome = await asked
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await tables(world) == {"busy", "t"}


async def test_a_cancelled_module_is_rolled_back(world: World) -> None:
    one = body("import asyncio", "await asyncio.sleep(60)")
    work = replace(world.work(Mode.UP, one), programs=PYTHON)
    asked = asyncio.create_task(run(world.settings, work, IMPATIENT, world.hearing))
    await until(world.heard_statement)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await tables(world) == set()
    assert world.hearing.finished[-1].failure is not None
    assert world.hearing.finished[-1].failure.kind == "cancelled"


async def test_a_module_that_swallows_its_cancellation_does_not_commit(world: World) -> None:
    one = body(
        "import asyncio", "try:", "    await asyncio.sleep(60)", "except BaseException: pass"
    )
    work = replace(world.work(Mode.UP, one), programs=PYTHON)
    asked = asyncio.create_task(run(world.settings, work, IMPATIENT, world.hearing))
    await until(world.heard_statement)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await tables(world) == set()


async def test_a_module_that_exits_fails_and_nothing_else_ends(world: World) -> None:
    said = await failure(world, body("import sys", "sys.exit(3)"))
    assert said.message.startswith("SystemExit in up")
    said = await failure(world, body("", "raise BaseExceptionGroup('two', [SystemExit(3)])"))
    assert said.message.startswith("BaseExceptionGroup in up")


async def test_a_backend_that_dies_is_no_failure_of_the_module(world: World) -> None:
    await world.execute("CREATE TABLE seen (n int)")
    other = module(
        "async def up(conn):\n"
        "    if await conn.fetchval('SELECT count(*) FROM seen') == 0:\n"
        "        await conn.fetch('SELECT pg_sleep(60)')\n"
        "    await conn.execute('CREATE TABLE t (id int)')\n"
    )
    work = replace(world.work(Mode.UP, other), programs=PYTHON)
    asked = asyncio.create_task(run(world.settings, work, Limits(), world.hearing))
    sleeping = "FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'"
    await until(lambda: world.fetch(f"SELECT 1 {sleeping}"))
    await world.execute("INSERT INTO seen VALUES (1)")
    await world.fetch(f"SELECT pg_terminate_backend(pid) {sleeping}")
    outcome = await asked
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await tables(world) == {"seen", "t"}


async def test_without_leave_nothing_runs_and_the_setting_is_named(world: World) -> None:
    plain = migration("000", "CREATE TABLE plain (id int)")
    outcome = await ask(world, Mode.UP, plain, body("pass"), programs=frozenset())
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert "LEDGER_AGENT_PROGRAMS=python" in outcome.failure.message
    assert "--allow-code" in outcome.failure.message
    assert await tables(world) == set()


async def test_a_module_that_is_applied_needs_no_leave(world: World) -> None:
    one = body("pass")
    await applied(world, one)
    outcome = await ask(world, Mode.UP, one, programs=frozenset())
    assert outcome.verdict is Verdict.DONE


async def test_a_changed_module_is_found_by_its_checksum(world: World) -> None:
    await applied(world, body("pass"))
    assert (await failure(world, body("pass  # changed"))).kind == "checksum"


async def test_a_module_is_executed_anew_for_each_database_and_leaves_no_name(
    world: World,
) -> None:
    before = (set(sys.modules), list(sys.path))
    one = module(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Row:\n    id: int\n" + CREATE + "    Row(1)\n" + DOWN
    )
    await applied(world, one)
    assert {name for name in set(sys.modules) - before[0] if name.startswith("migration")} == set()
    assert sys.path == before[1]


async def test_without_a_transaction_what_was_done_stays_and_runs_again(world: World) -> None:
    await world.execute("CREATE TABLE switch (off bool)")
    one = module(
        "# +migrate Up notransaction\n"
        "async def up(conn):\n"
        "    await conn.execute('CREATE TABLE IF NOT EXISTS t (id int)')\n"
        "    await conn.execute('VACUUM t')\n"
        "    assert await conn.fetchval('SELECT count(*) FROM switch'), 'switched off'\n"
        "async def down(conn):\n    await conn.execute('DROP TABLE IF EXISTS t')\n"
    )
    said = await failure(world, one)
    assert said.message == "AssertionError in up: switched off"
    assert await tables(world) == {"switch", "t"}
    await world.execute("INSERT INTO switch VALUES (true)")
    await applied(world, one)
    assert [row[3] for row in await world.journal()] == ["intent", "failed", "applied"]


async def test_a_half_done_module_is_taken_back_by_its_down(world: World) -> None:
    one = module(
        "# +migrate Up notransaction\n"
        "async def up(conn):\n"
        "    await conn.execute('CREATE TABLE t (id int)')\n"
        "    raise RuntimeError('no further')\n"
        "async def down(conn):\n    await conn.execute('DROP TABLE IF EXISTS t')\n"
    )
    await failure(world, one)
    outcome = await ask(world, Mode.ROLLBACK, one)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await tables(world) == set()


async def test_without_a_ledger_modules_need_leave_too(world: World) -> None:
    one = module(
        CREATE + DOWN + "async def verify(conn):\n"
        "    return [row async for row in conn.cursor('TABLE t')] == []\n"
    )
    outcome = await standalone.up(world.settings, [one], Limits(), Silence())
    assert outcome.verdict is Verdict.REFUSED
    outcome = await standalone.up(world.settings, [one], Limits(), Silence(), programs=PYTHON)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    (held,) = await standalone.verify(world.settings, [one], programs=PYTHON)
    assert held.failure is None
    outcome = await standalone.down(world.settings, [one], Limits(), Silence(), programs=PYTHON)
    assert outcome.verdict is Verdict.DONE
    assert await tables(world) == set()


async def test_a_task_left_behind_cannot_use_the_connection(world: World) -> None:
    late: list[Any] = []
    sys.modules["late_for_test"] = late  # type: ignore[assignment]
    try:
        await applied(world, body("import sys", "sys.modules['late_for_test'].append(conn)"))
    finally:
        del sys.modules["late_for_test"]
    with pytest.raises(RuntimeError, match="after the migration's function has returned"):
        await late[0].execute("DROP TABLE t")


def test_work_allows_no_program_by_itself() -> None:
    from migrations.model.attempt import Epoch

    assert Work(uuid4(), "", Epoch(0, 0), Mode.UP, ()).programs == frozenset()
