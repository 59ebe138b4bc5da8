"""The README's tour, run as it stands there: its files, its commands, its exit codes, its output.

Only what belongs to a reader's own surroundings is exchanged: addresses and passwords. Questions
are answered at a terminal, as a person would.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml

from ledger.settings import variables
from tests.fixtures.postgres import FreshDatabase, PostgresServer
from tests.support.documents import ROOT, Document, blocks, commands_in

README = Document(ROOT / "README.md")
FAILURE = README.section("When a database fails")
TOUR = README.section("Five minutes: a real start").replace(FAILURE, "")
PROGRAM = (sys.executable, "-c", "from ledger.cli.app.main import main; main()")
PATIENCE_S = 60.0
PASSWORD = "not-a-secret"

_FILE = re.compile(r"`([\w./]+\.(?:yaml|sql))`:?")
_ENDS_WITH = re.compile(r"# ends with (\d+)$")


@dataclass(slots=True)
class Reader:
    """Somebody who follows the README in an empty folder."""

    folder: Path
    environment: dict[str, str]
    ledger_name: str = "ledger"
    seen: list[str] = field(default_factory=list)

    async def follow(self, section: str) -> None:
        """Run every command of the section; each must end as the README says."""
        for block in blocks(section):
            for line in block.lines if block.language == "sh" else ():
                for words in commands_in(line):
                    said = _ENDS_WITH.search(line)
                    await self.run(words, int(said[1]) if said else 0)

    async def run(self, words: list[str], code: int) -> None:
        """Run one command at a terminal and answer what it asks."""
        person, terminal = os.openpty()
        os.write(person, f"{self.ledger_name if words[1:3] == ROLLBACK else 'y'}\n".encode())
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *words[1:],
            cwd=self.folder,
            env=self.environment,
            stdin=terminal,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        os.close(terminal)
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
        os.close(person)
        self.seen += output.decode().splitlines()
        assert process.returncode == code, f"{' '.join(words)}: {output.decode()}"

    def saw(self, section: str) -> None:
        """Every line that the section shows was among what the commands wrote."""
        for block in blocks(section):
            for line in block.lines if block.language == "text" else ():
                shown = re.escape(line).replace("…", r"\w+")
                assert any(re.search(shown, one) for one in self.seen), (line, self.seen)


ROLLBACK = ["rollout", "rollback"]
"""What asks for the ledger's name to be typed."""


@dataclass(frozen=True, slots=True)
class Tenants:
    """The databases of the README's fleet file, by id, and who migrates them."""

    user: str
    names: dict[str, str]


@pytest.fixture
async def tenants(postgres_server: PostgresServer) -> AsyncIterator[Tenants]:
    """Databases for the fleet of the README, owned by a user who may do no more there."""
    user = f"{postgres_server.prefix}_migrator"
    await postgres_server.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
    names = {}
    for entry in yaml.safe_load(files(TOUR)["fleet.yaml"])["databases"]:
        name = names[entry["database"]] = await postgres_server.create()
        await postgres_server.execute(f'ALTER DATABASE "{name}" OWNER TO {user}')
    yield Tenants(user, names)
    for name in names.values():
        await postgres_server.drop(name)
    await postgres_server.execute(f"DROP ROLE {user}")


@pytest.fixture
async def reader(
    tmp_path: Path,
    tenants: Tenants,
    postgres_server: PostgresServer,
    superuser_database: FreshDatabase,
) -> Reader:
    """A reader who has done what the README asks for before its commands."""
    write_files(tmp_path, TOUR)
    move_fleet(tmp_path / "fleet.yaml", tenants, postgres_server)
    host = urlsplit(postgres_server.admin_url).hostname
    exported = {
        "LEDGER_DATABASE_URL": await superuser_database(),
        "TENANTS_PASSWORD": PASSWORD,
        "LEDGER_AGENT_SECRETS": f"env:TENANTS_PASSWORD -> {host}, user {tenants.user}",
    }
    assert exported.keys() == variables_to_export(TOUR)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    surroundings = {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
        "COLUMNS": "200",
        # The tests' server has no certificate.
        "LEDGER_AGENT_INSECURE_POSTGRES": "true",
    }
    return Reader(tmp_path, clean | surroundings | exported)


async def test_the_tour_and_the_failure_go_as_the_readme_says(
    reader: Reader, tenants: Tenants, postgres_server: PostgresServer
) -> None:
    await reader.follow(TOUR)
    reader.saw(TOUR)

    write_files(reader.folder, FAILURE)
    await postgres_server.execute(
        "INSERT INTO invoices (number) VALUES ('2026-1'), ('2026-1')", tenants.names["bolt"]
    )
    await reader.follow(FAILURE)
    reader.saw(FAILURE)
    assert await unique_constraints(postgres_server, tenants) == {"acme": 0, "bolt": 0, "cyan": 0}
    history = "\n".join(reader.seen)
    assert re.search("MigrationApplied +acme 20260402120000", history)
    assert re.search("MigrationRolledBack +acme 20260402120000", history)
    assert "No difference:" in history


def test_the_tour_has_five_commands() -> None:
    lines = [line for block in blocks(TOUR) if block.language == "sh" for line in block.lines]
    run = [" ".join(words[1:]) for line in lines for words in commands_in(line)]
    assert run == ["init", "fleet import fleet.yaml", "fleet check", "plan", "up"]


def test_the_readme_starts_with_the_two_commands_that_make_knows() -> None:
    first = next(block for block in README.blocks() if block.language == "sh")
    commands = [line.partition("#")[0].split() for line in first.lines]
    assert commands == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for _, target in commands)


def test_kafka_is_one_setting() -> None:
    section = README.section("With Kafka")
    (name,) = variables_to_export(section)
    assert name in variables()


def files(section: str) -> dict[str, str]:
    """The files that a section asks for: each is named right before its block."""
    found = {}
    name = None
    for part in re.split(r"^(```\w*\n.*?^```\n)", section, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```") and name is not None:
            found[name] = blocks(part)[0].text
        named = _FILE.findall(part.strip().splitlines()[-1]) if part.strip() else []
        name = named[-1] if named and not part.startswith("```") else None
    return found


def write_files(folder: Path, section: str) -> None:
    """Write the files of a section, as a reader would."""
    for name, text in files(section).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def move_fleet(file: Path, tenants: Tenants, server: PostgresServer) -> None:
    """Put the tests' addresses into the fleet file; everything else stays as the README has it."""
    fleet = yaml.safe_load(file.read_text(encoding="utf-8"))
    address = urlsplit(server.admin_url)
    fleet["pools"]["default"] |= {
        "host": address.hostname, "port": address.port, "user": tenants.user,
    }  # fmt: skip
    for entry in fleet["databases"]:
        entry["dbname"] = tenants.names[entry["database"]]
    file.write_text(yaml.safe_dump(fleet), encoding="utf-8")


def variables_to_export(section: str) -> set[str]:
    """What a section asks its reader to export."""
    texts = [block.text for block in blocks(section) if block.language == "sh"]
    return {name for text in texts for name in re.findall(r"^export (\w+)=", text, re.MULTILINE)}


async def unique_constraints(server: PostgresServer, tenants: Tenants) -> dict[str, int]:
    """Per tenant, how many unique constraints its table of invoices has."""
    found = {}
    for database, name in tenants.names.items():
        connection = await asyncpg.connect(server.url(name))
        found[database] = await connection.fetchval(
            "SELECT count(*) FROM pg_constraint"
            " WHERE conrelid = 'invoices'::regclass AND contype = 'u'"
        )
        await connection.close()
    return found
