"""Columns into a table of their own, while old programs go on with them where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migrations.authoring.recipes import Given, Recipe, bare, named, paged, qualified
from migrations.authoring.recipes.swap import (
    granted,
    not_generated,
    not_policed,
    nothing_hangs,
    within_reach,
)
from migrations.sql.literals import quote_literal


def _write(given: Given) -> Mapping[str, str]:
    names = _Names(given)
    return {
        "expand": _expand(given, names),
        "migrate": _migrate(given, names),
        "contract": _contract(given, names),
    }


@dataclass(frozen=True, slots=True)
class _Names:
    """What the texts are made of, quoted."""

    given: Given

    @property
    def old(self) -> str:
        return self.given.table_sql

    @property
    def new(self) -> str:
        return qualified(self.given.to)

    @property
    def there(self) -> str:
        """Trigger and function that follow writes to the old table."""
        return named(self.given.table_name, "to", self.given.to_name)

    @property
    def back(self) -> str:
        """Trigger and function that follow writes to the new table."""
        return named(self.given.to_name, "to", self.given.table_name)

    @property
    def view(self) -> str:
        name = named(self.given.table_name, "with", self.given.to_name)
        return self.schema + name

    @property
    def schema(self) -> str:
        return self.given.schema_sql

    def listed(self, prefix: str = "") -> str:
        """The columns, each behind a prefix."""
        return ", ".join(prefix + column.sql for column in self.given.columns)

    def assigned(self, prefix: str, indent: str) -> str:
        """`column = prefix.column`, one on a line."""
        return f",\n{indent}".join(f"{c.sql} = {prefix}{c.sql}" for c in self.given.columns)

    def differ(self, one: str, other: str) -> str:
        return f"({self.listed(one)}) IS DISTINCT FROM ({self.listed(other)})"


def _sync(given: Given, names: _Names) -> str:
    there, back = names.schema + names.there, names.schema + names.back
    return f"""\
{_follow_there(given, names, there)}
{_follow_back(given, names, back)}
CREATE TRIGGER {names.there}
AFTER INSERT OR UPDATE ON {names.old}
FOR EACH ROW EXECUTE FUNCTION {there}();

CREATE TRIGGER {names.back}
AFTER INSERT OR UPDATE OR DELETE ON {names.new}
FOR EACH ROW EXECUTE FUNCTION {back}();
"""


def _follow_there(given: Given, names: _Names, function: str) -> str:
    """What follows a write to the old table."""
    key, new = given.key_sql, names.new
    return f"""\
CREATE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $sync$
BEGIN
    IF num_nonnulls({names.listed("NEW.")}) = 0 THEN
        DELETE FROM {new} WHERE {key} = NEW.{key};
        RETURN NULL;
    END IF;
    INSERT INTO {new} AS kept ({key}, {names.listed()})
    VALUES (NEW.{key}, {names.listed("NEW.")})
    ON CONFLICT ({key}) DO UPDATE
    SET {names.assigned("excluded.", "        ")}
    WHERE {names.differ("kept.", "excluded.")};
    RETURN NULL;
END
$sync$;
"""


def _follow_back(given: Given, names: _Names, function: str) -> str:
    """What follows a write to the new table."""
    key, old = given.key_sql, names.old
    nulls = ", ".join(f"{column.sql} = NULL" for column in given.columns)
    return f"""\
CREATE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $sync$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE {old}
        SET {nulls}
        WHERE {key} = OLD.{key} AND num_nonnulls({names.listed()}) > 0;
        RETURN NULL;
    END IF;
    UPDATE {old} AS kept
    SET {names.assigned("NEW.", "        ")}
    WHERE kept.{key} = NEW.{key} AND {names.differ("kept.", "NEW.")};
    RETURN NULL;
END
$sync$;
"""


def _no_sync(names: _Names) -> str:
    return f"""\
DROP TRIGGER {names.back} ON {names.new};
DROP TRIGGER {names.there} ON {names.old};
DROP FUNCTION {names.schema}{names.back}();
DROP FUNCTION {names.schema}{names.there}();
"""


def _expand(given: Given, names: _Names) -> str:
    key, old, new = given.key_sql, names.old, names.new
    columns = ",\n    ".join(f"{column.sql} {column.type}" for column in given.columns)
    going = [column.sql for column in given.columns]
    return f"""\
-- +migrate Up lock_timeout=2s
-- Both tables are kept alike by triggers, whichever one a program writes to, so that old and new
-- programs run side by side. When both write the same row at the same instant, one of them gets a
-- deadlock and must try again. Whoever writes to one table needs the right to write to the other:
-- what is granted on the old one now is granted on the new one, too.
{not_generated(old, going)}
{within_reach(old, going, given.key_name)}
{not_policed(old)}
CREATE TABLE {new} (
    {key} {given.key_type} PRIMARY KEY REFERENCES {old} ({key}) ON DELETE CASCADE,
    {columns}
);

{_sync(given, names)}
-- The old shape for programs that only read; add the other columns that they need.
CREATE VIEW {names.view} AS
SELECT kept.{key}, {names.listed("split.")}
FROM {old} AS kept
LEFT JOIN {new} AS split USING ({key});

{granted(old, new, names.view)}
-- +migrate Down lock_timeout=2s
DROP VIEW {names.view};
{_no_sync(names)}DROP TABLE {new};

-- +migrate Verify
SELECT count(*) = 2
FROM pg_trigger
WHERE tgrelid IN (to_regclass({quote_literal(old)}), to_regclass({quote_literal(new)}))
  AND tgname IN ({quote_literal(bare(names.there))}, {quote_literal(bare(names.back))});
"""


def _migrate(given: Given, names: _Names) -> str:
    key, old, new = given.key_sql, names.old, names.new
    return f"""\
-- +migrate Data {paged(given)} batch=1000 lock_timeout=2s
-- Rows that were there before the triggers. The lock makes sure that what is copied is what stands
-- there when it is copied; what the triggers have written already stays.
INSERT INTO {new} ({key}, {names.listed()})
SELECT kept.{key}, {names.listed("kept.")}
FROM {old} AS kept
JOIN batch USING ({key})
WHERE num_nonnulls({names.listed("kept.")}) > 0
FOR NO KEY UPDATE OF kept
ON CONFLICT ({key}) DO NOTHING;

-- +migrate Validate
SELECT kept.{key}
FROM {old} AS kept
LEFT JOIN {new} AS split USING ({key})
WHERE {names.differ("kept.", "split.")};

-- +migrate Down
-- Nothing to undo: the new table goes with the Down of expand.
"""


def _contract(given: Given, names: _Names) -> str:
    key, old, new = given.key_sql, names.old, names.new
    dropped = ",\n    ".join(f"DROP COLUMN {column.sql}" for column in given.columns)
    added = ",\n    ".join(f"ADD COLUMN {column.sql} {column.type}" for column in given.columns)
    there = ", ".join(quote_literal(column.name) for column in given.columns)
    remedy = f"Put on {bare(new)} what has to stay, and take it off {bare(old)}"
    return f"""\
-- +migrate Up lock_timeout=2s
-- When no program writes the columns where they were. The view stays for those that read them.
-- Fails with the list if keys, defaults or whatever else still hangs on the columns.
LOCK TABLE {old} IN ACCESS EXCLUSIVE MODE;

{nothing_hangs(old, [column.sql for column in given.columns], remedy)}
{_no_sync(names)}
ALTER TABLE {old}
    {dropped};

-- +migrate Down lock_timeout=2s
-- Writes the whole table while everybody waits.
SET LOCAL row_security = off;

LOCK TABLE {old} IN ACCESS EXCLUSIVE MODE;
LOCK TABLE {new} IN ACCESS EXCLUSIVE MODE;

ALTER TABLE {old}
    {added};

UPDATE {old} AS kept
SET {names.assigned("split.", "    ")}
FROM {new} AS split
WHERE kept.{key} = split.{key};

{_sync(given, names)}
-- +migrate Verify
SELECT count(*) = 0
FROM pg_attribute
WHERE attrelid = to_regclass({quote_literal(old)}) AND attname IN ({there}) AND NOT attisdropped;
"""


RECIPE = Recipe(
    "table-split",
    "columns into a table of their own, kept alike by triggers, with a view of the old shape",
    ("table", "column", "to"),
    _write,
    ("key",),
    typed=True,
    several=True,
    example="--table users --column street:text --column city:text --to addresses",
)
