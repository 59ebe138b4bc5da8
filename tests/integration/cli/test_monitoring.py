"""The port at which a leader says how it is: one sentence when it cannot be had."""

from __future__ import annotations

import socket

import pytest

from ledger.cli.app.exits import ExitCode
from tests.support.program import LedgerProgram


async def test_a_port_that_is_taken_is_named_with_its_setting(
    ledger: LedgerProgram, installed: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = await ledger("serve", LEDGER_MONITORING_PORT=str(port))
    assert answer.code == ExitCode.USAGE
    assert f"127.0.0.1:{port}" in answer.err
    assert "LEDGER_MONITORING_PORT" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "70000", "no"])
async def test_a_port_that_can_be_none_is_refused(ledger: LedgerProgram, port: str) -> None:
    answer = await ledger("serve", LEDGER_MONITORING_PORT=port)
    assert answer.code == ExitCode.USAGE
    assert "monitoring.port" in answer.err
