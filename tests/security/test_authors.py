"""An author of migrations against what proves his work, and against the role that it runs as."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from migrations.errors import ForbiddenSqlError
from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import Verdict
from migrations.model.migration import Language, Migration, SourceFile
from migrations.model.work import Outcome
from migrations.target import journal
from tests.integration.migrations.conftest import world
from tests.integration.migrations.world import World, migration, smuggled, users

__all__ = ["world"]

WHOLE = "SELECT md5(string_agg(j::text, ',' ORDER BY seq)) FROM migration_ledger.journal AS j"
STATEMENTS = Path(journal.__file__).with_name("journal.sql")
ANY = frozenset(Language)
COMPUTED = "'migration_' || chr(108) || 'edger.journal'"

TAMPERS = [
    "DELETE FROM {journal}",
    "UPDATE {journal} SET reason = 'x'",
    "TRUNCATE {journal}",
    "INSERT INTO {journal} (target, seq, head) VALUES ('', 99, 'forged')",
    "ALTER TABLE {journal} ALTER note SET DEFAULT 'x'",
    "ALTER TABLE {journal} ALTER reason TYPE text USING 'x'",
    "ALTER TABLE {journal} ADD COLUMN more int",
    "ALTER TABLE {journal} ENABLE ROW LEVEL SECURITY",
    "CREATE TRIGGER t BEFORE INSERT ON {journal} EXECUTE FUNCTION "
    "suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON INSERT TO {journal} DO INSTEAD NOTHING",
    "DROP TABLE {journal}",
    "ALTER TABLE {journal} RENAME TO other",
    "DELETE FROM {journal} WHERE seq < 3",
]


def hidden(tamper: str) -> str:
    """A statement whose text spells our schema nowhere."""
    text = tamper.replace("'", "''")
    return f"DO $do$ BEGIN EXECUTE replace('{text}', '{{journal}}', {COMPUTED}); END $do$"


def change(*statements: str) -> Migration:
    """A migration that leaves a trace, with statements that the loader would refuse."""
    return smuggled(migration("002", "SELECT 1"), "CREATE TABLE trace (a int)", *statements)


async def refused(world: World, tampering: Migration) -> Outcome:
    """The outcome of a migration that must leave the journal and the database as they were."""
    assert (await world.up(users())).verdict is Verdict.DONE
    before = await world.value(f"{WHOLE} WHERE seq <= 2")
    outcome = await world.up(users(), tampering)
    assert outcome.verdict is Verdict.FAILED
    assert not await world.has("trace")
    assert await world.value(f"{WHOLE} WHERE seq <= 2") == before
    assert (await world.journal())[-1] == (tampering.version, "up", 0, "failed")
    return outcome


@pytest.mark.parametrize("tamper", TAMPERS)
async def test_a_hidden_tamper_with_the_journal_is_rolled_back(world: World, tamper: str) -> None:
    outcome = await refused(world, change(hidden(tamper)))

    failure = outcome.steps[-1].failure
    assert failure is not None
    assert "migration_ledger.journal" in failure.message


@pytest.mark.parametrize("tamper", TAMPERS)
async def test_so_is_one_in_the_very_transaction_that_makes_the_journal(
    world: World, tamper: str
) -> None:
    tampering = smuggled(users(), "CREATE TABLE trace (a int)", hidden(tamper))

    outcome = await world.up(tampering)

    assert outcome.verdict is Verdict.FAILED
    assert not await world.has("trace")
    assert await world.journal() == [("001", "up", 0, "failed")]


async def test_a_trigger_of_an_earlier_migration_cannot_do_it_either(world: World) -> None:
    body = "BEGIN EXECUTE 'DELETE FROM ' || " + COMPUTED + "; RETURN NULL; END"
    trap = (
        f"CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $f$ {body} $f$",
        "CREATE TRIGGER trap AFTER INSERT ON users EXECUTE FUNCTION trap()",
    )
    await world.up(users(), smuggled(migration("002", "SELECT 1"), *trap))

    outcome = await world.up(users(), migration("003", "INSERT INTO users VALUES (1)"))

    assert outcome.verdict is Verdict.FAILED
    assert await world.value("SELECT count(*) FROM users") == 0


ONCE_MORE = f"""
CREATE TABLE twice (a int);
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
    IF NEW.a = 0 THEN SET CONSTRAINTS ALL DEFERRED; INSERT INTO twice VALUES (1);
    ELSE EXECUTE 'DELETE FROM ' || {COMPUTED}; END IF;
    RETURN NULL;
END $f$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON twice DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION later()
"""
AT_COMMIT = {
    "a trigger that defers itself again": f"{ONCE_MORE};\nINSERT INTO twice VALUES (0)",
    "one that makes the transaction writable again": ONCE_MORE.replace(
        "ELSE ", "ELSE SET TRANSACTION READ WRITE; "
    )
    + ";\nINSERT INTO twice VALUES (0)",
    "one that tries it in a transaction inside": ONCE_MORE.replace(
        "ELSE EXECUTE",
        "ELSE BEGIN SET transaction_read_only TO off; EXCEPTION WHEN OTHERS "
        "THEN NULL; END; EXECUTE",
    )
    + ";\nINSERT INTO twice VALUES (0)",
    "a cursor that outlives the transaction": "CREATE FUNCTION later() RETURNS int "
    f"LANGUAGE plpgsql AS $f$ BEGIN EXECUTE 'DELETE FROM ' || {COMPUTED}; RETURN 1; END $f$;\n"
    "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT later()",
}
"""What runs when the transaction ends, behind everything that is compared before."""


def in_one_of(way: str, text: str, *, alone: bool = False) -> Migration:
    """A migration that makes a table that tells of it and runs `text`, one way or another.

    A psql script or a module is one transaction unless it is to be `alone`.
    """
    text = f"CREATE TABLE trace (a int);\n{text}"
    if way == "psql":
        command = "\\conninfo" if alone else "SELECT 1 AS n \\gset"
        down = SourceFile("002_m.down.sql", b"SELECT 1;")
        up = SourceFile("002_m.up.sql", f"{command}\n{text};\n".encode())
        return load_files("golang-migrate", [up, down], reading=Reading(programs=True))
    if way == "python":
        head = "# +migrate Up notransaction\n" if alone else ""
        code = f"{head}async def up(conn):\n    await conn.execute({text!r})\n"
        return load_files("python", [SourceFile("002_m.py", code.encode())])
    return migration("002", text, stepwise=way == "step by step")


@pytest.mark.parametrize("text", AT_COMMIT.values(), ids=AT_COMMIT.keys())
@pytest.mark.parametrize("way", ["one transaction", "step by step", "python", "psql"])
@pytest.mark.usefixtures("psql")
async def test_what_is_left_for_the_commit_itself_writes_nothing(
    world: World, text: str, way: str
) -> None:
    if way == "step by step" and "WITH HOLD" in text:
        with pytest.raises(ForbiddenSqlError, match="WITH HOLD ends with the session"):
            in_one_of(way, text)
        return
    await world.up(users())
    before = await world.value(f"{WHOLE} WHERE seq <= 2")

    outcome = await world.up(users(), in_one_of(way, text), programs=ANY)

    assert outcome.verdict is Verdict.FAILED
    failure = outcome.steps[-1].failure
    assert failure is not None
    assert "at the commit" in failure.message or "at COMMIT" in failure.message
    assert await world.value(f"{WHOLE} WHERE seq <= 2") == before
    assert await world.has("trace") == (way == "step by step")


DELETES = f"BEGIN EXECUTE 'DELETE FROM ' || {COMPUTED}; "
BLOCK = f"DO $f$ {DELETES} END $f$"
TAKES_NONE = (
    f"DO $f$ {DELETES} IF current_setting(concat('migration_', 'ledger.transaction'), true) <> '' "
    "THEN RAISE EXCEPTION 'no' USING ERRCODE = '25001'; END IF; END $f$"
)
COMMITS = f"CREATE PROCEDURE p() LANGUAGE plpgsql AS $f$ {DELETES} COMMIT; END $f$;\nCALL p()"
INDEX = (
    f"CREATE FUNCTION g() RETURNS int LANGUAGE plpgsql AS $f$ {DELETES} RETURN 1; END $f$;\n"
    "CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS "
    "$f$ BEGIN RETURN public.g(); END $f$;\n"
    "INSERT INTO users VALUES (1);\nCREATE INDEX CONCURRENTLY i ON users (f(id))"
)


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("step by step", TAKES_NONE),
        ("step by step", INDEX),
        ("python", BLOCK),
        ("psql", BLOCK),
        ("psql", COMMITS),
        ("psql", INDEX),
    ],
)
@pytest.mark.usefixtures("psql")
async def test_what_commits_by_itself_is_found_at_once(world: World, way: str, text: str) -> None:
    await world.up(users())

    outcome = await world.up(users(), in_one_of(way, text, alone=True), programs=ANY)

    assert outcome.verdict is Verdict.FAILED
    failure = outcome.steps[-1].failure
    assert failure is not None
    assert "nothing of it is rolled back" in failure.message


async def test_nobody_makes_the_setting_that_the_check_fails_for_the_lack_of(world: World) -> None:
    names = re.findall(r"current_setting\('([^']+)'\)", STATEMENTS.read_text())
    assert len(set(names)) > 3
    made = " ".join(
        f"BEGIN PERFORM set_config('{name}', 'x', false); EXCEPTION WHEN OTHERS THEN NULL; END;"
        for name in sorted(set(names))
    )
    await refused(world, change(f"DO $do$ BEGIN {made} END $do$", hidden(TAMPERS[0])))


@pytest.mark.parametrize("stepwise", [False, True])
async def test_what_only_reads_it_or_analyzes_everything_may_stay(
    world: World, stepwise: bool
) -> None:
    reading = f"DO $do$ BEGIN EXECUTE 'SELECT 1 FROM ' || {COMPUTED}; END $do$"
    await world.up(users())
    work = migration("002", f"ANALYZE;\n{reading}", stepwise=stepwise)

    assert (await world.up(users(), work)).verdict is Verdict.DONE


async def test_a_copy_that_takes_the_journals_place_is_found_by_the_next_reader(
    world: World,
) -> None:
    """Renaming schemas locks no table; an entry that is missing in the copy breaks the chain."""
    named = "DECLARE s text := 'migration_' || chr(108) || 'edger'; BEGIN "
    copied = (
        f"DO $do$ {named} CREATE SCHEMA other; "
        "EXECUTE format('CREATE TABLE other.journal (LIKE %I.journal INCLUDING ALL)', s); "
        "EXECUTE format('INSERT INTO other.journal SELECT * FROM %I.journal', s); END $do$"
    )
    swapped = (
        f"DO $do$ {named} EXECUTE format('ALTER SCHEMA %I RENAME TO gone', s); "
        "EXECUTE format('ALTER SCHEMA other RENAME TO %I', s); END $do$"
    )
    await world.up(users())
    await world.up(users(), smuggled(migration("002", "SELECT 1"), copied))
    await world.up(
        users(), migration("002", "SELECT 1"), smuggled(migration("003", "SELECT 1"), swapped)
    )

    outcome = await world.up(users(), migration("004", "CREATE TABLE trace (a int)"))

    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "identity"
    assert not await world.has("trace")


async def test_a_tamper_that_was_rolled_back_inside_is_none(world: World) -> None:
    swallowed = hidden("DELETE FROM {journal}").replace(
        " END $do$", " RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $do$"
    )
    await world.up(users())

    assert (await world.up(users(), change(swallowed))).verdict is Verdict.DONE
    assert await world.has("trace")


@pytest.mark.parametrize("tamper", ["DELETE FROM {journal}", "DROP TABLE {journal}"])
async def test_stepwise_work_is_held_to_it_at_each_step(world: World, tamper: str) -> None:
    await world.up(users())
    stepping = migration("002", "SELECT 1", stepwise=True)

    outcome = await world.up(users(), smuggled(stepping, hidden(tamper)))

    assert outcome.verdict is Verdict.FAILED
    assert ("001", "up", 0, "applied") in await world.journal()


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER ROLE {own} PASSWORD 'stolen'",
        'ALTER ROLE "{own}" SET search_path = public',
        "ALTER USER {own} RENAME TO other",
        "DROP ROLE IF EXISTS somebody, {own}",
        "REASSIGN OWNED BY {own} TO somebody",
        "GRANT somebody TO {own}",
        "GRANT {own} TO somebody WITH ADMIN OPTION",
        "REVOKE somebody FROM {own}",
        "CREATE ROLE somebody IN ROLE {own}",
        "ALTER GROUP somebody ADD USER {own}",
        "SECURITY LABEL ON ROLE {own} IS 'masked'",
        "DO $$ BEGIN GRANT {own} TO somebody; END $$",
        "DO $$ BEGIN EXECUTE format('GRANT %I TO %I', '{own}', 'somebody'); END $$",
        "DO $$ BEGIN ALTER ROLE {own} PASSWORD 'stolen'; END $$",
        "DO $$ BEGIN EXECUTE 'ALTER ROLE {own} PASSWORD ''stolen'''; END $$",
        "DO $$ BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', '{own}', 'stolen'); END $$",
    ],
)
async def test_the_login_by_its_own_name_is_not_changed(world: World, statement: str) -> None:
    own = world.settings.user
    changing = migration("002", f"CREATE TABLE trace (a int);\n{statement.format(own=own)}")
    await world.up(users())

    outcome = await world.up(users(), changing)

    assert outcome.verdict is Verdict.FAILED
    failure = outcome.steps[-1].failure
    assert failure is not None
    assert "changes the role that the migration runs as" in failure.message
    assert failure.line == 3
    assert not await world.has("trace")


async def test_a_superuser_may_join_other_roles_and_let_nobody_join_his(world: World) -> None:
    superuser = World(world.superuser_url)
    own, other = superuser.settings.user, f"{world.settings.database}_other"
    joins = migration("001", f'CREATE ROLE "{other}";\nGRANT "{other}" TO {own}')
    lets = migration("002", f'GRANT {own} TO "{other}"')
    try:
        joined = await superuser.up(joins)
        assert joined.verdict is Verdict.DONE, joined.failure
        refused = await superuser.up(joins, lets)
        assert refused.failure is not None
        assert "changes the role that the migration runs as" in refused.failure.message
    finally:
        await world.execute_as_superuser(f'DROP ROLE IF EXISTS "{other}"')


async def test_the_first_contact_of_a_second_target_is_held_to_it_too(world: World) -> None:
    await world.execute("CREATE SCHEMA other")
    await world.up(users())
    honest = await world.up(users(), target="other")
    await world.execute("CREATE SCHEMA third")
    for tamper in TAMPERS:
        tampering = smuggled(users(), "CREATE TABLE trace (a int)", hidden(tamper))
        outcome = await world.up(tampering, target="third")
        assert outcome.verdict is Verdict.FAILED, tamper

    assert honest.verdict is Verdict.DONE
    assert await world.value("SELECT to_regclass('third.trace') IS NULL")
