"""What an agent was told: variables, flags, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.errors import AgentSettingsError
from agents.settings import PREFIX, AgentSettings, Variables, load
from ledger.contracts.variables import AGENT, SHARED, VARIABLES

KNOWN_TO_AGENTS = {f"{PREFIX}{name}".upper() for name in Variables.model_fields}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from an environment without ours."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_every_variable_of_an_agent_is_listed_and_every_listed_one_is_read() -> None:
    assert set(VARIABLES) >= KNOWN_TO_AGENTS
    assert {*SHARED, *AGENT, "LEDGER_POOL"} == KNOWN_TO_AGENTS


def test_flags_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_POOL", "eu")
    monkeypatch.setenv("LEDGER_AGENT_CONCURRENCY", "3")
    variables = load({"pool": "us", "agent_per_host": None})
    assert (variables.pool, variables.agent_concurrency) == ("us", 3)


def test_an_unknown_variable_is_refused_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_AGENT_CONCURENCY", "3")
    with pytest.raises(AgentSettingsError, match="nearest is LEDGER_AGENT_CONCURRENCY"):
        load({})


def test_folders_are_written_as_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_AGENT_SECRET_ROOTS", f"/run/secrets{os.pathsep}/etc/pw")
    assert load({}).agent().secret_roots == (Path("/run/secrets"), Path("/etc/pw"))


def test_a_wrong_value_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_AGENT_PER_HOST", "canary")
    with pytest.raises(AgentSettingsError, match="LEDGER_AGENT_PER_HOST is wrong") as refused:
        load({})
    assert "canary" not in str(refused.value)


def test_a_pool_that_cannot_be_a_topic_is_refused() -> None:
    with pytest.raises(AgentSettingsError, match="cannot be a pool"):
        load({"pool": "EU west"})


def test_secrets_do_not_show_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_KAFKA_SASL_PASSWORD", "canary")
    monkeypatch.setenv("LEDGER_KAFKA_SSL_PASSWORD", "canary")
    variables = load({})
    assert "canary" not in repr(variables) + repr(variables.kafka())
    assert variables.kafka().sasl_password == "canary"


def test_development_flags_are_named() -> None:
    assert AgentSettings(pool="p").insecure == ()
    both = AgentSettings(pool="p", insecure_bus=True, insecure_postgres=True)
    assert both.insecure == ("bus", "postgres")
