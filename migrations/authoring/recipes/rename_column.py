"""Another name for a column: both names for a while, each write seen under both."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.authoring.recipes import (
    LAST,
    Given,
    Recipe,
    bare,
    named,
    only_name,
    paged,
    quoted,
)
from migrations.authoring.recipes.swap import (
    not_generated,
    not_overruled,
    nothing_hangs,
    within_reach,
)
from migrations.sql.literals import quote_literal


def _write(given: Given) -> Mapping[str, str]:
    return {"expand": _expand(given), "migrate": _migrate(given), "contract": _contract(given)}


def _names(given: Given) -> tuple[str, str]:
    """The trigger's name, and its function's with the schema of the table."""
    name = named(LAST, given.table_name, given.column.name, "renamed")
    return name, given.schema_sql + name


def _sync(given: Given) -> str:
    old, new = given.column.sql, quoted(only_name(given.to))
    name, function = _names(given)
    return f"""\
CREATE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql
AS $sync$
BEGIN
    -- Whichever name a program wrote to, the other follows; of both, the new one counts.
    IF TG_OP = 'INSERT' THEN
        NEW.{new} := coalesce(NEW.{new}, NEW.{old});
        NEW.{old} := NEW.{new};
    ELSIF NEW.{new} IS DISTINCT FROM OLD.{new} THEN
        NEW.{old} := NEW.{new};
    ELSE
        NEW.{new} := NEW.{old};
    END IF;
    RETURN NEW;
END
$sync$;

CREATE TRIGGER {name}
BEFORE INSERT OR UPDATE ON {given.table_sql}
FOR EACH ROW EXECUTE FUNCTION {function}();
"""


def _no_sync(given: Given) -> str:
    name, function = _names(given)
    return f"DROP TRIGGER {name} ON {given.table_sql};\nDROP FUNCTION {function}();\n"


def _expand(given: Given) -> str:
    table, new = given.table_sql, quoted(only_name(given.to))
    trigger = quote_literal(bare(_names(given)[0]))
    return f"""\
-- +migrate Up lock_timeout=2s
-- Old programs go on with the old name, new ones begin with the new one. The new name is a second
-- column only until the contract, which gives the new name to the old column with all that hangs on
-- it: build no indexes or constraints on this one.
{not_generated(table, (given.column.sql,))}
{within_reach(table, (given.column.sql,), given.key_name)}
{not_overruled(table, _names(given)[0])}
ALTER TABLE {table}
    ADD COLUMN {new} {given.column.type};

{_sync(given)}
-- +migrate Down lock_timeout=2s
{_no_sync(given)}
ALTER TABLE {table}
    DROP COLUMN {new};

-- +migrate Verify
SELECT tgenabled = 'O'
FROM pg_trigger
WHERE tgrelid = to_regclass({quote_literal(table)}) AND tgname = {trigger};
"""


def _migrate(given: Given) -> str:
    table, key = given.table_sql, given.key_sql
    old, new = given.column.sql, quoted(only_name(given.to))
    return f"""\
-- +migrate Data {paged(given)} batch=1000 lock_timeout=2s
-- Rows that were there before the trigger; it keeps both names alike from then on.
UPDATE {table}
SET {new} = {table}.{old}
FROM batch
WHERE {table}.{key} = batch.{key}
  AND {table}.{new} IS DISTINCT FROM {table}.{old};

-- +migrate Validate
SELECT {key}
FROM {table}
WHERE {new} IS DISTINCT FROM {old};

-- +migrate Down
-- Nothing to undo: the new column goes with the Down of expand.
"""


def _contract(given: Given) -> str:
    table, old, new = given.table_sql, given.column.sql, quoted(only_name(given.to))
    remedy = f"Put on {bare(old)} what has to stay, and take it off {bare(new)}"
    return f"""\
-- +migrate Up lock_timeout=2s
-- When no program uses the old name any more. The old column gets the new name, so its keys,
-- indexes, defaults, grants and all else that hangs on it stay. The second column goes, and nothing
-- may hang on that one.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

{nothing_hangs(table, (new,), remedy)}
{not_overruled(table, _names(given)[0])}
{_no_sync(given)}
ALTER TABLE {table}
    DROP COLUMN {new};

ALTER TABLE {table}
    RENAME COLUMN {old} TO {new};

-- +migrate Down lock_timeout=2s
-- Writes the whole table while everybody waits.
SET LOCAL row_security = off;

LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

ALTER TABLE {table}
    RENAME COLUMN {new} TO {old};

ALTER TABLE {table}
    ADD COLUMN {new} {given.column.type};

UPDATE {table}
SET {new} = {old};

{_sync(given)}
-- +migrate Verify
SELECT count(*) = 1
FROM pg_attribute
WHERE attrelid = to_regclass({quote_literal(table)})
  AND attname IN ({quote_literal(given.column.name)}, {quote_literal(only_name(given.to))})
  AND NOT attisdropped;
"""


RECIPE = Recipe(
    "rename-column",
    "another name for a column, with both names kept alike by a trigger meanwhile",
    ("table", "column", "to"),
    _write,
    ("key",),
    typed=True,
    example="--table users --column mail:text --to email",
)
