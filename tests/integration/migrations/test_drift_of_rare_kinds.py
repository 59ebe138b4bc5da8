"""Objects that few databases have: changed behind our back they are drift, taken back none."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from migrations.catalog.difference import difference
from migrations.catalog.remedy import remedy
from migrations.catalog.snapshot import lines_of
from tests.fixtures.postgres import PostgresServer
from tests.integration.migrations.test_drift_of_every_kind import Tenant, snapshot_of

SECRET = "hunter22"
RARE = f"""
CREATE SCHEMA app;
CREATE TEXT SEARCH CONFIGURATION app.words (COPY = simple);
CREATE TEXT SEARCH DICTIONARY app.plain (TEMPLATE = simple);
CREATE FOREIGN DATA WRAPPER far;
CREATE SERVER "There" FOREIGN DATA WRAPPER far OPTIONS (host 'a', token '{SECRET}');
CREATE USER MAPPING FOR CURRENT_USER SERVER "There" OPTIONS (password '{SECRET}');
CREATE FOREIGN TABLE app.afar (n int OPTIONS (column_name 'm')) SERVER "There"
    OPTIONS (table_name 't', api_key '{SECRET}');
CREATE OPERATOR FAMILY app.family USING btree;
CREATE CONVERSION app.turned FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE DOMAIN app.few AS int CONSTRAINT small CHECK (VALUE < 9);
"""
CHANGES = [
    (
        "ALTER TEXT SEARCH CONFIGURATION app.words DROP MAPPING FOR word",
        "ALTER TEXT SEARCH CONFIGURATION app.words ADD MAPPING FOR word WITH simple",
    ),
    (
        "ALTER TEXT SEARCH CONFIGURATION app.words OWNER TO {other}",
        "ALTER TEXT SEARCH CONFIGURATION app.words OWNER TO {me}",
    ),
    (
        "ALTER TEXT SEARCH DICTIONARY app.plain (accept = false)",
        "ALTER TEXT SEARCH DICTIONARY app.plain (accept)",
    ),
    (
        "GRANT USAGE ON FOREIGN DATA WRAPPER far TO {reader}",
        "REVOKE USAGE ON FOREIGN DATA WRAPPER far FROM {reader}",
    ),
    (
        'GRANT USAGE ON FOREIGN SERVER "There" TO {reader}',
        'REVOKE USAGE ON FOREIGN SERVER "There" FROM {reader}',
    ),
    (
        "ALTER SERVER \"There\" OPTIONS (SET host 'b')",
        "ALTER SERVER \"There\" OPTIONS (SET host 'a')",
    ),
    (
        'ALTER SERVER "There" OPTIONS (DROP token)',
        "ALTER SERVER \"There\" OPTIONS (ADD token 'x')",
    ),
    (
        'CREATE USER MAPPING FOR PUBLIC SERVER "There"',
        'DROP USER MAPPING FOR PUBLIC SERVER "There"',
    ),
    (
        "ALTER FOREIGN TABLE app.afar OPTIONS (SET table_name 'u')",
        "ALTER FOREIGN TABLE app.afar OPTIONS (SET table_name 't')",
    ),
    (
        "ALTER FOREIGN TABLE app.afar ALTER n OPTIONS (SET column_name 'u')",
        "ALTER FOREIGN TABLE app.afar ALTER n OPTIONS (SET column_name 'm')",
    ),
    (
        "ALTER OPERATOR FAMILY app.family USING btree "
        "ADD FUNCTION 1 (int4, int8) btint48cmp(int4, int8)",
        "ALTER OPERATOR FAMILY app.family USING btree DROP FUNCTION 1 (int4, int8)",
    ),
    (
        "ALTER OPERATOR FAMILY app.family USING btree ADD OPERATOR 1 < (int4, int8)",
        "ALTER OPERATOR FAMILY app.family USING btree DROP OPERATOR 1 (int4, int8)",
    ),
    ('ALTER SERVER "There" OWNER TO {other}', 'ALTER SERVER "There" OWNER TO {me}'),
    ("COMMENT ON SERVER \"There\" IS 'x'", 'COMMENT ON SERVER "There" IS NULL'),
    (
        "ALTER OPERATOR FAMILY app.family USING btree OWNER TO {other}",
        "ALTER OPERATOR FAMILY app.family USING btree OWNER TO {me}",
    ),
    ("ALTER CONVERSION app.turned OWNER TO {other}", "ALTER CONVERSION app.turned OWNER TO {me}"),
    (
        "COMMENT ON CONSTRAINT small ON DOMAIN app.few IS 'it is'",
        "COMMENT ON CONSTRAINT small ON DOMAIN app.few IS NULL",
    ),
]


@pytest.fixture(scope="module")
async def tenant(postgres_server: PostgresServer) -> AsyncIterator[Tenant]:
    """One for the module, because every change is taken back."""
    database = await postgres_server.create()
    reader = f"{database}_reader"
    names = {"reader": reader, "other": f"{reader}_2", "me": "CURRENT_USER"}
    await postgres_server.execute(f"CREATE ROLE {reader}; CREATE ROLE {reader}_2 SUPERUSER")
    await postgres_server.execute(RARE, database=database)
    # Grants that were given once leave a list behind, which says what nobody has changed.
    grants = "; ".join(one.format(**names) for pair in CHANGES[3:5] for one in pair)
    await postgres_server.execute(grants, database=database)
    url = postgres_server.url(database)
    yield Tenant(url, names, await snapshot_of(url))
    await postgres_server.drop(database)
    await postgres_server.execute(f"DROP ROLE {reader}, {reader}_2")


@pytest.mark.parametrize(("sql", "back"), CHANGES, ids=[sql for sql, _ in CHANGES])
async def test_a_change_is_told_in_words_and_taken_back_it_is_none(
    tenant: Tenant, sql: str, back: str
) -> None:
    drifted = await tenant.changed(sql, back)
    told = difference(tenant.normal.document, drifted.document)
    assert [one.how.value for one in told.changes] == ["changed"]
    lines = remedy(told, drifted.names)
    assert lines
    assert all(line.startswith("-- ") for line in lines)
    again = await tenant.look()
    assert again.fingerprint == tenant.normal.fingerprint


async def test_what_options_hold_is_not_told_nor_can_it_be_guessed(tenant: Tenant) -> None:
    kept = "".join(lines_of(tenant.normal.document))
    assert "There" in kept
    assert "token" in kept
    assert SECRET not in kept
    other = await tenant.changed(
        "ALTER SERVER \"There\" OPTIONS (SET token 'hunter23'); "
        "ALTER FOREIGN TABLE app.afar OPTIONS (SET api_key 'hunter23')",
        f"ALTER SERVER \"There\" OPTIONS (SET token '{SECRET}'); "
        f"ALTER FOREIGN TABLE app.afar OPTIONS (SET api_key '{SECRET}')",
    )
    assert other.fingerprint == tenant.normal.fingerprint
