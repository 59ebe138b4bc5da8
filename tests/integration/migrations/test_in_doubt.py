"""In doubt is only what can be; what was refused before it began is an ordinary failure."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from migrations.model.attempt import Mode, Resolution, Verdict
from migrations.model.work import Outcome
from migrations.standalone import Standing, status
from migrations.standalone_adoption import resolve
from tests.fixtures.postgres import (
    CREATE_ROLES,
    PostgresServer,
    migrator_of,
    owner_of,
)
from tests.integration.migrations.world import IMPATIENT, World, migration, smuggled, users


@pytest.fixture(params=["LATIN1", "WIN1252", "EUC_JP", "SQL_ASCII"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def elsewhere(postgres_server: PostgresServer, encoding: str) -> AsyncIterator[World]:
    """A database that is not in UTF8, entered by its migrating login."""
    name = f"{postgres_server.prefix}_{encoding.lower()}"
    roles = CREATE_ROLES.format(
        owner=owner_of(name), migrator=migrator_of(name), verifier=postgres_server.verifier
    )
    await postgres_server.execute(roles)
    await postgres_server.execute(
        f"CREATE DATABASE \"{name}\" ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C' "
        f'OWNER "{owner_of(name)}"'
    )
    url = postgres_server.migrator_url(name)
    yield World(url, superuser_url=postgres_server.url(name))
    await postgres_server.drop(name)


def failed_plainly(outcome: Outcome, line: int) -> str:
    """Its message; it is an ordinary failure, at this line."""
    assert outcome.failure is not None
    assert outcome.failure.kind == "sql", outcome.failure
    assert (outcome.failure.file, outcome.failure.line) == ("1_m.sql", line)
    assert "resolve" not in outcome.failure.message
    return outcome.failure.message


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP"], indirect=True)
@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("before", ["", "CREATE TABLE first ();\n"])
async def test_a_character_that_the_database_lacks_is_named_with_its_line_and_may_be_corrected(
    elsewhere: World, before: str, stepwise: bool
) -> None:
    text = f"{before}SELECT\n'price in 🙂'"
    outcome = await elsewhere.up(migration("1", text, stepwise=stepwise))
    message = failed_plainly(outcome, 3 + bool(before))
    assert "🙂" in message
    assert 'encoding "UTF8" has no equivalent in encoding' in message
    right = migration("1", f"{before}SELECT 'price'", stepwise=stepwise)
    again = await elsewhere.up(right)
    if stepwise and before:
        # Its first statement is committed, with the text as it was.
        assert again.failure is not None
        assert again.failure.kind == "checksum"
    else:
        assert again.verdict is Verdict.DONE, again.failure


async def test_a_statement_that_stands_alone_fails_with_its_own_line_whatever_its_names_hold(
    elsewhere: World, encoding: str
) -> None:
    await elsewhere.execute("CREATE TABLE t (id int)")
    outcome = await elsewhere.up(
        migration("1", 'SELECT 1;\nCREATE INDEX CONCURRENTLY "ix_→é" ON t (id)', stepwise=True)
    )
    if encoding in ("LATIN1", "WIN1252"):
        assert "→" in failed_plainly(outcome, 3)
    again = await elsewhere.up(migration("2", "CREATE TABLE next ()"))
    assert again.verdict is Verdict.DONE, again.failure


async def test_what_a_failed_statement_or_a_person_says_is_kept_in_any_encoding(
    elsewhere: World, encoding: str
) -> None:
    outcome = await elsewhere.up(migration("1", 'CREATE TABLE "p→🙂é" (id nosuch)'))
    assert outcome.failure is not None
    assert outcome.failure.kind == "sql"
    assert (await elsewhere.journal())[-1] == ("1", "up", 0, "failed")
    word = Resolution("1", applied=True, reason="seen → there 🙂 é")
    done = await elsewhere.do(elsewhere.work(Mode.UP, resolutions=(word,)))
    assert done.verdict is Verdict.DONE, done.failure
    kept = await elsewhere.value("SELECT reason FROM migration_ledger.journal ORDER BY seq DESC")
    if encoding == "LATIN1":
        assert kept == "seen \\u2192 there \\U0001f642 é"
    # The chain of the journal holds.
    again = await elsewhere.up(migration("2", "SELECT 1"))
    assert again.verdict is Verdict.DONE, again.failure


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("before", ["", "SELECT 1;\n"])
async def test_a_statement_that_the_server_cannot_hold_is_an_ordinary_failure(
    world: World, before: str, stepwise: bool
) -> None:
    await world.execute_as_superuser(
        f"ALTER ROLE \"{world.settings.user}\" SET max_stack_depth = '100kB'"
    )
    deep = "SELECT " + " || ".join(f"'{n}'" for n in range(4_000))
    outcome = await world.up(migration("1", f"{before}{deep}", stepwise=stepwise))
    message = failed_plainly(outcome, 2 + bool(before))
    assert "stack depth" in message
    assert (await world.up(users())).verdict is Verdict.DONE


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN EXECUTE 'RESET ALL'; END $$",
        "RESET ALL",
        "SELECT set_config('migration_ledger.transaction', '', true)",
        "ROLLBACK AND CHAIN",
    ],
)
async def test_settings_that_a_script_resets_leave_nothing_and_no_doubt(
    world: World, statement: str
) -> None:
    outcome = await world.up(smuggled(users("1"), "CREATE TABLE users ()", statement))
    assert outcome.failure is not None
    assert outcome.failure.kind == "sql"
    assert "nothing of it is committed" in outcome.failure.message
    assert not await world.has("users")
    assert (await world.up(users("1"))).verdict is Verdict.DONE


@pytest.mark.parametrize(
    "rest", ["COMMIT AND CHAIN", "COMMIT; BEGIN; SELECT 1/0", "COMMIT", "COMMIT; BEGIN"]
)
async def test_a_script_that_committed_is_in_doubt_whatever_it_began_then(
    world: World, rest: str
) -> None:
    outcome = await world.up(smuggled(users("1"), "CREATE TABLE users ()", rest))
    assert outcome.failure is not None
    assert outcome.failure.kind == "in_doubt"
    assert "`ledger resolve DATABASE 1 --applied" in outcome.failure.message
    assert await world.has("users")


async def test_a_server_that_a_statement_cannot_reach_is_not_ours_that_was_lost(
    world: World,
) -> None:
    raised = "DO $$ BEGIN RAISE SQLSTATE '08001' USING MESSAGE = 'could not connect'; END $$"
    outcome = await world.up(migration("1", raised))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.sqlstate) == ("sql", "08001")
    assert outcome.failure.line == 2
    assert world.hearing.waits == []


async def test_a_way_back_that_was_begun_can_be_finished_after_an_up_was_asked_for(
    world: World,
) -> None:
    up = "CREATE TABLE a (id int);\nCREATE INDEX CONCURRENTLY a_i ON a (id)"
    down = "DROP TABLE IF EXISTS nothing;\nDROP TABLE {}"
    broken = migration("1", up, down.format("nosuch"), stepwise=True)
    assert (await world.up(broken)).verdict is Verdict.DONE
    assert (await world.do(world.work(Mode.DOWN, broken))).failure is not None
    stopped = await world.up(broken)
    assert stopped.failure is not None
    assert stopped.failure.kind == "half_done"
    await world.execute("CREATE TABLE nosuch ()")
    finished = await world.do(world.work(Mode.DOWN, broken))
    assert finished.verdict is Verdict.DONE, finished.failure


@pytest.mark.parametrize("applied", [True, False])
async def test_a_person_settles_one_database_without_a_ledger(world: World, applied: bool) -> None:
    doubtful = smuggled(users("1"), "CREATE TABLE users ()", "COMMIT")
    outcome = await world.up(doubtful, owner="", rollout="")
    assert outcome.failure is not None
    assert "`ledger db resolve 1 --applied" in outcome.failure.message
    (line,) = (await status(world.settings, [users("1")])).lines
    assert line.standing is Standing.IN_DOUBT
    assert "`ledger db resolve 1 --applied" in line.problem
    if not applied:
        await world.execute("DROP TABLE users")
    word = Resolution("1", applied, "looked")
    settled = await resolve(world.settings, [users("1")], word, IMPATIENT)
    assert settled.verdict is Verdict.DONE, settled.failure
    (line,) = (await status(world.settings, [users("1")])).lines
    assert line.standing is (Standing.APPLIED if applied else Standing.PENDING)
    assert (await world.up(users("1"), owner="", rollout="")).verdict is Verdict.DONE
    assert await world.has("users")
