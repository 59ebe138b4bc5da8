"""Somebody who follows a document at a terminal, in an empty folder, and compares what it shows."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import yaml

from tests.fixtures.postgres import PostgresServer
from tests.support.documents import ROOT, blocks, commands_in
from tests.support.terminal import CONTROL, run_at_terminal

PASSWORD = "not-a-secret"
COLUMNS = 400
"""Wide enough for every line, so that what a document shows is found in one piece."""
_NAME_ASKED = re.compile(rb"Type its name \(([^)]+)\) to go ahead")

_FILE = re.compile(r"`([\w./]+\.(?:yaml|sql))`:?")
_ENDS_WITH = re.compile(r"# ends with (\d+)$")
_IN_DATABASE = re.compile(r"In `(\w+)`")


@dataclass(frozen=True, slots=True)
class Tenants:
    """The databases of a document's fleet file, by id; each has a login of its own."""

    server: PostgresServer
    names: Mapping[str, str]

    @property
    def user(self) -> str:
        """The template of the logins."""
        return f"{self.server.prefix}_mig_{{database}}"

    def login(self, database: str) -> str:
        """Who owns and migrates a database."""
        return self.user.replace("{database}", database)

    async def execute(self, database: str, statement: str) -> None:
        """Run a statement in one of them, as its owner."""
        connection = await asyncpg.connect(self.server.url(self.names[database]))
        try:
            await connection.execute(f"SET ROLE {self.login(database)}")
            await connection.execute(statement)
        finally:
            await connection.close()


@dataclass(slots=True)
class Reader:
    """Follows a text: writes its files, runs its commands and statements, answers what is asked."""

    folder: Path
    environment: dict[str, str]
    tenants: Tenants
    seen: list[str] = field(default_factory=list)

    async def follow(self, text: str) -> None:
        """Do all that the text asks for, in its order; each command must end as the text says."""
        named = ""
        for part in re.split(r"^(```\w*\n.*?^```\n)", text, flags=re.MULTILINE | re.DOTALL):
            if not part.startswith("```"):
                named = part.strip().splitlines()[-1] if part.strip() else ""
                continue
            (block,) = blocks(part)
            if block.language == "sh":
                await self._run_all(block.lines)
            elif block.language == "sql" and (place := _IN_DATABASE.findall(named)):
                await self.tenants.execute(place[-1], block.text)
            elif name := _FILE.findall(named):
                self._write(name[-1], block.text)

    def saw(self, text: str) -> None:
        """Every line that the text shows was on the terminal."""
        for block in blocks(text):
            for line in block.lines if block.language == "text" else ():
                shown = re.escape(line).replace("…", r"\w+")
                assert any(re.search(shown, one) for one in self.seen), (line, self.seen)

    async def run(self, words: list[str], code: int) -> None:
        """Run one command at a terminal and answer what it asks."""
        named = words[1:2] == ["down"] or words[1:3] == ["rollout", "rollback"]
        ended, output = await run_at_terminal(
            words[1:],
            COLUMNS,
            self.folder,
            self.environment,
            read=all_of,
            typed=b"" if named else b"y\n",
        )
        lines = CONTROL.sub("", output.decode()).replace("\r", "\n").splitlines()
        self.seen += [line for line in lines if line.strip()]
        assert ended == code, f"{' '.join(words)}: {output.decode()}"

    async def _run_all(self, lines: list[str]) -> None:
        for line in lines:
            for words in commands_in(line):
                said = _ENDS_WITH.search(line)
                await self.run(words, int(said[1]) if said else 0)

    def _write(self, name: str, text: str) -> None:
        """Write a file as the text has it; only addresses are exchanged for those of the tests."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".yaml":
            _move_fleet(path, self.tenants)


@asynccontextmanager
async def tenants_of(text: str, server: PostgresServer) -> AsyncIterator[Tenants]:
    """Databases for the fleet file of a text, each owned by a login that may do no more."""
    names: dict[str, str] = {}
    tenants = Tenants(server, names)
    for entry in yaml.safe_load(files_in(text)["fleet.yaml"])["databases"]:
        login = tenants.login(entry["database"])
        await server.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}'")
        name = names[entry["database"]] = await server.create()
        await server.execute(f'ALTER DATABASE "{name}" OWNER TO {login}')
    yield tenants
    for database, name in names.items():
        await server.drop(name)
        await server.execute(f"DROP ROLE {tenants.login(database)}")


def reader_of(text: str, folder: Path, tenants: Tenants, ledger_url: str) -> Reader:
    """A reader who has exported what the text asks for."""
    host = urlsplit(tenants.server.admin_url).hostname
    exported = {
        "LEDGER_DATABASE_URL": ledger_url,
        "TENANTS_PASSWORD": PASSWORD,
        "LEDGER_AGENT_SECRETS": f"env:TENANTS_PASSWORD -> {host}, user {tenants.user}",
    }
    assert exported.keys() == variables_to_export(text)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    surroundings = {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
        "TERM": "xterm",
        "COLUMNS": str(COLUMNS),
        # The tests' server has no certificate.
        "LEDGER_AGENT_INSECURE_POSTGRES": "true",
    }
    return Reader(folder, clean | surroundings | exported, tenants)


def files_in(text: str) -> dict[str, str]:
    """The files that a text asks for: each is named right before its block."""
    found = {}
    named = ""
    for part in re.split(r"^(```\w*\n.*?^```\n)", text, flags=re.MULTILINE | re.DOTALL):
        if not part.startswith("```"):
            named = part.strip().splitlines()[-1] if part.strip() else ""
        elif name := _FILE.findall(named):
            found[name[-1]] = blocks(part)[0].text
            named = ""
    return found


def variables_to_export(text: str) -> set[str]:
    """What a text asks its reader to export."""
    texts = [block.text for block in blocks(text) if block.language == "sh"]
    return {name for text in texts for name in re.findall(r"^export (\w+)=", text, re.MULTILINE)}


def commands_of(text: str) -> list[str]:
    """The commands of ours that a text runs, without the program's name."""
    lines = [line for block in blocks(text) if block.language == "sh" for line in block.lines]
    return [" ".join(words[1:]) for line in lines for words in commands_in(line)]


def _move_fleet(file: Path, tenants: Tenants) -> None:
    """Put the tests' addresses into the fleet file; everything else stays as it is."""
    fleet = yaml.safe_load(file.read_text(encoding="utf-8"))
    address = urlsplit(tenants.server.admin_url)
    fleet["pools"]["default"] |= {
        "host": address.hostname, "port": address.port, "user": tenants.user,
    }  # fmt: skip
    for entry in fleet["databases"]:
        entry["dbname"] = tenants.names[entry["database"]]
    file.write_text(yaml.safe_dump(fleet), encoding="utf-8")


def all_of(terminal: int) -> bytes:
    """What is written to a terminal until its other side is closed; a name is typed when asked."""
    output = b""
    typed = False
    while True:
        asked = None if typed else _NAME_ASKED.search(output)
        if asked is not None:
            typed = True
            os.write(terminal, asked[1] + b"\n")
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:
            return output
        if not chunk:
            return output
        output += chunk
