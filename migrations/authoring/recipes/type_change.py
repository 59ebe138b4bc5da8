"""Another type for a column: a second one, kept true by a trigger, filled in batches, swapped."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.authoring.recipes import LAST, Given, Recipe, bare, named, paged
from migrations.authoring.recipes.swap import Swap, not_generated, not_overruled, within_reach
from migrations.sql.literals import quote_literal


def _write(given: Given) -> Mapping[str, str]:
    return {"expand": _expand(given), "migrate": _migrate(given), "contract": _contract(given)}


def _fresh(given: Given) -> str:
    return named(given.column.name, "new")


def _sync(given: Given) -> str:
    """The trigger that fills the new column, and its function."""
    table, column = given.table_sql, given.column.sql
    name, function = _sync_name(given), _function(given)
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
    name = _sync_name(given)
    return f"DROP TRIGGER {name} ON {given.table_sql};\nDROP FUNCTION {_function(given)}();\n"


def _sync_name(given: Given) -> str:
    return named(LAST, given.table_name, given.column.name, "sync")


def _function(given: Given) -> str:
    return given.schema_sql + _sync_name(given)


def _expand(given: Given) -> str:
    table, fresh = given.table_sql, _fresh(given)
    trigger = quote_literal(bare(_sync_name(given)))
    return f"""\
-- +migrate Up lock_timeout=2s
-- The trigger comes with the column, so no write is missed. What hangs on the old column is carried
-- over by the contract, but for its indexes: build those of the new column in migrations of their
-- own before, with CREATE INDEX CONCURRENTLY. The contract says which are missing.
{not_generated(table, (given.column.sql,))}
{within_reach(table, (given.column.sql,), given.key_name)}
{not_overruled(table, _sync_name(given))}
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
    proof = named(given.table_name, given.column.name, "swap_not_null")
    back = named(given.column.name, "back")
    swap = Swap(table, column, fresh, proof, _sync_name(given))
    undo = Swap(table, column, back, proof)
    return f"""\
-- +migrate Up lock_timeout=2s notransaction
-- Each statement commits by itself. The first one changes nothing: it fails with the list of what
-- hangs on the old column and is not carried over.
{swap.refused()}
-- Under a weak lock: the proof that the new column is NOT NULL, if the old one is.
{swap.not_null_proof()}
{swap.proven()}
-- In one transaction under one strong, short lock: nobody sees the table without the column.
{swap.swap(_no_sync(given))}
-- Under a weak lock again: constraints that were carried over are held against the rows.
{swap.validated()}
-- +migrate Down lock_timeout=2s
-- Writes the whole table, and builds its indexes, while everybody waits: on a large table take the
-- change back by another change of type instead.
SET LOCAL row_security = off;

LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

ALTER TABLE {table}
    ADD COLUMN IF NOT EXISTS {fresh} {given.to},
    ADD COLUMN {back} {given.column.type};

{undo.refused(building=True)}
DROP TRIGGER IF EXISTS {_sync_name(given)} ON {table};
DROP FUNCTION IF EXISTS {_function(given)}();

UPDATE {table}
SET {back} = {column}::{given.column.type}, {fresh} = {column}::{given.to};

SET CONSTRAINTS ALL IMMEDIATE;

{undo.swap()}
{undo.validated()}
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
