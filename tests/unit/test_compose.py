"""The Compose file: the Compose specification's schema accepts it, and it says what it must."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from ledger.bus.security import check as check_broker
from ledger.cli.fleet.file import read_fleet
from ledger.domain.messages import Notification
from ledger.notifier.webhook import Webhook
from ledger.settings import load as load_settings
from ledger.settings import load_shared, variables
from ledger.settings.secret_rules import Destination, parse_rules
from migrations.clock import SYSTEM_CLOCK
from migrations.formats.bundle import load_folder
from tests.support.processes import until
from tests.support.programs import misunderstood

ROOT = Path(__file__).parents[2]

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "ops/docker/Dockerfile"

MEMORY = "/tmp"  # noqa: S108 - where programs write, in a container of their own.

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")

VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<otherwise>[^}]*)\}")


@pytest.fixture(scope="module")
def loaded() -> dict[str, Any]:
    return given(POSTGRES_PASSWORD="given")


def given(**variables: str) -> dict[str, Any]:
    """The file as it is read where these variables are set."""
    text = VARIABLE.sub(
        lambda found: variables.get(found["name"], found["otherwise"]), COMPOSE.read_text()
    )
    assert "$" not in text
    content = yaml.safe_load(text)
    assert isinstance(content, dict)
    return content


def refused(file: Path) -> str:
    """What the Compose specification's own schema has against a file; nothing if it fits."""
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            str(file),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout + answer.stderr if answer.returncode else ""


def environment(loaded: dict[str, Any], service: str) -> dict[str, str]:
    variables = loaded["services"][service]["environment"]
    assert isinstance(variables, dict)
    return variables


def test_the_specification_accepts_it() -> None:
    assert refused(COMPOSE) == ""


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("services: {a: {image: x, read_onyl: true}}", "read_onyl"),
        ("services: {a: {image: x, cap_drop: ALL}}", "cap_drop"),
        ("services: {a: {image: x, depends_on: {b: {condition: service_ready}}}}", "service_ready"),
    ],
)
def test_the_specification_refuses_what_is_misspelt(tmp_path: Path, wrong: str, named: str) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(wrong)
    assert named in refused(file)


def test_no_container_has_or_gains_a_right_of_roots_that_it_does_not_need(
    loaded: dict[str, Any],
) -> None:
    starts_as_root = {"database", "tenants"}
    for name, service in loaded["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert ("cap_add" in service) == (name in starts_as_root), name
        assert "privileged" not in service, name


def test_only_the_broker_may_write_beside_its_programs(loaded: dict[str, Any]) -> None:
    services = loaded["services"].items()
    assert [name for name, service in services if not service["read_only"]] == ["kafka"]
    assert all(service["tmpfs"][0] == MEMORY for _, service in services)


def test_every_image_from_elsewhere_is_named_by_its_digest(loaded: dict[str, Any]) -> None:
    for service in loaded["services"].values():
        bases = [service["image"], *service.get("build", {}).get("args", {}).values()]
        assert all(DIGEST.search(base) for base in bases if base != "migration-ledger")
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert base == loaded["services"]["ledger"]["build"]["args"]["PYTHON_IMAGE"]


def test_every_image_from_elsewhere_can_be_another() -> None:
    digest = "@sha256:" + "0" * 64
    names = ("POSTGRES", "KAFKA", "PYTHON", "PROMETHEUS", "GRAFANA")
    pinned = given(**{f"{name}_IMAGE": f"{name.lower()}{digest}" for name in names})
    for service in pinned["services"].values():
        bases = [service["image"], *service.get("build", {}).get("args", {}).values()]
        assert all(base.endswith(digest) for base in bases if base != "migration-ledger")
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert set(bases) == {"${PYTHON_IMAGE}"}


def test_whatever_stays_is_asked_whether_it_is_well(loaded: dict[str, Any]) -> None:
    asked = re.findall(r"(?:then|else) (ledger[^;]*);", DOCKERFILE.read_text())
    assert [each.split()[0] for each in asked] == ["ledger-agent", "ledger"]
    assert [misunderstood(each.split()) for each in asked] == [None, None]
    for name, service in loaded["services"].items():
        ends = service["image"] == "migration-ledger" and name in ("schema", "fleet")
        ours = service["image"] == "migration-ledger" and not ends
        assert service.get("healthcheck", {}).get("disable", False) == ends, name
        assert ours or "healthcheck" in service, name


def test_the_image_does_not_run_as_root_and_holds_only_what_the_list_names() -> None:
    lines = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    (user,) = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert int(user) > 0
    installs = re.findall(r"pip install ([^&]*)", "\n".join(lines))
    assert len(installs) == 3
    assert all("--no-deps" in each for each in installs)
    fetched = [each for each in installs if "--requirement" in each]
    assert len(fetched) == 2
    assert all("--require-hashes" in each for each in fetched)


def test_it_has_two_postgresql_servers_a_broker_the_ledger_and_two_agents(
    loaded: dict[str, Any],
) -> None:
    images = {
        name: DIGEST.sub("", service["image"]) for name, service in loaded["services"].items()
    }
    assert images == {
        "database": "postgres:18.6",
        "tenants": "postgres:18.6",
        "kafka": "apache/kafka:4.1.0",
        "schema": "migration-ledger",
        "fleet": "migration-ledger",
        "ledger": "migration-ledger",
        "agent-1": "migration-ledger",
        "agent-2": "migration-ledger",
        "audit": "migration-ledger",
        "notify": "migration-ledger",
        "receiver": "migration-ledger",
        "prometheus": "prom/prometheus:v3.7.3",
        "grafana": "grafana/grafana:12.2.0",
    }


def test_ledger_and_agents_use_the_address_that_the_broker_advertises(
    loaded: dict[str, Any],
) -> None:
    advertised = environment(loaded, "kafka")["KAFKA_ADVERTISED_LISTENERS"]
    for service in ("ledger", "agent-1", "agent-2"):
        bootstrap = environment(loaded, service)["LEDGER_KAFKA_BOOTSTRAP"]
        assert f"PLAINTEXT://{bootstrap}" in advertised.split(",")


def test_agents_know_the_tenants_password_and_not_the_ledgers_database(
    loaded: dict[str, Any],
) -> None:
    for service in ("agent-1", "agent-2"):
        assert environment(loaded, service)["TENANTS_PASSWORD"] == "given"
        assert "LEDGER_DATABASE_URL" not in environment(loaded, service)
    assert "TENANTS_PASSWORD" not in environment(loaded, "ledger")


def test_what_watches_is_there_for_whoever_asks_and_finds_every_program(
    loaded: dict[str, Any],
) -> None:
    services = loaded["services"]
    asked = {name for name, service in services.items() if service.get("profiles")}
    assert asked == {"audit", "notify", "receiver", "prometheus", "grafana"}
    config = yaml.safe_load((ROOT / "ops/docker/prometheus.yaml").read_text())
    found = {
        (job["job_name"], target)
        for job in config["scrape_configs"]
        for targets in job["static_configs"]
        for target in targets["targets"]
    }
    jobs = {
        "ledger": "migration-ledger",
        "agent-1": "migration-ledger-agent",
        "agent-2": "migration-ledger-agent",
        "audit": "migration-ledger-audit",
        "notify": "migration-ledger-notify",
    }
    expected = set()
    for name, job in jobs.items():
        network = services[name].get("network_mode", f"service:{name}").partition(":")[2]
        own = environment(loaded, name)
        assert own["LEDGER_MONITORING_HOST"] == "0.0.0.0"  # noqa: S104  in networks of containers
        expected.add((job, f"{network}:{own['LEDGER_MONITORING_PORT']}"))
    assert found == expected
    mounts = [one for name in asked for one in services[name].get("volumes", [])]
    (source,) = [one.split(":")[0] for one in mounts if "datasources" in one]
    (url,) = [one["url"] for one in yaml.safe_load((ROOT / source).read_text())["datasources"]]
    assert url == "http://prometheus:9090"
    provider = yaml.safe_load(
        (ROOT / "ops/grafana/provisioning/dashboards/migration-ledger.yaml").read_text()
    )["providers"][0]
    assert f"./ops/grafana/dashboards:{provider['options']['path']}:ro" in mounts


def test_the_notifier_tells_the_receiver_beside_it_with_a_key_that_both_have(
    loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = loaded["services"]["receiver"]
    assert receiver["network_mode"] == "service:notify"
    for name, value in environment(loaded, "notify").items():
        monkeypatch.setenv(name, value)
    file = mounted(loaded, "notify", "notify.toml")
    section = load_settings({}, file).settings.notify
    assert {name for route in section.routes for name in route.to} == set(section.targets)
    (target,) = section.targets.values()
    assert target.webhook is not None
    assert target.key == "env:HOOK_KEY"
    assert environment(loaded, "notify")["HOOK_KEY"] == receiver["environment"]["HOOK_KEY"]
    port = urlsplit(target.webhook).port
    assert f'("127.0.0.1", {port})' in mounted(loaded, "receiver", "receiver.py").read_text()


async def test_the_receiver_prints_what_was_signed_and_takes_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (ROOT / "ops/docker/receiver.py").read_text().replace("8080", str(port))
    (tmp_path / "receiver.py").write_text(text)
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        str(tmp_path / "receiver.py"),
        env={"HOOK_KEY": "the key"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )

    async def answer(key: str) -> str:
        monkeypatch.setenv("OUR_KEY", key)
        target = Webhook(f"http://127.0.0.1:{port}/", "env:OUR_KEY", SYSTEM_CLOCK)
        message = Notification(key, "info", "", "", {"headline": f"signed with {key}"})
        return await asyncio.to_thread(target.send, message)

    async def refuses_another() -> bool:
        return await answer("another key") == "it answered HTTP 401"

    try:
        await until(refuses_another, "what another signed is refused")
        assert await answer("the key") == ""
    finally:
        running.terminate()
        printed = (await running.communicate())[0].decode()
    assert printed == '{"headline":"signed with the key"}\n'


def test_only_the_loopback_address_is_published(loaded: dict[str, Any]) -> None:
    published = [
        port for service in loaded["services"].values() for port in service.get("ports", [])
    ]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_files_it_names_exist(loaded: dict[str, Any]) -> None:
    for service in loaded["services"].values():
        mounted = [each.split(":")[0] for each in service.get("volumes", []) if each[0] in "./"]
        built = [service["build"]["dockerfile"]] if "build" in service else []
        assert all((ROOT / each).exists() for each in [*mounted, *built])


def test_the_image_is_built_from_what_its_context_lets_through() -> None:
    dockerfile = (ROOT / "ops/docker/Dockerfile").read_text()
    allowed = (ROOT / "ops/docker/Dockerfile.dockerignore").read_text().splitlines()
    copies = [line.split() for line in dockerfile.splitlines() if line.startswith("COPY ")]
    sources = [each for line in copies if "--from=build" not in line for each in line[1:-1]]
    assert sources
    assert all(f"!{each}" in allowed and (ROOT / each).exists() for each in sources)


def test_every_variable_of_ours_is_one_that_the_settings_know(loaded: dict[str, Any]) -> None:
    for name, service in loaded["services"].items():
        ours = [each for each in service.get("environment", {}) if each.startswith("LEDGER_")]
        assert [each for each in ours if each not in variables()] == [], name


@pytest.mark.parametrize("service", ["schema", "fleet", "ledger", "audit", "notify"])
def test_the_ledger_takes_its_environment(
    loaded: dict[str, Any], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(loaded, service).items():
        monkeypatch.setenv(name, value)
    settings = load_settings({}).settings
    assert settings.ledger_url.endswith("@database:5432/ledger")
    assert settings.broker is not None
    check_broker(settings.broker)


@pytest.mark.parametrize("service", ["agent-1", "agent-2"])
def test_an_agent_takes_its_environment(
    loaded: dict[str, Any], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(loaded, service).items():
        monkeypatch.setenv(name, value)
    settings = load_shared({})
    assert settings.agents_pool == "default"
    assert settings.broker is not None
    check_broker(settings.broker)


def test_the_programs_understand_their_command_lines(loaded: dict[str, Any]) -> None:
    services = loaded["services"]
    for name in ("schema", "fleet", "ledger", "agent-1", "agent-2", "audit", "notify"):
        program = services[name].get("entrypoint", ["ledger"])
        assert misunderstood([*program, *services[name]["command"]]) is None, name


def test_nobody_is_asked_who_is_not_there(loaded: dict[str, Any]) -> None:
    assert loaded["services"]["schema"]["command"] == ["init", "--yes"]
    assert loaded["services"]["fleet"]["command"][-1] == "--yes"


def test_the_tenants_that_the_server_gets_are_the_ones_that_are_registered(
    loaded: dict[str, Any],
) -> None:
    script = (ROOT / "ops/docker/tenants.sql").read_text(encoding="utf-8")
    (first,) = re.findall(r"^CREATE DATABASE (\w+) OWNER owner_tenant_01;$", script, re.MULTILINE)
    roles, copies, closed = re.findall(r"generate_series\((\d+), (\d+)\) AS n\b(?!;)", script)
    numbers = range(int(copies[0]), int(copies[1]) + 1)
    assert roles == closed == ("1", copies[1])
    made = [first, *(f"tenant_{number:02}" for number in numbers)]
    entries = read_fleet(mounted(loaded, "fleet", "fleet.yaml"), "default")
    assert [one.connection.target.database for one in entries] == made
    logins = [(one.connection.user, one.connection.role) for one in entries]
    assert logins == [(f"mig_{name}", f"owner_{name}") for name in made]


def test_agents_reach_the_registered_tenants_and_have_their_password(
    loaded: dict[str, Any],
) -> None:
    for one in read_fleet(mounted(loaded, "fleet", "fleet.yaml"), "default"):
        assert one.connection.target.server.host in loaded["services"]
        assert one.connection.password == "env:TENANTS_PASSWORD"
        assert one.connection.sslmode == "disable"
        for agent in ("agent-1", "agent-2"):
            (rule,) = parse_rules(environment(loaded, agent)["LEDGER_AGENT_SECRETS"])
            target = one.connection.target
            assert rule.names("env", ("TENANTS_PASSWORD",), one.database)
            assert rule.reaches(
                Destination(
                    target.server.host,
                    target.server.port,
                    one.connection.user,
                    target.database,
                    one.database,
                )
            )
            assert environment(loaded, agent)["LEDGER_POOL"] == one.pool
            assert environment(loaded, agent)["LEDGER_AGENT_INSECURE_POSTGRES"] == "true"


def test_the_migrations_it_brings_are_the_tour_and_agents_may_run_all_of_it(
    loaded: dict[str, Any],
) -> None:
    tour = load_folder(mounted(loaded, "ledger", "migrations"))
    languages = {one.up.program.language for one in tour.migrations if one.up.program}
    for agent in ("agent-1", "agent-2"):
        allowed = environment(loaded, agent)["LEDGER_AGENT_PROGRAMS"].split(",")
        assert {language.value for language in languages} <= set(allowed)


def mounted(loaded: dict[str, Any], service: str, name: str) -> Path:
    """What stands under this name where a service of ours starts."""
    volumes: list[str] = loaded["services"][service]["volumes"]
    places = [each.split(":")[:2] for each in volumes]
    (here,) = [here for here, there in places if there == f"/home/ledger/{name}"]
    return ROOT / here
