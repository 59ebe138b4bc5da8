"""A `ledger.toml` that came with somebody's repository: what it decides for whoever runs there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.cli.app.main import app
from ledger.settings import SettingsError, load, setting_names, user_file, variable
from ledger.settings.model import OF_THE_PROJECT
from ledger.settings.strictness import DESCRIBES as DESCRIBING
from ledger.settings.strictness import WEAKER, is_weaker

VALUES: dict[str, object] = {
    "agent.programs": ["python"],
    "agent.insecure_postgres": True,
    "agent.psql_shell": True,
    "agent.secrets": ["env:TENANT_* -> attacker.example"],
    "agent.secret_roots": ["/"],
    "agent.sockets": ["/srv/attacker"],
    "agent.ssl_rootcert": "/srv/attacker.pem",
    "agent.ssl_cert": "/srv/attacker.pem",
    "agent.ssl_key": "/srv/attacker.pem",
    "agent.name": "impostor",
    "agent.key_file": "/srv/attacker.key",
    "agent.trust": [
        "00000000-0000-0000-0000-000000000001:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    ],
    "signing.key_file": "/srv/attacker.key",
    "agent.ledger": "00000000-0000-0000-0000-000000000001",
    "agent.concurrency": 1,
    "agent.per_host": 1,
    "agent.grace_s": 1.0,
    "agent.content_cache_bytes": 2_000_000,
    "database_url": "postgresql://u@attacker.example/x",
    "insecure_database": True,
    "insecure_bus": True,
    "pool": "impostor",
    "resend_s": 1.0,
    "monitoring.host": "0.0.0.0",  # noqa: S104
    "monitoring.port": 80,
    "monitoring.log": "json",
    "monitoring.slow_trace_s": 5,
    "monitoring.named_databases": 5,
    "kafka.bootstrap": "attacker.example:9092",
    "kafka.security_protocol": "PLAINTEXT",
    "kafka.ssl_cafile": "/srv/attacker.pem",
    "kafka.ssl_certfile": "/srv/attacker.pem",
    "kafka.ssl_keyfile": "/srv/attacker.pem",
    "kafka.ssl_password": "x",
    "kafka.sasl_mechanism": "PLAIN",
    "kafka.sasl_username": "x",
    "kafka.sasl_password": "x",
    "kafka.replication_factor": 1,
    "name": "shop",
    "bundle.name": "shop",
    "variables": {"schema": "app"},
    "rollout.waves": "rest",
    "rollout.in_flight": 1,
    "rollout.budget": "1",
    "rollout.when_spent": "rollback",
    "rollout.lock_timeout_s": 1.0,
    "rollout.statement_timeout_s": 1.0,
    "rollout.expiry_s": 60.0,
    "rollout.deadline_s": 600.0,
    "rollout.require_rehearsal": False,
    "rollout.rehearsal_max_age_days": 3.0,
    "scratch_url": "postgresql://attacker.example/x",
    "insecure_scratch": True,
    "agent.fingerprints": True,
    "agent.cancel_blockers": True,
    "agent.backup_command": ["say"],
    "preflight.enforcement": "warn",
    "preflight.wait_s": 60.0,
    "preflight.unknown": "rights=warn",
    "preflight.windows": "mon-fri 22:00-06:00 UTC",
    "preflight.backup_query": "SELECT now()",
    "preflight.space_query": "SELECT 1",
    "preflight.rights": "/2",
    "preflight.server_version": "/15",
    "preflight.free_space_mb": "/1",
    "preflight.invalid_indexes": "2/",
    "preflight.transactions_s": "61/600",
    "preflight.idle_in_transaction_s": "31/300",
    "preflight.snapshots_s": "61/600",
    "preflight.autovacuum": "2/",
    "preflight.wraparound": "/2",
    "preflight.slots_mb": "1025/10240",
    "preflight.lag_mb": "65/1024",
    "preflight.table_size_mb": "10241/",
    "preflight.table_rows": "10000001/",
    "preflight.connections_percent": "81/",
    "preflight.backup_age_h": "/24",
    "preflight.window_min": "/2",
    "notify.targets": {"spy": {"apprise": "env:SPY"}},
    "notify.routes": [],
    "notify.link": "https://attacker.example",
    "notify.keep_h": 1.0,
    "watchdog.when_blocked": "give_up",
    "watchdog.after_s": 11.0,
    "lint.fail_on": "warning",
    "lint.squawk": False,
    "lint.schema_per_tenant": True,
    "lint.severity": {"json-column": "warning"},
    "lint.phases": {"drop-column": ["migrate"]},
    "lint.limits.lock_timeout_s": 31.0,
    "lint.limits.parents": 2,
    "lint.limits.key_columns": 4,
    "lint.limits.small_table_mb": 1.0,
    "lint.limits.large_table_mb": 2.0,
}
"""A value for every setting there is, as a file holds it."""
DECIDES = sorted(name for name in VALUES if name.partition(".")[0] not in OF_THE_PROJECT)
DESCRIBES = sorted(VALUES.keys() - {*DECIDES})


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file but those that a test writes, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("LEDGER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")


def inline(value: object) -> str:
    """A value as TOML has it within a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{one} = {inline(said)}" for one, said in value.items()) + "}"
    return json.dumps(value)


def toml(name: str) -> str:
    """A file that sets one setting."""
    table, _, key = name.rpartition(".")
    value = VALUES[name]
    if isinstance(value, dict):
        return f"[{name}]\n" + "".join(f"{one} = {inline(said)}\n" for one, said in value.items())
    return (f"[{table}]\n" if table else "") + f"{key} = {json.dumps(value)}\n"


def test_every_setting_is_tried() -> None:
    assert VALUES.keys() == setting_names().keys()
    assert {name.partition(".")[0] for name in DESCRIBES} == OF_THE_PROJECT


@pytest.mark.parametrize("name", DECIDES)
def test_what_decides_is_refused_and_the_sentence_says_where_it_belongs(name: str) -> None:
    Path("ledger.toml").write_text(toml(name))
    with pytest.raises(SettingsError) as refused:
        load({})
    said = str(refused.value)
    assert f"sets {name}, which no folder may decide" in said
    assert variable(name) in said
    assert str(user_file()) in said
    assert "--config ledger.toml" in said


@pytest.mark.parametrize("name", DECIDES)
def test_it_is_refused_also_where_something_stronger_says_another_thing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("ledger.toml").write_text(toml(name))
    monkeypatch.setenv("LEDGER_NAME", "mine")
    with pytest.raises(SettingsError, match="which no folder may decide"):
        load({"pool": "mine"})


@pytest.mark.parametrize("name", DESCRIBES)
def test_what_describes_the_project_is_taken(name: str) -> None:
    Path("ledger.toml").write_text(toml(name))
    (origin,) = [one for one in load({}).origins if one.setting == name]
    assert origin.origin == "ledger.toml"


@pytest.mark.parametrize("name", [*DECIDES, *DESCRIBES])
def test_a_file_that_is_named_and_the_users_own_may_set_everything(name: str) -> None:
    Path("ledger.toml").write_text(toml(name))
    by_name = load({}, Path("ledger.toml"))
    assert next(one for one in by_name.origins if one.setting == name).origin == "ledger.toml"
    Path("ledger.toml").unlink()
    user_file().parent.mkdir(parents=True)
    user_file().write_text(toml(name))
    assert next(one for one in load({}).origins if one.setting == name).origin == str(user_file())


def test_what_is_said_of_settings_of_a_project_is_said_of_those_that_there_are() -> None:
    assert {*DESCRIBES} >= WEAKER.keys() | DESCRIBING
    assert not WEAKER.keys() & DESCRIBING


def test_a_setting_of_which_nothing_is_said_is_weaker_when_it_is_another() -> None:
    assert "rollout.when_spent" not in WEAKER.keys() | DESCRIBING
    assert is_weaker("rollout.when_spent", "rollback", "halt")
    assert not is_weaker("rollout.when_spent", "halt", "halt")
    assert not is_weaker("rollout.expiry_s", 9.0, 8.0)


def owned(text: str) -> None:
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text(text)


def told(name: str) -> tuple[object, str]:
    """A setting's value, and where it comes from."""
    (origin,) = [one for one in load({}).origins if one.setting == name]
    return origin.value, origin.origin


COMPARED = [
    ("rollout", "require_rehearsal", "true", "false"),
    ("rollout", "rehearsal_max_age_days", "2.0", "30.0"),
    ("rollout", "in_flight", "5", "50"),
    ("rollout", "budget", '"0"', '"3"'),
    ("rollout", "budget", '"0%"', '"3"'),
    ("rollout", "budget", '"1%"', '"2.5%"'),
    ("rollout", "budget", '"0"', '"100%"'),
    ("rollout", "lock_timeout_s", "2.0", "60.0"),
    ("rollout", "lock_timeout_s", "2.0", "0.0"),
    ("rollout", "statement_timeout_s", "60.0", "0.0"),
    ("rollout", "statement_timeout_s", "60.0", "61.0"),
    ("lint", "fail_on", '"info"', '"warning"'),
    ("lint", "fail_on", '"warning"', '"error"'),
    ("lint", "squawk", "true", "false"),
    ("lint.severity", "drop-column", '"error"', '"off"'),
    ("lint.severity", "drop-column", '"warning"', '"info"'),
    ("lint.phases", "drop-column", '["contract"]', '["migrate", "contract"]'),
    ("lint.phases", "drop-column", "[]", '["expand"]'),
    ("lint.limits", "lock_timeout_s", "5.0", "30.0"),
    ("lint.limits", "parents", "1", "9"),
    ("lint.limits", "key_columns", "3", "9"),
    ("lint.limits", "small_table_mb", "1.0", "1000.0"),
    ("lint.limits", "large_table_mb", "100.0", "100000.0"),
]
"""Table and name of a setting, a strict value of it, and a weaker one."""


@pytest.mark.parametrize(("table", "key", "strict", "weak"), COMPARED)
def test_a_projects_file_may_make_it_stricter_and_not_weaker(
    table: str, key: str, strict: str, weak: str
) -> None:
    name = table if table in ("lint.severity", "lint.phases") else f"{table}.{key}"
    owned(f"[{table}]\n{key} = {strict}\n")
    Path("ledger.toml").write_text(f"[{table}]\n{key} = {weak}\n")
    kept = told(name)
    assert kept[1] == f"{user_file()}, because ledger.toml asks for less"
    Path("ledger.toml").write_text(f"[{table}]\n{key} = {strict}\n")
    assert told(name) == (kept[0], "ledger.toml")
    owned(f"[{table}]\n{key} = {weak}\n")
    assert told(name) == (kept[0], "ledger.toml")


@pytest.mark.parametrize(
    ("key", "own", "theirs"),
    [
        ("waves", '"1,10%,rest"', '"rest"'),
        ("waves", '"rest"', '"1,rest"'),
        ("when_spent", '"halt"', '"rollback"'),
        ("when_spent", '"rollback"', '"halt"'),
        ("budget", '"1%"', '"5"'),
        ("budget", '"5"', '"1%"'),
    ],
)
def test_of_what_cannot_be_compared_the_users_own_counts(key: str, own: str, theirs: str) -> None:
    owned(f"[rollout]\n{key} = {own}\n")
    Path("ledger.toml").write_text(f"[rollout]\n{key} = {theirs}\n")
    assert told(f"rollout.{key}")[0] == json.loads(own)
    user_file().unlink()
    assert told(f"rollout.{key}") == (json.loads(theirs), "ledger.toml")


def test_an_old_rehearsal_counts_no_longer_than_usual_because_a_folder_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("ledger.toml").write_text(
        "[rollout]\nrequire_rehearsal = false\nrehearsal_max_age_days = 3650\n"
    )
    monkeypatch.setenv("LEDGER_ROLLOUT_REQUIRE_REHEARSAL", "true")
    asked = load({}).settings.rollout
    assert asked.require_rehearsal
    assert told("rollout.rehearsal_max_age_days") == (
        7.0,
        "default, because ledger.toml asks for less",
    )
    monkeypatch.setenv("LEDGER_ROLLOUT_REHEARSAL_MAX_AGE_DAYS", "30")
    assert load({}).settings.rollout.rehearsal_max_age_days == 30


def test_what_a_project_alone_says_is_its_own_and_other_entries_of_a_table_too() -> None:
    owned('[lint.severity]\ndrop-column = "error"\n')
    Path("ledger.toml").write_text(
        '[rollout]\nbudget = "2%"\nexpiry_s = 60\n'
        '[lint.severity]\ndrop-column = "off"\njson-column = "off"\n'
    )
    settings = load({}).settings
    assert settings.rollout.budget == "2%"
    assert settings.lint.severity == {"drop-column": "error", "json-column": "off"}


def test_a_weaker_value_that_is_wrong_is_named_with_its_file() -> None:
    owned("[rollout]\nin_flight = 3\n")
    Path("ledger.toml").write_text('[rollout]\nin_flight = "many"\n')
    with pytest.raises(SettingsError, match=r"rollout.in_flight \(from ledger.toml\) is wrong"):
        load({})


def test_a_file_that_is_named_is_the_users_word_and_may_weaken() -> None:
    owned("[rollout]\nrequire_rehearsal = true\n")
    Path("ledger.toml").write_text("[rollout]\nrequire_rehearsal = false\n")
    assert load({}).settings.rollout.require_rehearsal
    assert not load({}, Path("ledger.toml")).settings.rollout.require_rehearsal


def test_the_users_own_file_is_his_in_its_own_folder_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text(toml("agent.programs"))
    monkeypatch.chdir(user_file().parent)
    assert load({}).settings.agent.programs == ("python",)


def test_a_name_in_a_file_reaches_no_terminal_as_it_is() -> None:
    Path("ledger.toml").write_text('"\\u001b]0;owned\\u0007" = 1\n')
    with pytest.raises(SettingsError) as refused:
        load({})
    assert str(refused.value).isprintable()


def test_a_file_that_would_fill_the_memory_or_take_hours_is_told_at_once() -> None:
    file = Path("ledger.toml")
    with file.open("wb") as opened:
        opened.truncate(2**40)
    with pytest.raises(SettingsError, match=r"is larger than 1,048,576 bytes"):
        load({})
    lines = "".join(f"[variables.a{number}]\n" for number in range(20_000))
    file.write_text(f"{lines}name = 1\nname = 2\n")
    with pytest.raises(SettingsError, match=r"line 20002: a name or a table is there twice"):
        load({})


def test_a_repository_with_settings_runs_nothing_in_the_process_of_whoever_rolls_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen = tmp_path / "stolen"
    Path("migrations").mkdir()
    Path("migrations/20260101000000_a.py").write_text(
        f"import os\nopen({str(stolen)!r}, 'w').write(str(os.environ))\n\n"
        "async def up(conn):\n    pass\n"
    )
    Path("ledger.toml").write_text('[agent]\nprograms = ["python"]\n')
    monkeypatch.setenv("LEDGER_DATABASE_URL", "postgresql://u@127.0.0.1:1/x")
    done = CliRunner().invoke(app, ["up", "--yes"])
    assert done.exit_code == 2
    assert "agent.programs, which no folder may decide" in done.output
    assert not stolen.exists()
