"""The README's tour, run as it stands there: its files, its commands, its exit codes, its output.

Only what belongs to a reader's own surroundings is exchanged: addresses and passwords. Questions
are answered at a terminal, as a person would.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.fixtures.postgres import FreshDatabase, PostgresServer
from tests.support.documents import ROOT, Document
from tests.support.reader import Reader, Tenants, commands_of, reader_of, tenants_of

README = Document(ROOT / "README.md")
FAILURE = README.section("When a database fails")
TOUR = README.section("Five minutes: a real start").replace(FAILURE, "")
PICTURE = README.text[: README.text.index("## Why")]
AT_MOST = 150
"""Lines of a README that is read to its end."""


@pytest.fixture
async def tenants(postgres_server: PostgresServer) -> AsyncIterator[Tenants]:
    """Databases for the fleet of the README."""
    async with tenants_of(TOUR, postgres_server) as found:
        yield found


@pytest.fixture
async def reader(tmp_path: Path, tenants: Tenants, superuser_database: FreshDatabase) -> Reader:
    """A reader who has exported what the README asks for."""
    return reader_of(TOUR, tmp_path, tenants, await superuser_database())


async def test_the_tour_and_the_failure_go_as_the_readme_says_and_look_like_its_picture(
    reader: Reader, tenants: Tenants
) -> None:
    await reader.follow(TOUR)
    assert any(re.search(r"^rollout \w+ completed: 3 applied$", line) for line in reader.seen)

    await tenants.execute("bolt", "INSERT INTO invoices (number) VALUES ('2026-1'), ('2026-1')")
    await reader.follow(FAILURE)
    reader.saw(PICTURE)
    assert await unique_constraints(tenants) == {"acme": 0, "bolt": 0, "cyan": 0}
    history = "\n".join(reader.seen)
    assert re.search("MigrationApplied +acme 20260402120000", history)
    assert re.search("MigrationRolledBack +acme 20260402120000", history)
    assert "No difference:" in history


def test_the_readme_is_short_and_says_why_in_five_points() -> None:
    assert len(README.text.splitlines()) <= AT_MOST
    points = re.findall(r"^- \*\*(.+?)\*\*", README.section("Why"), re.MULTILINE)
    assert len(points) == 5


def test_the_tour_has_five_commands() -> None:
    assert commands_of(TOUR) == ["init", "fleet import fleet.yaml", "fleet check", "plan", "up"]


def test_all_output_that_the_readme_shows_is_its_picture() -> None:
    (picture,) = [block for block in README.blocks() if block.language == "text"]
    assert picture.text in PICTURE


def test_the_readme_starts_with_the_two_commands_that_make_knows() -> None:
    first = next(block for block in README.blocks() if block.language == "sh")
    commands = [line.partition("#")[0].split() for line in first.lines]
    assert commands == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for _, target in commands)


async def unique_constraints(tenants: Tenants) -> dict[str, int]:
    """Per tenant, how many unique constraints its table of invoices has."""
    found = {}
    for database, name in tenants.names.items():
        connection = await asyncpg.connect(tenants.server.url(name))
        found[database] = await connection.fetchval(
            "SELECT count(*) FROM pg_constraint"
            " WHERE conrelid = 'invoices'::regclass AND contype = 'u'"
        )
        await connection.close()
    return found
