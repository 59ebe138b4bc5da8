"""`ledger db check`: whether this is a good moment for one database."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from ledger.cli.app.exits import ExitCode
from tests.support.program import Answer, LedgerProgram


def verdicts(answer: Answer) -> dict[str, str]:
    return {item["check"]: item["verdict"] for item in answer.items}


async def test_a_good_moment_is_told_check_by_check(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    answer = await ledger("db", "check", "-o", "json", DATABASE_URL=database)
    assert (answer.code, answer.json["kind"], answer.json["blocked"]) == (
        ExitCode.OK,
        "db.check",
        False,
    )
    found = verdicts(answer)
    assert found["rights"] == found["transactions"] == found["window"] == "pass"
    assert found["backup_age"] == "unknown"


async def test_a_session_in_the_way_of_what_is_pending_blocks(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    await ledger("db", "up", DATABASE_URL=database)
    (migrations / "3_more.sql").write_text("-- +migrate Up\nALTER TABLE parcels ADD y int;\n")
    forgotten = await asyncpg.connect(database)
    try:
        await forgotten.execute("BEGIN; SELECT * FROM parcels")
        settings = {"DATABASE_URL": database, "LEDGER_PREFLIGHT_IDLE_IN_TRANSACTION_S": "/0"}
        answer = await ledger("db", "check", "-o", "json", **settings)
        shown = await ledger("db", "check", **settings)
    finally:
        await forgotten.close()
    assert answer.code == ExitCode.FAILED
    assert verdicts(answer)["idle_in_transaction"] == "block"
    assert "AccessShareLock on public.parcels" in shown.out
    assert not shown.err


async def test_wrong_limits_are_refused_with_the_form(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    for name, value, told in (
        ("LAG_MB", "many", "write WARN/BLOCK, such as 60/600"),
        ("LAG_MB", "9/1", "lag blocks before it warns"),
        ("UNKNOWN", "lag=maybe", "write CHECK=block, =warn or =pass"),
        ("WINDOWS", "every night", "write `mon-fri 22:00-06:00 Europe/Berlin`"),
        ("WINDOWS", "mon 22:00-06:00 Mars/North", "is no time zone that this machine knows"),
    ):
        settings = {f"LEDGER_PREFLIGHT_{name}": value}
        answer = await ledger("db", "check", DATABASE_URL=database, **settings)
        assert answer.code == ExitCode.USAGE
        assert told in answer.err
        assert "Traceback" not in answer.err
