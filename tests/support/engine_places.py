"""A database for each adapter of the engine, and what a test may see of it from outside."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID, uuid4

import asyncpg

from migrations.engine import Engine
from migrations.formats.bundle import load_files
from migrations.model.attempt import Epoch, Limits, Mode
from migrations.model.migration import Migration, SourceFile, Statement
from migrations.model.work import Outcome, Silence, StepOutcome, Work
from migrations.target.session import ConnectionSettings
from tests.support.memory_engine import MemoryEngine

LEDGER = "ledger-1"
QUICK = Limits(lock_timeout_s=0.5, retry_budget=1, retry_for_s=5, advisory_wait_s=0.3)
PATIENT = replace(QUICK, advisory_wait_s=20)

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
JOURNAL = """
    SELECT migration, direction, step, state FROM migration_ledger.journal
    WHERE migration <> '' ORDER BY seq
"""
SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'migration-ledger%'
"""
Row = tuple[str, str, int, str]


@dataclass(slots=True)
class Hearing(Silence):
    """Remembers what it heard, by kind."""

    waits: list[str] = field(default_factory=list)
    finished: list[StepOutcome] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    first_contacts: list[bool] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a statement has run."""

    def identified(self, identity: Any, server_version: int, first_contact: bool) -> None:
        """Note whether it was the first contact."""
        self.first_contacts.append(first_contact)

    def waiting(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        """Note what is waited for."""
        self.waits.append(what)

    def step_finished(self, outcome: StepOutcome) -> None:
        """Note an outcome."""
        self.finished.append(outcome)

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        """Note a statement."""
        self.statements.append(f"{migration.version} {index}/{total}")
        self.begun.set()


class EnginePlace(Protocol):
    """An engine with one empty database."""

    @property
    def engine(self) -> Engine:
        """The adapter."""

    @property
    def settings(self) -> ConnectionSettings:
        """Where the database is."""

    @property
    def nowhere(self) -> ConnectionSettings:
        """Where nobody answers."""

    async def tables(self) -> set[str]:
        """What is committed."""

    async def journal(self) -> list[Row]:
        """What the journal says of migrations, in order."""

    async def sessions(self) -> int:
        """How many of ours are open."""


@dataclass
class MemoryEnginePlace:
    """A database in this process."""

    engine: MemoryEngine
    settings: ConnectionSettings

    @property
    def nowhere(self) -> ConnectionSettings:
        """As `EnginePlace.nowhere`."""
        gone = replace(self.settings, port=1)
        self.engine.database(gone).reachable = False
        return gone

    async def tables(self) -> set[str]:
        """As `EnginePlace.tables`."""
        return set(self.engine.database(self.settings).tables)

    async def journal(self) -> list[Row]:
        """As `EnginePlace.journal`."""
        entries = self.engine.database(self.settings).journals.get("", [])
        return [
            (one.migration, one.direction, one.step, one.state.value)
            for one in entries
            if one.migration
        ]

    async def sessions(self) -> int:
        """As `EnginePlace.sessions`."""
        return self.engine.sessions


@dataclass
class PostgresEnginePlace:
    """A database of a real server."""

    engine: Engine
    url: str

    @property
    def settings(self) -> ConnectionSettings:
        """As `EnginePlace.settings`."""
        separator = "&" if "?" in self.url else "?"
        url = f"{self.url}{separator}sslmode=disable"
        return ConnectionSettings.from_url(url, allow_plaintext=True)

    @property
    def nowhere(self) -> ConnectionSettings:
        """As `EnginePlace.nowhere`."""
        return replace(self.settings, port=1)

    async def tables(self) -> set[str]:
        """As `EnginePlace.tables`."""
        return {row[0] for row in await self._fetch(TABLES)}

    async def journal(self) -> list[Row]:
        """As `EnginePlace.journal`."""
        try:
            rows = await self._fetch(JOURNAL)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return []
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    async def sessions(self) -> int:
        """As `EnginePlace.sessions`."""
        return int((await self._fetch(SESSIONS))[0][0])

    async def _fetch(self, sql: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()


def migration(version: str, *up: str, down: str | None = None) -> Migration:
    """A migration of these statements."""
    text = "-- +migrate Up\n" + "".join(f"{one};\n" for one in up)
    text += f"-- +migrate Down\n{down};\n" if down else ""
    return load_files("sql-migrate", [SourceFile(f"{version}_m.sql", text.encode())])


def table(version: str, name: str) -> Migration:
    """A migration that makes a table."""
    return migration(version, f"CREATE TABLE {name} (id int)", down=f"DROP TABLE {name}")


@dataclass
class Orders:
    """Work on one place, each order with a higher epoch than the one before."""

    place: EnginePlace
    hearing: Hearing = field(default_factory=Hearing)
    position: int = 0

    def work(self, mode: Mode, *migrations: Migration, **more: Any) -> Work:
        """The next order; `more` says what is other than usual."""
        self.position += 1
        command: UUID = more.pop("command_id", None) or uuid4()
        values = {
            "rollout": "rollout-1",
            "epoch": Epoch(1, self.position),
            "owner": LEDGER,
            **more,
        }
        return Work(command_id=command, mode=mode, migrations=migrations, **values)

    async def do(self, work: Work, limits: Limits = QUICK, **more: Any) -> Outcome:
        """Run it."""
        place = self.place
        return await place.engine.run(place.settings, work, limits, self.hearing, **more)

    async def up(self, *migrations: Migration, **more: Any) -> Outcome:
        """Apply."""
        return await self.do(self.work(Mode.UP, *migrations, **more))
