"""`ledger fact record`: what a backup job says, and what preflight makes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ledger.cli.app.exits import ExitCode
from tests.integration.cli.conftest import Fleet
from tests.support.program import Answer, LedgerProgram

STRICT = {
    "LEDGER_PREFLIGHT_BACKUP_AGE_H": "24/48",
    "LEDGER_PREFLIGHT_UNKNOWN": "backup_age=block",
    "LEDGER_PREFLIGHT_WAIT_S": "0",
}


def ages(answer: Answer) -> dict[str, dict[str, Any]]:
    """What the check of backups came to, by database."""
    return {
        row["database"]: next(one for one in row["checks"] if one["check"] == "backup_age")
        for row in answer.items
    }


async def test_what_a_backup_job_has_recorded_is_how_old_the_backup_is(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    before = ages(await ledger("check", "-o", "json", **STRICT))
    assert {one["verdict"] for one in before.values()} == {"unknown"}
    for database, ago in (("t0", "1h"), ("t1", "30h"), ("t2", "3d")):
        told = await ledger(
            "fact", "record", database, "backup", "--at", ago, "--reason", "nightly", "-o", "json"
        )
        assert (told.code, told.json["changed"]) == (0, True), told.err
    found = ages(await ledger("check", "-o", "json", **STRICT))
    assert {name: one["verdict"] for name, one in found.items()} == {
        "t0": "pass", "t1": "warn", "t2": "block", "t3": "unknown"
    }  # fmt: skip
    assert found["t2"]["value"] == 72.0
    assert "ledger fact record" in found["t2"]["said"]
    up = await ledger("up", "--yes", "-o", "json", "--budget", "4", **STRICT)
    assert up.json["counts"] == {"applied": 2, "failed": 2}
    assert up.code == ExitCode.HALTED
    events = await ledger("events", "--type", "FactRecorded", "-o", "json")
    assert len(events.items) == 3
    assert (await ledger("replay")).code == 0


async def test_an_older_backup_is_no_news_and_one_to_come_is_refused(
    ledger: LedgerProgram, fleet: Fleet
) -> None:
    assert (await ledger("fact", "record", "t0", "backup", "--at", "1h")).code == 0
    older = await ledger("fact", "record", "t0", "backup", "--at", "2h", "-o", "json")
    assert (older.code, older.json["changed"]) == (0, False)
    for words, said in (
        (("t0", "backup", "--at", "2099-01-01"), "is still to come"),
        (("t0", "backup", "--at", "soon"), "is no moment"),
        (("t0", "lunch"), "nothing follows from a fact 'lunch'; write backup"),
        (("t9", "backup"), "t9"),
    ):
        refused = await ledger("fact", "record", *words)
        assert refused.code in (ExitCode.USAGE, ExitCode.REFUSED)
        assert said in refused.err
    events = await ledger("events", "--type", "FactRecorded", "-o", "json")
    assert len(events.items) == 1


async def test_a_command_that_the_agents_settings_name_says_how_old_a_backup_is(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet, tmp_path: Path
) -> None:
    program = tmp_path / "say when"
    program.write_text(
        '#!/bin/sh\n[ -z "$TENANTS" ] || exit 9\n[ "$2" = t3 ] && exit 7\n'
        'date -u "+%Y-%m-%dT%H:%M:%SZ"\n'
    )
    program.chmod(0o755)
    variables = STRICT | {"LEDGER_AGENT_BACKUP_COMMAND": f"'{program}' --of"}
    found = ages(await ledger("check", "-o", "json", **variables))
    assert {name: one["verdict"] for name, one in found.items()} == {
        "t0": "pass", "t1": "pass", "t2": "pass", "t3": "unknown"
    }  # fmt: skip
    assert found["t3"]["said"] == "the agent's backup command ended with 7"
    assert (await ledger("fact", "record", "t3", "backup")).code == 0
    up = await ledger("up", "--yes", **variables)
    assert up.code == 0, up.err
    await asyncio.to_thread(program.unlink)
