"""What the manual shows is run: the tutorial by a reader, migration files on a real database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from migrations import standalone
from migrations.formats.bundle import load_folder
from migrations.model.attempt import Limits, Verdict
from migrations.model.migration import Language
from migrations.model.work import Silence
from migrations.target.session import ConnectionSettings
from tests.fixtures.postgres import FreshDatabase, PostgresServer
from tests.support.documents import ROOT, Block, Document
from tests.support.reader import Reader, Tenants, reader_of, tenants_of

MANUAL = ROOT / "ops" / "manual"
TUTORIAL = Document(MANUAL / "tutorial.md")
MARKED = re.compile(r"^(-- \+migrate |# \+migrate |async def up)", re.MULTILINE)
PREPARED = """
CREATE TABLE user_preferences (user_id bigint, key text, value jsonb);
CREATE TABLE job_queue (id bigint);
CREATE TABLE handles (user_id bigint, handle text);
"""
"""What the pages' migrations take for granted, beside the table `users` of the tests."""


@pytest.fixture
async def tenants(postgres_server: PostgresServer) -> AsyncIterator[Tenants]:
    """Databases for the fleet of the tutorial."""
    async with tenants_of(TUTORIAL.text, postgres_server) as found:
        yield found


@pytest.fixture
async def reader(tmp_path: Path, tenants: Tenants, superuser_database: FreshDatabase) -> Reader:
    """A reader who has exported what the tutorial asks for."""
    return reader_of(TUTORIAL.text, tmp_path, tenants, await superuser_database())


async def test_the_tutorial_goes_as_it_says(reader: Reader) -> None:
    await reader.follow(TUTORIAL.text)
    reader.saw(TUTORIAL.text)
    history = "\n".join(reader.seen)
    assert re.search(r"MigrationApplied +bolt 20260402120000 .*", history)
    assert re.search(r"MigrationRolledBack +bolt \d{14}", history)


def migrations_shown() -> list[tuple[str, Block]]:
    """The migration files of the manual, but those of the tutorial, which are run there."""
    return [
        (f"{path.relative_to(MANUAL)}-{at}", block)
        for path in sorted(MANUAL.rglob("*.md"))
        if path != TUTORIAL.path
        for at, block in enumerate(Document(path).blocks())
        if block.language in ("sql", "python") and MARKED.search(block.text)
    ]


def test_the_manual_shows_migrations_in_sql_in_batches_and_in_python() -> None:
    texts = [block.text for _, block in migrations_shown()]
    assert sum("+migrate Up" in text for text in texts) >= 2
    assert any("+migrate Data" in text for text in texts)
    assert any("async def up" in text for text in texts)


@pytest.mark.parametrize("block", [pytest.param(one, id=name) for name, one in migrations_shown()])
async def test_a_migration_that_the_manual_shows_goes_up_and_down(
    block: Block, tmp_path: Path, tenant_database: str
) -> None:
    connection = await asyncpg.connect(tenant_database)
    await connection.execute(PREPARED)
    assert await connection.fetchval("SELECT count(*) FROM users")
    await connection.close()
    suffix = "py" if block.language == "python" else "sql"
    (tmp_path / f"20260101000000_shown.{suffix}").write_text(block.text, encoding="utf-8")
    migrations = load_folder(tmp_path).migrations
    settings = ConnectionSettings.from_url(tenant_database, allow_plaintext=True)
    programs = frozenset({Language.PYTHON})
    for go in (standalone.up, standalone.down):
        outcome = await go(settings, migrations, Limits(), Silence(), programs=programs)
        assert outcome.verdict is Verdict.DONE, outcome
        assert outcome.steps
