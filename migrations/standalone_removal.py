"""Taking our journal out of a database; what is lost is said before, and nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass

from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from migrations.errors import AdoptionRefused, IdentityMismatch
from migrations.model.attempt import Limits
from migrations.model.work import Observer
from migrations.sql.literals import quote_ident
from migrations.standalone import Outside
from migrations.target.journal import refuse_foreign
from migrations.target.lock import key_for, wait_for_lock
from migrations.target.look import become_owner, looking, our_path_as_owner
from migrations.target.session import Connection, ConnectionSettings, close_session, open_session

APPLICATION_NAME = "migration-ledger remove"
"""What `pg_stat_activity` shows."""

SCHEMA = "migration_ledger"
HAS_JOURNAL = "SELECT pg_catalog.to_regclass('migration_ledger.journal') IS NOT NULL"
WHAT_IS_KEPT = """
SELECT pg_catalog.count(*) AS entries, pg_catalog.count(DISTINCT target) AS targets,
    (SELECT owner FROM migration_ledger.journal
     WHERE owner OPERATOR(pg_catalog.<>) '' ORDER BY finished_at DESC LIMIT 1) AS owner
FROM migration_ledger.journal
"""
OTHER_TABLES = """
SELECT c.relname
FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE n.nspname OPERATOR(pg_catalog.=) 'migration_ledger'
    AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}'::pg_catalog."char"[])
    AND c.relname OPERATOR(pg_catalog.<>) ALL ('{journal,progress,backup}'::pg_catalog.name[])
    AND (c.relname OPERATOR(pg_catalog.<>) 'saved' OR EXISTS (
        SELECT FROM migration_ledger.backup AS b WHERE b.name OPERATOR(pg_catalog.=) 'saved'))
ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class KeptObjects:
    """What is in the schema of the journal. `backups` are tables of data migrations."""

    database: str
    entries: int
    targets: int
    owner: str
    backups: tuple[str, ...]


async def kept_in(settings: ConnectionSettings) -> KeptObjects | None:
    """What would be lost; `None` where there is no journal. Raises Unreachable."""
    connection = await open_session(settings, application_name=APPLICATION_NAME, read_only=True)
    try:
        await become_owner(connection)
        async with looking(connection):
            return await _kept(connection, settings.role)
    finally:
        await close_session(connection)


async def remove_journal(
    settings: ConnectionSettings,
    limits: Limits,
    observer: Observer,
    *,
    target: str = "",
    outside: Outside | None = None,
    force: bool = False,
) -> KeptObjects:
    """Drop the schema of the journal, for all targets of the database; what was in it.

    Raises AdoptionRefused without a journal, or when there are backups and no `force`;
    IdentityMismatch when a ledger owns the database and `outside` is `None`.
    """
    connection = await open_session(
        settings, application_name=APPLICATION_NAME, lock_timeout_s=limits.lock_timeout_s
    )
    try:
        await connection.execute(await our_path_as_owner(connection))
        await wait_for_lock(
            connection,
            key_for(target),
            limits.advisory_wait_s,
            observer,
            SYSTEM_CLOCK,
            SYSTEM_CHANCE,
        )
        kept = await _kept(connection, settings.role)
        if kept is None:
            raise AdoptionRefused("there is no journal here; nothing to remove")
        if kept.owner and outside is None:
            raise IdentityMismatch(
                f"the database belongs to the fleet of ledger {kept.owner}; retire it there with "
                "`ledger fleet retire`, or say --outside-ledger --reason WHY"
            )
        if kept.backups and not force:
            raise AdoptionRefused(
                f"backups of data migrations are in the same schema ({', '.join(kept.backups)}); "
                "without them those migrations cannot be undone; say --force to drop them too"
            )
        await connection.execute(f"DROP SCHEMA {quote_ident(SCHEMA)} CASCADE")
        return kept
    finally:
        await close_session(connection)


async def _kept(connection: Connection, role: str | None) -> KeptObjects | None:
    if not await connection.fetchval(HAS_JOURNAL):
        return None
    await refuse_foreign(connection, role)
    (row,) = await connection.fetch(WHAT_IS_KEPT)
    backups = await connection.fetch(OTHER_TABLES)
    return KeptObjects(
        database=await connection.fetchval("SELECT pg_catalog.current_database()"),
        entries=row["entries"],
        targets=row["targets"],
        owner=row["owner"] or "",
        backups=tuple(found["relname"] for found in backups),
    )
