"""Another type for a column: a second one, kept true by a trigger, filled in batches, swapped."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.authoring.recipes import Given, Recipe, bare, named, paged
from migrations.sql.literals import quote_literal


def _write(given: Given) -> Mapping[str, str]:
    return {"expand": _expand(given), "migrate": _migrate(given), "contract": _contract(given)}


def _fresh(given: Given) -> str:
    return named(given.column.name, "new")


def _sync(given: Given) -> str:
    """The trigger that fills the new column, and its function."""
    table, column, name = given.table_sql, given.column.sql, _sync_name(given)
    schema = table.rpartition(".")[0]
    function = f"{schema}.{name}" if schema else name
    return f"""\
CREATE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql
AS $sync$
BEGIN
    NEW.{_fresh(given)} := NEW.{column}::{given.to};
    RETURN NEW;
END
$sync$;

CREATE TRIGGER {name}
BEFORE INSERT OR UPDATE ON {table}
FOR EACH ROW EXECUTE FUNCTION {function}();
"""


def _no_sync(given: Given) -> str:
    table, name = given.table_sql, _sync_name(given)
    schema = table.rpartition(".")[0]
    function = f"{schema}.{name}" if schema else name
    return f"DROP TRIGGER {name} ON {table};\nDROP FUNCTION {function}();\n"


def _sync_name(given: Given) -> str:
    return named(given.table_name, given.column.name, "sync")


def _expand(given: Given) -> str:
    table, fresh = given.table_sql, _fresh(given)
    trigger = quote_literal(bare(_sync_name(given)))
    return f"""\
-- +migrate Up lock_timeout=2s
-- The trigger comes with the column, so no write is missed. Give the new column the default of the
-- old one here, and its indexes and constraints in migrations of their own before the contract.
ALTER TABLE {table}
    ADD COLUMN {fresh} {given.to};

{_sync(given)}
-- +migrate Down lock_timeout=2s
{_no_sync(given)}
ALTER TABLE {table}
    DROP COLUMN {fresh};

-- +migrate Verify
SELECT tgenabled = 'O'
FROM pg_trigger
WHERE tgrelid = to_regclass({quote_literal(table)}) AND tgname = {trigger};
"""


def _migrate(given: Given) -> str:
    table, key, fresh = given.table_sql, given.key_sql, _fresh(given)
    converted = f"{table}.{given.column.sql}::{given.to}"
    return f"""\
-- +migrate Data {paged(given)} batch=1000 lock_timeout=2s
-- Rows that were there before the trigger. The value is taken from the row as it is when it is
-- written, so a write that comes in between is not lost.
UPDATE {table}
SET {fresh} = {converted}
FROM batch
WHERE {table}.{key} = batch.{key}
  AND {table}.{fresh} IS DISTINCT FROM {converted};

-- +migrate Validate
SELECT {key}
FROM {table}
WHERE {fresh} IS DISTINCT FROM {converted};

-- +migrate Down
-- Nothing to undo: the new column goes with the Down of expand.
"""


def _contract(given: Given) -> str:
    table, column, fresh = given.table_sql, given.column.sql, _fresh(given)
    return f"""\
-- +migrate Up lock_timeout=2s
-- One transaction under one strong, short lock: nobody sees the table without the column, or both.
-- NOT NULL, defaults and indexes of the old column go with it.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

{_no_sync(given)}
ALTER TABLE {table}
    DROP COLUMN {column};

ALTER TABLE {table}
    RENAME COLUMN {fresh} TO {column};

-- +migrate Down lock_timeout=2s
-- Writes the whole table while everybody waits: on a large table take the change back by another
-- change of type instead.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

ALTER TABLE {table}
    RENAME COLUMN {column} TO {fresh};

ALTER TABLE {table}
    ADD COLUMN {column} {given.column.type};

UPDATE {table}
SET {column} = {fresh}::{given.column.type};

{_sync(given)}
-- +migrate Verify
SELECT count(*) = 1
FROM pg_attribute
WHERE attrelid = to_regclass({quote_literal(table)})
  AND attname IN ({quote_literal(given.column.name)}, {quote_literal(bare(fresh))})
  AND NOT attisdropped;
"""


RECIPE = Recipe(
    "type-change",
    "another type for a column: a second column, a trigger, a backfill in batches, a swap",
    ("table", "column", "to"),
    _write,
    ("key",),
    typed=True,
    example="--table users --column age:integer --to bigint",
)
