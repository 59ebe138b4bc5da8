"""The program that repeats a row of `ops/compat.md` sees what is the same and what is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from migrations.formats.bundle import load_folder
from ops.compare import Asked, compared
from tests.fixtures.postgres import FreshDatabase

FILES = {
    "1_a.up.sql": "CREATE TABLE a (id int);\n",
    "1_a.down.sql": "DROP TABLE a;\n",
    "2_b.up.sql": "CREATE VIEW b AS SELECT id FROM a;\n",
    "2_b.down.sql": "DROP VIEW b;\n",
}


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """A folder of two pairs, to be compared with psql."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return Asked(tmp_path, load_folder(tmp_path).migrations, "", "", "", ())


async def test_files_in_psql_and_with_us_leave_the_same_catalog(
    asked: Asked, fresh_database: FreshDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, ours = await fresh_database(), await fresh_database()
    assert await asyncio.to_thread(compared, asked, theirs, ours)
    said = capsys.readouterr().out
    assert "theirs: up 2 of 2 files\nours:   up 2 of 2 migrations\nup: same catalog" in said
    assert "ours:   down 2 of 2 migrations\ndown: same catalog" in said


async def test_a_tool_that_does_something_else_is_found_out(
    asked: Asked, fresh_database: FreshDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Asked(asked.folder, asked.migrations, "", "true", "", ())
    theirs, ours = await fresh_database(), await fresh_database()
    assert not await asyncio.to_thread(compared, other, theirs, ours)
    said = capsys.readouterr().out
    assert "up: DIFFERENT catalog" in said
    assert "+CREATE TABLE public.a (" in said
