"""Two applications in one database, and in one ledger: each has a history of its own."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest

from ledger.cli.app.exits import ExitCode
from tests.integration.cli.conftest import Fleet
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
    return [row[0] for row in rows if row[0] != "users"]


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


async def test_no_command_takes_the_word_of_a_folder_that_is_another_application(
    ledger: LedgerProgram, folders: None, database: str, tmp_path: Path
) -> None:
    write(tmp_path / "app_a", v2_more="a2")
    assert (await ledger("db", "up", "-f", "app_a", DATABASE_URL=database)).code == 0
    (tmp_path / "app_b" / "2_more.sql").unlink()
    why = ("--reason", "why")
    for words in (
        ("repair", "1", "app_b", "--accept-changed", *why),
        ("repair", "2", "app_b", "--gone", *why),
        ("baseline", "app_b", "--through", "1", "--yes"),
        ("verify", "-f", "app_b"),
        ("check", "-f", "app_b"),
    ):
        refused(await ledger("db", *words, DATABASE_URL=database))
    status = await ledger("db", "status", "-f", "app_a", "-o", "json", DATABASE_URL=database)
    assert {(one["standing"], one["note"] or "") for one in status.items} == {("applied", "")}


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


async def register(ledger: LedgerProgram, database: str, address: str, *more: str) -> None:
    parts = urlsplit(address)
    added = await ledger(
        "fleet", "add", database, "--host", parts.hostname or "", "--port", str(parts.port),
        "--dbname", parts.path.lstrip("/"), "--user", unquote(parts.username or ""),
        "--password", "env:TENANTS", "--sslmode", "disable", *more,
    )  # fmt: skip
    assert added.code == 0, added.err


async def test_a_fleets_databases_are_held_against_their_own_history(
    ledger: LedgerProgram, folders: None, fleet: Fleet
) -> None:
    """Nobody names or binds anything: what is applied tells whose a database is."""
    of_a, of_b = ("--select", "id in (t0,t1)"), ("--select", "id=t2")
    assert (await ledger("up", "-f", "app_a", "--yes", *of_a)).code == 0
    up = await ledger("up", "-f", "app_b", "--yes", *of_b)
    assert up.code == 0, up.err

    status = await ledger("status", "-o", "json")
    found = {one["database"]: one for one in status.items}
    assert {name: one["history"] for name, one in found.items()} == {
        "t0": "app_a",
        "t1": "app_a",
        "t2": "app_b",
        "t3": None,
    }
    assert {name: (one["newest"], one["missing"]) for name, one in found.items()} == {
        "t0": ("1", []),
        "t1": ("1", []),
        "t2": ("2", []),
        "t3": (None, []),
    }
    for selection in ((), of_a):
        plan = await ledger("plan", "-f", "app_b", "-o", "json", *selection)
        named = json.dumps(plan.json.get("items", [])) if plan.code == 0 else ""
        assert not any(name in named for name in ("t0", "t1", "t3"))
    refused = await ledger("up", "-f", "app_b", "--yes", *of_a)
    assert refused.code != 0
    assert "belong to the history 'app_a'" in refused.err
    refused = await ledger("down", "-f", "app_b", "--yes", *of_a)
    assert refused.code != 0
    assert await tables(fleet.addresses["t0"]) == ["a1"]
    said = await ledger("plan", "-f", "app_a")
    assert "t3 belongs to no history yet" in said.out
    assert "ledger fleet label DATABASE history=app_a" in said.out

    assert (await ledger("fleet", "label", "t3", "history=app_a")).code == 0
    assert (await ledger("up", "-f", "app_a", "--yes")).code == 0
    assert await tables(fleet.addresses["t3"]) == ["a1"]
    assert await tables(fleet.addresses["t2"]) == ["b1", "b2"]


async def test_a_folder_of_a_known_name_that_has_nothing_of_its_history_is_refused(
    ledger: LedgerProgram, fleet: Fleet, tmp_path: Path
) -> None:
    write(tmp_path / "migrations", v1_init="a1")
    assert (await ledger("up", "--yes")).code == 0
    (tmp_path / "migrations" / "1_init.sql").unlink()
    write(tmp_path / "migrations", v7_other="z1")
    for command in (("plan",), ("up", "--yes"), ("bundle", "register", "migrations")):
        answer = await ledger(*command)
        assert answer.code != 0
        assert "nothing in common with the history 'migrations'" in answer.err
        assert "--gone" not in answer.err


async def test_a_history_that_is_named_later_keeps_its_databases(
    ledger: LedgerProgram, folders: None, fleet: Fleet, tmp_path: Path
) -> None:
    assert (await ledger("up", "-f", "app_a", "--yes")).code == 0
    (tmp_path / "ledger.toml").write_text('[bundle]\nname = "shop"\n')
    write(tmp_path / "app_a", v2_more="a2")
    up = await ledger("up", "-f", "app_a", "--yes", "-o", "json")
    assert up.code == 0, up.err
    assert up.json["counts"] == {"applied": 4}
    assert {one["history"] for one in (await ledger("status", "-o", "json")).items} == {"shop"}


async def test_two_applications_of_a_fleet_share_one_database(
    ledger: LedgerProgram, folders: None, fleet: Fleet, tmp_path: Path
) -> None:
    assert (await ledger("up", "-f", "app_a", "--yes", "--select", "id=t0")).code == 0
    await register(ledger, "t0-shop", fleet.addresses["t0"], "--history", "shop")
    (tmp_path / "ledger.toml").write_text('[bundle]\nname = "shop"\n')
    plan = await ledger("plan", "-f", "app_b", "-o", "json")
    assert [one["databases"] for one in plan.items] == [["t0-shop"]], plan.err
    assert (await ledger("up", "-f", "app_b", "--yes")).code == 0
    assert await tables(fleet.addresses["t0"]) == ["a1", "b1", "b2"]

    status = {one["database"]: one for one in (await ledger("status", "-o", "json")).items}
    assert (status["t0"]["history"], status["t0"]["newest"]) == ("app_a", "1")
    assert (status["t0-shop"]["history"], status["t0-shop"]["newest"]) == ("shop", "2")
    check = await ledger("fleet", "check", "-o", "json")
    problems = [one["problem"] or "" for one in check.items]
    assert not any("the same database" in problem for problem in problems)

    assert (await ledger("down", "2", "-f", "app_b", "--yes")).code == 0
    assert await tables(fleet.addresses["t0"]) == ["a1"]
    assert (await ledger("replay")).code == 0


async def test_an_address_is_taken_once_for_each_history(
    ledger: LedgerProgram, fleet: Fleet
) -> None:
    parts = urlsplit(fleet.addresses["t0"])
    again = await ledger(
        "fleet", "add", "again", "--host", parts.hostname or "", "--port", str(parts.port),
        "--dbname", parts.path.lstrip("/"), "--user", "x",
    )  # fmt: skip
    assert again.code != 0
    wrong = await ledger("fleet", "add", "t9", "--host", "h", "--user", "x", "--history", "a@b")
    assert wrong.code != 0
    assert "history" in wrong.err


async def test_a_tenants_schema_beside_extensions_and_public_is_migrated(
    ledger: LedgerProgram, fleet: Fleet, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(fleet.addresses["t0"])
    await connection.execute(
        "CREATE SCHEMA tenant_a; CREATE SCHEMA extensions; CREATE DOMAIN extensions.mail AS text"
    )
    await connection.close()
    schemas = ("--schema", "tenant_a, extensions,public")
    await register(ledger, "tenant", fleet.addresses["t0"], *schemas)
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "1_mails.sql").write_text(
        "-- +migrate Up\nCREATE TABLE mails (m mail);\n-- +migrate Down\nDROP TABLE mails;\n"
    )
    assert (await ledger("up", "--yes", "--select", "id=tenant")).code == 0
    check = await ledger("fleet", "check", "--select", "id=tenant", "-o", "json")
    assert "schema" not in (check.items[0]["problem"] or "")
    assert (await ledger("replay")).code == 0
    status = await ledger(
        "db", "status", *schemas, "-o", "json", DATABASE_URL=fleet.addresses["t0"]
    )
    assert [one["standing"] for one in status.items] == ["applied"]
    moved = await ledger(
        "fleet", "repoint", "tenant", "--schema", "tenant_a,nosuch", "--reason", "r", "--yes"
    )
    assert moved.code == ExitCode.FAILED
    assert "no schema nosuch" in moved.out
    check = await ledger("fleet", "check", "--select", "id=tenant", "-o", "json")
    assert "no schema nosuch" in check.items[0]["problem"]


async def test_an_agent_refuses_a_database_that_another_application_has_migrated(
    ledger: LedgerProgram, folders: None, fleet: Fleet
) -> None:
    for number in (0, 1):
        address = fleet.addresses[f"t{number}"]
        assert (await ledger("db", "up", "-f", "app_a", DATABASE_URL=address)).code == 0
    for folder in ("app_b", "app_c"):
        up = await ledger("up", "-f", folder, "--yes", "--select", "id=t0")
        assert up.code != 0
        assert "has nothing in common with it" in up.err
        assert "ledger fleet add --history NAME" in up.err
        assert "--accept-changed" not in up.err
        rollouts = (await ledger("rollout", "list", "-o", "json")).items
        await ledger("rollout", "abort", rollouts[0]["rollout"], "--yes", "--reason", "r")
    assert await tables(fleet.addresses["t0"]) == ["a1"]

    await ledger("fleet", "check", "--select", "id=t0")
    plan = await ledger("plan", "-f", "app_c", "--select", "id=t0")
    assert plan.code != 0
    assert "t0 has 1" in plan.err

    await register(ledger, "twice", fleet.addresses["t1"], "--history", "app_a")
    up = await ledger("up", "-f", "app_a", "--yes", "--select", "id=twice")
    assert up.code != 0
    assert "in the journal that goes by no name" in up.err
