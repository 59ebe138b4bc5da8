"""Keyset paging as SQL text: ranges of a unique key, and a statement that sees one of them. Pure.

A page is the rows whose key is greater than `after` and not greater than `upto`. Keys travel as
text, one string per column, and become values of the column's own type in the statement, so that
any type of plain values with an order can be a key (no array, no row, no jsonb), and every range is
planned with its real bounds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from migrations.sql.grammar import descend, parse, relations, tree
from migrations.sql.literals import quote_ident, quote_literal

Key: TypeAlias = tuple[str, ...]
"""The values of a key's columns, as text."""

PAGE = "batch"
"""The relation that the statements of a data migration read: the rows of the current batch."""

WHOLE_NUMBERS = frozenset({"pg_catalog.int2", "pg_catalog.int4", "pg_catalog.int8"})
"""Types of keys that may be told: numbers that a database gives, and no tenant's words."""

_WITH = re.compile(r"with\b(?:(?:\s|/\*.*?\*/|--[^\n]*\n)+recursive\b)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """One batch: from behind `after` (`None`: the beginning) up to and with `upto`."""

    after: Key | None
    upto: Key
    rows: int


@dataclass(frozen=True, slots=True)
class Keyset:
    """A table, or a query in brackets, and its key.

    `table` is quoted and qualified, `types` are, `columns` are plain.
    """

    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def is_query(self) -> bool:
        """Whether the rows are those of a query, which the server has no estimate of."""
        return self.table.startswith("(")

    @property
    def names(self) -> str:
        """The key's columns, for a list."""
        return ", ".join(self.quoted())

    def quoted(self, alias: str = "") -> list[str]:
        """The key's columns, quoted, behind an alias if there is one."""
        dot = f"{alias}." if alias else ""
        return [dot + quote_ident(column) for column in self.columns]

    def within(self, page: Page, alias: str = "") -> str:
        """The condition that a row belongs to `page`."""
        upto = f"{self._row(alias)} <= {self._value(page.upto)}"
        return upto if page.after is None else f"{self.beyond(page.after, alias)} AND {upto}"

    def named(self, page: Page) -> str:
        """Which rows belong to `page`, as a condition without types; empty where keys may be data.

        Whole numbers tell nothing of a tenant; a name or an address would.
        """
        if not all(one in WHOLE_NUMBERS for one in self.types):
            return ""
        row = self._row("")
        upto = f"{row} <= {_bracketed(page.upto)}"
        return upto if page.after is None else f"{row} > {_bracketed(page.after)} AND {upto}"

    def beyond(self, key: Key, alias: str = "") -> str:
        """The condition that a row comes after `key`."""
        return f"{self._row(alias)} > {self._value(key)}"

    def same(self, one: str, other: str) -> str:
        """The condition that two relations speak of the same row."""
        pairs = zip(self.quoted(one), self.quoted(other), strict=True)
        return " AND ".join(f"{left} = {right}" for left, right in pairs)

    def rows(self, page: Page, columns: str = "*") -> str:
        """The query for the rows of a page."""
        return f"SELECT {columns} FROM {self.table} AS key WHERE {self.within(page)}"  # noqa: S608

    def locked(self, page: Page) -> str:
        """The query that locks the rows of a page, in the key's order, and answers one number."""
        rows = f"SELECT FROM {self.table} WHERE {self.within(page)}"
        return f"SELECT count(*) FROM ({rows} ORDER BY {self.names} FOR UPDATE) AS locked"  # noqa: S608

    def full_pages(self, after: Key | None, size: int, ahead: int) -> str:
        """The query for the ends of the next `ahead` pages that are full; none for a short one.

        Hopping from end to end costs a quarter of numbering every key (seen: 5 ms for 50,000).
        """
        first = f"FROM {self.table} AS key"
        if after is not None:
            first += f" WHERE {self.beyond(after, 'key')}"
        own = ", ".join(self.quoted("key"))
        named = ", ".join(
            f"key.{quote_ident(column)} AS ledger_{number}"
            for number, column in enumerate(self.columns)
        )
        last = _bracketed([f"ends.ledger_{number}" for number in range(len(self.columns))])
        texts = ", ".join(
            f"pg_catalog.to_jsonb(ledger_{number}) #>> '{{}}'"
            for number in range(len(self.columns))
        )
        hop = f"ORDER BY {own} OFFSET {size - 1} LIMIT 1"
        return (
            "WITH RECURSIVE ends AS ("  # noqa: S608
            f"(SELECT 1 AS ledger_page, {named} {first} {hop}) UNION ALL "
            "SELECT ends.ledger_page + 1, following.* FROM ends, LATERAL ("
            f"SELECT {named} FROM {self.table} AS key WHERE {_bracketed(self.quoted('key'))} > "
            f"{last} {hop}) AS following WHERE ends.ledger_page < {ahead}) "
            f"SELECT ledger_page * {size} AS place, ARRAY[{texts}] AS upto FROM ends "
            "ORDER BY ledger_page"
        )

    def last_page(self, after: Key | None, size: int) -> str:
        """The query for the end of what is left, at most one page: how far it is, and its key.

        `jsonb` gives a text of every type that reads the same under all settings.
        """
        keys = ", ".join(f"pg_catalog.to_jsonb({name}) #>> '{{}}'" for name in self.quoted())
        where = f" WHERE {self.beyond(after)}" if after else ""
        names = self.names
        return (
            f"SELECT ledger_place AS place, ARRAY[{keys}] AS upto FROM ("  # noqa: S608
            f"SELECT *, row_number() OVER (ORDER BY {names}) AS ledger_place FROM ("
            f"SELECT {names} FROM {self.table} AS key{where} ORDER BY {names} LIMIT {size}) AS key"
            ") AS placed ORDER BY ledger_place DESC LIMIT 1"
        )

    def _row(self, alias: str) -> str:
        return _bracketed(self.quoted(alias))

    def _value(self, key: Key) -> str:
        values = zip(key, self.types, strict=True)
        return _bracketed([f"{quote_literal(text)}::{name}" for text, name in values])


@dataclass(frozen=True, slots=True)
class Paged:
    """A statement cut where the definition of `batch` has to stand."""

    before: str
    behind: str

    @classmethod
    def of(cls, text: str) -> Paged:
        """Cut a statement that PostgreSQL's grammar has accepted."""
        (raw,) = parse(text)
        node = raw.node
        if "with_clause" in node.DESCRIPTOR.fields_by_name and node.HasField("with_clause"):
            data = text.encode()
            at = node.with_clause.location
            found = _WITH.match(data[at:].decode())
            if found:
                start = len(data[:at].decode())
                cut = start + found.end()
                # The statement's own WITH takes ours as its first part.
                return cls(text[:cut] + " ", ", " + text[cut:].lstrip())
        return cls("WITH ", " " + text)

    def over(self, rows: str) -> str:
        """The statement with `batch` being the rows of a query."""
        return f"{self.before}{PAGE} AS ({rows}){self.behind}"


def mentions_page(text: str) -> bool:
    """Whether a statement reads the relation `batch`."""
    return any(
        isinstance(found, tree.RangeVar) and found.relname == PAGE and not found.schemaname
        for statement in parse(text)
        for found in relations(statement.node)
    )


def assigned_in(text: str, table: str) -> set[str]:
    """The columns of a table that a statement sets in rows that are there; names without quotes."""
    found: set[str] = set()
    for statement in parse(text):
        nodes: list[Any] = list(descend(statement.node))
        for node in nodes:
            writes = isinstance(node, (tree.UpdateStmt, tree.MergeStmt, tree.InsertStmt))
            if writes and node.relation.relname.lower() == table.lower():
                found |= _assigned(node)
    return found


def _assigned(node: Any) -> set[str]:
    match node:
        case tree.UpdateStmt():
            targets = list(node.target_list)
        case tree.InsertStmt():
            targets = list(node.on_conflict_clause.target_list)
        case _:
            clauses = [one.merge_when_clause for one in node.merge_when_clauses]
            updates = [one for one in clauses if one.command_type == tree.CMD_UPDATE]
            targets = [target for one in updates for target in one.target_list]
    return {one.res_target.name for one in targets}


def key_text(key: Sequence[str]) -> str:
    """A key as it is kept."""
    return json.dumps(list(key), ensure_ascii=False)


def key_of(text: str) -> Key:
    """A key as it was kept."""
    return tuple(json.loads(text))


def _bracketed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
