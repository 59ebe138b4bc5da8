"""Real servers that refuse the ledger's session: the sentence says what the server meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from ledger.errors import LedgerUnreachable
from ledger.store.connections import open_pool
from ledger.store.install import install
from tests.integration.migrations.test_waiting_for_servers import free_port
from tests.integration.migrations.world import until
from tests.support.black_hole import black_hole
from tests.support.tls_server import KEYS, make_certificate, tls_server

ROLES = """
    CREATE ROLE nora LOGIN PASSWORD 'x';
    CREATE ROLE away NOLOGIN PASSWORD 'x';
    CREATE ROLE old LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01';
    CREATE ROLE few LOGIN PASSWORD 'x' CONNECTION LIMIT 0;
    CREATE ROLE barred LOGIN PASSWORD 'x';
"""
DATABASES = (
    "CREATE DATABASE ledger",
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    "CREATE DATABASE private",
    "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
)
REFUSED = [
    ("nora:x", "ledger", "role nora has no rights in this ledger; GRANT ledger_viewer TO nora"),
    ("nora:y", "ledger", "refuses the password of role nora"),
    ("nora", "ledger", "refuses the password of role nora"),
    ("old:x", "ledger", "ALTER ROLE old VALID UNTIL 'infinity'"),
    ("away:x", "ledger", "ALTER ROLE away LOGIN"),
    ("few:x", "ledger", "ALTER ROLE few CONNECTION LIMIT -1"),
    ("barred:x", "ledger", "no line in pg_hba.conf that lets role barred from this host into"),
    ("barred:x", "ledger?sslmode=disable", "without TLS; end the address with ?sslmode=verify"),
    ("nora:x", "nosuch", "the server has no database nosuch; correct the name, or CREATE DATABASE"),
    ("nora:x", "closed", "ALTER DATABASE closed ALLOW_CONNECTIONS true"),
    ("nora:x", "private", "GRANT CONNECT ON DATABASE private TO nora"),
    ("nora:x", "ledger?channel_bindung=x", "does not know: channel_bindung; leave it out"),
    ("nora:x", "ledger?work_mem=lots", "the value of a parameter of the address: work_mem"),
    ("nora:x", "ledger?sslmode=require", "does not offer TLS"),
    ("nora:x", "ledger?sslmode=verify-full", "add &sslrootcert=FILE to the address"),
]


async def refusal(url: str) -> str:
    """What is said instead of a session."""
    with pytest.raises(LedgerUnreachable) as refused:
        await open_pool(url)
    return str(refused.value)


async def test_a_server_s_refusal_names_the_place_what_was_refused_and_the_remedy(
    own_postgres: EmbeddedPostgres,
) -> None:
    admin = await asyncpg.connect(own_postgres.url())
    await admin.execute(ROLES)
    for statement in DATABASES:
        await admin.execute(statement)
    await install(own_postgres.url("ledger"), uuid4())
    lines = own_postgres.data / "pg_hba.conf"
    lines.write_text("host all barred all reject\n" + lines.read_text())
    await admin.execute("SELECT pg_reload_conf()")
    known = "SELECT count(*) FROM pg_hba_file_rules WHERE 'barred' = ANY (user_name)"
    await until(lambda: admin.fetchval(known))
    place = f"{own_postgres.host}:{own_postgres.port}"
    for who, where, said in REFUSED:
        told = await refusal(f"postgresql://{who}@{place}/{where}")
        assert said in told
        name = where.partition("?")[0]
        assert told.startswith(f"the ledger's database, {name} at {place}, ")
    await admin.close()


async def test_a_server_that_swallows_everything_is_given_up_in_seconds(
    own_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.store.connections.CONNECT_WITHIN_S", 0.3)
    async with black_hole(own_postgres.host, own_postgres.port) as between:
        between.swallow()
        told = await refusal(f"postgresql://nora:x@127.0.0.1:{between.port}/ledger")
    assert f"ledger at 127.0.0.1:{between.port}, did not answer within" in told


async def test_nobody_who_listens_is_told_by_host_and_port() -> None:
    port = free_port()
    for host in ("127.0.0.1", "localhost"):
        told = await refusal(f"postgresql://nora:x@{host}:{port}/ledger")
        assert f"ledger at {host}:{port}, cannot be reached: nobody listens there" in told
    told = await refusal("postgresql://nora:x@nosuch.invalid/ledger")
    assert "the name nosuch.invalid cannot be looked up" in told or "no host is called" in told


# --- TLS -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Secured:
    """A server that takes TLS alone, its certificate for `localhost`, and one that is not its."""

    server: EmbeddedPostgres
    certificate: Path
    other: Path


@pytest.fixture
def secured(server_folder: Path) -> Iterator[Secured]:
    """Return a running server with TLS."""
    certificate, key = make_certificate(server_folder, "server", *KEYS["ECDSA"])
    other, _ = make_certificate(server_folder, "other", *KEYS["ECDSA"])
    lines = "hostssl all all all scram-sha-256\n"
    with tls_server(server_folder / "postgres", certificate, key, lines) as server:
        yield Secured(server, certificate, other)


async def test_what_tls_refuses_is_told_by_its_cause(secured: Secured) -> None:
    def at(host: str, query: str) -> str:
        url = secured.server.url("postgres").replace("127.0.0.1", host)
        return f"{url}?{query}"

    trusted = f"sslmode=verify-full&sslrootcert={secured.certificate}"
    pool = await open_pool(at("localhost", trusted))
    await pool.close()
    for host, query, said in (
        ("127.0.0.1", trusted, "shows a certificate for another name than 127.0.0.1"),
        ("localhost", f"sslmode=verify-full&sslrootcert={secured.other}", "?sslrootcert=FILE"),
        ("localhost", "sslmode=verify-full&sslrootcert=/nosuch.pem", "the path, /nosuch.pem"),
        ("localhost", f"sslmode=verify-full&sslrootcert={__file__}", "files of the form PEM"),
        ("localhost", "sslmode=disable", "without TLS; end the address with ?sslmode=verify-full"),
    ):
        told = await refusal(at(host, query))
        assert said in told, told
        assert f"postgres at {host}:{secured.server.port}" in told
