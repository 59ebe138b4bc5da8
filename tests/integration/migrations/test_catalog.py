"""What the comparison of catalogs sees: every change that a wrong way back could leave behind."""

from __future__ import annotations

import asyncpg
import pytest

from tests.integration.migrations.world import World
from tests.support.catalog import snapshot

BEFORE = """
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN age AS int CHECK (VALUE >= 0);
    CREATE SEQUENCE numbers;
    CREATE TABLE t (id int, name text);
    CREATE VIEW v AS SELECT id FROM t;
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g();
    CREATE POLICY p ON t USING (id = 1);
"""
CHANGES = (
    "CREATE OR REPLACE VIEW v AS SELECT id + 0 AS id FROM t",
    "ALTER TYPE mood RENAME VALUE 'bad' TO 'worse'",
    "ALTER DOMAIN age ADD CHECK (VALUE < 200)",
    "ALTER SEQUENCE numbers INCREMENT 2",
    "GRANT SELECT ON t TO public",
    "GRANT SELECT (id) ON t TO public",
    "REVOKE EXECUTE ON FUNCTION f() FROM public",
    "ALTER POLICY p ON t USING (id = 2)",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE t SET (fillfactor = 50)",
    "ALTER TABLE t SET UNLOGGED",
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "ALTER FUNCTION f() STABLE",
    "DROP TRIGGER g ON t; CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION g()",
    "ALTER TABLE t DISABLE TRIGGER g",
    "COMMENT ON FUNCTION f() IS 'f'",
    "COMMENT ON COLUMN t.id IS 'id'",
    "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen(world: World, change: str) -> None:
    connection = await asyncpg.connect(world.url)
    try:
        await connection.execute(BEFORE)
        before = await snapshot(connection)
        assert await snapshot(connection) == before
        await connection.execute(change)
        assert await snapshot(connection) != before
    finally:
        await connection.close()


async def test_a_grant_that_is_revoked_leaves_no_trace(world: World) -> None:
    connection = await asyncpg.connect(world.url)
    try:
        await connection.execute(BEFORE)
        before = await snapshot(connection)
        await connection.execute("GRANT SELECT ON t TO public; REVOKE SELECT ON t FROM public")
        assert await snapshot(connection) == before
    finally:
        await connection.close()
