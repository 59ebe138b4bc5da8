"""The command line of an agent: it runs, it refuses, and nobody sees a traceback."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from agents.cli import AgentExitCode, app


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from an environment without ours."""
    for name in [name for name in os.environ if name.startswith("LEDGER_")]:
        monkeypatch.delenv(name)


def commands() -> Iterator[tuple[str, object]]:
    for command in app.registered_commands:
        assert command.callback is not None
        yield command.name or command.callback.__name__, command.callback


def test_no_command_is_a_coroutine_function_that_would_never_run() -> None:
    assert {name for name, _ in commands()} == {"run", "check"}
    assert not [name for name, function in commands() if inspect.iscoroutinefunction(function)]


@pytest.mark.parametrize("command", ["run", "check"])
def test_every_command_explains_itself_and_its_exit_codes(command: str) -> None:
    said = CliRunner().invoke(app, [command, "--help"])
    assert said.exit_code == 0
    assert "Exit codes" in said.output


def test_the_version_is_shown() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output.split()[0]) == (0, "ledger-agent")


def test_without_a_broker_an_agent_does_not_run() -> None:
    said = CliRunner().invoke(app, ["run"])
    assert said.exit_code == AgentExitCode.USAGE
    assert "LEDGER_KAFKA_BOOTSTRAP" in said.output


def test_a_plain_broker_elsewhere_is_refused_and_the_flag_is_named() -> None:
    said = CliRunner().invoke(app, ["run", "--kafka", "10.0.0.7:9092"])
    assert said.exit_code == AgentExitCode.USAGE
    assert "--insecure-bus" in said.output


def test_check_says_what_it_could_not_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT_PW", "canary")
    said = CliRunner().invoke(
        app,
        [
            "check",
            "--kafka",
            "127.0.0.1:1",
            "--insecure-postgres",
            "--database",
            "postgresql://u@127.0.0.1:1/acme",
            "--password",
            "env:TENANT_PW",
        ],
    )
    assert said.exit_code == AgentExitCode.UNREACHABLE
    assert "FAILED  broker" in said.output
    assert "FAILED  127.0.0.1:1/acme" in said.output
    assert "canary" not in said.output
    assert "Traceback" not in said.output
