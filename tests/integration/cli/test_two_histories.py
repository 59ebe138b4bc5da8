"""Two applications in one database, and in one ledger: each has a history of its own."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.support.program import Answer, LedgerProgram


async def tables(address: str) -> list[str]:
    connection = await asyncpg.connect(address)
    try:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
    finally:
        await connection.close()
    return [row[0] for row in rows]


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in files.items():
        text = f"-- +migrate Up\nCREATE TABLE {table} (id int);\n-- +migrate Down\n"
        text += f"DROP TABLE {table};\n"
        (folder / f"{name.removeprefix('v')}.sql").write_text(text)


@pytest.fixture
def folders(tmp_path: Path) -> None:
    write(tmp_path / "app_a", v1_init="a1")
    write(tmp_path / "app_b", v1_init="b1", v2_more="b2")
    write(tmp_path / "app_c", v20_init="c1")


def refused(answer: Answer) -> None:
    assert answer.code != 0
    assert "has nothing in common with it" in answer.err
    assert "`[bundle]` with `name`" in answer.err
    assert "--accept-changed" not in answer.err + answer.out
    assert "--gone" not in answer.err + answer.out


async def test_a_folder_that_has_nothing_in_common_with_the_journal_is_refused(
    ledger: LedgerProgram, folders: None, database: str
) -> None:
    assert (await ledger("db", "up", "-f", "app_a", DATABASE_URL=database)).code == 0
    for folder in ("app_b", "app_c"):
        refused(await ledger("db", "up", "-f", folder, DATABASE_URL=database))
        refused(await ledger("db", "status", "-f", folder, DATABASE_URL=database))
        refused(await ledger("db", "down", "-f", folder, "--yes", DATABASE_URL=database))
    assert await tables(database) == ["a1"]
    assert (await ledger("db", "up", "-f", "app_a", DATABASE_URL=database)).code == 0


async def test_two_applications_with_names_live_in_one_database(
    ledger: LedgerProgram, folders: None, database: str, tmp_path: Path
) -> None:
    assert (await ledger("db", "up", "-f", "app_a", DATABASE_URL=database)).code == 0
    (tmp_path / "ledger.toml").write_text('[bundle]\nname = "app_b"\n')
    assert (await ledger("db", "up", "-f", "app_b", DATABASE_URL=database)).code == 0
    assert await tables(database) == ["a1", "b1", "b2"]
    status = await ledger("db", "status", "-f", "app_b", "-o", "json", DATABASE_URL=database)
    assert [(one["migration"], one["standing"]) for one in status.items] == [
        ("1", "applied"),
        ("2", "applied"),
    ]
    (tmp_path / "ledger.toml").unlink()
    status = await ledger("db", "status", "-f", "app_a", "-o", "json", DATABASE_URL=database)
    assert [(one["migration"], one["standing"]) for one in status.items] == [("1", "applied")]

    (tmp_path / "ledger.toml").write_text('[bundle]\nname = "app_b"\n')
    down = await ledger("db", "down", "2", "-f", "app_b", "--yes", DATABASE_URL=database)
    assert down.code == 0
    assert await tables(database) == ["a1"]


async def test_a_history_that_is_named_later_or_whose_folder_was_renamed_goes_on(
    ledger: LedgerProgram, folders: None, database: str, tmp_path: Path
) -> None:
    assert (await ledger("db", "up", "-f", "app_a", DATABASE_URL=database)).code == 0
    (tmp_path / "app_a").rename(tmp_path / "sql")
    write(tmp_path / "sql", v2_more="a2")
    assert (await ledger("db", "up", "-f", "sql", DATABASE_URL=database)).code == 0
    (tmp_path / "ledger.toml").write_text('[bundle]\nname = "shop"\n')
    write(tmp_path / "sql", v3_more="a3")
    up = await ledger("db", "up", "-f", "sql", "-o", "json", DATABASE_URL=database)
    assert [(one["migration"], one["result"]) for one in up.items] == [
        ("1", "skipped"),
        ("2", "skipped"),
        ("3", "applied"),
    ]


async def test_the_one_file_that_was_edited_is_told_as_such(
    ledger: LedgerProgram, folders: None, database: str, tmp_path: Path
) -> None:
    assert (await ledger("db", "up", "-f", "app_a", DATABASE_URL=database)).code == 0
    write(tmp_path / "app_a", v1_init="another")
    up = await ledger("db", "up", "-f", "app_a", DATABASE_URL=database)
    assert up.code != 0
    assert "ledger repair 1 --accept-changed" in up.err


async def test_a_name_that_is_none_is_refused(
    ledger: LedgerProgram, folders: None, database: str, tmp_path: Path
) -> None:
    (tmp_path / "ledger.toml").write_text('[bundle]\nname = "a@b"\n')
    up = await ledger("db", "up", "-f", "app_a", DATABASE_URL=database)
    assert up.code != 0
    assert "bundle.name" in up.err
