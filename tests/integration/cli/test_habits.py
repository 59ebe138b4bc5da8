"""What operators type by habit: a dry run, the SQL, a watch, less words, more words."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

from ledger.cli.app.exits import ExitCode
from tests.integration.cli.conftest import Fleet
from tests.support.patience import PATIENCE_S
from tests.support.program import LedgerProgram, Started, StartLedger

SCHEMA = """\
-- +migrate Up
CREATE TABLE ${half}_parcels (id bigint, note text DEFAULT 'a	b');
-- +migrate Down
DROP TABLE ${half}_parcels;
"""


async def lines_of(program: Started, number: int) -> list[str]:
    """The next lines that it writes to standard output."""
    assert program.process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return [(await program.process.stdout.readline()).decode() for _ in range(number)]


async def test_a_dry_run_shows_the_plan_and_records_nothing(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    before = (await ledger("events", "-o", "ndjson")).out
    planned = await ledger("plan", "-o", "json")
    for words in (["up"], ["rollout", "start"]):
        dry = await ledger(*words, "--dry-run", "-o", "json")
        assert dry.code == ExitCode.OK, dry.err
        assert dry.json["kind"] == "plan"
        assert dry.json["digest"] == planned.json["digest"]
        assert "nothing was recorded" in dry.err
    assert (await ledger("events", "-o", "ndjson")).out == before
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    before = (await ledger("events", "-o", "ndjson")).out
    back = await ledger("down", "--dry-run")
    assert back.code == ExitCode.OK
    assert "down on 4 databases" in back.out
    assert (await ledger("events", "-o", "ndjson")).out == before


async def test_the_sql_of_a_plan_is_a_script_that_can_be_kept(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    (migrations / "3_half.sql").write_text(SCHEMA)
    variables = {"LEDGER_VARIABLES": json.dumps({"half": {"label": "half", "sample": "h0"}})}
    shown = await ledger("plan", "--sql", **variables)
    assert shown.code == ExitCode.OK, shown.err
    assert shown.out.startswith("-- as t0 gets it\n\n-- 1_parcels, 1_parcels.sql\nCREATE TABLE")
    assert "ALTER TABLE parcels ADD COLUMN weight int;" in shown.out
    assert "CREATE TABLE h0_parcels (id bigint, note text DEFAULT 'a\tb');" in shown.out
    assert "DROP TABLE" not in shown.out
    assert "up on 4 databases" in shown.err
    told = await ledger("plan", "--sql", "-o", "json", "--select", "id=t1", **variables)
    sql = [step["sql"] for step in told.json["steps"]]
    assert sql[2].startswith("CREATE TABLE h1_parcels")
    bundle = (await ledger("bundle", "register", "migrations", "-o", "json", **variables)).json
    stored = await ledger("plan", "--sql", "--bundle", bundle["short"], **variables)
    assert stored.out == shown.out


async def test_a_watched_status_is_one_object_a_line_until_ctrl_c(
    start_ledger: StartLedger, fleet: Fleet
) -> None:
    program = await start_ledger("status", "--watch", "--every", "0.1", "-o", "json")
    for line in await lines_of(program, 3):
        assert json.loads(line)["kind"] == "status"
    program.signal(signal.SIGINT)
    ended = await program.end()
    assert ended.code == ExitCode.INTERRUPTED
    assert json.loads(ended.err.splitlines()[-1])["exit_code"] == ExitCode.INTERRUPTED


async def test_a_watched_rollout_is_shown_until_it_has_ended(
    ledger: LedgerProgram, start_ledger: StartLedger, migrations: Path, fleet: Fleet
) -> None:
    rollout = (await ledger("up", "--yes", "--no-wait", "-o", "json")).json["rollout"]
    watching = await start_ledger("rollout", "status", "-w", "--every", "0.1", "-o", "json")
    (first,) = await lines_of(watching, 1)
    assert (json.loads(first)["rollout"], json.loads(first)["status"]) == (rollout, "running")
    assert (await ledger("rollout", "watch", rollout)).code == ExitCode.OK
    ended = await watching.end()
    assert ended.code == ExitCode.OK, ended.err
    assert json.loads(ended.out.splitlines()[-1])["status"] == "completed"


async def test_who_reads_no_more_ends_a_watch(fleet: Fleet, start_ledger: StartLedger) -> None:
    program = await start_ledger("status", "-w", "--every", "0.1", "-o", "json")
    await lines_of(program, 1)
    program.process.read_no_more()
    async with asyncio.timeout(PATIENCE_S):
        assert await program.process.wait() == ExitCode.OK


async def test_quietly_only_what_was_asked_for_and_what_went_wrong_is_said(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    for words in (["-q", "up", "--yes"], ["up", "--yes", "--quiet"]):
        done = await ledger(*words)
        assert (done.code, done.err) == (ExitCode.OK, "")
    wrong = await ledger("rollout", "status", "nosuch", "-q")
    assert wrong.err.startswith("ledger: there is no rollout 'nosuch'")
    asked = await ledger("down", "-q")
    assert "down on 4 databases" in asked.err, "what a question is about is said"


async def test_with_more_words_it_is_said_which_ledger_it_is_and_how_long_it_took(
    ledger: LedgerProgram, fleet: Fleet
) -> None:
    for words in (["-v", "status"], ["status", "--verbose"]):
        said = (await ledger(*words)).err
        assert "name is shop, from variable LEDGER_NAME" in said
        assert "database_url is postgresql://" in said
        assert "********" in said
        assert "took " in said
