"""The command line of an agent: it runs, it refuses, and nobody sees a traceback."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path

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


ELSEWHERE = ("run", "--kafka", "10.0.0.7:9092", "--insecure-bus")
TRUST = "0199aaaa-0000-7000-8000-000000000001:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_a_broker_elsewhere_needs_somebody_to_trust_and_a_key_whatever_is_insecure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = CliRunner().invoke(app, ELSEWHERE)
    assert said.exit_code == AgentExitCode.USAGE
    assert "set LEDGER_AGENT_TRUST" in said.output
    monkeypatch.setenv("LEDGER_AGENT_TRUST", TRUST)
    said = CliRunner().invoke(app, ELSEWHERE)
    assert said.exit_code == AgentExitCode.USAGE
    assert "set LEDGER_AGENT_KEY_FILE" in said.output


def test_a_key_that_cannot_be_used_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEDGER_AGENT_KEY_FILE", str(tmp_path / "nothing.key"))
    said = CliRunner().invoke(app, ["run", "--kafka", "127.0.0.1:1"])
    assert said.exit_code == AgentExitCode.USAGE
    assert "nothing.key (from LEDGER_AGENT_KEY_FILE) cannot be read" in said.output
    said = CliRunner().invoke(app, ["check"])
    assert said.exit_code == AgentExitCode.UNREACHABLE
    assert "FAILED  reports: " in said.output


def test_check_says_whom_the_agent_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    said = CliRunner().invoke(app, ["check"])
    assert "orders: UNSIGNED" in said.output
    assert "reports: UNSIGNED" in said.output
    monkeypatch.setenv("LEDGER_AGENT_TRUST", TRUST)
    said = CliRunner().invoke(app, ["check"])
    assert "signed by 21fe31dfa154a261626bf854046fd227" in said.output


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run --concurrency 0", "(from flag --concurrency) is wrong: it is too small, it can be 1"),
        ("run --concurrency 99999999999999999999", "at most 2,147,483,647"),
        ("run --concurrency many", "(from flag --concurrency) is wrong: it is no whole number"),
        ("run --per-host 2.5", "(from flag --per-host) is wrong: it is no whole number"),
        ("run --grace-s -1", "(from flag --grace-s) is wrong: it is too small, it can be 0"),
        ("run --grace-s soon", "(from flag --grace-s) is wrong: it is no number"),
        ("run --ledger x", "(from flag --ledger) is wrong: it is no id"),
        ("run --kafka :9092", "(from flag --kafka) is wrong: ':9092' has no host"),
        ("check --kafka broker", "'broker' has no port; write HOST:PORT"),
    ],
)
def test_a_flag_that_is_wrong_is_called_as_it_was_typed(line: str, said: str) -> None:
    ended = CliRunner().invoke(app, line.split())
    told = " ".join(ended.output.split())
    assert (ended.exit_code, said in told) == (AgentExitCode.USAGE, True), told
    assert "Input should" not in told


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_value_that_says_nothing_is_refused_by_every_option_of_an_agent(command: str) -> None:
    import typer

    (known,) = [one for one in typer.main.get_group(app).commands.values() if one.name == command]
    for one in known.params:
        if not getattr(one, "is_flag", False):
            ended = CliRunner().invoke(app, [command, one.opts[0], " "], env={"COLUMNS": "200"})
            assert ended.exit_code == AgentExitCode.USAGE, one.opts
            assert "it is empty, as from a variable that is not set" in ended.output, one.opts
