"""Code migrations over a fleet in one process: shipped by hash, run only where agents allow it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from ledger.contracts.registry import Connection
from ledger.contracts.reports import CommandRefused, MigrationApplied, MigrationRolledBack
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from ledger.settings import AgentSection, Settings
from migrations.errors import PsqlScriptError
from migrations.model.migration import Language
from tests.fixtures.postgres import TenantDatabases
from tests.support.house import House

PASSWORD = "TENANT_TEST_PASSWORD"
SCRIPT = """\
CREATE TABLE coded (id int);
\\set rows 3
INSERT INTO coded SELECT generate_series(1, :rows);
"""
CODE = """
async def up(conn):
    await conn.execute("CREATE TABLE coded (id int)")
    await conn.executemany("INSERT INTO coded VALUES ($1)", [(n,) for n in range(3)])

async def down(conn):
    await conn.execute("DROP TABLE coded")

async def verify(conn):
    return await conn.fetchval("SELECT count(*) FROM coded") == 3
"""


def settings_of(house: House, programs: tuple[Language, ...]) -> Settings:
    agent = AgentSection(insecure_postgres=True, programs=programs)
    return Settings(database_url=SecretStr(house.url), agent=agent)


@pytest.fixture
async def tenant(
    house: House, tenant_databases: TenantDatabases, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return the address of a real database, registered as `real`."""
    (url,) = await tenant_databases(1)
    parts = urlsplit(url)
    monkeypatch.setenv(PASSWORD, parts.password or "")
    connection = Connection.at(
        host=parts.hostname or "",
        port=parts.port or 5432,
        database=parts.path[1:],
        user=parts.username or "",
        password=f"env:{PASSWORD}",
        sslmode="disable",
    )
    await house.ledger.fleet.add("real", "default", connection, {}, RequestContext())
    return url


@pytest.fixture
def module(house: House) -> Path:
    """Return the only migration of the folder: a Python module."""
    for other in house.folder.iterdir():
        other.unlink()
    path = house.folder / "20260301000000_code.py"
    path.write_text(CODE)
    return path


async def rows(url: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('coded')") is None:
            return None
        return await connection.fetchval("SELECT count(*) FROM coded")
    finally:
        await connection.close()


async def test_an_agent_without_leave_refuses_code_and_names_the_setting(
    house: House, tenant: str, module: Path
) -> None:
    async with working(house.ledger, settings_of(house, ())):
        await house.becomes(await house.start(select="id=real"), "halted")
    (refused,) = await house.events(CommandRefused)
    assert isinstance(refused.event, CommandRefused)
    assert refused.event.failure.kind == "program"
    assert "LEDGER_AGENT_PROGRAMS=python" in refused.event.failure.message
    assert await rows(tenant) is None


async def test_an_agent_with_leave_runs_code_and_takes_it_back(
    house: House, tenant: str, module: Path
) -> None:
    async with working(house.ledger, settings_of(house, (Language.PYTHON,))):
        rollout = await house.start(select="id=real")
        await house.becomes(rollout, "completed")
        assert await rows(tenant) == 3
        # The file is gone: what runs is the text that the ledger keeps under its hash.
        await asyncio.to_thread(module.unlink)
        undo = await house.roll_back(rollout)
        await house.becomes(undo, "completed")
    assert await rows(tenant) is None
    assert len(await house.events(MigrationApplied)) == 1
    assert len(await house.events(MigrationRolledBack)) == 1


@pytest.fixture
def script(house: House) -> None:
    """Leave one migration in the folder: a pair of files, the first of which only psql reads."""
    for other in house.folder.iterdir():
        other.unlink()
    (house.folder / "1_code.up.sql").write_text(SCRIPT)
    (house.folder / "1_code.down.sql").write_text("DROP TABLE coded;\n")


async def test_a_script_for_psql_is_not_planned_without_a_persons_leave(
    house: House, script: None
) -> None:
    with pytest.raises(PsqlScriptError, match="--allow-psql"):
        await house.ledger.rollouts.plan(house.request(format="golang-migrate"))


async def test_an_agent_without_leave_refuses_a_script_for_psql(
    house: House, tenant: str, script: None
) -> None:
    async with working(house.ledger, settings_of(house, (Language.PYTHON,))):
        await house.becomes(await house.start(select="id=real", psql=True), "halted")
    (refused,) = await house.events(CommandRefused)
    assert isinstance(refused.event, CommandRefused)
    assert "LEDGER_AGENT_PROGRAMS=psql" in refused.event.failure.message
    assert await rows(tenant) is None


@pytest.mark.usefixtures("psql")
async def test_a_script_for_psql_runs_where_person_and_agent_allow_it_and_is_taken_back(
    house: House, tenant: str, script: None
) -> None:
    async with working(house.ledger, settings_of(house, (Language.PSQL,))):
        rollout = await house.start(select="id=real", psql=True)
        await house.becomes(rollout, "completed")
        assert await rows(tenant) == 3
        undo = await house.roll_back(rollout)
        await house.becomes(undo, "completed")
    assert await rows(tenant) is None
