"""For every rule a migration that has what it is about, and one beside it that has not."""

from __future__ import annotations

from typing import NamedTuple

USERS = """\
CREATE TABLE users (
    id bigint PRIMARY KEY,
    email varchar(100) NOT NULL,
    name text,
    age int,
    region text,
    settings json,
    CONSTRAINT age_known CHECK (age IS NOT NULL)
);
CREATE TABLE teams (id bigint PRIMARY KEY, code int UNIQUE, owner_id bigint REFERENCES users (id));
CREATE INDEX teams_owner ON teams (owner_id);
CREATE TABLE shops (id bigint PRIMARY KEY);
CREATE TABLE events (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at);
CREATE TABLE events_2025 (at timestamptz NOT NULL, n int);
CREATE TABLE events_2026 (at timestamptz NOT NULL, n int,
    CONSTRAINT bounds CHECK (at >= '2026-01-01'));
CREATE TABLE links (a bigint REFERENCES users (id), b bigint REFERENCES teams (id));
CREATE INDEX users_name ON users (name);
CREATE UNIQUE INDEX users_region ON users (region);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM users;
CREATE TYPE colour AS ENUM ('red', 'green');
"""
"""What every database has had for long."""


class LintCase(NamedTuple):
    """`wrong` has what the rule is about, in the line that begins with `at`; `right` has not."""

    rule: str
    wrong: str
    right: str
    at: int = 1
    schema_per_tenant: bool = False


CASES = (
    LintCase(
        "index-blocks-writes",
        "CREATE INDEX by_age ON users (age);",
        "CREATE INDEX CONCURRENTLY by_age ON users (age);",
    ),
    LintCase(
        "index-blocks-writes",
        "CREATE UNIQUE INDEX\n    by_age ON public.users (age, lower(name));",
        "CREATE INDEX events_at ON ONLY events (at);",
    ),
    LintCase("drop-index-blocks", "DROP INDEX users_name;", "DROP INDEX CONCURRENTLY users_name;"),
    LintCase("reindex-blocks", "REINDEX TABLE users;", "ANALYZE users;"),
    LintCase(
        "concurrently-in-transaction",
        "BEGIN;\nALTER TABLE users ADD COLUMN x int;\n"
        "CREATE INDEX CONCURRENTLY by_x ON users (x);\nCOMMIT;",
        "CREATE INDEX CONCURRENTLY by_x ON users (age);",
        at=3,
    ),
    LintCase(
        "concurrently-with-others",
        "CREATE INDEX CONCURRENTLY a ON users (age);\nALTER TABLE users ADD COLUMN x int;",
        "CREATE INDEX CONCURRENTLY a ON users (age);\nCOMMENT ON INDEX a IS 'For the page.';",
    ),
    LintCase(
        "concurrently-with-others",
        "ALTER TABLE users ADD COLUMN x int;\nDROP INDEX CONCURRENTLY users_name;",
        "CREATE INDEX CONCURRENTLY a ON users (age);\nDROP INDEX CONCURRENTLY users_name;",
        at=2,
    ),
    LintCase(
        "if-not-exists-invalid",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS by_age ON users (age);",
        "CREATE INDEX CONCURRENTLY by_age ON users (age);",
    ),
    LintCase(
        "concurrently-partitioned",
        "CREATE INDEX CONCURRENTLY events_n ON events (n);",
        "CREATE INDEX CONCURRENTLY events_n ON events_2025 (n);",
    ),
    LintCase(
        "attach-scans",
        "ALTER TABLE events ATTACH PARTITION events_2025\n"
        "    FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');",
        "ALTER TABLE events ATTACH PARTITION events_2026\n"
        "    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');",
    ),
    LintCase(
        "detach-blocks",
        "ALTER TABLE events DETACH PARTITION events_2026;",
        "-- +migrate Up lock_timeout=2s\nALTER TABLE events DETACH PARTITION events_2026;",
    ),
    LintCase(
        "fk-validates",
        "ALTER TABLE users\n    ADD CONSTRAINT f FOREIGN KEY (age) REFERENCES shops (id);",
        "ALTER TABLE users ADD CONSTRAINT f FOREIGN KEY (age) REFERENCES shops (id) NOT VALID;",
        at=2,
    ),
    LintCase(
        "fk-validates",
        "ALTER TABLE users ADD COLUMN shop bigint DEFAULT 1 REFERENCES shops (id);",
        "ALTER TABLE users ADD COLUMN shop bigint REFERENCES shops (id);",
    ),
    LintCase(
        "fk-no-index",
        "CREATE TABLE visits (id bigint PRIMARY KEY, user_id bigint REFERENCES users (id));",
        "CREATE TABLE visits (id bigint PRIMARY KEY, user_id bigint REFERENCES users (id));\n"
        "CREATE INDEX visits_user ON visits (user_id);",
    ),
    LintCase(
        "fk-type-mismatch",
        "CREATE TABLE visits (user_id int REFERENCES users (id));",
        "CREATE TABLE visits (user_id bigint REFERENCES users (id));",
    ),
    LintCase(
        "fk-two-tables",
        "CREATE TABLE visits (user_id bigint REFERENCES users (id),\n"
        "    team_id bigint REFERENCES teams (id));",
        "CREATE TABLE visits (user_id bigint REFERENCES users (id),\n"
        "    other_id bigint REFERENCES users (id));",
    ),
    LintCase(
        "check-validates",
        "ALTER TABLE users ADD CONSTRAINT adult CHECK (age > 17);",
        "ALTER TABLE users ADD CONSTRAINT adult CHECK (age > 17) NOT VALID;",
    ),
    LintCase(
        "validate-same-tx",
        "ALTER TABLE users ADD CONSTRAINT adult CHECK (age > 17) NOT VALID;\n"
        "ALTER TABLE users VALIDATE CONSTRAINT adult;",
        "ALTER TABLE users VALIDATE CONSTRAINT age_known;",
        at=2,
    ),
    LintCase(
        "unique-blocks",
        "ALTER TABLE users ADD CONSTRAINT one UNIQUE (email);",
        "ALTER TABLE users ADD CONSTRAINT one UNIQUE USING INDEX users_region;",
    ),
    LintCase(
        "pk-blocks",
        "ALTER TABLE events_2025 ADD PRIMARY KEY (at);",
        "ALTER TABLE users ADD CONSTRAINT one PRIMARY KEY USING INDEX users_region;",
    ),
    LintCase(
        "pk-sets-not-null",
        "ALTER TABLE users ADD CONSTRAINT one PRIMARY KEY USING INDEX users_region;",
        "ALTER TABLE users ADD CONSTRAINT one UNIQUE USING INDEX users_region;",
    ),
    LintCase(
        "exclusion-blocks",
        "ALTER TABLE users ADD CONSTRAINT apart EXCLUDE USING gist (name WITH =);",
        "CREATE TABLE rooms (name text, EXCLUDE USING gist (name WITH =));",
    ),
    LintCase(
        "not-null-scans",
        "ALTER TABLE users ALTER COLUMN name SET NOT NULL;",
        "ALTER TABLE users ALTER COLUMN age SET NOT NULL;",
    ),
    LintCase(
        "required-column",
        "ALTER TABLE users ADD COLUMN plan text NOT NULL;",
        "ALTER TABLE users ADD COLUMN plan text NOT NULL DEFAULT 'free';",
    ),
    LintCase(
        "default-rewrites",
        "ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid();",
        "ALTER TABLE users ADD COLUMN joined timestamptz DEFAULT now();",
    ),
    LintCase(
        "generated-rewrites",
        "ALTER TABLE users ADD COLUMN low text GENERATED ALWAYS AS (lower(name)) STORED;",
        "ALTER TABLE users ADD COLUMN low text GENERATED ALWAYS AS (lower(name)) VIRTUAL;",
    ),
    LintCase(
        "serial-rewrites",
        "ALTER TABLE users ADD COLUMN number bigserial;",
        "ALTER TABLE users ADD COLUMN number bigint;",
    ),
    LintCase(
        "serial-rewrites",
        "ALTER TABLE users\n    ADD COLUMN x int,\n"
        "    ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;",
        "CREATE TABLE numbers (n bigint GENERATED ALWAYS AS IDENTITY);",
        at=3,
    ),
    LintCase(
        "table-rewrites",
        "ALTER TABLE users SET UNLOGGED;",
        "ALTER TABLE users SET (fillfactor = 80);",
    ),
    LintCase(
        "table-rewrites",
        "ALTER TABLE users ADD COLUMN a int,\n    SET TABLESPACE fast;",
        "CREATE TABLE plain (id int);\nALTER TABLE plain SET LOGGED;",
    ),
    LintCase(
        "table-rewrites",
        "ALTER TABLE users SET ACCESS METHOD columnar;",
        "CREATE UNLOGGED TABLE plain (id int);",
    ),
    LintCase(
        "table-rewrites",
        "ALTER TABLE users ALTER COLUMN age SET EXPRESSION AS (id + 1);",
        "ALTER TABLE users ADD COLUMN v bigint GENERATED ALWAYS AS (id) VIRTUAL;\n"
        "ALTER TABLE users ALTER COLUMN v SET EXPRESSION AS (id + 1);",
    ),
    LintCase(
        "table-rewrites",
        "CREATE DOMAIN few AS int CHECK (VALUE < 9);\nALTER TABLE users ADD COLUMN n few;",
        "CREATE DOMAIN few AS int;\nALTER TABLE users ADD COLUMN n few;",
        at=2,
    ),
    LintCase(
        "table-rewrites",
        "CREATE DOMAIN few AS int;\nALTER DOMAIN few SET NOT NULL;\n"
        "ALTER TABLE users ADD COLUMN n few DEFAULT 1;",
        "CREATE DOMAIN few AS int CHECK (VALUE < 9);\nDROP DOMAIN few;\n"
        "CREATE DOMAIN few AS int;\nALTER TABLE users ADD COLUMN n few;",
        at=3,
    ),
    LintCase(
        "type-rewrites",
        "ALTER TABLE users ALTER COLUMN age TYPE bigint;",
        "ALTER TABLE users ALTER COLUMN email TYPE text;",
    ),
    LintCase(
        "type-drops-check",
        "ALTER TABLE users ALTER COLUMN age TYPE bigint;",
        "ALTER TABLE users ALTER COLUMN settings TYPE jsonb;",
    ),
    LintCase(
        "rename-column",
        "ALTER TABLE users RENAME COLUMN name TO called;",
        "ALTER TABLE users RENAME CONSTRAINT age_known TO has_age;",
    ),
    LintCase(
        "rename-table",
        "ALTER TABLE users RENAME TO people;",
        "ALTER INDEX users_name RENAME TO by_name;",
    ),
    LintCase(
        "rename-schema",
        "ALTER SCHEMA app RENAME TO application;",
        "CREATE SCHEMA application;",
    ),
    LintCase(
        "rename-enum-value",
        "ALTER TYPE colour RENAME VALUE 'red' TO 'crimson';",
        "ALTER TYPE colour ADD VALUE 'blue';",
    ),
    LintCase(
        "move-table",
        "ALTER TABLE users SET SCHEMA app;",
        "ALTER FUNCTION f() SET SCHEMA app;",
    ),
    LintCase(
        "drop-column",
        "ALTER TABLE users DROP COLUMN name;",
        "ALTER TABLE users ALTER COLUMN name DROP DEFAULT;",
    ),
    LintCase(
        "drop-not-null",
        "ALTER TABLE users ALTER COLUMN email DROP NOT NULL;",
        "ALTER TABLE users ALTER COLUMN email DROP DEFAULT;",
    ),
    LintCase(
        "drop-table",
        "DROP TABLE shops;",
        "CREATE TABLE fresh (id int);\nDROP TABLE fresh;",
    ),
    LintCase(
        "drop-object",
        "DROP FUNCTION f(int);",
        "CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql RETURN n;\nDROP FUNCTION f(int);",
    ),
    LintCase("drop-object", "DROP VIEW seen;", "CREATE VIEW seen AS SELECT 1;\nDROP VIEW seen;"),
    LintCase("drop-object", "DROP SCHEMA app;", "CREATE SCHEMA app;\nDROP SCHEMA app;"),
    LintCase("drop-object", "DROP TYPE colour;", "CREATE TYPE c AS ENUM ('a');\nDROP TYPE c;"),
    LintCase(
        "drop-object",
        "DROP FUNCTION app.f(int);\nCREATE FUNCTION g(n int) RETURNS int LANGUAGE sql RETURN n;",
        "DROP FUNCTION app.f(int);\n"
        "CREATE OR REPLACE FUNCTION app.f(n bigint) RETURNS int LANGUAGE sql RETURN n;",
    ),
    LintCase(
        "drop-index-blocks",
        "DROP INDEX IF EXISTS users_name;\nCREATE INDEX users_name ON users (name, age);",
        "DROP INDEX IF EXISTS by_x;\nCREATE INDEX by_x ON users (name, age);",
    ),
    LintCase(
        "index-blocks-writes",
        "CREATE INDEX by_count ON totals (count);",
        "CREATE MATERIALIZED VIEW sums AS SELECT 1 AS n;\nCREATE INDEX by_n ON sums (n);",
    ),
    LintCase(
        "long-after-exclusive",
        "ALTER TABLE users ADD COLUMN x int;\nCREATE INDEX a ON users (x);\n"
        "CREATE INDEX b ON users (x);\nDELETE FROM teams WHERE code > 7;",
        "CREATE TABLE fresh (x int);\nALTER TABLE fresh ADD COLUMN y int;\n"
        "CREATE INDEX a ON users (age);",
        at=2,
    ),
    LintCase("drop-many-fks", "DROP TABLE links;", "DROP TABLE shops;"),
    LintCase(
        "truncate", "TRUNCATE users CASCADE;", "CREATE TABLE fresh (id int);\nTRUNCATE fresh;"
    ),
    LintCase(
        "long-after-exclusive",
        "ALTER TABLE users ADD COLUMN x int;\nUPDATE users SET x = 1 WHERE id > 7;",
        "ALTER TABLE users ADD COLUMN x int;\nINSERT INTO shops VALUES (1);",
        at=2,
    ),
    LintCase(
        "long-after-exclusive",
        "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 1) NOT VALID;\n"
        "CREATE TABLE copies AS SELECT * FROM teams;",
        "CREATE TABLE copies AS SELECT * FROM teams;\n"
        "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 1) NOT VALID;",
        at=2,
    ),
    LintCase(
        "many-alters",
        "ALTER TABLE users ALTER COLUMN age TYPE bigint;\n"
        "ALTER TABLE users ALTER COLUMN name SET NOT NULL;",
        "ALTER TABLE users ALTER COLUMN age TYPE bigint, ALTER COLUMN name SET NOT NULL;",
        at=2,
    ),
    LintCase(
        "lock-without-timeout",
        "SET LOCAL lock_timeout = '5min';\nALTER TABLE users ADD COLUMN x int;",
        "SET LOCAL lock_timeout = '5s';\nALTER TABLE users ADD COLUMN x int;",
    ),
    LintCase(
        "trigger-lock",
        "CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f();",
        "CREATE TABLE fresh (id int);\n"
        "CREATE TRIGGER t BEFORE UPDATE ON fresh FOR EACH ROW EXECUTE FUNCTION f();",
    ),
    LintCase(
        "trigger-lock",
        "CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f();",
        "-- +migrate Up lock_timeout=2s\n"
        "CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f();",
    ),
    LintCase(
        "create-rule",
        "CREATE RULE r AS ON DELETE TO users DO INSTEAD NOTHING;",
        "CREATE TABLE fresh (id int);\nCREATE RULE r AS ON DELETE TO fresh DO INSTEAD NOTHING;",
    ),
    LintCase(
        "lock-table",
        "LOCK TABLE users IN SHARE MODE;",
        "-- +migrate Up lock_timeout=2s\nLOCK TABLE users IN SHARE MODE;",
    ),
    LintCase("lock-table", "LOCK TABLE users;", "CREATE TABLE fresh (id int);\nLOCK TABLE fresh;"),
    LintCase(
        "disable-trigger",
        "ALTER TABLE users DISABLE TRIGGER ALL;",
        "ALTER TABLE users ENABLE TRIGGER ALL;",
    ),
    LintCase(
        "refresh-matview-blocks",
        "REFRESH MATERIALIZED VIEW totals;",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY totals;",
    ),
    LintCase("vacuum-full-cluster", "VACUUM FULL users;", "VACUUM users;"),
    LintCase("vacuum-full-cluster", "CLUSTER users USING users_name;", "VACUUM (ANALYZE) users;"),
    LintCase(
        "create-extension", "CREATE EXTENSION IF NOT EXISTS citext;", "CREATE SCHEMA extensions;"
    ),
    LintCase("needs-superuser", "COPY users FROM '/tmp/users.csv';", "SELECT count(*) FROM users;"),
    LintCase(
        "needs-superuser",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f();",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1;",
    ),
    LintCase(
        "needs-superuser", "CREATE ROLE boss WITH SUPERUSER;", "CREATE ROLE clerk WITH NOSUPERUSER;"
    ),
    LintCase(
        "backfill-in-ddl", "UPDATE users SET name = 'x';", "UPDATE users SET age = 1 WHERE id = 4;"
    ),
    LintCase(
        "backfill-in-ddl",
        "CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f();\n"
        "DELETE FROM teams WHERE code > 7;",
        "CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f();\n"
        "DELETE FROM teams WHERE code IN (7, 8);",
        at=2,
    ),
    LintCase(
        "backfill-in-ddl",
        "UPDATE users SET age = 0 WHERE true;",
        "WITH one AS (UPDATE users SET age = 0 WHERE id = 1 RETURNING id) SELECT * FROM one;",
    ),
    LintCase(
        "backfill-in-ddl",
        "WITH gone AS (DELETE FROM users RETURNING id) INSERT INTO shops SELECT id FROM gone;",
        "WITH found AS (SELECT id FROM users) INSERT INTO shops SELECT id FROM found;",
    ),
    LintCase(
        "backfill-in-ddl",
        "MERGE INTO users USING teams ON true WHEN MATCHED THEN UPDATE SET age = 1;",
        "MERGE INTO users USING teams ON users.id = teams.owner_id\n"
        "WHEN MATCHED THEN UPDATE SET age = 1;",
    ),
    LintCase(
        "backfill-in-ddl",
        "ALTER TABLE users ADD COLUMN b int;\n"
        "MERGE INTO users USING teams ON users.id = teams.owner_id WHEN MATCHED THEN DELETE;",
        "ALTER TABLE users ADD COLUMN b int;\n"
        "MERGE INTO users USING teams ON users.id = teams.owner_id\n"
        "WHEN NOT MATCHED THEN INSERT (id, email) VALUES (owner_id, '');",
        at=2,
    ),
    LintCase(
        "own-lock",
        "CREATE TABLE migration_lock (locked_at timestamptz);",
        "CREATE TABLE door_locks (locked_at timestamptz);",
    ),
    LintCase(
        "own-lock",
        "UPDATE schema_migrations_lock SET locked_at = now()\n"
        "WHERE locked_at < now() - interval '30 seconds';",
        "SELECT pg_advisory_xact_lock(7);",
    ),
    LintCase("set-role-left", "SET ROLE owner;", "SET ROLE owner;\nRESET ROLE;"),
    LintCase("search-path-left", "SET search_path TO app;", "SET LOCAL search_path TO app;"),
    LintCase(
        "search-path-left",
        "SELECT pg_catalog.set_config('search_path', '', false);",
        "SELECT pg_catalog.set_config('search_path', '', true);",
    ),
    LintCase("set-timeout-left", "SET statement_timeout = 0;", "SET LOCAL statement_timeout = 0;"),
    LintCase(
        "hard-coded-schema",
        "ALTER TABLE public.users ADD COLUMN x int;",
        "ALTER TABLE users ADD COLUMN x int;",
        schema_per_tenant=True,
    ),
    LintCase(
        "enum-add-used",
        "ALTER TYPE colour ADD VALUE 'blue';\nUPDATE users SET name = 'blue' WHERE id = 1;",
        "ALTER TYPE colour ADD VALUE 'blue';",
    ),
    LintCase(
        "used-before-made",
        "CREATE TABLE places (kind place_kind);\nCREATE TYPE place_kind AS ENUM ('home');",
        "CREATE TYPE place_kind AS ENUM ('home');\nCREATE TABLE places (kind place_kind);",
    ),
    LintCase(
        "used-before-made",
        "CREATE TABLE rooms (house bigint REFERENCES houses (id));\n"
        "CREATE TABLE houses (id bigint PRIMARY KEY);",
        "DROP TABLE IF EXISTS houses;\nCREATE TABLE houses (id bigint PRIMARY KEY);",
    ),
    LintCase(
        "identifier-too-long",
        f"CREATE TABLE {'t' * 70} (id bigint);",
        f"CREATE TABLE {'t' * 63} (id bigint);",
    ),
    LintCase(
        "duplicate-assignment",
        "UPDATE users SET age = 1, age = 2 WHERE id = 1;",
        "UPDATE users SET age = 1, name = '' WHERE id = 1;",
    ),
    LintCase(
        "domain-constraint",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0);",
        "CREATE DOMAIN positive AS int;",
    ),
    LintCase("json-column", "CREATE TABLE a (b json);", "CREATE TABLE a (b jsonb);"),
    LintCase(
        "hash-index",
        "CREATE INDEX CONCURRENTLY i ON users USING hash (name);",
        "CREATE INDEX CONCURRENTLY i ON users (name);",
    ),
    LintCase(
        "wide-index",
        "CREATE INDEX CONCURRENTLY i ON users (name, age, region, email);",
        "CREATE INDEX CONCURRENTLY i ON users (name, age, region);",
    ),
    LintCase(
        "index-blocks-writes",
        "CREATE INDEX by_age ON ONLY users (age);",
        "CREATE INDEX by_n ON ONLY events (n);",
    ),
    LintCase(
        "validate-same-tx",
        "ALTER TABLE teams ADD FOREIGN KEY (code) REFERENCES users NOT VALID;\n"
        "ALTER TABLE public.teams VALIDATE CONSTRAINT teams_code_fkey;",
        "ALTER TABLE teams ADD CHECK (code > id) NOT VALID;\n"
        "ALTER TABLE teams VALIDATE CONSTRAINT teams_code_id_check;",
        at=2,
    ),
    LintCase(
        "default-rewrites",
        "CREATE FUNCTION token() RETURNS text LANGUAGE sql AS $$ SELECT random()::text $$;\n"
        "ALTER TABLE users ADD COLUMN t text DEFAULT public.token();",
        "CREATE FUNCTION token() RETURNS text STABLE LANGUAGE sql AS $$ SELECT '' $$;\n"
        "ALTER TABLE users ADD COLUMN t text DEFAULT public.token();",
        at=2,
    ),
    LintCase(
        "type-drops-check",
        'ALTER TABLE users ALTER COLUMN name TYPE text COLLATE "C";',
        "ALTER TABLE users ALTER COLUMN name TYPE varchar;",
    ),
    LintCase(
        "rename-table",
        "ALTER MATERIALIZED VIEW totals RENAME TO sums;",
        "CREATE MATERIALIZED VIEW a AS SELECT 1 AS b;\nALTER MATERIALIZED VIEW a RENAME TO c;",
    ),
    LintCase(
        "rename-object",
        "ALTER FUNCTION app.f(int) RENAME TO g;",
        "CREATE FUNCTION app.f(n int) RETURNS int LANGUAGE sql RETURN n;\n"
        "ALTER FUNCTION app.f(int) RENAME TO g;",
    ),
    LintCase(
        "rename-object",
        "ALTER TYPE colour RENAME TO paint;",
        "CREATE TYPE c AS (a int);\nALTER TYPE c RENAME ATTRIBUTE a TO b;",
    ),
    LintCase(
        "rename-object",
        "ALTER TYPE app.pair RENAME ATTRIBUTE a TO b;",
        "ALTER INDEX users_name RENAME TO by_name;",
    ),
    LintCase(
        "move-table",
        "ALTER MATERIALIZED VIEW totals SET SCHEMA app;",
        "CREATE MATERIALIZED VIEW a AS SELECT 1 AS b;\nALTER MATERIALIZED VIEW a SET SCHEMA app;",
    ),
    LintCase(
        "drop-object",
        "DROP ROUTINE f;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1;\nDROP ROUTINE f;",
    ),
    LintCase("drop-object", "DROP EXTENSION hstore CASCADE;", "DROP POLICY own ON users;"),
    LintCase("drop-object", "DROP OWNED BY clerk;", "REASSIGN OWNED BY clerk TO boss;"),
    LintCase(
        "backfill-in-ddl", "DELETE FROM users WHERE 1 = 1;", "DELETE FROM users WHERE id = 1;"
    ),
    LintCase(
        "vacuum-full-cluster",
        "VACUUM (ANALYZE, FULL) users;",
        "VACUUM (FULL false, ANALYZE) users;",
    ),
    LintCase("lock-table", "LOCK users IN SHARE MODE;", "LOCK users IN ACCESS SHARE MODE;"),
    LintCase(
        "disable-trigger",
        "SET session_replication_role = replica;",
        "SET session_replication_role = origin;",
    ),
    LintCase("needs-superuser", "ALTER ROLE clerk SUPERUSER;", "ALTER ROLE clerk NOSUPERUSER;"),
    LintCase(
        "needs-superuser",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'f';",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';",
    ),
    LintCase(
        "lock-without-timeout",
        "SELECT set_config('lock_timeout', '0', true);",
        "SELECT set_config('lock_timeout', '2s', true);",
    ),
    LintCase(
        "set-role-left",
        "SELECT set_config('role', 'boss', false);",
        "SELECT set_config('role', 'boss', true);",
    ),
    LintCase(
        "set-timeout-left",
        "SELECT pg_catalog.set_config('statement_timeout', '0', 'f'::boolean);",
        "SELECT current_setting('statement_timeout');",
    ),
    LintCase("verify-missing", "SELECT 1;", "SELECT 1;\n-- +migrate Verify\nSELECT true;"),
    LintCase("int-key", "CREATE TABLE a (id int);", "CREATE TABLE a (id bigint);"),
    LintCase("char-column", "CREATE TABLE a (b char(3));", "CREATE TABLE a (b text);"),
    LintCase("varchar-length", "CREATE TABLE a (b varchar(3));", "CREATE TABLE a (b text);"),
    LintCase(
        "timestamp-without-zone", "CREATE TABLE a (b timestamp);", "CREATE TABLE a (b timestamptz);"
    ),
    LintCase(
        "serial-column",
        "CREATE TABLE a (b bigserial);",
        "CREATE TABLE a (b bigint GENERATED ALWAYS AS IDENTITY);",
    ),
    LintCase(
        "enum-order",
        "ALTER TYPE colour ADD VALUE 'blue';",
        "ALTER TYPE colour ADD VALUE 'blue' AFTER 'red';",
    ),
)
