"""A fleet for one test: a ledger, tenant databases, a folder of migrations, and processes.

Every migration of `migration` notes in the table `ran` that it ran, in its own transaction, and
makes a table of its own: what a database really went through can be read from it without trusting
any journal (`tests.support.invariants`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from ledger.cli.fleet.file import read_fleet
from ledger.contracts.envelope import Recorded
from ledger.contracts.reports import Event
from ledger.runtime import Ledger, install, open_ledger, stores_of
from ledger.service.request_context import RequestContext
from ledger.service.status import RolloutStatus
from ledger.settings import Settings, load
from ledger.store.log.decode import open_event
from tests.support.patience import PATIENCE_S
from tests.support.processes import Answer, Process, found, run, until
from tests.support.wrong_clock import VARIABLE as WRONG_CLOCK

PASSWORD_VARIABLE = "TENANT_TEST_PASSWORD"
CREATE_RAN = "CREATE TABLE IF NOT EXISTS ran (version text NOT NULL, direction text NOT NULL)"
HOLDS = "CREATE TABLE held AS SELECT 1 AS by_the_test"
HELD = """\
DO $$ BEGIN
    WHILE EXISTS (SELECT FROM held) LOOP PERFORM pg_sleep(0.05); END LOOP;
END $$;
"""
"""A statement that says `pg_sleep` until `let_go`: however late a busy machine looks, it runs."""
IS_RUNNING = """
    SELECT count(*) > 0 FROM pg_stat_activity
    WHERE application_name LIKE 'migration-ledger%' AND state = 'active' AND query LIKE $1
        AND datname = ANY ($2)
"""
LEADING = "leading as"
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Tenant:
    """One database of the fleet, under an id that sorts as it was made."""

    id: str
    url: str

    @property
    def name(self) -> str:
        """What it is called on its server."""
        return urlsplit(self.url).path.lstrip("/")

    @property
    def user(self) -> str:
        """Who migrates it."""
        return urlsplit(self.url).username or ""

    async def value(self, sql: str, *arguments: object) -> Any:
        """The first value that a query gives."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    async def execute(self, sql: str) -> None:
        """Run a script as who migrates it."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def has(self, version: str) -> bool:
        """Whether the table that a migration makes is there."""
        return bool(await self.value("SELECT to_regclass($1) IS NOT NULL", table_of(version)))

    async def is_running(self, text: str) -> bool:
        """Whether a session of ours is in a statement that holds `text`."""
        return bool(await self.value(IS_RUNNING, f"%{text}%", [self.name]))


@dataclass
class Fleet:
    """A ledger, its databases, and what was started for them."""

    ledger_url: str
    pool: str
    tenants: tuple[Tenant, ...]
    folder: Path
    bootstrap: str | None
    env: dict[str, str]
    processes: list[Process] = field(default_factory=list)
    migrations: dict[str, str] = field(default_factory=dict)
    """Versions, each with the table that shows its effect."""

    # --- migrations ---

    def migration(
        self, version: str, up: str = "", down: str = "", *, notransaction: bool = False
    ) -> None:
        """Write a migration that does `up` between making its table and noting that it ran."""
        flags = " notransaction" if notransaction else ""
        table = table_of(version)
        self.migrations[version] = table
        path = self.folder / f"{version}_test.sql"
        path.write_text(
            f"-- +migrate Up{flags}\nCREATE TABLE {table} (id int);\n{up}\n"
            f"INSERT INTO ran VALUES ('{version}', 'up');\n"
            f"-- +migrate Down{flags}\nDROP TABLE {table};\n{down}\n"
            f"INSERT INTO ran VALUES ('{version}', 'down');\n"
        )

    async def hold(self) -> str:
        """What a migration goes no further than, in each database, before `let_go`."""
        for tenant in self.tenants:
            await tenant.execute(HOLDS)
        return HELD

    async def let_go(self) -> None:
        """Let what is held go on, and nothing be held any more."""
        for tenant in self.tenants:
            await tenant.execute("DELETE FROM held")

    # --- commands and processes ---

    async def ledger(self, *arguments: str, code: int | None = 0, **more: str) -> Answer:
        """Run `ledger` to its end; `code` is how it must end."""
        answer = await run("ledger", *arguments, env=self.env | more)
        if code is not None:
            assert answer.code == code, f"{arguments} ended with {answer.code}: {answer}"
        return answer

    async def start(self, *arguments: str, code: int = 0) -> str:
        """`ledger rollout start` without waiting; the rollout's id."""
        answer = await self.ledger(
            "rollout",
            "start",
            "--folder",
            str(self.folder),
            "--yes",
            "--no-wait",
            "-o",
            "json",
            *arguments,
            code=code,
        )
        return str(json.loads(answer.out)["rollout"])

    async def serve(self, *arguments: str, **more: str) -> Process:
        """Start a leader, and wait until it leads."""
        program = "ledger with a wrong clock" if WRONG_CLOCK in more else "ledger"
        process = self._process("serve", program, ("serve", *arguments), more)
        await until(lambda: LEADING in process.said(), "it leads")
        return process

    def watch(self, rollout: str, **more: str) -> Process:
        """Start `ledger rollout watch`."""
        return self._process("watch", "ledger", ("rollout", "watch", rollout), more)

    def agent(self, name: str = "agent", **more: str) -> Process:
        """Start an agent of the fleet's pool."""
        own = {key: value for key, value in self.env.items() if key not in LEDGER_ONLY}
        arguments = ("run", "--name", f"{self.pool}-{name}")
        program = "ledger-agent with a wrong clock" if WRONG_CLOCK in more else "ledger-agent"
        return self._process(name, program, arguments, more, own)

    def start_beside(self, *arguments: str, **more: str) -> Process:
        """Start a command of `ledger` that runs until it is stopped."""
        return self._process("beside", "ledger", arguments, more)

    def _process(
        self,
        name: str,
        program: str,
        arguments: tuple[str, ...],
        more: dict[str, str],
        env: dict[str, str] | None = None,
    ) -> Process:
        number = len(self.processes)
        log = self.folder.parent / f"{number}-{name}.log"
        process = Process(program, arguments, (self.env if env is None else env) | more, log)
        self.processes.append(process)
        return process

    def end(self) -> None:
        """Let nothing of this fleet run on."""
        for process in self.processes:
            process.end()

    # --- what is there ---

    def settings(self) -> Settings:
        """The settings of this fleet's commands."""
        flags = {"database_url": self.ledger_url, "name": self.pool}
        if self.bootstrap:
            flags["kafka.bootstrap"] = self.bootstrap
        return load(flags).settings

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ledger]:
        """The ledger, for reading."""
        async with open_ledger(self.settings()) as ledger:
            yield ledger

    async def status(self, rollout: str) -> RolloutStatus:
        """Where a rollout is."""
        async with self.opened() as ledger:
            return await ledger.rollouts.status(rollout)

    async def reached(
        self, rollout: str, *statuses: str, within_s: float = PATIENCE_S
    ) -> RolloutStatus:
        """The rollout's status, once it is one of these and nothing runs any more."""
        async with self.opened() as ledger:

            async def look() -> RolloutStatus | None:
                status = await ledger.rollouts.status(rollout)
                busy = any(status.counts.get(one) for one in ("ordered", "running"))
                return status if status.status in statuses and not busy else None

            return await found(look, f"rollout {rollout} is {' or '.join(statuses)}", within_s)

    async def events(self, *types: type[Event]) -> list[Recorded]:
        """The log, in order: all of it, or these types."""
        async with self.opened() as ledger:
            return await events_of(ledger, types)

    async def at_least(self, number: int, type_: type[Event]) -> list[Recorded]:
        """The events of a type, once there are so many."""

        async with self.opened() as ledger:

            async def look() -> list[Recorded] | None:
                events = await events_of(ledger, [type_])
                return events if len(events) >= number else None

            return await found(look, f"{number} {type_.__name__} are in the log")

    async def is_running(self, text: str) -> bool:
        """Whether a session of ours is in a statement that holds `text`, in any database."""
        connection = await asyncpg.connect(self.ledger_url)
        try:
            names = [tenant.name for tenant in self.tenants]
            return bool(await connection.fetchval(IS_RUNNING, f"%{text}%", names))
        finally:
            await connection.close()

    async def with_effect(self, version: str) -> list[str]:
        """The databases that have the table of a migration."""
        return [tenant.id for tenant in self.tenants if await tenant.has(version)]

    def tenant(self, database: str) -> Tenant:
        """The database of this id."""
        return next(tenant for tenant in self.tenants if tenant.id == database)


LEDGER_ONLY = ("LEDGER_DATABASE_URL", "LEDGER_NAME", "LEDGER_RESEND_S")
"""What agents must not need, so they do not get it."""


async def prepare(fleet: Fleet, port: int | None = None) -> None:
    """Install the ledger, make the table `ran` everywhere, and register the databases."""
    await install(fleet.settings())
    for tenant in fleet.tenants:
        await tenant.execute(CREATE_RAN)
    file = fleet.folder.parent / "fleet.yaml"
    file.write_text(fleet_file(fleet.pool, fleet.tenants, port))
    async with fleet.opened() as ledger:
        await ledger.fleet.import_(read_fleet(file, fleet.pool), RequestContext())


def fleet_file(pool: str, tenants: Iterable[Tenant], port: int | None = None) -> str:
    """A fleet as people write it down: JSON is YAML. `port` replaces the server's own."""
    tenants = list(tenants)
    parts = urlsplit(tenants[0].url)
    template = {
        "host": parts.hostname,
        "port": port or parts.port or 5432,
        "password": f"env:{PASSWORD_VARIABLE}",
    }
    databases = [
        {"database": tenant.id, "dbname": tenant.name, "pool": pool, "user": tenant.user}
        for tenant in tenants
    ]
    return json.dumps({"pools": {pool: template}, "databases": databases})


def tenants_of(urls: Sequence[str]) -> tuple[Tenant, ...]:
    """Databases, numbered."""
    return tuple(Tenant(f"db{number:02}", url) for number, url in enumerate(urls))


def table_of(version: str) -> str:
    """The table that shows a migration's effect."""
    return f"effect_{version}"


async def events_of(ledger: Ledger, types: Sequence[type[Event]] = ()) -> list[Recorded]:
    """Events of a ledger, in order: all of them, or those of these types."""
    names = {type_.__name__ for type_ in types}
    events: list[Recorded] = []
    position = 0
    log = stores_of(ledger).log
    while page := await log.tail(position, PAGE):
        events += [open_event(raw) for raw in page if not names or raw.type in names]
        position = page[-1].position
    return events
