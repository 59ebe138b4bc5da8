"""The saved rows of one migration, as SQL: filled batch by batch, and how they come back. Pure.

A row is its key, the named columns as they were, and a digest of the same columns as the migration
left them. It stands in a table of the migration's own, in the columns' own types; or, where making
one would be DDL that the database's event triggers hear of and may refuse, in the table for all
that was made with the journal, as text that the types read again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from migrations.backfill.keyset import Keyset, Page
from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.model.migration import Conflict
from migrations.sql.grammar import parse, relations, tree
from migrations.sql.literals import quote_ident, quote_literal

CHANGED_SINCE = "ML001"
"""SQLSTATE of a restore that would overwrite what was written since."""
SHARED = "saved"
"""The table for all, in the journal's schema."""
SHARED_TABLE = f"{JOURNAL_SCHEMA}.{SHARED}"

_LEFT = "ledger_left"
_NUMBER = "ledger_number"
_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_QUALIFIED = re.compile(rf"{_NAME}\s*\.\s*{_NAME}")
_ROWS_OF_A_BATCH = 2**32
"""More than a batch can have; see `number` in `journal.sql`."""
_TEXT_SETTINGS = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
"""The digest is taken from a row's text, which must read the same on both days."""
_CHANGED = (
    "rows were written since the migration touched them; look at them, then say what wins: "
    "write `-- +migrate Down restore conflict=keep` (the later value stays) or conflict=overwrite "
    "(the saved value comes back)"
)
_UNFIXED = ";\n".join(f"SET LOCAL {name} TO DEFAULT" for name in _TEXT_SETTINGS)


@dataclass(frozen=True, slots=True)
class Saved:
    """The backup of one migration in a table of its own."""

    keyset: Keyset
    columns: tuple[str, ...]
    table: str

    @property
    def relation(self) -> str:
        """What is read as the saved rows, in the types of the columns."""
        return self.table

    @property
    def pages(self) -> Keyset:
        """The backup itself as a table with a key."""
        return Keyset(self.table, self.keyset.columns, self.keyset.types)

    def reading(self, text: str) -> str:
        """A statement of the author's that may read the backup by the name of its table."""
        return text

    def create(self, *, unlogged: bool) -> str:
        """Make the table, empty. No publication has one that is `unlogged`."""
        kind = "UNLOGGED TABLE" if unlogged else "TABLE"
        return (
            f"CREATE {kind} {self.table} AS SELECT {self._listed()} FROM {self.keyset.table} "  # noqa: S608
            f"WITH NO DATA;\nALTER TABLE {self.table} ADD COLUMN {_LEFT} pg_catalog.bytea, "
            f"ADD PRIMARY KEY ({self.keyset.names}), SET (fillfactor = 50);\n"
            f"REVOKE ALL ON {self.table} FROM PUBLIC"
        )

    def save(self, page: Page, batch: int) -> str:
        """Copy the rows of a page, before anything touches them. A first copy is never replaced."""
        rows = self.keyset.rows(page, self._listed())
        return f"INSERT INTO {self.table} ({self._listed()}) {rows} ON CONFLICT DO NOTHING"

    def note_left(self, page: Page, batch: int) -> str:
        """Take the digest of what the batch has left."""
        return (
            f"{_fixed()};\nUPDATE {self.table} AS saved SET {_LEFT} = {self._digest('kept')} "
            f"FROM {self.keyset.table} AS kept "
            f"WHERE {self.keyset.same('kept', 'saved')} "
            f"AND {self.keyset.within(page, 'saved')} AND {self.keyset.within(page, 'kept')}"
        )

    def given_back(self, page: Page) -> str:
        """What follows when a page was restored: the table goes as a whole, at the end."""
        return "SELECT"

    def restore(self, page: Page, conflict: Conflict) -> str:
        """Bring the rows of a page back; what is as it was already is not written."""
        joined = (
            f"{self.keyset.same('kept', 'saved')} AND {self.pages.within(page, 'saved')} "
            f"AND {self._kept_within(page)}"
        )
        parts = [_fixed(), self._locked(joined)]
        if conflict is Conflict.REFUSE:
            parts.append(self._refusing(joined))
        sets = ", ".join(f"{quote_ident(c)} = saved.{quote_ident(c)}" for c in self.columns)
        kept = f" AND NOT ({self._written('kept')})" if conflict is Conflict.KEEP else ""
        differs = f"{self._text('kept')} IS DISTINCT FROM {self._text('saved')}"
        parts.append(
            f"UPDATE {self.keyset.table} AS kept SET {sets} FROM {self.relation} AS saved "  # noqa: S608
            f"WHERE {joined} AND {differs}{kept}"
        )
        return ";\n".join([*parts, _UNFIXED])

    def first_change(self) -> str:
        """Fails with CHANGED_SINCE when any saved row was written since."""
        return f"{_fixed()};\n{self._refusing(self.keyset.same('kept', 'saved'))}"

    def _kept_within(self, page: Page) -> str:
        return self.keyset.within(page, "kept")

    def _locked(self, joined: str) -> str:
        return (
            f"SELECT count(*) FROM (SELECT FROM {self.relation} AS saved, "  # noqa: S608
            f"{self.keyset.table} AS kept "
            f"WHERE {joined} ORDER BY {', '.join(self.keyset.quoted('saved'))} "
            "FOR UPDATE OF kept) AS locked"
        )

    def _refusing(self, joined: str) -> str:
        return (
            "DO $ledger$ BEGIN IF EXISTS (SELECT FROM "
            f"{self.relation} AS saved, {self.keyset.table} AS kept "
            f"WHERE {joined} AND {self._written('kept')}) THEN RAISE EXCEPTION USING "
            f"ERRCODE = '{CHANGED_SINCE}', MESSAGE = {quote_literal(_CHANGED)}; END IF; "
            "END $ledger$"
        )

    def _written(self, alias: str) -> str:
        return f"saved.{_LEFT} IS DISTINCT FROM {self._digest(alias)}"

    def _digest(self, alias: str) -> str:
        return f"pg_catalog.sha256(pg_catalog.convert_to({self._text(alias)}, 'UTF8'))"

    def _text(self, alias: str) -> str:
        columns = ", ".join(f"{alias}.{quote_ident(column)}" for column in self.columns)
        return f"ROW({columns})::pg_catalog.text"

    def _listed(self) -> str:
        names = dict.fromkeys((*self.keyset.columns, *self.columns))
        return ", ".join(map(quote_ident, names))


@dataclass(frozen=True, slots=True)
class SharedSaved(Saved):
    """The backup of one migration in the table for all."""

    column_types: tuple[str, ...]
    own_table: str
    """How a table of its own would be called, which is the name that authors know."""
    target: str
    version: str

    @property
    def relation(self) -> str:
        """What is read as the saved rows, in the types of the columns."""
        parts = [
            f"(shared.key[{number}])::{kind} AS {quote_ident(name)}"
            for number, (name, kind) in enumerate(
                zip(self.keyset.columns, self.keyset.types, strict=True), start=1
            )
        ]
        parts += [
            f"(shared.columns[{number}])::{kind} AS {quote_ident(name)}"
            for number, (name, kind) in enumerate(
                zip(self.columns, self.column_types, strict=True), start=1
            )
            if name not in self.keyset.columns
        ]
        parts += [f"shared.{_LEFT}", f"shared.number AS {_NUMBER}"]
        return f"(SELECT {', '.join(parts)} FROM {SHARED_TABLE} AS shared WHERE {self._mine})"  # noqa: S608

    @property
    def pages(self) -> Keyset:
        """The backup itself as a table with a key: in the order in which it was saved."""
        columns = (_NUMBER, *self.keyset.columns)
        return Keyset(self.relation, columns, ("pg_catalog.int8", *self.keyset.types))

    def save(self, page: Page, batch: int) -> str:
        """Copy the rows of a page, before anything touches them."""
        first = batch * _ROWS_OF_A_BATCH
        values = [
            quote_literal(self.target),
            quote_literal(self.version),
            f"{first} OPERATOR(pg_catalog.+) "
            f"pg_catalog.row_number() OVER (ORDER BY {self.keyset.names})",
            _texts(self.keyset.columns),
            _texts(self.columns),
        ]
        listed = ", ".join(map(quote_ident, dict.fromkeys((*self.keyset.columns, *self.columns))))
        rows = self.keyset.rows(page, listed)
        return (
            f"{_fixed()};\nINSERT INTO {SHARED_TABLE} "  # noqa: S608
            "(target, migration, number, key, columns) "
            f"SELECT {', '.join(values)} FROM ({rows}) AS page;\n{_UNFIXED}"
        )

    def note_left(self, page: Page, batch: int) -> str:
        """Take the digest of what the batch has left."""
        same = " AND ".join(
            f"kept.{quote_ident(name)} = (shared.key[{number}])::{kind}"
            for number, (name, kind) in enumerate(
                zip(self.keyset.columns, self.keyset.types, strict=True), start=1
            )
        )
        first = batch * _ROWS_OF_A_BATCH
        return (
            f"{_fixed()};\nUPDATE {SHARED_TABLE} AS shared SET {_LEFT} = {self._digest('kept')} "
            f"FROM {self.keyset.table} AS kept WHERE {self._mine} "
            f"AND shared.number OPERATOR(pg_catalog.>) {first} "
            f"AND shared.number OPERATOR(pg_catalog.<=) {first + _ROWS_OF_A_BATCH} "
            f"AND {same} AND {self.keyset.within(page, 'kept')}"
        )

    def given_back(self, page: Page) -> str:
        """Take away the saved rows of a page that was restored."""
        within = f"shared.number OPERATOR(pg_catalog.<=) {int(page.upto[0])}"
        if page.after is not None:
            within += f" AND shared.number OPERATOR(pg_catalog.>) {int(page.after[0])}"
        return f"DELETE FROM {SHARED_TABLE} AS shared WHERE {self._mine} AND {within}"  # noqa: S608

    def reading(self, text: str) -> str:
        """A statement of the author's, with the saved rows in the place of the table's name."""
        found = [one for (raw,) in [parse(text)] for one in relations(raw.node)]
        data = text.encode()
        for one in sorted(found, key=lambda one: one.location, reverse=True):
            named = _QUALIFIED.match(data[one.location :].decode())
            if isinstance(one, tree.RangeVar) and named and one.relname == self.own_table:
                if one.schemaname != JOURNAL_SCHEMA:
                    continue
                alias = "" if one.HasField("alias") else f" AS {quote_ident(self.own_table)}"
                behind = data[one.location + len(named[0].encode()) :]
                data = data[: one.location] + f"{self.relation}{alias}".encode() + behind
        return data.decode()

    @property
    def _mine(self) -> str:
        return (
            f"shared.target OPERATOR(pg_catalog.=) {quote_literal(self.target)} "
            f"AND shared.migration OPERATOR(pg_catalog.=) {quote_literal(self.version)}"
        )

    def _kept_within(self, page: Page) -> str:
        keys = Page(page.after and page.after[1:], page.upto[1:], page.rows)
        return self.keyset.within(keys, "kept")


def _texts(columns: tuple[str, ...]) -> str:
    """The values of columns as an array of what their types' own output says, or NULL."""
    texts = (
        f"CASE WHEN pg_catalog.int4eq(pg_catalog.num_nulls({name}), 0) "
        f"THEN pg_catalog.concat({name}) END"
        for name in map(quote_ident, columns)
    )
    return f"ARRAY[{', '.join(texts)}]"


def _fixed() -> str:
    return ";\n".join(f"SET LOCAL {name} = '{value}'" for name, value in _TEXT_SETTINGS.items())
