"""What a data migration saves before it touches a row, and how that comes back.

A backup holds the key, the named columns as they were, and a digest of the same columns as the
migration left them. The digest tells, on the way back, what somebody wrote since:

    row as the migration left it ──▶ the saved value comes back
    row written since            ──▶ refuse (stop before anything is restored) | keep | overwrite
    row that is gone             ──▶ stays gone

It is one table per migration in the journal's schema, to which nobody but its owner has rights;
where event triggers would hear of its making, it is a part of one table that is there from the
first contact.
"""

from __future__ import annotations

import hashlib
import re

import asyncpg

from migrations.backfill.paging import FittingTable
from migrations.backfill.saved_rows import SHARED, SHARED_TABLE, Saved, SharedSaved
from migrations.errors import DataRefused
from migrations.model.attempt import Backup
from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.model.migration import Batches, Migration
from migrations.model.work import Work
from migrations.sql.literals import SqlValue, bind, quote_ident
from migrations.sql.named_statements import named_statements
from migrations.target.entries import NewEntry, State
from migrations.target.journal import statement
from migrations.target.session import Connection
from migrations.target.target import Target

DROPPED = "backup"
"""The direction of an entry that says that a backup is gone."""

_SQL = named_statements("migrations.backfill", "data.sql")
_NAME_MAX_BYTES = 63
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


def saved_of(
    target: Target, migration: Migration, batches: Batches, table: FittingTable, *, shared: bool
) -> Saved:
    """The backup that a migration's up section makes, in a table of its own or in that for all."""
    keyset, place = table.keyset, (target.work.target, migration.version)
    if shared:
        types = tuple(table.types[name] for name in batches.backup)
        own = backup_name(*place)
        return SharedSaved(keyset, batches.backup, SHARED_TABLE, types, own, *place)
    return Saved(keyset, batches.backup, qualified(backup_name(*place)))


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


async def stored_in(target: Target, version: str) -> str | None:
    """The table in which a migration's backup is; `None` where it has none."""
    if not target.journal_exists:
        return None
    query = bind(_SQL["backup_stored_in"], place(target.work, version))
    try:
        found: str | None = await target.connection.fetchval(query)
    except asyncpg.UndefinedTableError:
        return None
    return found


def entered(saved: Saved, work: Work, version: str) -> str:
    """The statement that says that there is such a backup."""
    shared = isinstance(saved, SharedSaved)
    return bind(
        _SQL["backup_made"],
        {
            **place(work, version),
            "name": SHARED if shared else backup_name(work.target, version),
            "source": saved.keyset.table,
            "columns": ", ".join(saved.columns),
        },
    )


def drop_statements(work: Work, version: str, stored: str | None) -> str:
    """Take a backup away that stands in the table `stored`, and its row."""
    forgotten = bind(_SQL["backup_forgotten"], place(work, version))
    if stored is None:
        return forgotten
    if stored == SHARED:
        return f"{bind(_SQL['saved_forgotten'], place(work, version))};\n{forgotten}"
    return f"DROP TABLE IF EXISTS {qualified(stored)};\n{forgotten}"


async def drop_backups(target: Target, versions: frozenset[str]) -> None:
    """Drop the backups of `versions`, and all whose period is over, and journal it.

    The caller sees to it that none of them belongs to a migration that is half done.
    """
    if not any(entry.state is State.BATCHING for entry in target.entries):
        return
    found = await backups(target.connection, target.work.target)
    for backup in found:
        if not backup.due and backup.version not in versions:
            continue
        if backup.table == SHARED_TABLE:
            first = bind(_SQL["backup_going"], place(target.work, backup.version))
        else:
            table = backup.table.partition(".")[2]
            dropping = drop_statements(target.work, backup.version, table)
            first = f"{statement('for_ddl')};\n{dropping};\n{statement('behind_ddl')}"
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
            first=first,
        )
    await _sweep(target)


async def _sweep(target: Target) -> None:
    """Delete the saved rows of backups that were dropped, some at a time, after a crash as well."""
    sweeping = bind(_SQL["saved_swept"], {"target": target.work.target})
    try:
        while await target.connection.execute(sweeping) != "DELETE 0":
            pass
        await target.connection.execute(bind(_SQL["backups_gone"], {"target": target.work.target}))
    except asyncpg.UndefinedTableError:
        return  # A journal from before there was one table for all.


def kept_statement(work: Work, version: str, keep_s: float | None, rows: int) -> str:
    """Say of a backup that it is complete, and how long it stays; without a period for good."""
    return bind(_SQL["backup_kept"], {**place(work, version), "keep_s": keep_s, "rows": rows})


def refuse_left_over(table: str, version: str) -> DataRefused:
    """The refusal to mix what is saved now with what an earlier run saved."""
    return DataRefused(
        f"{table} holds what an earlier run of this migration saved; look whether it is still "
        f"needed, then drop it with `ledger db drop-backups {version}`"
    )
