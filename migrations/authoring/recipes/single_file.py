"""Recipes of one file: an index, a column, a foreign key, a check."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.authoring.recipes import Given, Recipe, bare, named, qualified
from migrations.sql.literals import quote_literal

_PLAIN_HINT = """\
-- an index that was interrupted is found and built again. Add WHERE for a partial index, USING gin
-- for JSONB; the recipe unique-index has one that is unique. On a partitioned table write"""
_UNIQUE_HINT = """\
-- an index that was interrupted is found and built again, and one value in two rows fails it. For a
-- constraint write ADD CONSTRAINT … UNIQUE USING INDEX into the next migration, or PRIMARY KEY in
-- the place of UNIQUE; add WHERE for a partial index. On a partitioned table write"""


def _plain_index(given: Given) -> Mapping[str, str]:
    return _index(given, "INDEX", _PLAIN_HINT, "indisvalid")


def _unique_index(given: Given) -> Mapping[str, str]:
    return _index(given, "UNIQUE INDEX", _UNIQUE_HINT, "indisvalid AND indisunique")


def _index(given: Given, kind: str, hint: str, verified: str) -> Mapping[str, str]:
    columns = ", ".join(column.sql for column in given.columns)
    index = named(given.table_name, *(column.name for column in given.columns), "idx")
    full = given.schema_sql + index
    return {
        "": f"""\
-- +migrate Up lock_timeout=2s
-- Writers go on while it is built. It cannot run in a transaction, so this file runs step by step;
{hint}
-- CREATE {kind} … ON ONLY it, CREATE {kind} CONCURRENTLY for each partition, and
-- ALTER INDEX … ATTACH PARTITION for each.
CREATE {kind} CONCURRENTLY {index}
    ON {given.table_sql} ({columns});

-- +migrate Down lock_timeout=2s
DROP INDEX CONCURRENTLY {full};

-- +migrate Verify
SELECT {verified}
FROM pg_index
WHERE indexrelid = to_regclass({quote_literal(full)});
"""
    }


def _add_column(given: Given) -> Mapping[str, str]:
    default = f" DEFAULT {given.value}" if given.value else ""
    return {
        "": f"""\
-- +migrate Up lock_timeout=2s
-- The lock is strong and short: a default that is the same for all rows is not written into them.
-- One that differs from row to row, such as random(), rewrites the table while everybody waits.
ALTER TABLE {given.table_sql}
    ADD COLUMN {given.column.sql} {given.column.type}{default};

-- +migrate Down lock_timeout=2s
ALTER TABLE {given.table_sql}
    DROP COLUMN {given.column.sql};

-- +migrate Verify
SELECT count(*) = 1
FROM pg_attribute
WHERE attrelid = to_regclass({quote_literal(given.table_sql)})
  AND attname = {quote_literal(given.column.name)}
  AND NOT attisdropped;
"""
    }


def _foreign_key(given: Given) -> Mapping[str, str]:
    rule = f"FOREIGN KEY ({given.column.sql}) REFERENCES {qualified(given.to)} ({given.key_sql})"
    return _checked_later(given, named(given.table_name, given.column.name, "fkey"), rule)


def _check(given: Given) -> Mapping[str, str]:
    constraint = named(given.table_name, given.column.name, "check")
    return _checked_later(given, constraint, f"CHECK ({given.value})")


def _checked_later(given: Given, constraint: str, rule: str) -> Mapping[str, str]:
    """A constraint that holds for new rows first, and for those that are there after a read."""
    return {
        "": f"""\
-- +migrate Up lock_timeout=2s notransaction
-- New rows are checked from the first statement on. The second one reads those that are there,
-- under a lock that lets everybody write; each commits by itself, so the first lock is gone.
ALTER TABLE {given.table_sql}
    ADD CONSTRAINT {constraint}
    {rule} NOT VALID;

ALTER TABLE {given.table_sql}
    VALIDATE CONSTRAINT {constraint};

-- +migrate Down lock_timeout=2s
ALTER TABLE {given.table_sql}
    DROP CONSTRAINT IF EXISTS {constraint};

-- +migrate Verify
SELECT convalidated
FROM pg_constraint
WHERE conrelid = to_regclass({quote_literal(given.table_sql)})
  AND conname = {quote_literal(bare(constraint))};
"""
    }


INDEX = Recipe(
    "index-concurrently",
    "an index that is built while writers go on",
    ("table", "column"),
    _plain_index,
    several=True,
    example="--table users --column email",
)
UNIQUE_INDEX = Recipe(
    "unique-index",
    "a unique index that is built while writers go on, for a UNIQUE or PRIMARY KEY",
    ("table", "column"),
    _unique_index,
    several=True,
    example="--table users --column email",
)
ADD_COLUMN = Recipe(
    "add-column",
    "a column, with a default that does not rewrite the table",
    ("table", "column"),
    _add_column,
    ("value",),
    typed=True,
    example="--table users --column status:text --value \"'active'\"",
)
FOREIGN_KEY = Recipe(
    "foreign-key",
    "a foreign key, checked for new rows first and validated without blocking writers",
    ("table", "column", "to"),
    _foreign_key,
    ("key",),
    example="--table orders --column user_id --to users",
)
CHECK = Recipe(
    "check",
    "a CHECK, asked of new rows first and validated without blocking writers",
    ("table", "column", "value"),
    _check,
    example="--table users --column age --value 'age > 0'",
)
