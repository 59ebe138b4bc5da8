"""Whoever may register a database chooses host and reference: what he can make an agent send."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import ReferenceRefused
from agents.secrets import connection_settings
from agents.settings import AgentSettings
from ledger.contracts.registry import Connection
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from ledger.settings import AgentSection, Settings
from ledger.settings.secret_rules import NEVER, parse_rules
from tests.integration.leader.conftest import house, house_template
from tests.integration.service.conftest import LogIn, log_in
from tests.support import listener
from tests.support.house import House, found
from tests.support.listener import always, listening, scram

__all__ = ["house", "house_template", "log_in"]

CANARY = "canary-p4ssword"
RULES = (
    "env:TENANT_* -> *.tenants.internal:5432, user mig_*; env:TENANT_{database} -> 10.1.0.0/16,"
    " database app_{database}; file:eu/* -> [fd00::]/8; file:sock -> /run/postgresql"
)


def asked(
    reference: str | None, host: str = "localhost", name: str = "app", **changes: object
) -> Connection:
    values: dict[str, object] = {
        "host": host,
        "port": 5432,
        "database": name,
        "user": "mig_acme",
        "password": reference,
    }
    return Connection.at(**values | changes)  # type: ignore[arg-type]


def sent(
    connection: Connection,
    *,
    rules: str = "",
    database: str = "acme",
    environ: dict[str, str] | None = None,
    **section: object,
) -> str | None:
    """The secret that an agent would use for this database."""
    settings = AgentSettings(
        pool="p",
        secrets=parse_rules(rules),
        **section,  # type: ignore[arg-type]
    )
    known = {"TENANT_PW": CANARY, "TENANT_acme": CANARY} if environ is None else environ
    found_ = connection_settings(connection, database, settings, known)
    return found_.password.reveal() if found_.password else None


@pytest.mark.parametrize(
    "connection",
    [
        asked("env:TENANT_PW", "db1.tenants.internal"),
        asked("env:TENANT_PW", "DB1.eu.Tenants.Internal."),
        asked("env:TENANT_acme", "10.1.2.3", name="app_acme", user="anybody"),
        asked("env:TENANT_{database}", "::ffff:10.1.2.3", name="app_acme"),
    ],
)
def test_a_secret_goes_where_a_rule_says(connection: Connection) -> None:
    assert sent(connection, rules=RULES) == CANARY


@pytest.mark.parametrize(
    "connection",
    [
        asked("env:TENANT_PW", "attacker.example"),
        asked("env:TENANT_PW", "tenants.internal"),
        asked("env:TENANT_PW", "eviltenants.internal"),
        asked("env:TENANT_PW", "db.tenants.internal.attacker.example"),
        asked("env:TENANT_PW", "db.tenants.internal", port=5433),
        asked("env:TENANT_PW", "db.tenants.internal", user="postgres"),
        asked("env:TENANT_PW", "db.tenants.internal", user="x\nmig_a"),
        asked("env:TENANT_PW", "localhost"),
        asked("env:TENANT_PW", "10.1.2.3", name="app_acme"),
        asked("env:TENANT_acme", "10.2.0.1", name="app_acme"),
        asked("env:TENANT_acme", "10.1.0.1.attacker.example", name="app_acme"),
        asked("env:TENANT_acme", "10.1.2.3", name="app_bolt"),
        asked("env:TENANT_PW", "attacker.example,db.tenants.internal"),
        asked("env:TENANT_PW", "attacker.example/.tenants.internal"),
        asked("env:TENANT_PW", "attacker.example\n.tenants.internal"),
        asked("env:TENANT_PW", "@.tenants.internal"),
        asked("env:TENANT_PW", "аttacker.tenants.internal"),
        asked("env:TENANT_PW", ""),
        asked("env:TENANT_PW", "167837955"),
        asked("env:TENANT_PW", "db.tenants.internal.."),
        asked("env:TENANT_PW", "%64b.tenants.internal"),
        asked("env:TENANT_PW", "db.tenants.internal:5432"),
        asked("env:TENANT_PW", "[::1].tenants.internal"),
        asked("ENV:TENANT_PW", "db.tenants.internal"),
        asked(" env:TENANT_PW", "db.tenants.internal"),
        asked("env:TENANT%5FPW", "db.tenants.internal"),
        asked("env:OTHER_PW", "db.tenants.internal"),
        asked("env:tenant_pw", "db.tenants.internal"),
    ],
    ids=lambda one: f"{one.password} {one.target} {one.user!r}",
)
def test_a_secret_goes_nowhere_else(connection: Connection) -> None:
    environ = {"TENANT_PW": CANARY, "TENANT_acme": CANARY, "OTHER_PW": CANARY, "tenant_pw": CANARY}
    with pytest.raises(ReferenceRefused) as refused:
        sent(connection, rules=RULES, environ=environ)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_without_rules_tenants_passwords_stay_on_this_machine(host: str) -> None:
    assert sent(asked("env:TENANT_PW", host)) == CANARY


@pytest.mark.parametrize(
    "host",
    ["db.internal", "10.0.0.1", "localhost.attacker.example", "0.0.0.0"],  # noqa: S104  refused
)
def test_without_rules_no_password_leaves_this_machine(host: str) -> None:
    with pytest.raises(ReferenceRefused, match="LEDGER_AGENT_SECRETS: env:TENANT_PW -> "):
        sent(asked("env:TENANT_PW", host))


@pytest.mark.parametrize(
    "name",
    [
        "LEDGER_DATABASE_URL",
        "LEDGER_KAFKA_SASL_PASSWORD",
        "PGPASSWORD",
        "PGPASSFILE",
        "AWS_SECRET_ACCESS_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "AZURE_CLIENT_SECRET",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GITHUB_TOKEN",
        "VAULT_TOKEN",
        "DATABASE_URL",
        "HOME",
        "PATH",
        "ledger_database_url",
        "SECRET",
        "MY_TENANT_PW",
    ],
)
@pytest.mark.parametrize("template", ["env:{name}", "env:{database}"])
def test_no_variable_of_others_is_read_whatever_the_id_of_the_database(
    name: str, template: str
) -> None:
    database = name if template == "env:{database}" else "acme"
    reference = template.replace("{name}", name)
    with pytest.raises(ReferenceRefused) as refused:
        sent(asked(reference), database=database, environ={name: CANARY})
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "rule",
    [
        "env:* -> loopback",
        "env:{database}_PW -> loopback",
        "env:*TENANT -> loopback",
        "env:LEDGER_* -> loopback",
        "env:L* -> loopback",
        "env:PGPASSWORD -> loopback",
        "env:P* -> loopback",
        "env:AW* -> loopback",
        "env:ledger_x -> loopback",
        "env:TENANT_* -> *",
        "env:TENANT_* -> 10.0.0.*",
        "env:TENANT_* -> 0.0.0.0/0",
        "env:TENANT_* -> 0.0.0.0/1:5432",
        "env:TENANT_* -> 128.0.0.0/2",
        "env:TENANT_* -> [::]/0",
        "env:TENANT_* -> [2000::]/3",
        "env:TENANT_* -> db-{database}",
        "env:TENANT_* -> db.*",
        "env:TENANT_* -> http://x",
        "env:TENANT_* -> a b",
        "env:TENANT_*",
        "-> loopback",
        "exec:ls -> loopback",
        "TENANT_* -> loopback",
        "env:TENANT_* -> loopback, user a, user b",
        "env:TENANT_* -> loopback, role x",
        "env:TENANT_* -> /run/*",
        "env:TENANT_* -> *.com",
        "env:TENANT_* -> db-*.dev.",
        "env:TENANT_* -> {database}.io:5432",
        "env:TENANT_* -> *.COM, user mig_*",
        "env:TENANT_* -> db.internal:99999",
        "env:TENANT_* -> db.internal:0",
    ],
)
def test_a_rule_that_binds_nothing_is_refused_when_the_agent_starts(rule: str) -> None:
    with pytest.raises(ValueError, match=r"binds|begin|takes in|is no rule|twice|port"):
        parse_rules(rule)


def test_no_rule_can_be_made_for_variables_of_others() -> None:
    for begins in NEVER:
        with pytest.raises(ValueError, match="takes in variables"):
            parse_rules(f"env:{begins}* -> db.internal")


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, ...]:
    for name in ("eu/acme", "us/acme", "sock"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(CANARY)
    (tmp_path / "eu" / "link").symlink_to(tmp_path / "us" / "acme")
    return (tmp_path,)


def test_a_file_goes_where_a_rule_for_its_folder_says(roots: tuple[Path, ...]) -> None:
    for path in ("eu/acme", "eu/{database}", f"{roots[0]}/eu/acme", "eu/./acme", "eu/link"):
        there = asked(f"file:{path}", "fd00::5")
        assert sent(there, rules=RULES, secret_roots=roots) == CANARY


@pytest.mark.parametrize(
    "path", ["us/acme", "eu/../us/acme", "./us/acme", "sock", "/etc/passwd", "eu/../../etc/passwd"]
)
def test_a_file_of_another_folder_goes_nowhere(roots: tuple[Path, ...], path: str) -> None:
    with pytest.raises(ReferenceRefused):
        sent(asked(f"file:{path}", "fd00::5"), rules=RULES, secret_roots=roots)


@pytest.mark.parametrize("reference", [None, "file:sock"])
def test_a_socket_is_connected_to_only_from_the_agents_own_list(
    roots: tuple[Path, ...], reference: str | None
) -> None:
    there = asked(reference, "/run/postgresql")
    with pytest.raises(ReferenceRefused, match="LEDGER_AGENT_SOCKETS"):
        sent(there, rules=RULES, secret_roots=roots)
    allowed = (Path("/run/postgresql"),)
    expected = CANARY if reference else None
    assert sent(there, rules=RULES, secret_roots=roots, sockets=allowed) == expected


@pytest.mark.parametrize(
    "host", ["/srv/evil", "/run/postgresql/../../srv/evil", "/run/postgresql/.s.PGSQL.5432", "/"]
)
def test_a_socket_beside_the_list_is_not_connected_to(host: str) -> None:
    with pytest.raises(ReferenceRefused):
        sent(asked(None, host), sockets=(Path("/run/postgresql"),))


@pytest.mark.parametrize(
    "variable", ["LEDGER_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "TENANTS_PASSWORD"]
)
async def test_an_operator_does_not_become_service_by_a_look_at_his_own_server(
    house: House, log_in: LogIn, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, CANARY)
    async with listening(always(listener.CLEAR)) as server:
        said = await _looked_at(house, log_in, f"env:{variable}", "127.0.0.1", server.port)
    assert CANARY.encode() not in server.said
    assert CANARY not in said
    if variable == "TENANTS_PASSWORD":
        assert "wants the password in clear" in said
    else:
        assert (server.contacts, "never holds a tenant's password" in said) == (0, True)


async def test_an_operator_gets_no_proof_of_a_password_that_belongs_elsewhere(
    house: House, log_in: LogIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TENANTS_PASSWORD", CANARY)
    rules = "env:TENANTS_PASSWORD -> db.internal"
    async with listening(scram()) as server, listening(scram(), str(tmp_path)) as behind:
        said = await _looked_at(
            house, log_in, "env:TENANTS_PASSWORD", "127.0.0.1", server.port, rules
        )
        assert "do not send env:TENANTS_PASSWORD to 127.0.0.1" in said
        said = await _looked_at(house, log_in, None, str(tmp_path), 5432, rules)
        assert "LEDGER_AGENT_SOCKETS" in said
    assert (server.contacts, behind.contacts) == (0, 0)


async def _looked_at(
    house: House, log_in: LogIn, reference: str | None, host: str, port: int, rules: str = ""
) -> str:
    """What the log says after an operator asked the leading process to look at his server."""
    agent = AgentSection(insecure_postgres=True, secrets=parse_rules(rules))
    settings = Settings(database_url=house.url, agent=agent)  # type: ignore[arg-type]
    place = Connection.at(
        host=host, port=port, database="x", user="me", password=reference, sslmode="disable"
    )
    name = f"mine{port}"
    async with working(house.ledger, settings), log_in("ledger_operator") as operator:
        await operator.ledger.fleet.add(name, "main", place, {}, RequestContext())
        check = await operator.ledger.fleet.check(f"id={name}", RequestContext())

        async def finished() -> bool | None:
            return (await operator.ledger.checks.answers(check)).finished or None

        await found(finished, "the look is over")
    return " ".join(str(one.event) for one in await house.events())
