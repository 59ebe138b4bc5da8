"""One process that leads and works: how it begins, what it survives, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from ledger.cli.app.exits import ExitCode
from ledger.contracts.registry import Connection
from ledger.contracts.reports import AttemptFinished, MigrationApplied
from ledger.embedded.postgres import EmbeddedPostgres
from ledger.errors import LeadershipLost, LedgerUnreachable
from ledger.leader.intake import Intake
from ledger.runtime import install, working
from ledger.service.request_context import RequestContext
from ledger.settings import AgentSection, Settings
from tests.fixtures.postgres import TenantDatabases
from tests.support import warm
from tests.support.house import House, found, house_at
from tests.support.patience import PATIENCE_S

PASSWORD = "TENANT_TEST_PASSWORD"
END_LEADERS_SESSION = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'migration-ledger leader'
"""
OURS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'migration-ledger%'
"""
SLEEPS = "SELECT pg_sleep(1.5);"


async def query(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def settings_of(house: House) -> Settings:
    agent = AgentSection(insecure_postgres=True)
    return Settings(database_url=SecretStr(house.url), agent=agent)


async def add(house: House, database: str, url: str, pool: str = "default") -> None:
    parts = urlsplit(url)
    connection = Connection.at(
        host=parts.hostname or "",
        port=parts.port or 5432,
        database=parts.path[1:],
        user=parts.username or "",
        password=f"env:{PASSWORD}",
        sslmode="disable",
    )
    await house.ledger.fleet.add(database, pool, connection, {}, RequestContext())


@pytest.fixture
async def tenant(
    house: House, tenant_databases: TenantDatabases, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return the address of a real database, registered as `real`."""
    (url,) = await tenant_databases(1)
    monkeypatch.setenv(PASSWORD, urlsplit(url).password or "")
    await add(house, "real", url)
    return url


async def test_a_pool_that_comes_later_gets_an_agent(
    house: House, tenant: str, tenant_databases: TenantDatabases
) -> None:
    async with working(house.ledger, settings_of(house)):
        first = await house.start(select="id=real")
        await house.becomes(first, "completed")
        (url,) = await tenant_databases(1)
        await add(house, "late", url, pool="later")
        second = await house.start(select="id=late")
        await house.becomes(second, "completed")
    assert await query(url, "SELECT to_regclass('t2') IS NOT NULL")


async def test_what_runs_when_the_block_ends_is_finished_and_recorded(
    house: House, tenant: str
) -> None:
    house.migration("3", comment=SLEEPS)
    async with working(house.ledger, settings_of(house)):
        await house.start(select="id=real")
        await house.at_least(2, MigrationApplied)
    assert len(await house.events(MigrationApplied)) == 3
    assert len(await house.events(AttemptFinished)) == 1
    assert await house.ledger.leader() is None


async def test_a_lost_leadership_ends_the_block_and_lets_the_database_finish(
    house: House, tenant: str
) -> None:
    house.migration("3", comment=SLEEPS)

    async def work() -> None:
        async with working(house.ledger, settings_of(house)):
            await house.start(select="id=real")
            await house.at_least(2, MigrationApplied)
            await query(house.url, END_LEADERS_SESSION)
            await asyncio.Event().wait()

    with pytest.raises(LeadershipLost, match="nothing is lost"):
        await work()
    assert await query(tenant, "SELECT to_regclass('t3') IS NOT NULL")
    async with working(house.ledger, settings_of(house)):
        await house.becomes(await house.ledger.rollouts.current(), "completed")
    assert len(await house.events(MigrationApplied)) == 3


async def test_an_intake_that_breaks_while_the_block_ends_does_not_hold_it_up(
    house: House, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.migration("3", comment=SLEEPS)
    take = Intake._take

    async def breaking(intake: Intake, partition: int, messages: object) -> None:
        if ending.is_set():
            raise LedgerUnreachable("is gone", "wait")
        await take(intake, partition, messages)  # type: ignore[arg-type]

    ending = asyncio.Event()
    monkeypatch.setattr(Intake, "_take", breaking)

    async def work() -> None:
        async with asyncio.timeout(PATIENCE_S), working(house.ledger, settings_of(house)):
            await house.start(select="id=real")
            await house.at_least(2, MigrationApplied)
            ending.set()

    with pytest.raises(LedgerUnreachable):
        await work()


@asynccontextmanager
async def serving(
    house_url: str, folder: Path, **variables: str
) -> AsyncIterator[warm.WarmProcess]:
    """`ledger serve`, once it leads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    own = {"LEDGER_DATABASE_URL": house_url, "LEDGER_AGENT_INSECURE_POSTGRES": "true"}
    process = await warm.start(("serve",), folder, kept | own | variables)
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert b"leading as" in await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: warm.WarmProcess) -> tuple[int, str]:
    async with asyncio.timeout(PATIENCE_S):
        _, err = await process.communicate()
    return process.returncode or 0, err.decode()


async def test_serve_picks_up_what_was_recorded_and_the_first_signal_lets_it_finish(
    house: House, tenant: str, tmp_path: Path
) -> None:
    house.migration("3", comment=SLEEPS)
    rollout = await house.start(select="id=real")
    async with serving(house.url, tmp_path) as process:
        await house.at_least(2, MigrationApplied)
        process.send_signal(signal.SIGTERM)
        code, said = await ended(process)
    assert (code, said.strip()) == (0, "stopped")
    assert len(await house.events(MigrationApplied)) == 3
    assert (await house.ledger.rollouts.status(rollout)).counts == {"applied": 1}


async def test_the_second_signal_ends_serve_at_once_and_nothing_is_half_done(
    house: House, tenant: str, tmp_path: Path
) -> None:
    house.migration("3", comment="SELECT pg_sleep(600);")
    rollout = await house.start(select="id=real")
    async with serving(house.url, tmp_path, LEDGER_AGENT_GRACE_S="600") as process:
        await house.at_least(2, MigrationApplied)
        # Two of a kind may be heard as one. Had the first ended it, the code would be 0.
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        code, said = await ended(process)
    assert code == ExitCode.INTERRUPTED
    assert "Traceback" not in said
    assert not await query(tenant, "SELECT to_regclass('t3') IS NOT NULL")

    async def alone() -> bool | None:
        return True if await query(tenant, OURS) == 0 else None

    await found(alone, "no session of ours is left")
    assert (await house.ledger.rollouts.status(rollout)).status == "running"


async def test_a_ledger_whose_server_restarts_ends_the_leader_with_one_sentence(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    url = own_postgres.url()
    folder = tmp_path / "migrations"
    folder.mkdir()
    await install(Settings(database_url=SecretStr(url)))
    async with house_at(url, folder) as house:
        await house.register("acme", pool="default")
        house.migration("1")
        rollout = await house.start()
    async with serving(url, tmp_path) as process:
        own_postgres.stop()
        code, said = await ended(process)
        own_postgres.start()
    assert code in (ExitCode.NO_LEADER, ExitCode.UNREACHABLE)
    assert "Traceback" not in said
    (sentence,) = [line for line in said.splitlines() if line.startswith("ledger: ")]
    assert "the ledger's database" in sentence
    async with house_at(own_postgres.url(), folder) as house, house.leading():
        async with house.actor("default") as actor:
            await actor.applies(await actor.ordered("acme"))
            await house.becomes(rollout, "completed")
        assert not (await house.ledger.audit.replay()).differences
