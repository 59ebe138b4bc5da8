"""What the owner of a tenant database prepares so that code of his runs as the migrating login.

Every trap ends in one function, and the server counts the calls of functions: none is called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from migrations.adoption.inspect import histories_in
from migrations.inspection import glance, inspect, inspect_at_rest
from migrations.model.attempt import Adoption, Mode, Verdict
from migrations.model.work import Outcome, Silence
from migrations.target.lock import key_for
from tests.fixtures.postgres import AsSuperuser, FreshDatabase, owner_of
from tests.integration.migrations.world import SEEN, World, expecting, migration, users

TRAP = """
CREATE FUNCTION public.trap() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM pg_catalog.set_config('default_transaction_read_only', 'off', false);
        EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD %L', session_user, 'hacked');
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    RETURN true;
END $$;
CREATE FUNCTION public.trap_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap(); RETURN NEW; END $$;
CREATE FUNCTION public.trap_text(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM public.trap(); RETURN $1; END $$;
"""
COLUMNS = """
    target name, seq bigint, head text NOT NULL, command uuid, rollout text, migration text,
    direction text, step integer, state text, up_checksum text, down_checksum text,
    statements integer, statement text, note text, failure jsonb, reason text,
    database_uuid uuid, owner text, epoch_term bigint, epoch_position bigint, xid xid8,
    finished_at timestamptz, duration_ms bigint, made_by name
"""
TABLE = f"CREATE SCHEMA migration_ledger; CREATE TABLE migration_ledger.journal ({COLUMNS});"
OPEN = """
GRANT ALL ON SCHEMA migration_ledger TO PUBLIC; GRANT ALL ON migration_ledger.journal TO PUBLIC;
"""
INDEX = "CREATE UNIQUE INDEX journal_order ON migration_ledger.journal (target, seq);"
JOURNAL = TABLE + INDEX + OPEN

FORGED = {
    "a bare schema": "CREATE SCHEMA migration_ledger",
    "a schema open to all": "CREATE SCHEMA migration_ledger; GRANT ALL ON SCHEMA migration_ledger "
    "TO PUBLIC",
    "a journal of our shape": JOURNAL,
    "a trigger": JOURNAL + "CREATE TRIGGER t BEFORE INSERT ON migration_ledger.journal "
    "FOR EACH ROW EXECUTE FUNCTION public.trap_row()",
    "a constraint trigger": JOURNAL + "CREATE CONSTRAINT TRIGGER t AFTER INSERT "
    "ON migration_ledger.journal DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION public.trap_row()",
    "a rule": JOURNAL + "CREATE RULE r AS ON INSERT TO migration_ledger.journal "
    "DO ALSO SELECT public.trap()",
    "a policy": JOURNAL + "ALTER TABLE migration_ledger.journal ENABLE ROW LEVEL SECURITY; "
    "CREATE POLICY p ON migration_ledger.journal USING (public.trap())",
    "a default": JOURNAL + "ALTER TABLE migration_ledger.journal "
    "ALTER COLUMN xid SET DEFAULT CASE WHEN public.trap() THEN NULL::xid8 END",
    "a check": JOURNAL + "ALTER TABLE migration_ledger.journal ADD CHECK (public.trap())",
    "a generated column": TABLE + OPEN + "ALTER TABLE migration_ledger.journal ADD COLUMN g text "
    "GENERATED ALWAYS AS (public.trap_text(head)) STORED",
    "an index on an expression": JOURNAL + "CREATE INDEX i ON migration_ledger.journal "
    "(public.trap_text(head))",
    "a partial index": JOURNAL + "CREATE INDEX i ON migration_ledger.journal (head) "
    "WHERE public.trap_text(head) <> ''",
    "a domain": "CREATE DOMAIN public.checked AS text CHECK (public.trap()); "
    + JOURNAL.replace("rollout text", "rollout public.checked"),
    "a view": "CREATE SCHEMA migration_ledger; CREATE VIEW migration_ledger.journal AS "
    "SELECT ''::name AS target, 1::bigint AS seq WHERE public.trap();"
    "GRANT ALL ON SCHEMA migration_ledger TO PUBLIC; "
    "GRANT ALL ON migration_ledger.journal TO PUBLIC",
    "a partitioned table": "CREATE SCHEMA migration_ledger; CREATE TABLE migration_ledger.journal "
    f"({COLUMNS}) PARTITION BY LIST (target);" + OPEN,
    "a child": JOURNAL + "CREATE TABLE migration_ledger.more () "
    "INHERITS (migration_ledger.journal)",
    "a progress table for later": "CREATE SCHEMA migration_ledger; "
    "CREATE TABLE migration_ledger.progress (target name)",
}


@pytest.fixture
async def tenant(fresh_database: FreshDatabase, as_superuser: AsSuperuser) -> World:
    """A database whose owner is hostile, and whose functions are counted."""
    url = await fresh_database()
    world = World(url, superuser_url=as_superuser(url))
    await world.execute_as_superuser(
        f"ALTER DATABASE \"{world.settings.database}\" SET track_functions = 'all'; "
        f'GRANT ALL ON SCHEMA public TO "{world.owner}" WITH GRANT OPTION'
    )
    await as_owner(world, TRAP)
    return world


async def as_owner(world: World, sql: str) -> None:
    """Run a script as the tenant's owner."""
    name = owner_of(world.settings.database)
    await world.execute_as_superuser(f'SET SESSION AUTHORIZATION "{name}"; {sql}')


async def assert_untouched(world: World) -> None:
    """Nothing of the tenant's was called, and the login still has its password."""
    connection = await asyncpg.connect(world.superuser_url)
    try:
        called = await connection.fetch("SELECT funcname, calls FROM pg_stat_user_functions")
    finally:
        await connection.close()
    assert [tuple(row) for row in called] == []
    await (await asyncpg.connect(world.url)).close()


def assert_refused(outcome: Outcome) -> None:
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "identity"
    assert "is not ours" in outcome.failure.message


@pytest.mark.parametrize("trap", FORGED.values(), ids=FORGED.keys())
async def test_a_journal_that_the_tenant_has_prepared_is_refused_by_name(
    tenant: World, trap: str
) -> None:
    await as_owner(tenant, trap)
    found = await inspect(tenant.settings)
    assert found.failure is not None
    assert "is not ours" in found.failure.message
    assert found.record is None
    await glance(tenant.settings)
    await inspect_at_rest(tenant.settings, "", Silence())
    assert_refused(await tenant.up(users()))
    assert_refused(await tenant.up(users(), target="public"))
    assert not await tenant.has("users")
    await assert_untouched(tenant)


HERS = {
    "a trigger": "GRANT USAGE ON SCHEMA migration_ledger TO {owner}; "
    "GRANT TRIGGER ON migration_ledger.journal TO {owner}; "
    "SET SESSION AUTHORIZATION {owner}; "
    "CREATE TRIGGER t BEFORE INSERT ON migration_ledger.journal "
    "FOR EACH ROW EXECUTE FUNCTION public.trap_row()",
    "the right to make one": "GRANT USAGE ON SCHEMA migration_ledger TO PUBLIC; "
    "GRANT TRIGGER ON migration_ledger.journal TO {owner}",
    "the right to write": "GRANT USAGE ON SCHEMA migration_ledger TO {owner}; "
    "GRANT INSERT, UPDATE, DELETE ON migration_ledger.journal TO PUBLIC",
    "the right to write one column": "GRANT USAGE ON SCHEMA migration_ledger TO {owner}; "
    "GRANT UPDATE (reason), SELECT (seq) ON migration_ledger.journal TO {owner}",
    "the right to create": "GRANT CREATE, USAGE ON SCHEMA migration_ledger TO {owner}",
    "the table": "ALTER TABLE migration_ledger.journal OWNER TO {owner}",
    "the schema": "ALTER SCHEMA migration_ledger OWNER TO {owner}",
    "another column": "ALTER TABLE migration_ledger.journal ADD COLUMN more text",
    "a column less": "ALTER TABLE migration_ledger.journal DROP COLUMN statement",
    "a column of another type": "ALTER TABLE migration_ledger.journal ALTER note TYPE varchar",
    "a column that is called as two": "ALTER TABLE migration_ledger.journal DROP COLUMN made_by; "
    'ALTER TABLE migration_ledger.journal RENAME duration_ms TO "duration_ms:20,made_by:19"',
    "a default": "ALTER TABLE migration_ledger.journal ALTER COLUMN note SET DEFAULT 'x'",
    "row security": "ALTER TABLE migration_ledger.journal FORCE ROW LEVEL SECURITY",
    "a policy": "ALTER TABLE migration_ledger.journal ENABLE ROW LEVEL SECURITY; "
    "CREATE POLICY p ON migration_ledger.journal USING (public.trap())",
    "a check": "ALTER TABLE migration_ledger.journal ADD CHECK (step < 100)",
    "a key that points to it": "ALTER TABLE migration_ledger.journal ADD UNIQUE (head); "
    "CREATE TABLE public.more (head text REFERENCES migration_ledger.journal (head))",
    "an expression": "CREATE INDEX i ON migration_ledger.journal (lower(head))",
}


@pytest.mark.parametrize("change", HERS.values(), ids=HERS.keys())
async def test_a_journal_of_ours_that_was_changed_is_refused_also_where_it_is_known(
    tenant: World, change: str
) -> None:
    first = await tenant.up(users())
    assert first.verdict is Verdict.DONE
    await tenant.execute_as_superuser(change.format(owner=f'"{tenant.owner}"'))
    again = migration("002", "CREATE TABLE b ()")
    assert_refused(await tenant.up(users(), again, expectation=expecting(first)))
    assert_refused(await tenant.up(users(), again))
    found = await inspect(tenant.settings)
    assert found.failure is not None
    assert not await tenant.has("b")
    await assert_untouched(tenant)


async def test_statistics_that_compute_something_are_refused_where_the_journal_is_first_met(
    tenant: World,
) -> None:
    """ANALYZE computes them as whoever owns the table."""
    await tenant.up(users())
    await tenant.execute_as_superuser(
        "CREATE STATISTICS public.s ON (public.trap_text(head)), seq FROM migration_ledger.journal"
    )
    assert_refused(await tenant.up(users(), migration("002", "CREATE TABLE b ()")))
    found = await inspect(tenant.settings)
    assert found.failure is not None
    assert "has the statistics public.s" in found.failure.message
    assert not await tenant.has("b")


async def test_a_right_on_one_column_is_taken_away_by_the_statement_that_is_named(
    tenant: World,
) -> None:
    await tenant.up(users())
    change = HERS["the right to write one column"].format(owner=f'"{tenant.owner}"')
    await tenant.execute_as_superuser(change)
    refused = await tenant.up(users(), migration("002", "CREATE TABLE b ()"))
    assert refused.failure is not None
    remedy = f"REVOKE ALL ON migration_ledger.journal FROM {tenant.owner}"
    assert remedy in refused.failure.message
    await tenant.execute_as_superuser(
        f'REVOKE ALL ON migration_ledger.journal FROM "{tenant.owner}"'
    )
    done = await tenant.up(users(), migration("002", "CREATE TABLE b ()"))
    assert done.verdict is Verdict.DONE, done.failure


async def test_who_may_only_read_the_journal_is_no_reason_to_refuse_it(tenant: World) -> None:
    await tenant.up(users())
    await tenant.execute(
        "GRANT USAGE ON SCHEMA migration_ledger TO PUBLIC; "
        "GRANT SELECT ON migration_ledger.journal TO PUBLIC"
    )
    outcome = await tenant.up(users(), migration("002", "CREATE TABLE b ()"))
    assert outcome.verdict is Verdict.DONE


async def test_rights_that_nobody_can_use_without_the_schema_are_no_reason_either(
    tenant: World,
) -> None:
    await tenant.execute(f'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO "{tenant.owner}"')
    first = await tenant.up(users())
    outcome = await tenant.up(
        users(), migration("002", "CREATE TABLE b ()"), expectation=expecting(first)
    )
    assert outcome.verdict is Verdict.DONE


async def test_a_schema_that_was_made_for_the_login_beforehand_is_used(tenant: World) -> None:
    await tenant.execute_as_superuser(
        f'CREATE SCHEMA migration_ledger AUTHORIZATION "{tenant.settings.user}"; '
        f'REVOKE CREATE ON DATABASE "{tenant.settings.database}" FROM PUBLIC'
    )
    outcome = await tenant.up(users())
    assert outcome.verdict is Verdict.DONE


OPERATORS = [
    ("=", "name", "name"),
    ("=", "name", "text"),
    ("=", "oid", "oid"),
    ("=", "text", "text"),
    ("=", "integer", "integer"),
    ("=", "boolean", "boolean"),
    ("<>", "uuid", "uuid"),
    ("<>", "oid", "oid"),
    ("<>", "integer", "integer"),
    (">", "bigint", "bigint"),
    (">", "smallint", "integer"),
    ("-", "timestamptz", "timestamptz"),
    ("||", "text", "text"),
]
FUNCTIONS = ["now()", "current_schema()", "to_regclass(text)", "count(text)"]


def operators() -> str:
    parts = []
    for number, (sign, left, right) in enumerate(OPERATORS):
        parts.append(
            f"CREATE FUNCTION public.op{number}({left}, {right}) RETURNS boolean "
            "LANGUAGE plpgsql AS 'BEGIN PERFORM public.trap(); RETURN true; END';"
            f"CREATE OPERATOR public.{sign} (LEFTARG = {left}, RIGHTARG = {right}, "
            f"FUNCTION = public.op{number});"
        )
    parts += [
        f"CREATE FUNCTION public.{name} RETURNS text LANGUAGE plpgsql "
        "AS 'BEGIN PERFORM public.trap(); RETURN NULL; END';"
        for name in FUNCTIONS
    ]
    parts += [
        f"CREATE DOMAIN public.{name} AS pg_catalog.{name} CHECK (public.trap());"
        for name in ("uuid", "jsonb", "xid8")
    ]
    return "\n".join(parts)


@asynccontextmanager
async def lock_held(world: World) -> AsyncIterator[None]:
    """The tenant holds the target's lock, whose key everybody can compute."""
    connection = await asyncpg.connect(world.superuser_url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({key_for('').value})")
        yield
    finally:
        await connection.close()


async def test_operators_functions_and_types_before_postgresqls_are_not_found(
    tenant: World,
) -> None:
    database = tenant.settings.database
    await as_owner(tenant, operators())
    await as_owner(tenant, f'ALTER DATABASE "{database}" SET search_path = public, pg_catalog')
    async with lock_held(tenant):
        waited = await tenant.up(users(), migration("002", "CREATE TABLE b ()"))
        assert waited.failure is not None
        assert waited.failure.kind == "lock_timeout"
    first = await tenant.up(users())
    assert first.verdict is Verdict.DONE
    async with lock_held(tenant):
        await tenant.up(
            users(), migration("002", "CREATE TABLE b ()"), expectation=expecting(first)
        )
    blocker = await asyncpg.connect(tenant.superuser_url)
    try:
        await blocker.execute("BEGIN; LOCK TABLE public.users")
        blocked = await tenant.do(
            tenant.work(Mode.UP, users(), migration("002", "ALTER TABLE users ADD a int")), SEEN
        )
        assert blocked.failure is not None
        assert "pid" in (blocked.failure.blocker or "")
    finally:
        await blocker.close()
    indexed = migration(
        "003", "CREATE INDEX CONCURRENTLY i ON users (id)", "DROP INDEX i", stepwise=True
    )
    done = await tenant.up(users(), indexed)
    assert done.verdict is Verdict.DONE
    await inspect(tenant.settings)
    await glance(tenant.settings)
    await inspect_at_rest(tenant.settings, "", Silence())
    await histories_in(tenant.settings)
    await assert_untouched(tenant)


@pytest.mark.parametrize(
    "table",
    [
        "CREATE VIEW schema_migrations AS SELECT '1'::text AS version WHERE public.trap()",
        "CREATE TABLE schema_migrations (version text); "
        "ALTER TABLE schema_migrations ENABLE ROW LEVEL SECURITY; "
        "CREATE POLICY p ON schema_migrations USING (public.trap()); "
        "GRANT ALL ON schema_migrations TO PUBLIC",
    ],
    ids=["view", "policy"],
)
async def test_another_tools_table_runs_nothing_when_it_is_adopted(
    tenant: World, table: str
) -> None:
    await as_owner(tenant, f"SET search_path TO public; {table}")
    await tenant.execute_as_superuser(
        f'REVOKE "{tenant.owner}" FROM "{tenant.settings.user}"; '
        "GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC; "
        f'GRANT CREATE ON DATABASE "{tenant.settings.database}" TO "{tenant.settings.user}"'
    )
    work = tenant.work(Mode.ADOPT, users("1"), adoption=Adoption("dbmate"))
    assert (await tenant.do(work)).verdict is not Verdict.DONE
    await histories_in(tenant.settings)
    await assert_untouched(tenant)


WIDE = {
    "a superuser": "CREATE ROLE {role} SUPERUSER; GRANT {role} TO {login}",
    "a superuser, if it says so": "CREATE ROLE {role} SUPERUSER; ALTER ROLE {login} NOINHERIT; "
    "GRANT {role} TO {login}",
    "who reads all": "GRANT pg_read_all_data TO {login}",
    "who writes all": "CREATE ROLE {role} IN ROLE pg_write_all_data; GRANT {role} TO {login}",
    "who starts programs": "GRANT pg_execute_server_program TO {login}",
    "who reads files": "GRANT pg_read_server_files TO {login}",
    "who replicates": "ALTER ROLE {login} REPLICATION",
}


@pytest.mark.parametrize("grant", WIDE.values(), ids=WIDE.keys())
async def test_a_login_that_may_become_more_reaches_the_other_databases(
    tenant: World, fresh_database: FreshDatabase, grant: str
) -> None:
    await fresh_database()
    before = await inspect(tenant.settings)
    assert before.rights is not None
    assert not before.rights.reaches
    names = {"login": f'"{tenant.settings.user}"', "role": f'"{tenant.settings.user}_more"'}
    await tenant.execute_as_superuser(grant.format(**names))
    try:
        after = await inspect(tenant.settings)
        assert after.rights is not None
        assert after.rights.reaches
    finally:
        await tenant.execute_as_superuser(f"DROP ROLE IF EXISTS {names['role']}")


THERE = {
    "which owns a table there": "CREATE TABLE t (); ALTER TABLE t OWNER TO {login}",
    "which was given a right there": "CREATE TABLE t (); GRANT SELECT ON t TO {login}",
    "whose group owns a schema there": "CREATE ROLE {role}; CREATE SCHEMA s AUTHORIZATION {role}; "
    "GRANT {role} TO {login}",
}


@pytest.mark.parametrize("made", THERE.values(), ids=THERE.keys())
async def test_a_login_reaches_a_database_that_everybody_may_enter_and_it_has_something_in(
    tenant: World, fresh_database: FreshDatabase, as_superuser: AsSuperuser, made: str
) -> None:
    other = as_superuser(await fresh_database())
    there = World(other, superuser_url=other)
    name = there.settings.database
    names = {"login": f'"{tenant.settings.user}"', "role": f'"{tenant.settings.user}_more"'}
    await there.execute_as_superuser(made.format(**names))
    try:
        await there.execute_as_superuser(f'GRANT CONNECT ON DATABASE "{name}" TO PUBLIC')
        found = await inspect(tenant.settings)
        assert found.rights is not None
        assert found.rights.reaches == (name,)
        await there.execute_as_superuser(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
        closed = await inspect(tenant.settings)
        assert closed.rights is not None
        assert not closed.rights.reaches
    finally:
        await there.execute_as_superuser(
            f"DROP TABLE IF EXISTS t; DROP SCHEMA IF EXISTS s; DROP ROLE IF EXISTS {names['role']}"
        )


async def test_a_login_that_may_become_one_with_createrole_has_it(tenant: World) -> None:
    names = {"login": f'"{tenant.settings.user}"', "role": f'"{tenant.settings.user}_more"'}
    await tenant.execute_as_superuser(
        "CREATE ROLE {role} CREATEROLE; GRANT {role} TO {login}".format(**names)
    )
    try:
        found = await inspect(tenant.settings)
        assert found.rights is not None
        assert found.rights.create_role
    finally:
        await tenant.execute_as_superuser(f"DROP ROLE {names['role']}")


async def test_a_role_that_the_database_sets_does_not_own_the_journal(tenant: World) -> None:
    await as_owner(
        tenant, f'ALTER DATABASE "{tenant.settings.database}" SET role = "{tenant.owner}"'
    )
    for number in ("001", "002"):
        outcome = await tenant.up(migration(number, f"CREATE TABLE t{number} ()"))
        assert outcome.verdict is Verdict.DONE
    owner = "SELECT tableowner FROM pg_tables WHERE schemaname = 'migration_ledger'"
    assert await tenant.value(owner) == tenant.settings.user
    made = "SELECT tableowner FROM pg_tables WHERE tablename = 't001'"
    assert await tenant.value(made) == tenant.owner


async def test_a_script_finds_and_resets_the_search_path_as_the_database_says(
    tenant: World,
) -> None:
    await as_owner(tenant, "CREATE SCHEMA app; CREATE SCHEMA other")
    await as_owner(tenant, f'ALTER DATABASE "{tenant.settings.database}" SET search_path = app')
    first = await tenant.up(
        migration("001", "CREATE TABLE a ();\nSET search_path TO other;\nCREATE TABLE b ()"),
        migration("002", "CREATE TABLE c ();\nSET search_path TO other;\nRESET search_path"),
        migration(
            "003", "SET search_path TO other;\nSET search_path TO DEFAULT;\nCREATE TABLE d ()"
        ),
    )
    assert first.verdict is Verdict.DONE
    last = await tenant.up(
        migration("004", "CREATE TABLE e ()", verify="SELECT current_schema() = 'app'"),
        migration("005", "CREATE TABLE f (g int)", stepwise=True),
        migration("006", "CREATE INDEX CONCURRENTLY i ON f (g)", "DROP INDEX i", stepwise=True),
        expectation=expecting(first),
    )
    assert last.verdict is Verdict.DONE
    placed = await tenant.fetch(
        "SELECT schemaname::text, string_agg(tablename::text, '' ORDER BY tablename) "
        "FROM pg_tables WHERE schemaname IN ('app', 'other') GROUP BY 1 ORDER BY 1"
    )
    assert placed == [("app", "acdef"), ("other", "b")]


async def test_a_schema_target_keeps_its_own_search_path(tenant: World) -> None:
    await as_owner(tenant, "CREATE SCHEMA one; CREATE SCHEMA two")
    for schema in ("one", "two", "one"):
        number = str(tenant.position).zfill(3)
        outcome = await tenant.up(migration(number, f"CREATE TABLE t{number} ()"), target=schema)
        assert outcome.verdict is Verdict.DONE
    placed = await tenant.fetch(
        "SELECT schemaname::text, count(*) FROM pg_tables WHERE schemaname IN ('one', 'two') "
        "GROUP BY 1 ORDER BY 1"
    )
    assert placed == [("one", 2), ("two", 1)]
