"""The real program, as a process of its own, and a fleet for it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pydantic import SecretStr

from ledger.cli.fleet.entries import FleetFileEntry
from ledger.contracts.registry import Connection
from ledger.runtime import open_ledger
from ledger.service.request_context import RequestContext
from ledger.settings import Settings
from ledger.store.install import install
from tests.support import warm
from tests.support.program import Answer, LedgerProgram, Started, StartLedger

PROGRAM = (sys.executable, "-c", "from ledger.cli.app.start import main; main()")
PATIENCE_S = 60.0

PARCELS = """\
-- +migrate Up
CREATE TABLE parcels (id bigint PRIMARY KEY);
-- +migrate Down
DROP TABLE parcels;
-- +migrate Verify
SELECT count(*) = 0 FROM parcels;
"""
WEIGHT = """\
-- +migrate Up
ALTER TABLE parcels ADD COLUMN weight int;
-- +migrate Down
ALTER TABLE parcels DROP COLUMN weight;
"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Registered databases: their ids, and the address of each."""

    addresses: dict[str, str]
    password: str


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A clean environment: no settings but those that a test gives."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    return kept | {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }


@pytest.fixture
def start_ledger(environment: dict[str, str], tmp_path: Path) -> StartLedger:
    """Return a function that starts the program in an empty folder."""

    async def start(*words: str, **variables: str) -> Started:
        return Started(await warm.start(words, tmp_path, environment | variables))

    return start


@pytest.fixture
def ledger(start_ledger: StartLedger) -> LedgerProgram:
    """Return a function that runs the program to its end."""

    async def run(*words: str, **variables: str) -> Answer:
        async with asyncio.timeout(PATIENCE_S):
            return await (await start_ledger(*words, **variables)).end()

    return run


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """The folder that the program looks for, with two migrations."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "1_parcels.sql").write_text(PARCELS)
    (folder / "2_weight.sql").write_text(WEIGHT)
    return folder


@pytest.fixture
async def database(
    fresh_database: Callable[[], Awaitable[str]], ledger_database: Callable[[], Awaitable[str]]
) -> str:
    """The address of an empty database, on a server that has the ledger's roles.

    An ordinary login cannot make those; a superuser's first ledger does.
    """
    await install(await ledger_database(), uuid4())
    return await fresh_database()


@pytest.fixture
async def installed(
    ledger_database: Callable[[], Awaitable[str]], environment: dict[str, str]
) -> str:
    """The address of a ledger without databases; the environment leads to it."""
    url = await ledger_database()
    await install(url, uuid4())
    environment |= {"LEDGER_DATABASE_URL": url, "LEDGER_NAME": "shop"}
    return url


@pytest.fixture
async def fleet(
    installed: str,
    environment: dict[str, str],
    tenant_databases: Callable[[int], Awaitable[list[str]]],
) -> Fleet:
    """Four tenants t0 to t3, registered; agents of this process may read their password."""
    urls = {f"t{number}": url for number, url in enumerate(await tenant_databases(4))}
    entries = [entry_of(database, url) for database, url in urls.items()]
    async with open_ledger(Settings(database_url=SecretStr(installed))) as opened:
        await opened.fleet.import_(entries, RequestContext())
    environment |= variables_of(installed, urls["t0"])
    return Fleet(urls, environment["TENANTS"])


def variables_of(ledger: str, tenant: str) -> dict[str, str]:
    """What leads the program to the ledger, and its agents into databases like `tenant`."""
    return {
        "LEDGER_DATABASE_URL": ledger,
        "LEDGER_NAME": "shop",
        "TENANTS": urlsplit(tenant).password or "",
        "LEDGER_AGENT_INSECURE_POSTGRES": "true",
    }


def entry_of(database: str, url: str) -> FleetFileEntry:
    """A tenant as `variables_of` lets it be reached."""
    parts = urlsplit(url)
    connection = Connection.at(
        host=parts.hostname or "",
        port=parts.port or 5432,
        database=parts.path[1:],
        user=parts.username or "",
        password="env:TENANTS",
        sslmode="disable",
    )
    return FleetFileEntry(database, "default", connection, {"half": f"h{int(database[1:]) % 2}"})
