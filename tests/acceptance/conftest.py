"""What acceptance tests run on: a fleet of real databases, a real broker, real processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ledger.embedded.kafka import EmbeddedKafka
from tests.fixtures.postgres import FreshDatabase, TenantDatabases
from tests.support.fleet import PASSWORD_VARIABLE, Fleet, Tenant, prepare, tenants_of

RESEND_S = "2"
"""Short, so that a lost command is seen to come again within a test."""
RESEND_NEVER = {"LEDGER_RESEND_S": "600"}
"""For tests that count what an agent did: on a busy machine it would be asked once more."""

MakeFleet = Callable[..., Awaitable[Fleet]]
"""Makes a fleet: `await make_fleet(databases=6, bootstrap=…)`; `None` means one process."""


@pytest.fixture
async def make_fleet(
    superuser_database: FreshDatabase,
    tenant_databases: TenantDatabases,
    topic_prefix: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[MakeFleet]:
    """Return a function that makes a fleet; what it started ends with the test."""
    made: list[Fleet] = []
    request.node.stash[FLEETS] = made

    async def make(
        databases: int = 6, bootstrap: str | None = None, port: int | None = None
    ) -> Fleet:
        folder = tmp_path / f"fleet{len(made)}" / "migrations"
        folder.mkdir(parents=True)
        url = await superuser_database()
        tenants = tenants_of(await tenant_databases(databases))
        pool = f"{topic_prefix}-{len(made)}"
        env = environment(url, pool, bootstrap, tenants)
        made.append(Fleet(url, pool, tenants, folder, bootstrap, env))
        await prepare(made[-1], port)
        return made[-1]

    yield make
    for fleet in made:
        fleet.end()


@pytest.fixture
async def fleet(make_fleet: MakeFleet, kafka_broker: str) -> Fleet:
    """Return six databases over the broker that all tests share; nothing runs yet."""
    return await make_fleet(bootstrap=kafka_broker)


@pytest.fixture(scope="session")
def victim(servers_folder: Path) -> Iterator[EmbeddedKafka]:
    """Return a broker beside the one that is shared, for the tests that break it."""
    broker = EmbeddedKafka(servers_folder / "victim")
    yield broker
    broker.stop()


@pytest.fixture
async def breakable(make_fleet: MakeFleet, victim: EmbeddedKafka) -> Fleet:
    """Return six databases over a broker that the test may kill, restart and empty."""
    await asyncio.to_thread(victim.start)
    return await make_fleet(bootstrap=victim.bootstrap)


def environment(
    ledger_url: str, pool: str, bootstrap: str | None, tenants: Sequence[Tenant]
) -> dict[str, str]:
    """The variables of a fleet's processes: nothing of the developer's own settings."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LEDGER_", "OTEL_", "PG"))
    }
    return clean | {
        "LEDGER_DATABASE_URL": ledger_url,
        "LEDGER_NAME": pool,
        "LEDGER_POOL": pool,
        "LEDGER_RESEND_S": RESEND_S,
        "LEDGER_AGENT_INSECURE_POSTGRES": "true",
        PASSWORD_VARIABLE: urlsplit(tenants[0].url).password or "",
        **({"LEDGER_KAFKA_BOOTSTRAP": bootstrap} if bootstrap else {}),
    }


FLEETS = pytest.StashKey[list[Fleet]]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, object, None]:
    """Show what the processes said when a test failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for fleet in item.stash.get(FLEETS, []):
            for process in fleet.processes:
                report.sections.append((f"output of {process.log.name}", process.said()[-8000:]))
