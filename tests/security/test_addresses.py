"""The ledger's own address: whom it trusts, and that neither it nor its parts are ever shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.cli.app.main import app
from ledger.cli.db.target import DatabaseOptions, connection_of
from ledger.errors import LedgerUnreachable
from ledger.scratch import ScratchPlace, _server
from ledger.settings import SettingsError, load, masked
from ledger.settings.address import check_address
from ledger.store.connections import open_pool
from ledger.store.leadership import take
from migrations.errors import Unreachable
from migrations.target.session import open_session

CANARY = "CANARYpw"
ELSEWHERE = "postgresql://svc:pw@db.internal/ledger"
MISTAKES = [
    f"postgresql://svc:{CANARY}/b@127.0.0.1:5432/ledger",
    f"postgresql://svc:{CANARY}#b@127.0.0.1/ledger",
    f"postgresql://svc:{CANARY}?b@127.0.0.1/ledger",
    f"postgresql://svc:1/{CANARY}@127.0.0.1/ledger",
    f"postgresql://svc:1/2?{CANARY}@127.0.0.1/ledger",
    f"postgresql://svc:1?{CANARY}@127.0.0.1/ledger",
    f"postgresql://svc:1#{CANARY}@127.0.0.1/ledger",
    f"postgresql://svc:p@{CANARY}@127.0.0.1/ledger",
    f"postgresql://svc:{CANARY}[@127.0.0.1/ledger",
    f"postgresql://svc:a b/{CANARY}@127.0.0.1/ledger",
    f"postgresql:/svc:{CANARY}@127.0.0.1/ledger",
    f"postgresql//svc:{CANARY}@127.0.0.1/ledger",
    f"mysql://svc:{CANARY}@127.0.0.1/ledger",
    f"host=127.0.0.1 user=svc password={CANARY}",
    f"postgresql://svc:{CANARY}@127.0.0.1:54x/ledger",
    f"postgresql://svc:{CANARY}@127.0.0.1:99999/ledger",
    CANARY,
]
"""Addresses as people get them wrong, mostly by a password that is written as it is."""


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours or of libpq, no file."""
    for name in [name for name in os.environ if name.startswith(("LEDGER_", "PG"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("url", MISTAKES)
def test_an_address_that_is_not_proven_clean_is_masked(url: str) -> None:
    assert CANARY not in masked(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            f"postgresql://svc:{CANARY}@db.internal:5432/ledger",
            "postgresql://svc:********@db.internal:5432/ledger",
        ),
        (f"postgresql://svc@[::1]:5432/l?password={CANARY}", "postgresql://svc@[::1]:5432/l?…"),
        (f"postgres://svc:%2F{CANARY}%23@db/l", "postgres://svc:********@db/l"),
        ("postgresql://db/ledger", "postgresql://db/ledger"),
    ],
)
def test_a_clean_address_is_still_told_apart_from_others(url: str, shown: str) -> None:
    assert masked(url) == shown


COMMANDS = [("config", "show"), ("status",), ("init", "--yes"), ("serve",)]
WEAKER = ("disable", "allow", "prefer", "require", "verify-ca")


@pytest.mark.parametrize("debug", [(), ("--debug",)])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("url", MISTAKES)
def test_no_command_repeats_a_wrong_address(
    url: str, command: tuple[str, ...], debug: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", url)
    said = CliRunner().invoke(app, [*debug, *command])
    assert CANARY not in said.output
    assert said.exit_code == (0 if command == ("config", "show") else 2)


@pytest.mark.parametrize("url", MISTAKES)
async def test_the_store_repeats_no_address_either(url: str) -> None:
    for connect in (open_pool(url), take(url, "me", "here")):
        with pytest.raises(LedgerUnreachable) as refused:
            await connect
        error: BaseException | None = refused.value
        assert CANARY not in str(error)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        ELSEWHERE,
        *(f"{ELSEWHERE}?sslmode={mode}" for mode in WEAKER),
        f"{ELSEWHERE}?sslmode=VERIFY-FULL",
        f"{ELSEWHERE}?sslmode=verify-full&sslmode=disable",
        "postgresql://svc@10.0.0.1/ledger",
        "postgresql://svc@localhost,db.internal/ledger",
        "postgresql://svc@localhost:1,db.internal:2/ledger",
        "postgresql://svc@localhost/ledger?host=db.internal",
        "postgresql://svc@localhost%2Cdb.internal/ledger",
        "postgresql:///ledger?host=db.internal",
        "postgresql://svc@localhost.attacker.example/ledger",
        "postgresql:///ledger?service=elsewhere",
        "postgresql://svc@127.1/ledger",
    ],
)
def test_a_ledger_elsewhere_must_prove_who_it_is(url: str) -> None:
    with pytest.raises(SettingsError, match="nothing proves who answers"):
        _ = load({"database_url": url}).settings.ledger_url
    allowed = load({"database_url": url, "insecure_database": True}).settings
    assert allowed.ledger_url == url


@pytest.mark.parametrize(
    "url",
    [
        f"{ELSEWHERE}?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://svc@localhost/ledger",
        "postgresql://svc@127.0.0.1:5433/ledger",
        "postgresql://svc@[::1]:5433/ledger",
        "postgresql:///ledger?host=/run/postgresql",
        "postgresql://svc@%2Frun%2Fpostgresql/ledger",
        "postgresql:///ledger",
    ],
)
def test_this_machine_and_a_server_that_proves_itself_are_enough(url: str) -> None:
    assert load({"database_url": url}).settings.ledger_url == url


@pytest.mark.parametrize(
    "environ", [{"PGHOST": "db.internal"}, {"PGSERVICE": "x"}, {"PGHOST": "localhost,db.internal"}]
)
def test_what_the_drivers_variables_say_counts_too(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="nothing proves who answers"):
        check_address("postgresql:///ledger", environ=environ)
    check_address("postgresql:///ledger?sslmode=verify-full", environ=environ)


@pytest.mark.parametrize("torn", ["1?{}=b", "1?schema={}", "1#{}", "{}?sslmode=b", "1?a={}&role=b"])
def test_a_database_is_registered_by_no_piece_of_a_password(torn: str) -> None:
    url = f"postgresql://svc:{torn.format(CANARY)}@db.internal/acme"
    said = CliRunner().invoke(app, ["--debug", "fleet", "add", "acme", "--pool", "p", "--url", url])
    assert CANARY not in said.output
    assert said.exit_code == 2


@pytest.mark.parametrize("hidden", ["", "localhost", "127.0.0.1", "[::1]", "LOCALHOST:5432"])
@pytest.mark.parametrize("mode", ["", "&sslmode=prefer", "&sslmode=disable"])
async def test_a_database_elsewhere_must_prove_who_it_is_wherever_its_host_stands(
    hidden: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `ledger db`, and of servers for rehearsals: a host behind the `?` is where it leads."""
    url = f"postgresql://u:{CANARY}@{hidden}/d?host=db.attacker.example{mode}"
    found = connection_of(DatabaseOptions(url))
    assert found.host == "db.attacker.example"
    assert not found.allow_plaintext
    if not mode:
        assert found.sslmode == _server(ScratchPlace(url)).sslmode == "verify-full"
        return
    with pytest.raises(Unreachable, match="does not prove who answers"):
        await open_session(found, application_name="a")
    with pytest.raises(SettingsError, match="nothing proves who answers"):
        _server(ScratchPlace(url))


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ("connect_timeout=5", "connect_timeout is not taken"),
        ("connect_timout=5", "connect_timeout is not taken"),
        ("keepalives_idle=30", "write tcp_keepalives_idle in its place"),
        ("gssencmode=disable", "gssencmode is not taken"),
        ("channel_binding=require", "channel_binding is not taken"),
        ("sslmode=disable&ssl=true", "write sslmode in its place"),
    ],
)
def test_a_parameter_that_only_other_programs_take_is_named_with_what_to_do(
    parameter: str, told: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        check_address(f"postgresql://svc:{CANARY}@127.0.0.1/ledger?{parameter}")
    assert told in str(refused.value)
    assert CANARY not in str(refused.value)


def test_such_a_parameter_is_named_also_where_an_address_may_be_misread() -> None:
    with pytest.raises(SettingsError, match="connect_timeout is not taken") as refused:
        check_address(f"postgresql://svc:{CANARY}@127.0.0.1,localhost/ledger?connect_timeout=5")
    assert CANARY not in str(refused.value)
