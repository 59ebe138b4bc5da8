"""NOT NULL without a long lock: CHECK … NOT VALID, VALIDATE, SET NOT NULL, drop the CHECK."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.authoring.recipes import Given, Recipe, bare, named, paged
from migrations.authoring.recipes.swap import nullable, within_reach
from migrations.sql.literals import quote_literal


def _write(given: Given) -> Mapping[str, str]:
    check = named(given.table_name, given.column.name, "not_null_check")
    phases = {"expand": _expand(given, check)}
    if given.value:
        phases["migrate"] = _fill(given)
    return phases | {"contract" if given.value else "migrate": _prove(given, check)}


def _expand(given: Given, check: str) -> str:
    table, column = given.table_sql, given.column.sql
    checks = nullable(table, column)
    if given.value:
        checks += "\n" + within_reach(table, (column,), given.key_name, alone=False)
    return f"""\
-- +migrate Up lock_timeout=2s
-- From here on nobody can write a NULL: the programs must not do so any more. Rows that are there
-- are not read, so the lock is held for an instant.
{checks}
ALTER TABLE {table}
    ADD CONSTRAINT {check}
    CHECK ({column} IS NOT NULL) NOT VALID;

-- +migrate Down lock_timeout=2s
ALTER TABLE {table}
    DROP CONSTRAINT {check};

-- +migrate Verify
SELECT count(*) = 1
FROM pg_constraint
WHERE conrelid = to_regclass({quote_literal(table)}) AND conname = {quote_literal(bare(check))};
"""


def _fill(given: Given) -> str:
    table, column, key = given.table_sql, given.column.sql, given.key_sql
    return f"""\
-- +migrate Data {paged(given)} batch=1000 lock_timeout=2s
-- Fills what is empty, a batch at a time.
UPDATE {table}
SET {column} = {given.value}
FROM batch
WHERE {table}.{key} = batch.{key}
  AND {table}.{column} IS NULL;

-- +migrate Validate
SELECT {key}
FROM {table}
WHERE {column} IS NULL;

-- +migrate Down
-- What was filled stays: nobody could write the NULLs back while the CHECK stands.
"""


def _prove(given: Given, check: str) -> str:
    table, column = given.table_sql, given.column.sql
    return f"""\
-- +migrate Up lock_timeout=2s notransaction
-- VALIDATE reads the whole table under a lock that lets others write. With the proof at hand SET
-- NOT NULL reads nothing. Each statement commits by itself, so no lock is held too long.
ALTER TABLE {table}
    VALIDATE CONSTRAINT {check};

ALTER TABLE {table}
    ALTER COLUMN {column} SET NOT NULL;

ALTER TABLE {table}
    DROP CONSTRAINT {check};

-- +migrate Down lock_timeout=2s
ALTER TABLE {table}
    DROP CONSTRAINT IF EXISTS {check},
    ALTER COLUMN {column} DROP NOT NULL;

ALTER TABLE {table}
    ADD CONSTRAINT {check}
    CHECK ({column} IS NOT NULL) NOT VALID;

-- +migrate Verify
SELECT attnotnull
FROM pg_attribute
WHERE attrelid = to_regclass({quote_literal(table)})
  AND attname = {quote_literal(given.column.name)};
"""


RECIPE = Recipe(
    "not-null",
    "NOT NULL by way of a CHECK that is proven without blocking writers",
    ("table", "column"),
    _write,
    ("value", "key"),
    example="--table users --column email --value \"''\"",
)
