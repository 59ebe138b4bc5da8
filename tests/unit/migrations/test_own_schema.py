"""Our schema and the migrating role are nothing that a migration may name."""

from __future__ import annotations

import pytest

from migrations.errors import ForbiddenSqlError
from migrations.sql.own_schema import names_schema, script_acts_on_role
from migrations.sql.statements import script, split

OURS = [
    "DELETE FROM migration_ledger.journal",
    "UPDATE Migration_Ledger.journal SET reason = 'x'",
    'INSERT INTO "migration_ledger".journal (seq) VALUES (1)',
    'TRUNCATE U&"migration\\005fledger".journal',
    "TRUNCATE U&\"migration!005fledger\" UESCAPE '!'.journal",
    "MERGE INTO migration_ledger.journal j USING t ON false WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM migration_ledger.journal RETURNING 1) SELECT * FROM gone",
    "SELECT * FROM migration_ledger.journal FOR UPDATE",
    "LOCK migration_ledger.journal",
    "COPY migration_ledger.journal FROM '/srv/rows'",
    "COPY (SELECT * FROM migration_ledger.journal) TO '/srv/rows'",
    "ALTER TABLE migration_ledger.journal DISABLE TRIGGER ALL",
    "ALTER TABLE migration_ledger.journal RENAME TO other",
    "ALTER TABLE migration_ledger.journal SET SCHEMA public",
    "ALTER TABLE t SET SCHEMA migration_ledger",
    "ALTER SCHEMA migration_ledger RENAME TO other",
    "ALTER SCHEMA migration_ledger OWNER TO someone",
    "ALTER SCHEMA other RENAME TO migration_ledger",
    "DROP SCHEMA migration_ledger CASCADE",
    "DROP SCHEMA a, migration_ledger",
    "DROP TABLE t, migration_ledger.journal",
    "DROP INDEX migration_ledger.journal_order",
    "CREATE SCHEMA migration_ledger",
    "CREATE TABLE migration_ledger.mine (a int)",
    "CREATE TABLE mine (LIKE migration_ledger.journal)",
    "CREATE VIEW v AS SELECT * FROM migration_ledger.journal",
    "CREATE TRIGGER t BEFORE INSERT ON migration_ledger.journal EXECUTE FUNCTION f()",
    "CREATE RULE r AS ON INSERT TO migration_ledger.journal DO INSTEAD NOTHING",
    "CREATE POLICY p ON migration_ledger.journal",
    "CREATE INDEX ON migration_ledger.journal (seq)",
    "CREATE FUNCTION migration_ledger.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "GRANT ALL ON migration_ledger.journal TO PUBLIC",
    "GRANT USAGE ON SCHEMA migration_ledger TO PUBLIC",
    "REVOKE ALL ON ALL TABLES IN SCHEMA migration_ledger FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA migration_ledger GRANT ALL ON TABLES TO PUBLIC",
    "COMMENT ON TABLE migration_ledger.journal IS 'x'",
    "SET search_path = migration_ledger",
    "SET search_path TO public, 'migration_ledger'",
    'SET LOCAL search_path TO "migration_ledger"',
    "SET SCHEMA 'migration_ledger'",
    "SET LOCAL migration_ledger.transaction = 'forged'",
    "SELECT set_config('search_path', 'migration_ledger, public', false)",
    "SELECT set_config('migration_ledger.transaction', 'forged', true)",
    "SELECT query_to_xml('DELETE FROM migration_ledger.journal RETURNING 1', true, true, '')",
    "SELECT query_to_xml('DELETE FROM migration' || '_ledger.journal RETURNING 1', true, true, '')",
    "SELECT lo_export(1, 'migration_ledger.journal')",
    "SELECT 'migration_ledger.journal'::regclass",
    "SELECT regnamespace 'migration_ledger'",
    "ALTER ROLE someone SET search_path = migration_ledger",
    "PREPARE p AS DELETE FROM migration_ledger.journal",
    "DO $$ BEGIN DELETE FROM migration_ledger.journal; END $$",
    'DO $$ BEGIN DELETE FROM "migration_ledger" . journal; END $$',
    "DO 'BEGIN DELETE FROM migration_ledger.journal; END'",
    "DO E'BEGIN DELETE FROM migration\\137ledger.journal; END'",
    'DO $$ BEGIN DELETE FROM U&"migration\\005fledger".journal; END $$',
    "DO $$ BEGIN EXECUTE 'DELETE FROM migration_ledger.journal'; END $$",
    "DO $$ BEGIN EXECUTE 'DELETE FROM migration_' || 'ledger.journal'; END $$",
    "DO $$ BEGIN EXECUTE ('DELETE FROM ' || ('migration' || '_ledger')) || '.journal'; END $$",
    "DO $$ BEGIN EXECUTE $q$DELETE FROM migration_ledger.journal$q$; END $$",
    "DO $$ BEGIN EXECUTE E'DELETE FROM migration\\x5fledger.journal'; END $$",
    "DO $$ BEGIN EXECUTE format('DELETE FROM %I.journal', 'migration_ledger'); END $$",
    "DO $$ DECLARE s text := 'migration_ledger'; BEGIN EXECUTE 'DROP SCHEMA ' || s; END $$",
    "DO $$ BEGIN EXECUTE 'DO $x$ BEGIN EXECUTE ''DROP SCHEMA migration_ledger''; END $x$'; END $$",
    "DO $$ BEGIN PERFORM set_config('search_path', 'migration_ledger', true); END $$",
    'DO LANGUAGE plpython3u $$ plpy.execute("DELETE FROM migration_ledger.journal") $$',
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM migration_ledger.journal'",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC "
    "DELETE FROM migration_ledger.journal; END",
    "CREATE PROCEDURE f() LANGUAGE plpgsql AS $$ BEGIN TRUNCATE migration_ledger.journal; END $$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = migration_ledger AS 'SELECT 1'",
    "DELETE FROM migration_ledger.backup_001",
    "DROP TABLE migration_ledger.backup_001",
    "DO $$ BEGIN DELETE FROM migration_ledger.backup_001; END $$",
    "UPDATE t SET a = (SELECT max(seq) FROM migration_ledger.journal)",
]

HARMLESS = [
    "CREATE TABLE migration_ledger_notes (a int)",
    "CREATE TABLE my.migration_ledger_journal (a int)",
    "SELECT 1 -- migration_ledger.journal",
    "INSERT INTO notes VALUES ('see migration_ledger.journal')",
    "COMMENT ON TABLE t IS 'watched by migration_ledger'",
    "SELECT nspname FROM pg_namespace WHERE nspname <> 'migration_ledger'",
    "UPDATE t SET a = 'x' WHERE b NOT IN ('migration_ledger', 'public')",
    "CREATE TABLE t (a text DEFAULT 'migration_ledger')",
    "DO $$ BEGIN EXECUTE 'CREATE TABLE ' || quote_ident('a' || 'b') || ' (a int)'; END $$",
    "DO $$ DECLARE s name; BEGIN FOR s IN SELECT nspname FROM pg_namespace "
    "WHERE nspname NOT IN ('pg_catalog', 'migration_ledger') AND nspname <> 'migration_ledger' "
    "LOOP EXECUTE format('GRANT USAGE ON SCHEMA %I TO app', s); END LOOP; END $$",
    "UPDATE t SET a = b.a FROM migration_ledger.backup_001 AS b WHERE b.id = t.id",
    "SELECT * FROM t JOIN migration_ledger.backup_001 USING (id)",
    "DO $$ BEGIN ASSERT (SELECT count(*) FROM migration_ledger.backup_001) > 0; END $$",
]

OWN_ROLE = [
    "ALTER ROLE CURRENT_USER PASSWORD 'x'",
    "ALTER USER CURRENT_USER WITH NOLOGIN",
    "ALTER ROLE SESSION_USER SET search_path = public",
    "ALTER ROLE CURRENT_ROLE RESET ALL",
    "ALTER ROLE ALL SET work_mem = '1MB'",
    "DROP OWNED BY CURRENT_USER",
    "REASSIGN OWNED BY someone, SESSION_USER TO other",
    "DO $$ BEGIN ALTER ROLE CURRENT_USER PASSWORD 'x'; END $$",
    "DO $$ BEGIN EXECUTE 'ALTER ROLE CURRENT_USER PASSWORD ''x'''; END $$",
    "DO $$ BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', current_user, 'x'); END $$",
    "DO $$ BEGIN EXECUTE 'ALTER ROLE ' || quote_ident(session_user) || ' NOLOGIN'; END $$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER ROLE CURRENT_USER NOLOGIN'",
    "GRANT app TO CURRENT_USER",
    "GRANT app, other TO someone, SESSION_USER WITH ADMIN OPTION",
    "GRANT app TO CURRENT_ROLE GRANTED BY someone",
    "REVOKE app FROM CURRENT_USER",
    "REVOKE ADMIN OPTION FOR app FROM CURRENT_USER CASCADE",
    "CREATE ROLE app ROLE CURRENT_USER",
    "CREATE ROLE app IN ROLE other ADMIN someone, SESSION_USER",
    "ALTER GROUP app ADD USER CURRENT_USER",
    "ALTER GROUP app DROP USER someone, CURRENT_USER",
    "DO $$ BEGIN GRANT app TO CURRENT_USER; END $$",
    'DO $$ BEGIN GRANT "on" TO CURRENT_USER; END $$',
    "DO $$ BEGIN IF true THEN REVOKE app FROM someone, SESSION_USER; END IF; END $$",
    "DO $$ BEGIN CREATE ROLE app NOLOGIN ROLE CURRENT_USER; END $$",
    "DO $$ BEGIN DROP USER a, b, c, d, e, f, g, h, i, CURRENT_USER; END $$",
    "DO $$ BEGIN EXECUTE 'GRANT app TO CURRENT_USER'; END $$",
    "DO $$ BEGIN EXECUTE format('GRANT app TO %I', current_user); END $$",
    "DO $$ DECLARE me name := session_user; BEGIN EXECUTE format('GRANT %I TO x', me); END $$",
    "DO $$ BEGIN EXECUTE 'GRANT ' || (SELECT 'app') || ' TO ' || quote_ident(user); END $$",
    "DO $$ BEGIN EXECUTE 'CREATE ROLE app IN ROLE ' || quote_ident(current_user); END $$",
    "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN GRANT app TO SESSION_USER; END $$",
    "SELECT run('ALTER ROLE CURRENT_USER NOLOGIN')",
    "SELECT run('ALTER ROLE ' || quote_ident(current_user) || ' NOLOGIN', true)",
    "SELECT count(run(format('GRANT %I TO %I', 'app', session_user))) FROM t",
    "CALL run('SELECT 1', concat('GRANT app TO ', user))",
    "EXECUTE run('DROP OWNED BY CURRENT_USER')",
    "INSERT INTO t SELECT * FROM dblink('', 'REASSIGN OWNED BY CURRENT_ROLE TO app') AS d (a int)",
]

OTHER_ROLE = [
    "CREATE ROLE app NOLOGIN",
    "ALTER ROLE app NOLOGIN",
    "DROP ROLE IF EXISTS app",
    "GRANT app TO other GRANTED BY CURRENT_USER",
    "GRANT SELECT ON t TO CURRENT_USER WITH GRANT OPTION",
    "REVOKE ALL ON SCHEMA public FROM CURRENT_USER",
    "ALTER DEFAULT PRIVILEGES FOR ROLE CURRENT_USER GRANT SELECT ON TABLES TO app",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO CURRENT_USER WITH GRANT OPTION",
    "REASSIGN OWNED BY app TO CURRENT_USER",
    "CREATE ROLE app IN ROLE other ROLE someone",
    "CREATE USER MAPPING FOR CURRENT_USER SERVER s",
    "DO $$ BEGIN GRANT app TO other GRANTED BY CURRENT_USER; END $$",
    "DO $$ BEGIN REASSIGN OWNED BY app TO CURRENT_USER; END $$",
    "DO $$ BEGIN ALTER ROLE app RESET ALL; END $$",
    "DO $$ BEGIN ALTER USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (SET a 'b'); END $$",
    "DO $$ BEGIN EXECUTE 'GRANT USAGE ON SCHEMA s TO ' || quote_ident(current_user); END $$",
    "DO $$ DECLARE r text; BEGIN FOR r IN SELECT rolname FROM pg_roles LOOP "
    "EXECUTE 'REVOKE ' || 'ALL' || ' ON ' || 't' || ' FROM ' || quote_ident(r); END LOOP; END $$",
    "DO $$ BEGIN IF current_user = 'x' THEN GRANT app TO other; END IF; END $$",
    "ALTER TABLE t OWNER TO CURRENT_USER",
    "COMMENT ON ROLE app IS 'the user of the application'",
    "UPDATE users SET role = current_user",
    "DO $$ BEGIN EXECUTE format('ALTER ROLE %I NOLOGIN', 'app'); END $$",
    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN "
    "CREATE ROLE app; END IF; END $$",
    "CREATE TABLE t (a int, role text DEFAULT current_user)",
    "SELECT note('grant access to all', current_user)",
    "SELECT run('GRANT SELECT ON t TO CURRENT_USER')",
    "SELECT run(format('ALTER ROLE %I NOLOGIN', 'app')), current_user",
    "INSERT INTO notes VALUES ('ALTER ROLE CURRENT_USER NOLOGIN')",
]


@pytest.mark.parametrize("sql", OURS)
@pytest.mark.parametrize("foreign", [False, True])
def test_what_names_our_schema_is_refused_in_every_format(sql: str, foreign: bool) -> None:
    with pytest.raises(ForbiddenSqlError, match="names our own schema migration_ledger") as caught:
        script(f"SELECT 1;\n{sql};", file="1_a.sql", foreign=foreign)

    assert caught.value.line == 2
    assert "belongs to no migration" in caught.value.remedy


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_only_mentions_it_may_stay(sql: str) -> None:
    assert len(split(sql, file="1_a.sql")) == 1


@pytest.mark.parametrize("sql", OWN_ROLE)
def test_what_changes_the_role_that_it_runs_as_is_refused(sql: str) -> None:
    with pytest.raises(ForbiddenSqlError, match="changes the role that the migration runs as"):
        split(sql, file="1_a.sql")


@pytest.mark.parametrize("sql", OTHER_ROLE)
def test_another_role_may_be_changed_and_ours_be_named(sql: str) -> None:
    assert len(split(sql, file="1_a.sql")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "\\echo it's\nDELETE FROM migration_ledger.journal;",
        "\\set s migration_ledger\nDROP SCHEMA :s;",
        "SELECT 'DELETE FROM migration_ledger.journal' \\gexec",
    ],
)
def test_a_psql_script_that_names_it_is_known_too(text: str) -> None:
    assert names_schema(text)


@pytest.mark.parametrize(
    "text",
    [
        "ALTER ROLE :USER NOLOGIN;",
        "\\echo it's\nALTER ROLE :\"USER\" PASSWORD 'x';",
        "GRANT app TO :USER;",
        'SELECT session_user AS me \\gset\nGRANT app TO :"me";',
        "SELECT format('GRANT app TO %I', current_user) \\gexec",
        "\\set me migrator\nREVOKE :me FROM somebody;",
        "GRANT app TO migrator;",
        "GRANT migrator TO app;",
        "CREATE ROLE app IN ROLE migrator;",
        "ALTER GROUP migrator ADD USER app;",
    ],
)
def test_a_psql_script_that_changes_the_role_is_known_too(text: str) -> None:
    assert script_acts_on_role(text, ["migrator"])


@pytest.mark.parametrize("text", ["GRANT app TO :other;", "GRANT SELECT ON t TO :USER;"])
def test_a_psql_script_may_change_others(text: str) -> None:
    assert not script_acts_on_role(text, ["migrator"])
