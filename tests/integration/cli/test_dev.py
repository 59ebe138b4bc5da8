"""`ledger dev` as a process: whatever becomes of its reader, no server is left behind."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.cli.app.exits import ExitCode
from ledger.embedded.tenants import names_of
from tests.integration.cli.conftest import PROGRAM
from tests.support.patience import PATIENCE_S
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


@pytest.fixture
def dev_folder(server_folder: Path) -> Iterator[Path]:
    """Return a folder for `ledger dev`; what is left running there is ended."""
    yield server_folder
    for pid in running_in(server_folder):
        os.kill(pid, signal.SIGKILL)


def running_in(folder: Path) -> list[int]:
    """The servers that still run there, by their own pid files."""
    files = (folder / "postgres" / "postgres.pid", folder / "kafka" / "kafka.pid")
    pids = [int(file.read_text()) for file in files if file.exists()]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def start(environment: dict[str, str], folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start `ledger dev` there, and return when its servers run."""
    program = subprocess.Popen(
        [*PROGRAM, "dev", "--folder", str(folder), *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert program.stdout is not None
    for line in program.stdout:
        if "Ctrl-C stops the servers" in line:
            return program
    raise AssertionError("it ended before its servers ran")


def test_ports_stay_the_same_over_a_restart(environment: dict[str, str], dev_folder: Path) -> None:
    said = []
    for _ in range(2):
        program = start(environment, dev_folder, "--kafka")
        said.append(tomllib.loads((dev_folder / "ledger.toml").read_text()))
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=PATIENCE_S)
        assert program.returncode == ExitCode.OK
    assert said[0] == said[1]
    assert said[0]["kafka"]["bootstrap"]


def test_a_broker_that_died_is_noticed_told_and_ends_what_was_started_with_it(
    environment: dict[str, str], dev_folder: Path
) -> None:
    program = start(environment, dev_folder, "--kafka")
    broker = int((dev_folder / "kafka" / "kafka.pid").read_text())
    os.kill(broker, signal.SIGKILL)
    out, _ = program.communicate(timeout=PATIENCE_S)
    assert program.returncode == ExitCode.FAILED
    assert "Apache Kafka has ended, and nobody told it to; its log is" in out
    assert running_in(dev_folder) == []


def test_a_terminal_that_is_closed_takes_its_servers_with_it(
    environment: dict[str, str], dev_folder: Path
) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(PROGRAM[0], [*PROGRAM, "dev", "--folder", str(dev_folder)], environment)  # noqa: S606
    seen = b""
    while b"Ctrl-C stops the servers" not in seen:
        seen += os.read(terminal, 65_536)
    assert running_in(dev_folder)
    os.close(terminal)
    until = time.monotonic() + PATIENCE_S
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        assert time.monotonic() < until, "it goes on without its terminal"
        time.sleep(0.1)
    assert running_in(dev_folder) == []


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
