"""What is in the tables of a scratch database: rows counted, values digested, and compared.

Digests are sums over rows, so they do not depend on their order, and columns are taken by name, so
they do not depend on the place of a column that went and came back. Only for databases that hold
no tenant's data: every row is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.printable import escaped
from migrations.rehearsal.fixtures import DeclaredLoss
from migrations.sql.literals import Expression, bind, quote_ident
from migrations.target.session import UNFILTERED, Connection

TABLES = """
    SELECT n.nspname AS schema, c.relname AS name,
        array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") FILTER (
            WHERE a.attname IS NOT NULL) AS columns
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
        AND n.nspname <> ALL ($1) AND n.nspname NOT LIKE 'pg\\_toast%'
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.objid = c.oid AND d.deptype = 'e')
    GROUP BY n.nspname, c.relname ORDER BY n.nspname, c.relname
"""
QUESTION = "SELECT ARRAY[:asked] AS found FROM ONLY :place"
NOT_OURS = ("pg_catalog", "information_schema", JOURNAL_SCHEMA)
_COUNTED = "pg_catalog.count({value})::numeric"
_DIGESTED = (
    "COALESCE(pg_catalog.sum(pg_catalog.hashtextextended("
    '({value})::pg_catalog.text COLLATE "C", 0)), 0)'
)


@dataclass(frozen=True, slots=True)
class TableName:
    """A table by its schema and its own name."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class TableContents:
    """How many rows, and a digest of them; by column, how many values and a digest."""

    rows: int
    digest: Decimal
    columns: Mapping[str, tuple[int, Decimal]]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in the tables of a database at one moment."""

    tables: Mapping[TableName, TableContents] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(one.rows for one in self.tables.values())


@dataclass(frozen=True, slots=True)
class ContentChange:
    """What of a table, or of a column of it, is not as it was, in words."""

    table: TableName
    column: str | None
    what: str

    def __str__(self) -> str:
        place = str(self.table) if self.column is None else f"{self.table}.{self.column}"
        return f"{escaped(place)}: {self.what}"

    def is_declared(self, loss: DeclaredLoss) -> bool:
        """Whether a loss of this was declared, of the table or of the column."""
        names = {self.table.name, str(self.table)}
        if self.column is not None:
            names |= {f"{name}.{self.column}" for name in names}
        return loss.what in names


async def contents_of(connection: Connection) -> Contents:
    """Read every table. Raises what the server raises, also where a policy would leave rows out."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(UNFILTERED)
        found = {}
        for table in await connection.fetch(TABLES, list(NOT_OURS)):
            name, columns = TableName(table["schema"], table["name"]), table["columns"] or []
            (row,) = await connection.fetch(_question(name, columns))
            values: Sequence[Decimal] = row["found"]
            pairs = zip(values[2::2], values[3::2], strict=True)
            by_name = dict(
                zip(columns, ((int(count), digest) for count, digest in pairs), strict=True)
            )
            found[name] = TableContents(int(values[0]), values[1], by_name)
    return Contents(found)


def _question(table: TableName, columns: Sequence[str]) -> str:
    quoted = [quote_ident(one) for one in columns]
    asked = [_COUNTED.format(value="*"), _DIGESTED.format(value=f"ROW({', '.join(quoted)})")]
    for one in quoted:
        asked += [_COUNTED.format(value=one), _DIGESTED.format(value=one)]
    place = f"{quote_ident(table.schema)}.{quote_ident(table.name)}"
    return bind(QUESTION, {"asked": Expression(", ".join(asked)), "place": Expression(place)})


def changes_of(before: Contents, after: Contents) -> tuple[ContentChange, ...]:
    """What is not as it was, of the tables and columns that are there both times."""
    return tuple(
        change
        for table, was in before.tables.items()
        if table in after.tables
        for change in _changes(table, was, after.tables[table])
    )


def _changes(table: TableName, was: TableContents, now: TableContents) -> Iterator[ContentChange]:
    if was.rows != now.rows:
        yield ContentChange(table, None, f"{was.rows:,} rows before, {now.rows:,} after")
        return
    changed = False
    for column, (count, digest) in was.columns.items():
        if column not in now.columns or now.columns[column] == (count, digest):
            continue
        changed = True
        there = now.columns[column][0]
        if there != count:
            yield ContentChange(table, column, f"{count:,} values before, {there:,} after")
        else:
            yield ContentChange(table, column, f"not the same {count:,} values as before")
    if not changed and was.columns.keys() == now.columns.keys() and was.digest != now.digest:
        yield ContentChange(table, None, "values have moved from row to row")
