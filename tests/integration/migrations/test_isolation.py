"""A migration that asks for an isolation level runs at it, with its entry in the journal."""

from __future__ import annotations

import asyncio

import pytest

from migrations.errors import ForbiddenSqlError
from migrations.formats.bundle import load_files
from migrations.model.attempt import Limits, Mode, Verdict
from migrations.model.migration import Migration, SourceFile
from tests.integration.migrations.world import (
    World,
    migration,
    overtaking,
    session,
    smuggled,
    until,
)
from tests.support.patience import PATIENCE_S

BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted"
LEVELS = ("REPEATABLE READ", "SERIALIZABLE")
PATIENT = Limits(lock_timeout_s=PATIENCE_S, retry_budget=5, retry_for_s=PATIENCE_S)


def at(level: str, *statements: str, version: str = "1", stepwise: bool = False) -> Migration:
    """A migration whose transaction asks for a level."""
    first = f"SET TRANSACTION ISOLATION LEVEL {level}"
    return migration(version, ";\n".join((first, *statements)), None, stepwise=stepwise)


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("level", LEVELS)
async def test_at_the_first_contact_and_later_the_level_is_the_scripts(
    world: World, level: str, stepwise: bool
) -> None:
    said = "CREATE TABLE {} AS SELECT upper(current_setting('transaction_isolation')) AS level"
    outcome = await world.up(
        at(level, said.format("a"), version="1", stepwise=stepwise),
        migration("2", said.format("b")),
        at(level, said.format("c"), version="3", stepwise=stepwise),
    )
    assert outcome.verdict is Verdict.DONE, outcome.failure
    seen = "SELECT a.level, b.level, c.level FROM a, b, c"
    assert await world.fetch(seen) == [(level, "READ COMMITTED", level)]


@pytest.mark.parametrize("level", LEVELS)
async def test_what_cannot_be_serialized_is_tried_again_from_its_beginning(
    world: World, level: str
) -> None:
    await world.execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)")
    doubles = at(level, "UPDATE t SET n = 2 * n")
    async with session(world.url, "BEGIN", "UPDATE t SET n = 10") as other:
        running = asyncio.create_task(world.do(world.work(Mode.UP, doubles), PATIENT))
        await until(lambda: world.value(BLOCKED))
        await other.execute("COMMIT")
        outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT n FROM t") == 20


async def test_what_is_found_out_at_commit_is_tried_again_too(world: World) -> None:
    await world.execute("CREATE TABLE a (n int); CREATE TABLE b (n int); CREATE TABLE go (n int)")
    # Each reads what the other one writes: the second to commit would have seen it otherwise.
    counts = at("SERIALIZABLE", "INSERT INTO a SELECT count(*) FROM b", "SELECT * FROM go")
    serializable = "BEGIN ISOLATION LEVEL SERIALIZABLE"
    async with (
        session(world.url, serializable, "INSERT INTO b SELECT count(*) FROM a") as other,
        session(world.url, "BEGIN", "LOCK TABLE go") as gate,
    ):
        running = asyncio.create_task(world.do(world.work(Mode.UP, counts), PATIENT))
        await until(lambda: world.value(BLOCKED))
        await other.execute("COMMIT")
        await gate.execute("COMMIT")
        outcome = await running
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.fetch("SELECT a.n, b.n FROM a, b") == [(1, 0)]


@pytest.mark.parametrize("level", LEVELS)
async def test_an_order_that_was_overtaken_in_such_a_transaction_is_refused(
    world: World, level: str
) -> None:
    other = await overtaking(world)
    late = smuggled(at(level, "SELECT 1", version="2"), "CREATE TABLE late (id int)", other)
    outcome = await world.up(late)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "fence"
    assert not await world.has("late")


@pytest.mark.parametrize("stepwise", [False, True])
async def test_a_transaction_that_was_made_read_only_on_the_sly_is_named_as_that(
    world: World, stepwise: bool
) -> None:
    sly = "SELECT set_config('transaction_read_only', 'on', true)"
    outcome = await world.up(migration("1", f"CREATE TABLE t (); {sly}", None, stepwise=stepwise))
    assert outcome.failure is not None
    assert "made its transaction READ ONLY" in outcome.failure.message


async def test_a_cursor_that_would_write_at_the_commit_is_not_taken_for_that(world: World) -> None:
    counts = "CREATE SEQUENCE s; DECLARE c CURSOR WITH HOLD FOR SELECT nextval('s')"
    outcome = await world.up(migration("1", counts, None))
    assert outcome.failure is not None
    assert "a cursor WITH HOLD" in outcome.failure.message


def test_a_setting_that_switches_read_only_off_stays() -> None:
    stays = "SET default_transaction_read_only = off"
    files = [SourceFile("1_d.sql", f"-- +migrate Up\n{stays};\n".encode())]
    loaded = load_files("sql-migrate", files)
    assert loaded.up is not None
    assert [one.text for one in loaded.up.statements] == [stays]


CHAIN = """
    CREATE TABLE {0} (n int);
    CREATE FUNCTION {0}() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO {1} VALUES (NEW.n); PERFORM pg_notify('c', 'x'); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER later AFTER INSERT ON {0} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION {0}()
"""


@pytest.mark.parametrize("stepwise", [False, True])
async def test_a_chain_of_deferred_triggers_writes_before_the_end(
    world: World, stepwise: bool
) -> None:
    await world.execute("CREATE TABLE last (n int)")
    for table, beside in (("third", "last"), ("second", "third"), ("first", "second")):
        await world.execute(CHAIN.format(table, beside))
    outcome = await world.up(
        migration("1", "INSERT INTO first VALUES (1)", None, stepwise=stepwise)
    )
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM last") == 1


def test_neither_batches_nor_their_checks_choose_a_level() -> None:
    text = (
        "-- +migrate Data table=t key=id batch=10\n"
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n"
        "UPDATE t SET n = 2 FROM batch WHERE t.id = batch.id;\n"
    )
    with pytest.raises(ForbiddenSqlError, match="batches have no level"):
        load_files("sql-migrate", [SourceFile("1_d.sql", text.encode())])
