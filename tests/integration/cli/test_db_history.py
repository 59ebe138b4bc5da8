"""`ledger db` comes from another tool and goes back to it, and says what does not fit."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from ledger.cli.app.exits import ExitCode
from tests.support.program import LedgerProgram

DBMATE = """
CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY);
INSERT INTO schema_migrations VALUES ('1'){more};
"""


async def execute(database: str, sql: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(sql)
    await connection.close()


def widen(folder: Path) -> None:
    """Change the up section of the second migration."""
    (path,) = folder.glob("2_*.sql")
    path.write_text(path.read_text().replace("int;", "bigint;", 1))


async def test_a_database_comes_over_goes_on_and_goes_back(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    await execute(database, DBMATE.format(more="") + "CREATE TABLE parcels (id bigint)")
    env = {"DATABASE_URL": database}
    look = await ledger("db", "adopt", "--dry-run", "-o", "json", **env)
    assert look.code == ExitCode.OK
    assert [(one["migration"], one["standing"]) for one in look.json["items"]] == [
        ("1", "taken over"),
        ("2", "pending"),
    ]
    assert (await ledger("db", "adopt", "--yes", **env)).code == ExitCode.OK
    assert (await ledger("db", "up", **env)).code == ExitCode.OK
    exported = await ledger(
        "db", "export-history", str(migrations), "--to", "dbmate", "-o", "json", **env
    )
    assert exported.json["rows"] == 2
    removed = await ledger("db", "remove-journal", "--yes", **env)
    assert removed.code == ExitCode.OK
    again = await ledger("db", "remove-journal", "--yes", **env)
    assert "there is no journal here" in again.err


async def test_what_is_known_already_is_not_counted_when_a_history_is_adopted_again(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    await execute(database, DBMATE.format(more=""))
    first = await ledger("db", "adopt", "--yes", DATABASE_URL=database)
    assert "mark 1 migration as applied" in first.err
    await execute(database, "INSERT INTO schema_migrations VALUES ('2')")
    again = await ledger("db", "adopt", "--yes", DATABASE_URL=database)
    assert "mark 1 migration as applied" in again.err


async def test_status_says_that_somebody_goes_on_with_the_old_tool(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    await execute(database, DBMATE.format(more=""))
    await ledger("db", "adopt", "--yes", DATABASE_URL=database)
    calm = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert calm.json["in_use"] is None
    await execute(database, "INSERT INTO schema_migrations VALUES ('2')")
    status = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert (status.code, status.json["in_use"] in status.err) == (ExitCode.OK, True)
    assert "dbmate was used here after its history was adopted" in status.err


async def test_a_tool_whose_history_is_only_read_is_refused_by_name(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    await ledger("db", "up", DATABASE_URL=database)
    refused = await ledger("db", "export-history", "--to", "sqitch", DATABASE_URL=database)
    assert "no history can be written for sqitch; name one of dbmate, goose" in refused.err


async def test_a_folder_that_does_not_fit_is_refused_and_nothing_is_written(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    await execute(database, DBMATE.format(more=", ('77')"))
    refused = await ledger("db", "adopt", "--yes", DATABASE_URL=database)
    assert refused.code == ExitCode.REFUSED
    assert "--accept-missing" in refused.err
    status = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert {one["standing"] for one in status.json["items"]} == {"pending"}


async def test_a_baseline_and_a_repair_say_what_they_need(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    env = {"DATABASE_URL": database}
    assert (await ledger("db", "baseline", **env)).code == ExitCode.USAGE
    assert (await ledger("db", "baseline", "--through", "2", "--yes", **env)).code == ExitCode.OK
    widen(migrations)
    refused = await ledger("db", "up", **env)
    assert refused.code == ExitCode.FAILED
    assert "2_" in refused.err
    assert "`ledger repair 2 --accept-changed --reason WHY`" in refused.err
    repair = ("db", "repair", "2", "--accept-changed")
    assert (await ledger(*repair, **env)).code == ExitCode.USAGE
    assert (await ledger(*repair, "--reason", "wider", **env)).code == ExitCode.OK
    assert (await ledger("db", "up", **env)).code == ExitCode.OK
