"""What libraries would log at DEBUG: aiokafka writes the bytes of a login with the password."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from importlib import import_module

import pytest

from agents import cli as agent_program
from ledger import telemetry

CANARY = b"agent\x00agent\x00CANARYpw"
LIBRARIES = [
    "aiokafka",
    "aiokafka.conn",
    "aiokafka.client",
    "aiokafka.producer.sender",
    "asyncpg",
    "asyncpg.pool",
    "asyncio",
    "urllib3.connectionpool",
    "opentelemetry.sdk",
    "some.package.of.tomorrow",
    "kafka",
    "requests",
]


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    names = [*LIBRARIES, *telemetry.OWN, *{name.partition(".")[0] for name in LIBRARIES}]
    before = {name: logging.getLogger(name).level for name in names}
    handlers, level = root.handlers[:], root.level
    yield
    for name, was in before.items():
        logging.getLogger(name).setLevel(was)
    root.handlers[:] = handlers
    root.setLevel(level)


def say_it(name: str) -> None:
    logging.getLogger(name).debug("Request: SaslAuthenticateRequest_v1(sasl_auth_bytes=%r)", CANARY)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", LIBRARIES)
def test_no_library_logs_at_debug_whatever_an_agent_is_told(
    name: str, debug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    agent_program._log(debug)
    say_it(name)
    assert written.getvalue() == ""
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


def test_the_agents_own_words_are_more_with_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    for debug in (False, True):
        agent_program._log(debug)
        for own in telemetry.OWN:
            logging.getLogger(f"{own}.x").debug("heard with debug %s", debug)
    assert written.getvalue().count("heard with debug True") == len(telemetry.OWN)
    assert "heard with debug False" not in written.getvalue()


@pytest.mark.parametrize("name", LIBRARIES)
def test_no_library_logs_at_debug_in_commands_of_the_ledger(name: str) -> None:
    logging.getLogger().setLevel(logging.WARNING)
    telemetry.set_log_levels(logging.WARNING)
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


def test_the_library_that_writes_logins_is_among_those_that_are_silent() -> None:
    module = import_module("aiokafka.conn")
    assert module.log.name.partition(".")[0] in telemetry.DRIVERS
    assert module.__name__.partition(".")[0] not in telemetry.OWN
