"""What a data migration saves before it touches a row, and how that comes back.

A backup holds the key, the named columns as they were, and a digest of the same columns as the
migration left them. The digest tells, on the way back, what somebody wrote since:

    row as the migration left it ──▶ the saved value comes back
    row written since            ──▶ refuse (stop before anything is restored) | keep | overwrite
    row that is gone             ──▶ stays gone

It is one table per migration in the journal's schema; nobody but its owner has rights to it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import asyncpg

from migrations.backfill.keyset import Keyset, Page
from migrations.errors import DataRefused
from migrations.model.attempt import Backup
from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.model.migration import Batches, Conflict, Migration
from migrations.model.work import Work
from migrations.sql.literals import SqlValue, bind, quote_ident, quote_literal
from migrations.sql.named_statements import named_statements
from migrations.target.entries import NewEntry, State
from migrations.target.journal import statement
from migrations.target.session import Connection
from migrations.target.target import Target

CHANGED_SINCE = "ML001"
"""SQLSTATE of a restore that would overwrite what was written since."""
DROPPED = "backup"
"""The direction of an entry that says that a backup is gone."""

_SQL = named_statements("migrations.backfill", "data.sql")
_LEFT = "ledger_left"
_NAME_MAX_BYTES = 63
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
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


@dataclass(frozen=True, slots=True)
class Saved:
    """The backup of one migration: SQL that fills it and that brings it back. Pure."""

    keyset: Keyset
    columns: tuple[str, ...]
    table: str

    @property
    def pages(self) -> Keyset:
        """The backup itself as a table with a key."""
        return Keyset(self.table, self.keyset.columns, self.keyset.types)

    def create(self, *, unlogged: bool) -> str:
        """Make the table, empty. No publication has one that is `unlogged`."""
        kind = "UNLOGGED TABLE" if unlogged else "TABLE"
        return (
            f"CREATE {kind} {self.table} AS SELECT {self._listed()} FROM {self.keyset.table} "  # noqa: S608
            f"WITH NO DATA;\nALTER TABLE {self.table} ADD COLUMN {_LEFT} pg_catalog.bytea, "
            f"ADD PRIMARY KEY ({self.keyset.names}), SET (fillfactor = 50);\n"
            f"REVOKE ALL ON {self.table} FROM PUBLIC"
        )

    def entered(self, work: Work, migration: Migration) -> str:
        """Say that there is such a table."""
        return bind(
            _SQL["backup_made"],
            {
                **place(work, migration.version),
                "name": backup_name(work.target, migration.version),
                "source": self.keyset.table,
                "columns": ", ".join(self.columns),
            },
        )

    def save(self, page: Page) -> str:
        """Copy the rows of a page, before anything touches them. A first copy is never replaced."""
        rows = self.keyset.rows(page, self._listed())
        return f"INSERT INTO {self.table} ({self._listed()}) {rows} ON CONFLICT DO NOTHING"

    def note_left(self, page: Page) -> str:
        """Take the digest of what the batch has left."""
        return (
            f"{_fixed()};\nUPDATE {self.table} AS saved SET {_LEFT} = {self._digest('kept')} "
            f"FROM {self.keyset.table} AS kept "
            f"WHERE {self.keyset.same('kept', 'saved')} "
            f"AND {self.keyset.within(page, 'saved')} AND {self.keyset.within(page, 'kept')}"
        )

    def restore(self, page: Page, conflict: Conflict) -> str:
        """Bring the rows of a page back; what is as it was already is not written."""
        joined = (
            f"{self.keyset.same('kept', 'saved')} AND {self.keyset.within(page, 'saved')} "
            f"AND {self.keyset.within(page, 'kept')}"
        )
        parts = [_fixed(), self._locked(joined)]
        if conflict is Conflict.REFUSE:
            parts.append(self._refusing(joined))
        sets = ", ".join(f"{quote_ident(c)} = saved.{quote_ident(c)}" for c in self.columns)
        kept = f" AND NOT ({self._written('kept')})" if conflict is Conflict.KEEP else ""
        differs = f"{self._text('kept')} IS DISTINCT FROM {self._text('saved')}"
        parts.append(
            f"UPDATE {self.keyset.table} AS kept SET {sets} FROM {self.table} AS saved "  # noqa: S608
            f"WHERE {joined} AND {differs}{kept}"
        )
        parts.extend(f"SET LOCAL {name} TO DEFAULT" for name in _TEXT_SETTINGS)
        return ";\n".join(parts)

    def first_change(self) -> str:
        """Fails with CHANGED_SINCE when any saved row was written since."""
        return f"{_fixed()};\n{self._refusing(self.keyset.same('kept', 'saved'))}"

    def _locked(self, joined: str) -> str:
        return (
            f"SELECT count(*) FROM (SELECT FROM {self.table} AS saved, {self.keyset.table} AS kept "  # noqa: S608
            f"WHERE {joined} ORDER BY {', '.join(self.keyset.quoted('saved'))} "
            "FOR UPDATE OF kept) AS locked"
        )

    def _refusing(self, joined: str) -> str:
        return (
            "DO $ledger$ BEGIN IF EXISTS (SELECT FROM "
            f"{self.table} AS saved, {self.keyset.table} AS kept "
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
        return ", ".join([*self.keyset.quoted(), *map(quote_ident, self.columns)])


def saved_of(target: Target, migration: Migration, batches: Batches, keyset: Keyset) -> Saved:
    """The backup that a migration's up section makes."""
    return Saved(
        keyset, batches.backup, qualified(backup_name(target.work.target, migration.version))
    )


def backup_name(target: str, version: str) -> str:
    """`backup_<version>`, with the target's schema if it has one; unique where it must be."""
    plain = _NOT_PLAIN.sub("_", f"{version}_{target}".lower()).strip("_")
    name = f"backup_{plain}"
    if plain == version and len(name) <= _NAME_MAX_BYTES:
        return name
    digest = hashlib.sha256(f"{target}/{version}".encode()).hexdigest()[:8]
    return f"{name[: _NAME_MAX_BYTES - 9]}_{digest}"


def qualified(name: str) -> str:
    """A table of the journal's schema."""
    return f"{JOURNAL_SCHEMA}.{quote_ident(name)}"


def place(work: Work, version: str) -> dict[str, SqlValue]:
    """What names a migration in the tables of progress and backups."""
    return {"target": work.target, "migration": version}


async def backups(connection: Connection, target: str) -> tuple[Backup, ...]:
    """The backups that a target keeps, oldest first; none where no data migration ever ran."""
    try:
        rows = await connection.fetch(bind(_SQL["backups"], {"target": target}))
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return ()
    return tuple(
        Backup(
            version=row["migration"],
            table=f"{JOURNAL_SCHEMA}.{row['name']}",
            source=row["source"],
            columns=tuple(row["columns"].split(", ")),
            made_at=row["made_at"],
            keep_until=row["keep_until"],
            bytes=row["bytes"],
            due=bool(row["due"]),
            rows=row["rows"],
        )
        for row in rows
    )


def drop_statements(work: Work, version: str) -> str:
    """Take a backup away, and its row."""
    table = qualified(backup_name(work.target, version))
    forgotten = bind(_SQL["backup_forgotten"], place(work, version))
    return f"DROP TABLE IF EXISTS {table};\n{forgotten}"


async def drop_backups(target: Target, versions: frozenset[str]) -> None:
    """Drop the backups of `versions`, and all whose period is over, and journal it.

    The caller sees to it that none of them belongs to a migration that is half done.
    """
    if not any(entry.state is State.BATCHING for entry in target.entries):
        return
    for backup in await backups(target.connection, target.work.target):
        if not backup.due and backup.version not in versions:
            continue
        await target.record(
            NewEntry(
                backup.version,
                DROPPED,
                0,
                State.BACKUP_DROPPED,
                None,
                None,
                note=f"{backup.table}, {backup.bytes} bytes",
            ),
            first=";\n".join(
                (
                    statement("for_ddl"),
                    drop_statements(target.work, backup.version),
                    statement("behind_ddl"),
                )
            ),
        )


def kept_statement(work: Work, version: str, keep_s: float | None, rows: int) -> str:
    """Say of a backup that it is complete, and how long it stays; without a period for good."""
    return bind(_SQL["backup_kept"], {**place(work, version), "keep_s": keep_s, "rows": rows})


def refuse_left_over(table: str, version: str) -> DataRefused:
    """The refusal to mix what is saved now with what an earlier run saved."""
    return DataRefused(
        f"{table} holds what an earlier run of this migration saved; look whether it is still "
        f"needed, then drop it with `ledger db drop-backups {version}`"
    )


def _fixed() -> str:
    return ";\n".join(f"SET LOCAL {name} = '{value}'" for name, value in _TEXT_SETTINGS.items())
