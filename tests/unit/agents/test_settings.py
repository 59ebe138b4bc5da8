"""What an agent was told: variables, flags, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.settings import AgentSettings, agent_settings
from ledger.settings import AgentSection, SettingsError, SharedSettings, load, load_shared
from ledger.settings.sections import PREFIX


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from an environment without ours."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_both_programs_read_one_and_the_same_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_AGENT_GRACE_S", "7")
    monkeypatch.setenv("LEDGER_AGENT_NAME", "anna")
    monkeypatch.setenv("LEDGER_KAFKA_BOOTSTRAP", "localhost:1")
    ledgers, agents = load({}).settings, load_shared({})
    assert type(agents) is SharedSettings
    assert (ledgers.agent, ledgers.kafka) == (agents.agent, agents.kafka)
    assert agent_settings(agents.agent, agents.agents_pool).grace_s == 7.0


def test_an_agent_works_with_every_field_of_the_section() -> None:
    section = AgentSection(concurrency=3, ssl_cert=Path("c"), insecure_postgres=True, name="anna")
    settings = agent_settings(section, "eu", insecure_bus=True)
    assert {name: getattr(settings, name) for name in AgentSection.model_fields} == dict(section)
    assert (settings.pool, settings.insecure_bus) == ("eu", True)
    assert agent_settings(section, "eu", name="bert").name == "bert"
    assert agent_settings(AgentSection(), "eu").name.endswith(f"-{os.getpid()}")


def test_agents_are_not_told_where_the_ledgers_database_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", "postgresql://u:canary@localhost/x")
    assert "database_url" not in dict(load_shared({}))


def test_flags_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_POOL", "eu")
    monkeypatch.setenv("LEDGER_AGENT_CONCURRENCY", "3")
    settings = load_shared({"pool": "us"})
    assert (settings.pool, settings.agent.concurrency) == ("us", 3)


def test_an_unknown_variable_is_refused_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_AGENT_CONCURENCY", "3")
    with pytest.raises(SettingsError, match="nearest is LEDGER_AGENT_CONCURRENCY"):
        load_shared({})


def test_folders_are_written_as_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_AGENT_SECRET_ROOTS", f"/run/secrets{os.pathsep}/etc/pw")
    assert load_shared({}).agent.secret_roots == (Path("/run/secrets"), Path("/etc/pw"))


def test_a_wrong_value_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_AGENT_PER_HOST", "canary")
    with pytest.raises(SettingsError, match=r"LEDGER_AGENT_PER_HOST\) is wrong") as refused:
        load_shared({})
    assert "canary" not in str(refused.value)


def test_a_pool_that_cannot_be_a_topic_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot be a pool"):
        _ = load_shared({"pool": "EU west"}).agents_pool


def test_secrets_do_not_show_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_KAFKA_SASL_PASSWORD", "canary")
    monkeypatch.setenv("LEDGER_KAFKA_SSL_PASSWORD", "canary")
    monkeypatch.setenv("LEDGER_KAFKA_BOOTSTRAP", "localhost:1")
    settings = load_shared({})
    assert settings.broker is not None
    assert settings.broker.sasl_password is not None
    assert "canary" not in repr(settings) + repr(settings.broker)
    assert settings.broker.sasl_password.get_secret_value() == "canary"


def test_development_flags_are_named() -> None:
    assert AgentSettings(pool="p").insecure == ()
    both = AgentSettings(pool="p", insecure_bus=True, insecure_postgres=True)
    assert both.insecure == ("bus", "postgres")


def test_rules_for_secrets_are_written_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "LEDGER_AGENT_SECRETS",
        "env:TENANT_* -> *.x.internal:5432,  user mig_* ;\nfile:a -> loopback;",
    )
    agent, ledger = load_shared({}).agent, load({})
    assert [str(rule) for rule in agent.secrets] == [
        "env:TENANT_* -> *.x.internal:5432, user mig_*",
        "file:a -> loopback",
    ]
    assert ledger.settings.agent.secrets == agent.secrets
    (shown,) = [one for one in ledger.origins if one.setting == "agent.secrets"]
    assert shown.value == "; ".join(map(str, agent.secrets))


def test_a_rule_that_cannot_be_meant_is_told_with_its_origin_and_an_example(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_AGENT_SECRETS", "TENANT_PW=db")
    with pytest.raises(SettingsError, match=r"variable LEDGER_AGENT_SECRETS.*write env:TENANT_"):
        load_shared({})


LEDGER = "0199aaaa-0000-7000-8000-000000000001"
KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
OTHER = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="


def test_several_keys_of_one_ledger_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_AGENT_TRUST", f"{LEDGER}:{KEY}, {LEDGER}:{OTHER}")
    monkeypatch.setenv("LEDGER_AGENT_LEDGER", LEDGER)
    trust = load_shared({}).agent.trust
    assert [str(one) for one in trust] == [f"{LEDGER}:{KEY}", f"{LEDGER}:{OTHER}"]
    assert len({one.key for one in trust}) == 2


@pytest.mark.parametrize(
    "trust",
    [
        KEY,
        f":{KEY}",
        f"{LEDGER}:",
        f"{LEDGER}:{KEY[:-1]}",
        f"{LEDGER}:{KEY}:{KEY}",
        f"{LEDGER};{KEY}",
        f"ledger:{KEY}",
        f"{LEDGER}:{KEY},{LEDGER}:CANARY",
        f"{LEDGER}:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        f"{LEDGER}:{KEY},0199aaaa-0000-7000-8000-000000000002:{OTHER}",
    ],
)
def test_whom_to_trust_is_said_as_it_is_meant(trust: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_AGENT_TRUST", trust)
    with pytest.raises(SettingsError, match=r"^agent") as raised:
        load_shared({})
    assert "CANARY" not in str(raised.value)


def test_trust_of_another_ledger_than_the_one_that_is_served_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_AGENT_TRUST", f"{LEDGER}:{KEY}")
    monkeypatch.setenv("LEDGER_AGENT_LEDGER", "0199aaaa-0000-7000-8000-000000000002")
    with pytest.raises(SettingsError, match="an agent serves one"):
        load_shared({})


def test_what_is_not_signed_is_insecure_on_a_bus_that_others_reach() -> None:
    assert AgentSettings(pool="p").insecure == ()
    assert AgentSettings(pool="p", shared_bus=True).insecure == (
        "unsigned orders",
        "unsigned reports",
    )
