"""A tracing collector that is away: nobody waits for it, and one line says what is lost."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from threading import Event

import pytest

from ledger import collector
from ledger.collector import Collector, within
from tests.support.collector import collecting

PROGRAMS = {
    "ledger": ("from ledger.cli.app.start import main; main()", ["version", "-o", "json"]),
    "ledger-agent": ("from agents.cli import main; main()", ["check"]),
}
AWAY = "http://127.0.0.1:1"


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def run(program: str, endpoint: str, **more: str) -> subprocess.CompletedProcess[str]:
    """How a program of ours ends that is to export there."""
    code, words = PROGRAMS[program]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "LEDGER_"))
    }
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        env=kept | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} | more,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_collector_that_is_away_is_told_in_one_line_and_changes_no_exit_code(
    program: str,
) -> None:
    answer, without = run(program, AWAY), run(program, "")
    assert (answer.returncode, answer.stdout) == (without.returncode, without.stdout)
    said = [line for line in answer.stderr.splitlines() if line not in without.stderr.splitlines()]
    (line,) = said
    assert "traces and metrics are lost: the collector at 127.0.0.1:1 does not take them" in line


def test_one_that_takes_connections_and_says_nothing_is_given_up_and_told(deaf: str) -> None:
    answer = run("ledger", deaf)
    assert answer.returncode == 0
    assert answer.stderr.count("\n") == 1
    assert "are lost: the collector at 127.0.0.1" in answer.stderr


def test_a_collector_that_is_there_gets_the_last_span(capsys: pytest.CaptureFixture[str]) -> None:
    with collecting() as there:
        answer = run("ledger", there.endpoint)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert [span.name for span in there.spans] == ["ledger version"]


def test_an_exporter_that_is_not_offered_is_named() -> None:
    answer = run("ledger", AWAY, OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="none")
    assert answer.stderr.count("\n") == 1
    assert "OTEL_TRACES_EXPORTER=console is not offered here" in answer.stderr


def test_where_nobody_listens_nothing_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[int] = []
    with caplog.at_level(logging.WARNING):
        Collector(AWAY, "traces").hand_over(lambda: sent.append(1))
    assert sent == []
    assert len(caplog.records) == 1


def test_an_outage_is_told_once_and_the_next_one_again(caplog: pytest.LogCaptureFixture) -> None:
    there = Collector(AWAY, "traces")
    with caplog.at_level(logging.WARNING):
        for taken in (False, False, True, False, False):
            there.took(taken)
    assert len(caplog.records) == 2


def test_what_does_not_end_is_not_waited_for() -> None:
    never = Event()
    assert not within(0.05, never.wait)
    assert within(30.0, never.is_set)
    never.set()


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("http://otel.example:4318", ("otel.example", 4318)),
        ("https://otel.example", ("otel.example", 443)),
        ("otel.example:4318", ("otel.example", 4318)),
        ("http://[::1]:4318/v1/traces", ("::1", 4318)),
        ("http://otel.example:wrong", ("otel.example", 80)),
    ],
)
def test_where_it_listens_is_read_from_the_endpoint(
    endpoint: str, place: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "getproxies", dict)
    assert collector._place_of(endpoint) == place
    monkeypatch.setattr(collector, "getproxies", lambda: {"http": "http://proxy:3128"})
    monkeypatch.setattr(collector, "proxy_bypass", lambda host: False)
    assert collector._place_of("http://otel.example:4318") == ("proxy", 3128)
