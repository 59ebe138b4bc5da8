"""Ports and processes of embedded servers."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from ledger.embedded.process import LISTENING_PORTS, LOOPBACK, ServerProcess, free_ports

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"


def sleeper(folder: Path) -> ServerProcess:
    return ServerProcess(folder / "log", folder / "pid", mark=folder)


def start(process: ServerProcess, folder: Path) -> None:
    """Start a program that sleeps, and return when it said that it runs."""
    known = process.log.stat().st_size if process.log.exists() else 0
    process.start([sys.executable, "-c", SLEEP, str(folder)], environment=os.environ)
    while process.log.stat().st_size == known:
        time.sleep(0.01)


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_no_outgoing_connection_is_given_a_port_that_a_server_will_listen_on() -> None:
    with socket.socket() as outgoing:
        outgoing.bind((LOOPBACK, 0))
        given: int = outgoing.getsockname()[1]
    assert given not in LISTENING_PORTS
    assert set(free_ports(50)) <= set(LISTENING_PORTS)


def test_a_port_where_somebody_listens_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = free_ports(2)
    monkeypatch.setattr("ledger.embedded.process.LISTENING_PORTS", (taken, free))
    with socket.create_server((LOOPBACK, taken)):
        assert free_ports(1) == [free]
        with pytest.raises(OSError, match="1 ports are free"):
            free_ports(2)


def test_a_stopped_server_has_no_process_id(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    start(process, tmp_path)
    pid = process.pid
    process.stop(signal.SIGTERM)
    assert pid is not None
    assert process.pid is None
    assert process.exit_code == -signal.SIGTERM


def test_a_server_left_by_a_killed_parent_is_ended_by_the_next_start(tmp_path: Path) -> None:
    orphan, successor = sleeper(tmp_path), sleeper(tmp_path)
    start(orphan, tmp_path)
    try:
        start(successor, tmp_path)
        assert orphan.exit_code == -signal.SIGTERM
        assert successor.pid is not None
    finally:
        successor.kill()
        orphan.kill()


def test_a_stranger_with_the_old_process_id_is_left_alone(tmp_path: Path) -> None:
    stranger, process = (
        sleeper(tmp_path),
        ServerProcess(tmp_path / "log", tmp_path / "pid", mark=tmp_path / "another"),
    )
    start(stranger, tmp_path)
    try:
        process.stop(signal.SIGTERM)
        assert stranger.pid is not None
    finally:
        stranger.kill()


def test_the_last_words_are_the_end_of_the_log(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    assert process.last_words() == "(nothing)"
    process.log.write_text("x" * 5000 + "no space left\n")
    assert process.last_words().endswith("xno space left")
    assert len(process.last_words()) <= 2000
