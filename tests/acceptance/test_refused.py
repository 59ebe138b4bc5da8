"""What must not happen is refused, by whoever can tell: the agent, the database, the ledger."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from ledger.contracts.envelope import Metadata, encode, report_id
from ledger.contracts.events import RolloutPaused
from ledger.contracts.reports import CommandRefused, MigrationApplied
from ledger.embedded.kafka import EmbeddedKafka
from ledger.embedded.process import LOOPBACK, free_ports
from ledger.errors import NotPermitted
from ledger.store.connections import open_pool
from ledger.store.log.log import EventLog
from tests.acceptance.conftest import MakeFleet
from tests.fixtures.postgres import PostgresServer
from tests.support import invariants
from tests.support.fleet import Fleet
from tests.support.installed import installed
from tests.support.pooler import pooler
from tests.support.processes import until

FIRST = "20260101000000"


@pytest.mark.parametrize("kind", ["our own small one", "PgBouncer"])
async def test_a_pooler_in_transaction_mode_is_refused(
    make_fleet: MakeFleet,
    kafka_broker: str,
    postgres_server: PostgresServer,
    server_folder: Path,
    kind: str,
) -> None:
    parts = urlsplit(postgres_server.admin_url)
    pooled = small_pooler(parts.port or 5432)
    if kind == "PgBouncer":
        program = installed("pgbouncer")
        pooled = pgbouncer(program, server_folder, parts.port or 5432, parts.password or "")
    async with pooled as port:
        fleet = await make_fleet(databases=2, bootstrap=kafka_broker, port=port)
        fleet.migration(FIRST)
        await fleet.serve()
        fleet.agent()
        rollout = await fleet.start("--waves", "rest", "--budget", "100%")
        status = await fleet.reached(rollout, "completed")
    assert status.counts == {"failed": 2}
    refused = [one.event for one in await fleet.events(CommandRefused)]
    assert len(refused) == 2
    assert all(
        "pooler" in one.failure.message for one in refused if isinstance(one, CommandRefused)
    )
    for tenant in fleet.tenants:
        assert await tenant.value("SELECT to_regnamespace('migration_ledger') IS NULL")
    await invariants.hold(fleet)


async def test_our_own_small_pooler_shares_servers_as_poolers_do(
    postgres_server: PostgresServer,
) -> None:
    parts = urlsplit(postgres_server.admin_url)
    async with pooler(LOOPBACK, parts.port or 5432) as shared:
        url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{shared.port}"))
        clients = [await asyncpg.connect(url.geturl(), statement_cache_size=0) for _ in range(2)]
        try:
            backends = [await clients[0].fetchval("SELECT pg_backend_pid()") for _ in range(4)]
            async with clients[1].transaction():
                held = {await clients[1].fetchval("SELECT pg_backend_pid()") for _ in range(4)}
            assert clients[0].get_server_pid() not in backends
        finally:
            for client in clients:
                await client.close()
    assert len(set(backends)) == 2
    assert len(held) == 1
    assert shared.switched > 0


async def test_an_operator_who_invents_a_report_is_refused_by_the_database(
    fleet: Fleet, postgres_server: PostgresServer
) -> None:
    fleet.migration(FIRST)
    await fleet.serve()
    rollout = await fleet.start("--waves", "rest")
    name = f"operator_{uuid4().hex[:8]}"
    await postgres_server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE ledger_operator")
    url = fleet.ledger_url.replace(urlsplit(fleet.ledger_url).netloc.split("@")[0], f"{name}:x")
    pool = await open_pool(url, max_size=1)
    try:
        report = MigrationApplied(
            database="db00",
            command=uuid4(),
            version=FIRST,
            checksum="0" * 64,
            duration_ms=1,
            statements=1,
        )
        invented = encode(report, report_id(report), Metadata())
        stream = f"rollout-{rollout}/reports"
        with pytest.raises(NotPermitted) as refused:
            await EventLog(pool).append(stream, [invented])
        assert (refused.value.role, refused.value.event_type) == (name, "MigrationApplied")
        for write in ("INSERT INTO ledger.log DEFAULT VALUES", "DELETE FROM ledger.log"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(write)
    finally:
        await pool.close()
    # As itself, it may pause, and that is what the log says.
    await fleet.ledger("rollout", "pause", "--reason", "suspicious", LEDGER_DATABASE_URL=url)
    (paused,) = await fleet.events(RolloutPaused)
    assert paused.recorded_by == name
    assert await fleet.events(MigrationApplied) == []
    await invariants.hold(fleet)
    await postgres_server.execute(f"DROP ROLE {name}")


async def test_a_second_leader_is_refused_with_the_name_of_the_first(fleet: Fleet) -> None:
    leader = await fleet.serve()
    answer = await fleet.ledger("serve", code=None)
    assert answer.code not in (0, 1, 2)
    assert f"{socket.gethostname()}-{leader.pid}" in answer.err
    assert leader.exit_code is None
    await invariants.hold(fleet)


async def test_without_a_leader_a_rollout_is_recorded_and_waits(fleet: Fleet) -> None:
    fleet.migration(FIRST)
    answer = await fleet.ledger("up", "--folder", str(fleet.folder), "--yes", code=5)
    assert "ledger serve" in answer.err
    rollout = (await fleet.ledger("rollout", "list", "-o", "ndjson")).out.split('"rollout":"')[1][
        :8
    ]
    status = await fleet.status(rollout)
    assert status.status == "running"
    assert {line.waits_for for line in status.databases} == {"no leader"}
    fleet.agent()
    await fleet.serve()
    done = await fleet.reached(rollout, "completed")
    assert done.counts == {"applied": 6}
    await invariants.hold(fleet)


async def test_two_ledgers_on_one_broker_do_not_hear_each_other(
    make_fleet: MakeFleet, kafka_broker: str
) -> None:
    fleets = [await make_fleet(databases=2, bootstrap=kafka_broker) for _ in range(2)]
    for fleet in fleets:
        fleet.migration(FIRST)
        await fleet.serve()
        fleet.agent()
    rollouts = [await fleet.start("--waves", "rest") for fleet in fleets]
    for fleet, rollout in zip(fleets, rollouts, strict=True):
        await fleet.reached(rollout, "completed")
        streams = {one.stream for one in await fleet.events() if one.stream.endswith("/reports")}
        assert streams == {f"rollout-{rollout}/reports"}
        await invariants.hold(fleet)


async def test_a_stopped_broker_does_not_keep_a_leader_from_stopping(
    breakable: Fleet, victim: EmbeddedKafka
) -> None:
    fleet = breakable
    fleet.migration(FIRST)
    leader = await fleet.serve()
    victim.kill()
    await fleet.start("--waves", "rest")
    leader.ask_to_stop()
    assert await leader.ended() == 0
    await invariants.hold(fleet)


@asynccontextmanager
async def small_pooler(server_port: int) -> AsyncIterator[int]:
    """The port of a pooler of ours, which has really switched connections at the end."""
    async with pooler(LOOPBACK, server_port) as shared:
        yield shared.port
        assert shared.clients > 1


@asynccontextmanager
async def pgbouncer(
    program: str, folder: Path, server_port: int, password: str
) -> AsyncIterator[int]:
    """The port of a PgBouncer in transaction mode that lets our session settings pass."""
    (port,) = free_ports(1)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"""[databases]
* = host={LOOPBACK} port={server_port} user=postgres password={password}
[pgbouncer]
listen_addr = {LOOPBACK}
listen_port = {port}
auth_type = any
pool_mode = transaction
unix_socket_dir =
ignore_startup_parameters = client_connection_check_interval, tcp_keepalives_idle, \
tcp_keepalives_interval, tcp_keepalives_count, tcp_user_timeout, statement_timeout, lock_timeout, \
idle_in_transaction_session_timeout, search_path
"""
    )
    config.chmod(0o644)
    account = "nobody" if os.geteuid() == 0 else None
    running = await asyncio.create_subprocess_exec(program, "-q", str(config), user=account)
    try:
        await until(lambda: _answers(port), "PgBouncer listens")
        yield port
    finally:
        running.terminate()
        await running.wait()


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex((LOOPBACK, port)) == 0
