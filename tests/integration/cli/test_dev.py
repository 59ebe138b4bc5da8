"""`ledger dev` as a process: whatever becomes of its reader, no server is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from ledger.embedded.tenants import names_of
from tests.integration.cli.conftest import PATIENCE_S, PROGRAM
from tests.support.program import LedgerProgram, StartLedger


def test_servers_are_stopped_when_whoever_read_the_settings_is_gone(
    environment: dict[str, str], server_folder: Path
) -> None:
    program = subprocess.Popen(
        [*PROGRAM, "dev", "--folder", str(server_folder)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert program.stdout is not None
    assert b"Starting PostgreSQL" in program.stdout.readline()
    program.stdout.close()
    program.wait(PATIENCE_S)
    pid_file = server_folder / "postgres" / "data" / "postmaster.pid"
    try:
        assert not pid_file.exists()
    finally:
        if pid_file.exists():
            os.kill(int(pid_file.read_text().split()[0]), 2)


async def test_five_minutes_need_no_other_server(
    start_ledger: StartLedger, ledger: LedgerProgram, migrations: Path, server_folder: Path
) -> None:
    """A fleet of three tenants is made, imported, looked at and migrated, as the README says."""
    folder = server_folder / "dev"
    servers = await start_ledger("dev", "--tenants", "3", "--folder", str(folder))
    try:
        await servers.says("Ctrl-C stops the servers")
        await servers.says("then `ledger fleet import")
        own = ("--config", str(folder / "ledger.toml"))
        secret = folder / "secrets" / "acme"
        assert secret.stat().st_mode & 0o077 == 0
        for words in (
            ("init", "--yes"),
            ("fleet", "import", str(folder / "fleet.yaml"), "--yes"),
            ("fleet", "check"),
            ("up", "--yes"),
        ):
            answer = await ledger(*own, *words)
            assert answer.code == 0, (words, answer.out, answer.err)
        listed = (await ledger(*own, "fleet", "list", "-o", "json")).items
        assert [one["database"] for one in listed] == ["acme", "bolt", "cyan"]
        assert "rollout" in answer.out
        assert "completed: 3 applied" in answer.out
    finally:
        servers.signal(signal.SIGINT)
        await servers.end()


def test_tenants_behind_the_names_are_numbered_and_none_twice() -> None:
    names = names_of(12)
    assert names[:3] == ("acme", "bolt", "cyan")
    assert len(set(names)) == 12
    assert names_of(0) == ()
