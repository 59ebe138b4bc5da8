"""`ledger dev` as a process: whatever becomes of its reader, no server is left behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.integration.cli.conftest import PATIENCE_S, PROGRAM


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
