"""The ports of embedded servers: chosen once, kept with the data."""

from __future__ import annotations

import socket
from pathlib import Path

from ledger.embedded.process import LOOPBACK, kept_ports


def test_ports_are_chosen_once_and_kept(tmp_path: Path) -> None:
    said: list[str] = []
    first = kept_ports(tmp_path / "ports", 2, said.append)
    assert kept_ports(tmp_path / "ports", 2, said.append) == first
    assert len(set(first)) == 2
    assert said == []


def test_a_port_that_somebody_else_has_taken_is_replaced_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    (first,) = kept_ports(tmp_path / "ports", 1, said.append)
    with socket.create_server((LOOPBACK, first)):
        (second,) = kept_ports(tmp_path / "ports", 1, said.append)
    assert second != first
    assert said == [
        f"Another program has a port of {tmp_path}: this server has {second} from now on."
    ]
    assert kept_ports(tmp_path / "ports", 1, said.append) == [second]


def test_a_file_that_keeps_no_ports_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "ports").write_text("abc 99999999")
    ports = kept_ports(tmp_path / "ports", 1, lambda _: None)
    assert (tmp_path / "ports").read_text() == str(ports[0])
