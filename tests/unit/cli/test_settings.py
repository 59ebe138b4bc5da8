"""Where settings come from, which source wins, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.settings import (
    LoadedSettings,
    SettingsError,
    Transport,
    load,
    masked,
    setting_names,
    user_file,
    variable,
    variables,
)

URL = "postgresql://ada:hunter2@db.internal:5433/ledger?sslmode=verify-full"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable, no file: only what a test says."""
    for name in [name for name in os.environ if name.startswith("LEDGER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")


def origin(loaded: LoadedSettings, setting: str) -> str:
    return next(one.origin for one in loaded.origins if one.setting == setting)


def write_user_file(text: str) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text(text)


def test_without_anything_said_the_safe_defaults_hold() -> None:
    settings = load({}).settings
    assert settings.rollout.waves == "1,10%,rest"
    assert settings.rollout.budget == "0"
    assert settings.rollout.when_spent == "halt"
    assert settings.rollout.lock_timeout_s == 2.0
    assert settings.pool == "default"


@pytest.mark.parametrize("seconds", ["inf", "2073601"])
def test_a_timeout_that_no_server_takes_is_refused(seconds: str) -> None:
    with pytest.raises(SettingsError, match="lock_timeout_s"):
        load({"rollout.lock_timeout_s": seconds})


def test_without_a_broker_everything_runs_in_one_process() -> None:
    assert load({}).settings.transport is Transport.LOCAL
    assert load({"kafka.bootstrap": "localhost:9092"}).settings.transport is Transport.KAFKA


def test_flags_win_over_variables_over_the_projects_file_over_the_users_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_user_file('name = "user"\n')
    loaded = load({})
    assert (loaded.settings.name, origin(loaded, "name")) == ("user", str(user_file()))
    Path("ledger.toml").write_text('name = "project"\n')
    loaded = load({})
    assert (loaded.settings.name, origin(loaded, "name")) == ("project", "ledger.toml")
    monkeypatch.setenv("LEDGER_NAME", "variable")
    loaded = load({})
    assert loaded.settings.name == "variable"
    assert origin(loaded, "name") == "variable LEDGER_NAME"
    loaded = load({"name": "flag"})
    assert (loaded.settings.name, origin(loaded, "name")) == ("flag", "flag --name")


def test_sources_are_merged_setting_by_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("ledger.toml").write_text('[rollout]\nwaves = "2,rest"\nin_flight = 3\n')
    monkeypatch.setenv("LEDGER_ROLLOUT_IN_FLIGHT", "7")
    rollout = load({}).settings.rollout
    assert (rollout.waves, rollout.in_flight, rollout.budget) == ("2,rest", 7, "0")


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_KAFKA_BOOTSTRAPS", "broker:9092")
    with pytest.raises(SettingsError, match="nearest is LEDGER_KAFKA_BOOTSTRAP:"):
        load({})


@pytest.mark.parametrize("name", ["ledger_pool", "Ledger_Pool", "LEDGER_pool"])
def test_a_variable_in_other_letters_is_refused_and_not_ignored(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "eu")
    with pytest.raises(SettingsError, match=f"{name} is no variable.*LEDGER_POOL"):
        load({})


def test_an_unknown_name_in_a_file_is_refused_with_the_nearest_known_one() -> None:
    Path("own.toml").write_text('[kafka]\nbootstap = "broker:9092"\n')
    with pytest.raises(SettingsError, match=r"kafka\.bootstap.*nearest is kafka\.bootstrap"):
        load({}, Path("own.toml"))


def test_a_file_that_is_not_toml_is_refused_by_name() -> None:
    Path("ledger.toml").write_text("name = \n")
    with pytest.raises(SettingsError, match=r"ledger\.toml is not TOML"):
        load({})


def test_a_settings_file_that_is_named_must_exist() -> None:
    with pytest.raises(SettingsError, match=r"no settings file .*elsewhere\.toml"):
        load({}, Path("elsewhere.toml"))


def test_a_wrong_value_is_refused_with_its_origin_and_without_the_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_KAFKA_SECURITY_PROTOCOL", "hunter2")
    with pytest.raises(SettingsError) as refused:
        load({})
    assert "variable LEDGER_KAFKA_SECURITY_PROTOCOL" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_secrets_are_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", URL)
    monkeypatch.setenv("LEDGER_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("LEDGER_KAFKA_SSL_PASSWORD", "hunter2")
    loaded = load({})
    assert "hunter2" not in repr(loaded)
    assert loaded.settings.ledger_url == URL


def test_an_address_is_shown_without_password_and_parameters() -> None:
    assert masked(URL) == "postgresql://ada:********@db.internal:5433/ledger?…"
    assert masked("postgresql://db/ledger") == "postgresql://db/ledger"


@pytest.mark.parametrize(
    "secret",
    ["hunter2", "host=db password=hunter2", "postgresql://u:hunter2@[db/x", "http://hunter2"],
)
def test_what_is_no_address_is_masked_as_a_whole(secret: str) -> None:
    assert masked(secret) == "********"


def test_a_ledger_that_is_not_named_is_an_error_that_says_how_to_name_it() -> None:
    with pytest.raises(SettingsError, match="set LEDGER_DATABASE_URL"):
        _ = load({}).settings.ledger_url


def test_folders_come_from_a_variable_as_a_path_and_from_a_file_as_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_user_file('[agent]\nsecret_roots = ["/run/a", "/run/b"]\n')
    expected = (Path("/run/a"), Path("/run/b"))
    assert load({}).settings.agent.secret_roots == expected
    monkeypatch.setenv("LEDGER_AGENT_SECRET_ROOTS", os.pathsep.join(["/run/c", "/run/d"]))
    assert load({}).settings.agent.secret_roots == (Path("/run/c"), Path("/run/d"))


def test_the_broker_gets_its_login_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load({}).settings.broker is None
    monkeypatch.setenv("LEDGER_KAFKA_BOOTSTRAP", "broker:9093")
    monkeypatch.setenv("LEDGER_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("LEDGER_INSECURE_BUS", "true")
    broker = load({}).settings.broker
    assert broker is not None
    assert (broker.bootstrap, broker.insecure_bus) == ("broker:9093", True)
    assert broker.sasl_password is not None
    assert broker.sasl_password.get_secret_value() == "hunter2"


def test_every_setting_has_a_variable_that_is_known_and_a_description() -> None:
    assert {variable(name) for name in setting_names()} <= set(variables())
    assert all(variables().values())


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", "")
    assert origin(load({}), "database_url") == "default"


def test_variables_are_values_or_labels_and_their_names_may_have_dots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_user_file('[variables]\nschema = "user"\nregion = "user"\n')
    Path("ledger.toml").write_text(
        '[variables]\nregion = {label = "region", sample = "eu"}\n"a.b" = "dotted"\n'
    )
    monkeypatch.setenv("LEDGER_VARIABLES", '{"extra": "1"}')
    loaded = load({})
    assert [(one.name, one.value, one.label) for one in loaded.settings.declared] == [
        ("a.b", "dotted", None),
        ("extra", "1", None),
        ("region", "eu", "region"),
        ("schema", "user", None),
    ]
    assert "ledger.toml" in origin(loaded, "variables")


def test_a_variable_of_a_label_without_a_sample_is_refused() -> None:
    Path("ledger.toml").write_text('[variables]\nregion = {label = "region"}\n')
    with pytest.raises(SettingsError, match="variables"):
        load({})


def test_what_a_rule_of_ours_refuses_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_AGENT_SECRETS", "nonsense")
    with pytest.raises(SettingsError) as refused:
        load({})
    assert "'nonsense' is no rule" in str(refused.value)
    assert "Value error" not in str(refused.value)
