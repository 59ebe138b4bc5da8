"""`ledger audit watch` as a process: what it found stands at its port until it is stopped."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import urllib.request

from tests.integration.cli.conftest import Fleet
from tests.integration.cli.test_record import run
from tests.support.processes import until
from tests.support.program import LedgerProgram, StartLedger

DRIFT = "UPDATE ledger.fleet_database SET pool = 'x' WHERE database = 't2'"
REHASHED = """
    SET session_replication_role = replica;
    UPDATE ledger.log SET recorded_by = 'somebody' WHERE position = 3;
"""
FIGURE = re.compile(
    r'^migration_ledger_audit_differences\{migration_ledger_audited="([a-z ]+)"\} ([0-9.]+)$',
    re.MULTILINE,
)


async def test_what_differs_is_found_in_the_next_round_and_said_at_its_port(
    ledger: LedgerProgram, start_ledger: StartLedger, installed: str, fleet: Fleet
) -> None:
    assert (await ledger("status")).code == 0, "which projects the fleet"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    watching = await start_ledger(
        "audit", "watch", "--every-h", "0.001", "-o", "ndjson", LEDGER_MONITORING_PORT=str(port)
    )
    assert watching.process.stdout is not None
    assert b"every_h" in await watching.process.stdout.readline()

    async def differences() -> dict[str, float]:
        def ask() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as said:
                return str(said.read().decode())

        text = await asyncio.to_thread(ask)
        return {name: float(value) for name, value in FIGURE.findall(text)}

    async def is_whole() -> bool:
        return await differences() == {"chain": 0, "kept end": 0, "rows": 0}

    await until(is_whole, "a round has found nothing")
    await run(installed, DRIFT)

    async def differs() -> bool:
        return await differences() == {"chain": 0, "kept end": 0, "rows": 1}

    await until(differs, "the next round has found the row")
    await run(installed, REHASHED)

    async def is_broken() -> bool:
        return (await differences())["chain"] == 1

    await until(is_broken, "the next round has found the event")
    watching.signal(signal.SIGTERM)
    answer = await watching.end()
    assert answer.code == 0
    recorded = await ledger("events", "--type", "DifferenceFound", "-o", "json")
    assert '"rows"' in recorded.out
    assert '"chain"' in recorded.out
    assert "`ledger replay` names the rows" in answer.err
    assert "`ledger audit verify` names the first position" in answer.err
    assert "Traceback" not in answer.err
