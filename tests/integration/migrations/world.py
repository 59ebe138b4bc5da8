"""A database to run migrations on, and short ways to write migrations and to ask for work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from migrations.formats.bundle import load_files
from migrations.model.attempt import Epoch, Expectation, Limits, Mode
from migrations.model.migration import Migration, SourceFile, Statement
from migrations.model.work import Outcome, Silence, StepOutcome, Work
from migrations.runner import run
from migrations.target.entries import Said, State, entry_about_target, next_head
from migrations.target.session import ConnectionSettings
from tests.fixtures.postgres import owner_of
from tests.support.patience import PATIENCE_S

LEDGER = "ledger-1"
IMPATIENT = Limits(lock_timeout_s=0.2, retry_budget=1, retry_for_s=5, advisory_wait_s=1)
SEEN = Limits(lock_timeout_s=5, retry_budget=0, retry_for_s=60, advisory_wait_s=1)
"""Waited out once, and so long that whoever holds the lock is seen on a busy machine, too."""
APPLIED_USERS = "CREATE TABLE users (id int)"

JOURNAL = """
    SELECT migration, direction, step, state FROM migration_ledger.journal
    WHERE migration <> '' ORDER BY seq
"""
OUR_BACKENDS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'migration-ledger'
"""


def migration(
    version: str,
    up: str,
    down: str | None = "SELECT 1",
    verify: str = "",
    *,
    stepwise: bool = False,
) -> Migration:
    """A migration in the usual format; without Down when `down` is `None`."""
    word = " notransaction" if stepwise else ""
    text = f"-- +migrate Up{word}\n{up};\n"
    text += f"-- +migrate Down{word}\n{down};\n" if down else ""
    text += f"-- +migrate Verify\n{verify};\n" if verify else ""
    return load_files("sql-migrate", [SourceFile(f"{version}_m.sql", text.encode())])


def users(version: str = "001", verify: str = "") -> Migration:
    """A migration that makes a table `users`."""
    return migration(version, APPLIED_USERS, "DROP TABLE users", verify)


def smuggled(original: Migration, *texts: str) -> Migration:
    """The migration with statements that the loader would have refused."""
    kind = original.up.statements[0].kind
    statements = tuple(Statement(text, 1, kind, "SMUGGLED") for text in texts)
    return replace(original, up=replace(original.up, statements=statements))


@dataclass(slots=True)
class Hearing(Silence):
    """Remembers what it heard; `on_waiting` is called at each wait."""

    waits: list[str] = field(default_factory=list)
    finished: list[StepOutcome] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    first_contacts: list[bool] = field(default_factory=list)

    def identified(self, identity: Any, server_version: int, first_contact: bool) -> None:
        self.first_contacts.append(first_contact)

    def waiting(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        self.waits.append(what)

    def step_finished(self, outcome: StepOutcome) -> None:
        self.finished.append(outcome)

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        self.statements.append(f"{index}/{total} {statement.summary}")


@dataclass(slots=True)
class World:
    """One database of a fleet."""

    url: str
    hearing: Hearing = field(default_factory=Hearing)
    position: int = 0
    superuser_url: str = ""
    """For what a test has to make that its migrating login may not."""

    @property
    def settings(self) -> ConnectionSettings:
        """How to reach it."""
        separator = "&" if "?" in self.url else "?"
        return ConnectionSettings.from_url(
            f"{self.url}{separator}sslmode=disable", allow_plaintext=True
        )

    def work(
        self,
        mode: Mode,
        *migrations: Migration,
        command: UUID | None = None,
        rollout: str = "rollout-1",
        epoch: Epoch | None = None,
        **more: Any,
    ) -> Work:
        """Work with a new command and a higher epoch than before, unless said otherwise."""
        self.position += 1
        values: dict[str, Any] = {"owner": LEDGER, **more}
        return Work(
            command or uuid4(),
            rollout,
            epoch or Epoch(1, self.position),
            mode,
            migrations,
            **values,
        )

    async def do(self, work: Work, limits: Limits = IMPATIENT, *, outside: bool = False) -> Outcome:
        """Run `work`."""
        return await run(self.settings, work, limits, self.hearing, allow_outside=outside)

    async def up(self, *migrations: Migration, **more: Any) -> Outcome:
        """Apply."""
        return await self.do(self.work(Mode.UP, *migrations, **more))

    async def rollback(self, *migrations: Migration, **more: Any) -> Outcome:
        """Undo, newest first, what the rollout applied."""
        return await self.do(self.work(Mode.ROLLBACK, *reversed(migrations), **more))

    async def heard_statement(self) -> bool:
        """Whether a statement has been finished."""
        return bool(self.hearing.statements)

    async def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on a connection of its own."""
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    async def value(self, sql: str) -> Any:
        """The first value of a query."""
        return (await self.fetch(sql))[0][0]

    async def execute(self, sql: str) -> None:
        """Run a script on a connection of its own."""
        await _execute(self.url, sql)

    async def execute_as_superuser(self, sql: str) -> None:
        """Run a script as the superuser: roles, extensions, rights."""
        await _execute(self.superuser_url, sql)

    @property
    def owner(self) -> str:
        """The role that the database belongs to, of which its migrating login is a member."""
        return owner_of(self.settings.database)

    async def journal(self) -> list[tuple[str, str, int, str]]:
        """What the journal says of migrations, in order."""
        return await self.fetch(JOURNAL)

    async def has(self, relation: str) -> bool:
        """Whether a table or index is there."""
        return bool(await self.value(f"SELECT to_regclass('{relation}') IS NOT NULL"))


async def overtaking(world: World) -> str:
    """A statement by which, once `users()` is applied, another order writes to the journal."""
    before = await world.up(users())
    said = Said(uuid4(), "rollout-2", LEDGER, Epoch(9, 9))
    head = next_head(before.journal_head or "", said, entry_about_target(State.VISITED))
    overtake = (
        f"INSERT INTO migration_ledger.journal SELECT target, seq + 1, '{head}', "
        f"'{said.command}', '{said.rollout}', '', '', 0, 'visited', NULL, NULL, 0, NULL, NULL, "
        "NULL, NULL, database_uuid, owner, 9, 9, xid, now(), 0, made_by "
        "FROM migration_ledger.journal ORDER BY seq DESC LIMIT 1"
    )
    await world.execute_as_superuser("CREATE EXTENSION dblink")
    return f"SELECT dblink_exec('{world.url}', $$ {overtake} $$)"


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def expecting(outcome: Outcome) -> Expectation:
    """What a ledger believes after `outcome`."""
    return Expectation(outcome.identity, outcome.journal_head)


@asynccontextmanager
async def session(url: str, *statements: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's session, of application `shop`, after these statements."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "shop"})
    try:
        for one in statements:
            await connection.execute(one)
        yield connection
    finally:
        await connection.close()


async def until(check: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again and again, and return the first answer that is true."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if answer := await check():
                return answer
            await asyncio.sleep(0.02)
