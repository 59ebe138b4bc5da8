"""Installs the ledger's schema, brings it forward, and refuses a database that has another one.

What reads and runs migrations is imported when there is something to install: every command checks,
hardly any installs.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from uuid import UUID, uuid5

from ledger.contracts.envelope import NAMESPACE, Metadata, encode
from ledger.contracts.events import LedgerInitialised
from ledger.errors import (
    DatabaseUnsuitable,
    LedgerIsStandby,
    NotInstalled,
    SchemaVersionMismatch,
)
from ledger.store.connections import Connection, Pool, opened_pool
from ledger.store.log.log import EventLog
from ledger.store.port import Head
from ledger.store.queries import QUERIES

STREAM = "ledger"
"""The stream of the ledger itself."""
OLDEST_SERVER = 150_000
"""PostgreSQL 15, as `server_version_num` counts."""

ABOUT_SERVER = """
    SELECT current_setting('server_version_num')::int AS version,
        current_setting('server_encoding') AS encoding
"""
INITIALISE = "SELECT ledger.initialise($1)"
SCHEMA_VERSION = "SELECT schema_version FROM ledger.head"
SET_SCHEMA_VERSION = "UPDATE ledger.head SET schema_version = $1"


@dataclass(frozen=True, slots=True)
class Installed:
    """A ledger: its id, its schema's version, and whether this call made it."""

    ledger_id: UUID
    schema_version: int
    created: bool


async def install(url: str, ledger_id: UUID, metadata: Metadata | None = None) -> Installed:
    """Make a ledger in this database; again is harmless and returns the one that is there.

    `ledger_id` is the id of the new ledger, from which its chain starts. `metadata` goes with
    LedgerInitialised, the log's first event. Raises DatabaseUnsuitable, LedgerUnreachable,
    LedgerIsStandby, and SchemaVersionMismatch when the schema is newer than this program.
    """
    async with opened_pool(url, max_size=1) as pool:
        async with pool.acquire() as connection:
            await _check_server(connection)
            before = await _schema_version(connection)
        await _bring_forward(url, before)
        await pool.fetchval(INITIALISE, ledger_id)
        await pool.execute(SET_SCHEMA_VERSION, program_version())
        log = EventLog(pool)
        head = await log.head()
        event_id = uuid5(NAMESPACE, f"initialised/{head.ledger_id}")
        event = encode(LedgerInitialised(ledger=head.ledger_id), event_id, metadata or Metadata())
        await log.append(STREAM, [event])
        return Installed(head.ledger_id, head.schema_version, created=before == 0)


async def upgrade(url: str) -> Installed:
    """Bring the ledger's schema forward to this program's version; again is harmless.

    Raises NotInstalled, SchemaVersionMismatch when the schema is newer than this program,
    LedgerUnreachable, LedgerIsStandby.
    """
    async with opened_pool(url, max_size=1) as pool:
        async with pool.acquire() as connection:
            before = await _schema_version(connection)
        if before == 0:
            raise NotInstalled
        await _bring_forward(url, before)
        await pool.execute(SET_SCHEMA_VERSION, program_version())
        head = await EventLog(pool).head()
        return Installed(head.ledger_id, head.schema_version, created=False)


async def check(pool: Pool) -> Head:
    """Return the head of a ledger that this program can use.

    Raises LedgerIsStandby, NotInstalled, SchemaVersionMismatch.
    """
    usable = await pool.fetchrow(QUERIES["usable"])
    if usable is None or not usable["installed"]:
        raise NotInstalled
    if usable["standby"]:
        raise LedgerIsStandby
    row = await pool.fetchrow(QUERIES["head"])
    if row is None:
        raise NotInstalled
    head = Head(*row)
    if head.schema_version != program_version():
        raise SchemaVersionMismatch(head.schema_version, program_version())
    return head


def program_version() -> int:
    """The schema version of this program: how many files its schema has."""
    return len(_schema())


def _schema() -> tuple[str, ...]:
    """The names of the schema's files, in order."""
    folder = files("ledger.store") / "schema"
    return tuple(sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql")))


async def _check_server(connection: Connection) -> None:
    (about,) = await connection.fetch(ABOUT_SERVER)
    if about["encoding"] != "UTF8":
        raise DatabaseUnsuitable(
            f"this database's encoding is {about['encoding']}; make one with ENCODING 'UTF8'"
        )
    if about["version"] < OLDEST_SERVER:
        raise DatabaseUnsuitable(
            "the ledger needs PostgreSQL 15 or newer; upgrade this server or choose another"
        )


async def _schema_version(connection: Connection) -> int:
    usable = await connection.fetchrow(QUERIES["usable"])
    if usable is None or not usable["installed"]:
        return 0
    return int(await connection.fetchval(SCHEMA_VERSION) or 0)


async def _bring_forward(url: str, version: int) -> None:
    """Apply what is missing, with our own engine: its journal, its lock, its checks.

    TLS is the connection string's own decision here, as for every connection to the ledger.
    """
    from migrations.formats.bundle import load_folder
    from migrations.model.attempt import Limits, Verdict
    from migrations.model.work import Silence
    from migrations.standalone import up
    from migrations.target.session import ConnectionSettings

    schema = _schema()
    if version > len(schema):
        raise SchemaVersionMismatch(version, len(schema))
    settings = ConnectionSettings.from_url(url, allow_plaintext=True)
    with as_file(files("ledger.store") / "schema") as folder:
        migrations = load_folder(folder).migrations[: len(schema)]
    outcome = await up(settings, migrations, Limits(), Silence())
    if outcome.verdict is not Verdict.DONE:
        why = outcome.failure.message if outcome.failure else outcome.verdict
        raise DatabaseUnsuitable(
            f"the ledger's schema could not be brought to version {len(schema)}: {why}; "
            "correct what it names and run the same command again"
        )
