"""Local servers for one developer: one folder, one owner, settings that work."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path

import asyncpg
import pytest

from ledger.embedded.dev import DevServers
from ledger.embedded.errors import FolderInUse


async def database_at(url: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT current_database()")
    finally:
        await connection.close()


def test_the_printed_settings_lead_to_both_servers(server_folder: Path) -> None:
    with DevServers(server_folder, kafka=True) as servers:
        settings = servers.settings()
        assert asyncio.run(database_at(settings["LEDGER_DATABASE_URL"])) == "ledger"
        host, port = settings["LEDGER_KAFKA_BOOTSTRAP"].split(":")
        socket.create_connection((host, int(port))).close()
    assert servers.postgres.pid is None
    assert servers.kafka is not None
    assert servers.kafka.pid is None


def test_a_second_start_finds_the_same_database(server_folder: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        with DevServers(server_folder, say=said.append) as servers:
            assert "LEDGER_KAFKA_BOOTSTRAP" not in servers.settings()
    assert said[-1] == "The ledger's database is there already."


def test_a_folder_that_is_served_is_refused_and_its_servers_go_on(server_folder: Path) -> None:
    with DevServers(server_folder) as first:
        pid = first.postgres.pid
        second = DevServers(server_folder)
        with pytest.raises(FolderInUse, match="stop it first"):
            second.start()
        second.stop()
        with pytest.raises(FolderInUse):
            DevServers(server_folder).reset()
        assert first.postgres.pid == pid


def test_reset_deletes_the_data_of_both_servers(server_folder: Path) -> None:
    with DevServers(server_folder):
        (server_folder / "kafka").mkdir()
    DevServers(server_folder).reset()
    assert {each.name for each in server_folder.iterdir()} == {"lock", ".gitignore"}
    assert (server_folder / ".gitignore").read_text() == "*\n", (
        "a folder in a checkout stays out of it"
    )


def test_a_stop_that_comes_during_the_start_leaves_no_server(server_folder: Path) -> None:
    servers = DevServers(server_folder)
    starting = threading.Thread(target=servers.start)
    starting.start()
    while not (server_folder / "postgres").exists():
        time.sleep(0.01)
    servers.stop()
    starting.join()
    assert servers.postgres.pid is None
