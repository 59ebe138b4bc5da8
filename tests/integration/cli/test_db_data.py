"""`ledger db` and data migrations: progress, backups that show and go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from ledger.cli.app.exits import ExitCode
from tests.support.program import LedgerProgram

MAKE = """
    CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
    INSERT INTO items SELECT n, n FROM generate_series(1, 40) AS n
"""
MOVE = """\
-- +migrate Data table=items key=id batch=10 backup=n {more}
UPDATE items SET n = 0 FROM batch WHERE items.id = batch.id;
SELECT pg_sleep(0.4) FROM batch LIMIT 1;
"""
DROPPED = "SELECT migration, note FROM migration_ledger.journal WHERE state = 'backup_dropped'"


@pytest.fixture
async def items(migrations: Path, database: str) -> str:
    """A database with items and a folder with one migration that moves them."""
    connection = await asyncpg.connect(database)
    await connection.execute(MAKE)
    await connection.close()
    await asyncio.to_thread(only, migrations, MOVE.format(more=""))
    return database


def only(folder: Path, text: str) -> None:
    """Leave one file in the folder."""
    for file in folder.iterdir():
        file.unlink()
    (folder / "7_move.sql").write_text(text)


async def fetch(url: str, sql: str) -> list[asyncpg.Record]:
    """Rows of a query."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def test_progress_is_told_and_the_backup_shows_until_it_is_dropped(
    ledger: LedgerProgram, items: str
) -> None:
    up = await ledger("db", "up", "-o", "json", DATABASE_URL=items)
    assert (up.code, up.json["items"][0]["note"]) == (ExitCode.OK, "40 rows in 4 batches"), up.err
    assert " of ~40 · " in up.err
    status = await ledger("db", "status", "-o", "json", DATABASE_URL=items)
    (backup,) = status.json["backups"]
    assert (backup["table"], backup["columns"]) == ("migration_ledger.backup_7", "n")
    assert "backup of 7: migration_ledger.backup_7 (n of public.items), 0 min old" in status.err
    gone = await ledger("db", "drop-backups", "7", "--yes", "-o", "json", DATABASE_URL=items)
    assert (gone.code, gone.json["items"][0]["migration"]) == (ExitCode.OK, "7"), gone.err
    after = await ledger("db", "status", "-o", "json", DATABASE_URL=items)
    assert after.json["backups"] == []
    assert [row["migration"] for row in await fetch(items, DROPPED)] == ["7"]
    down = await ledger("db", "down", "--yes", DATABASE_URL=items)
    assert down.code == ExitCode.FAILED
    assert "the backup of this migration is gone, so write what should happen now" in down.err


async def test_a_backup_that_is_not_there_is_refused_by_name(
    ledger: LedgerProgram, items: str
) -> None:
    await ledger("db", "up", DATABASE_URL=items)
    answer = await ledger("db", "drop-backups", "8", "--yes", DATABASE_URL=items)
    assert answer.code == ExitCode.REFUSED
    assert "8 has no backup here" in answer.err


async def test_a_backup_whose_period_is_over_goes_with_the_next_contact(
    ledger: LedgerProgram, migrations: Path, items: str
) -> None:
    (migrations / "7_move.sql").write_text(MOVE.format(more="keep=1ms"))
    await ledger("db", "up", DATABASE_URL=items)
    assert len(await fetch(items, "SELECT FROM migration_ledger.backup")) == 1
    await ledger("db", "up", DATABASE_URL=items)
    assert await fetch(items, "SELECT FROM migration_ledger.backup") == []
    assert [row["migration"] for row in await fetch(items, DROPPED)] == ["7"]
    found = "SELECT to_regclass('migration_ledger.backup_7') AS it"
    assert (await fetch(items, found))[0]["it"] is None
