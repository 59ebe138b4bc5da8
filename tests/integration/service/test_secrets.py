"""No secret is ever written: a canary is planted as every password, and every byte is searched.

Written are: the ledger's tables, the tenants' journals, what is logged at DEBUG, spans, and what
commands print. Each place is first shown to be read at all, by finding the user's name in it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from ledger import telemetry
from ledger.bus import local
from ledger.bus.local import LocalBroker
from ledger.cli.app.exits import ExitCode
from ledger.contracts.events import UndoStarted
from ledger.contracts.registry import Connection
from ledger.contracts.topics import CONTENT, HEARTBEATS, REPORTS, commands_topic
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from ledger.settings import AgentSection, Settings
from migrations.running import telemetry as statements
from tests.fixtures.postgres import PostgresServer, TenantDatabases
from tests.support import warm
from tests.support.house import House, house_at
from tests.support.patience import PATIENCE_S

CANARY = "canary-sw0rdfish"
WRONG = "canary-wr0ng-guess"
VALUE = "canary-r0w-value"
"""Tenant data, which PostgreSQL would quote when a constraint is violated."""
TABLES = """
    SELECT format('%I.%I', nspname, relname) FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = $1 AND relkind = 'r' ORDER BY 1
"""
FAILS = """
INSERT INTO users (id, email, first_name, last_name)
SELECT id + 100000, email, first_name, last_name FROM users WHERE id = 1;
"""
PLANT = f"UPDATE users SET email = '{VALUE}' WHERE id = 1"


def searched(where: str, text: str, known: str) -> None:
    """Assert that `text` was really written, by `known`, and that no secret is in it."""
    assert known in text, f"{where} holds nothing of what was written"
    for secret in (CANARY, WRONG, VALUE, quote(CANARY)):
        assert secret not in text, f"{secret} is in {where}"


async def tables(url: str, schema: str) -> str:
    """Every row of every table, as text; bytes as they are."""
    connection = await asyncpg.connect(url)
    try:
        names = [row[0] for row in await connection.fetch(TABLES, schema)]
        rows = [await connection.fetch(f"SELECT * FROM {name}") for name in names]
        return "\n".join(repr(tuple(row)) for some in rows for row in some)
    finally:
        await connection.close()


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Collect every span of this process's rooms."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("test"))
    monkeypatch.setattr(statements, "_TRACER", provider.get_tracer("test"))
    return exporter


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """Return a function that gives everything logged by now, by anybody, with tracebacks."""
    lines: list[str] = []

    class Keeping(logging.Handler):
        """Keeps what it is given."""

        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record) + repr(record.args))

    handler, root = Keeping(logging.DEBUG), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    root.debug("everything is kept")
    yield lambda: "\n".join(lines)
    root.removeHandler(handler)
    root.setLevel(level)


@dataclass(frozen=True, slots=True)
class Planted:
    """A ledger and a fleet, all reached with the canary as password."""

    house: House
    user: str
    tenants: dict[str, str]


@pytest.fixture
async def planted(
    house: House,
    postgres_server: PostgresServer,
    tenant_databases: TenantDatabases,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Planted]:
    """Return the house, opened by a superuser whose password is the canary, with a fleet.

    The canary is the password of the logins that migrate the fleet, too.
    """
    user = f"{postgres_server.prefix}_planted_{uuid4().hex[:6]}"
    await postgres_server.execute(f"CREATE ROLE \"{user}\" LOGIN SUPERUSER PASSWORD '{CANARY}'")

    def as_user(url: str, password: str = CANARY) -> str:
        parts = urlsplit(url)
        address = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{user}:{quote(password)}@{address}"))

    monkeypatch.setenv("TENANT_PLANTED", CANARY)
    monkeypatch.setenv("TENANT_PLANTED_WRONG", WRONG)
    urls = dict(zip(("fine", "sick", "locked"), await tenant_databases(3), strict=True))
    await execute(urls["sick"], PLANT)
    for url in urls.values():
        login = urlsplit(url).username
        await postgres_server.execute(f"ALTER ROLE \"{login}\" PASSWORD '{CANARY}'")
    urls = {
        name: url.replace(postgres_server.password, quote(CANARY)) for name, url in urls.items()
    }
    try:
        async with house_at(as_user(house.url), house.folder) as opened:
            for database, url in urls.items():
                parts = urlsplit(url)
                reference = (
                    "env:TENANT_PLANTED_WRONG" if database == "locked" else "env:TENANT_PLANTED"
                )
                place = Connection.at(
                    host=parts.hostname or "",
                    port=parts.port or 5432,
                    database=parts.path[1:],
                    user=parts.username or "",
                    password=reference,
                    sslmode="disable",
                )
                labels = {"real": "yes"}
                await opened.ledger.fleet.add(database, "default", place, labels, RequestContext())
            yield Planted(opened, user, urls)
    finally:
        await execute(house.url, f'DROP OWNED BY "{user}"')
        await postgres_server.execute(f'DROP ROLE "{user}"')


@asynccontextmanager
async def at_work(planted: Planted) -> AsyncIterator[None]:
    agent = AgentSection(insecure_postgres=True)
    settings = Settings(database_url=SecretStr(planted.house.url), agent=agent)
    async with working(planted.house.ledger, settings):
        yield


async def live(planted: Planted) -> list[str]:
    """Let things go well and wrong; the rollouts."""
    house = planted.house
    async with at_work(planted):
        check = await house.ledger.fleet.check("real=yes", RequestContext())
        assert (await house.ledger.checks.answers(check, PATIENCE_S)).finished
        well = await house.start(select="id=fine")
        await house.becomes(well, "completed")
        house.migration("3", comment=FAILS)
        sick = await house.start(select="id=sick", when_spent="rollback")
        await house.at_least(1, UndoStarted)
        await house.becomes(f"undo-{sick}", "completed")
        locked = await house.start(select="id=locked")
        await house.becomes(locked, "halted")
    return [well, sick, locked]


async def printed(planted: Planted, *words: str, url: str | None = None) -> tuple[int, str]:
    """What a command writes, and its exit code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    own = {
        "LEDGER_DATABASE_URL": url or planted.house.url,
        "LEDGER_AGENT_INSECURE_POSTGRES": "true",
    }
    process = await warm.start(words, planted.house.folder.parent, kept | own)
    out, err = await process.communicate()
    return process.returncode or 0, (out + err).decode()


async def test_no_secret_and_no_row_of_a_tenant_is_in_any_table_log_span_or_topic(
    planted: Planted,
    spans: InMemorySpanExporter,
    logged: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = LocalBroker()
    monkeypatch.setattr(local, "LocalBroker", lambda clock: broker)
    rollouts = await live(planted)
    for topic in (commands_topic("default"), REPORTS, CONTENT, HEARTBEATS):
        records = [repr(one) for part in broker.partitions(topic) for one in part.records]
        searched(topic, "\n".join(records), f"topic='{topic}'")
    searched("the ledger's tables", await tables(planted.house.url, "ledger"), planted.user)
    for database, state in (("fine", "applied"), ("sick", "failed")):
        journal = await tables(planted.tenants[database], "migration_ledger")
        searched(f"the journal of {database}", journal, state)
    searched("the log", logged(), "everything is kept")
    text = "\n".join(span.to_json() for span in spans.get_finished_spans())
    searched("the spans", text, "CREATE TABLE")
    for rollout in rollouts:
        status = await planted.house.ledger.rollouts.status(rollout)
        searched("a status", repr(status), rollout)
    searched("an open ledger", repr(planted.house.ledger), "Ledger(")


async def test_no_secret_is_in_anything_that_a_command_prints(planted: Planted) -> None:
    rollouts = await live(planted)
    sick = rollouts[1]
    for words, known in (
        (("config", "show", "-o", "json"), planted.user),
        (("fleet", "list", "-o", "json"), "_migrator"),
        (("events", "-o", "ndjson"), sick),
        (("history", "sick", "-o", "json"), "MigrationFailed"),
        (("rollout", "status", sick, "-o", "json"), sick),
        (("rollout", "status", rollouts[2]), "locked"),
        (("rollout", "list", "-o", "json"), sick),
        (("status", "-o", "json"), "sick"),
        (("replay",), ""),
        (("audit", "verify"), ""),
        (("--debug", "fleet", "check", "--select", "real=yes", "-o", "json"), "locked"),
        (("--debug", "rollout", "status", "nowhere"), "nowhere"),
    ):
        _, text = await printed(planted, *words)
        searched(" ".join(words), text, known)


@pytest.mark.parametrize("how", ["nobody listens", "wrong password", "no such database"])
async def test_no_secret_is_in_what_is_said_of_a_ledger_that_cannot_be_reached(
    planted: Planted, how: str
) -> None:
    parts = urlsplit(planted.house.url)
    address = parts.netloc.rpartition("@")[2]
    wrong = {
        "nobody listens": parts._replace(netloc=f"{planted.user}:{CANARY}@127.0.0.1:1"),
        "wrong password": parts._replace(netloc=f"{planted.user}:{WRONG}@{address}"),
        "no such database": parts._replace(path="/nowhere"),
    }[how]
    code, text = await printed(planted, "--debug", "status", url=urlunsplit(wrong))
    assert code == ExitCode.UNREACHABLE
    searched(how, text, "ledger:")
