"""`ledger db`: one database without a ledger."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from ledger.cli.app.exits import ExitCode
from tests.support.program import Answer, LedgerProgram

BROKEN = """\
-- +migrate Up
ALTER TABLE nowhere ADD COLUMN x int;
"""


def standings(answer: Answer) -> dict[str, str]:
    return {item["migration"]: item["standing"] for item in answer.items}


async def test_a_database_goes_up_is_verified_and_comes_down_again(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    before = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert standings(before) == {"1": "pending", "2": "pending"}
    up = await ledger("db", "up", "-o", "json", DATABASE_URL=database)
    assert (up.code, up.json["version"], up.json["kind"]) == (ExitCode.OK, 1, "db.up")
    assert [item["result"] for item in up.json["items"]] == ["applied", "applied"]
    verified = await ledger("db", "verify", "-o", "json", DATABASE_URL=database)
    assert [(one["migration"], one["holds"]) for one in verified.json["items"]] == [("1", True)]
    down = await ledger("db", "down", "--yes", DATABASE_URL=database)
    assert down.code == ExitCode.OK
    after = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert standings(after) == {"1": "applied", "2": "pending"}


async def test_a_migration_that_fails_is_told_with_file_and_line(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    (migrations / "3_broken.sql").write_text(BROKEN)
    answer = await ledger("db", "up", DATABASE_URL=database)
    assert answer.code == ExitCode.FAILED
    assert 'ledger: 3_broken.sql:2: relation "nowhere" does not exist' in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "words",
    [
        ("db", "up"),
        ("db", "check"),
        ("db", "status"),
        ("db", "snapshot"),
        ("db", "diff", "env:DATABASE_URL"),
        ("db", "adopt"),
        ("db", "resolve", "1", "--applied", "--reason", "x"),
    ],
    ids=" ".join,
)
async def test_programs_get_what_failed_in_one_database_as_an_object_however_quiet_it_is(
    ledger: LedgerProgram, migrations: Path, database: str, words: tuple[str, ...]
) -> None:
    (migrations / "3_broken.sql").write_text(BROKEN)
    gone = database if words[1] == "up" else f"{database}_that_is_not_there"
    for form in ("json", "csv"):
        answer = await ledger(*words, "-q", "-o", form, DATABASE_URL=gone)
        assert answer.code != ExitCode.OK
        (told,) = map(json.loads, answer.err.splitlines())
        assert (told["kind"], told["exit_code"]) == ("error", answer.code)
    people = await ledger(*words, "-q", DATABASE_URL=gone)
    assert people.err.startswith("ledger: ")


async def test_a_migration_without_a_way_back_is_told_with_its_file(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    (migrations / "3_final.sql").write_text("-- +migrate Up\nSELECT 1;\n")
    await ledger("db", "up", DATABASE_URL=database)
    answer = await ledger("db", "down", "--yes", DATABASE_URL=database)
    assert answer.code == ExitCode.FAILED
    assert "ledger: 3_final.sql:1: the migration has no down section" in answer.err


async def test_a_check_that_does_not_hold_fails_the_command(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    await ledger("db", "up", DATABASE_URL=database)
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO parcels VALUES (1)")
    await connection.close()
    answer = await ledger("db", "verify", "-o", "json", DATABASE_URL=database)
    assert answer.code == ExitCode.FAILED
    assert answer.json["items"][0]["holds"] is False


async def test_taking_back_without_a_terminal_needs_yes(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    await ledger("db", "up", DATABASE_URL=database)
    answer = await ledger("db", "down", DATABASE_URL=database)
    assert answer.code == ExitCode.USAGE
    assert "--yes" in answer.err
    status = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert standings(status) == {"1": "applied", "2": "applied"}


async def test_a_password_on_the_command_line_works_with_a_warning_that_does_not_repeat_it(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    answer = await ledger("db", "up", "--database", database)
    password = urlsplit(database).password
    assert password
    assert answer.code == ExitCode.OK
    assert "warning: the password on the command line" in answer.err
    assert password not in answer.err + answer.out


async def test_the_address_is_read_from_a_file_without_a_warning(
    ledger: LedgerProgram, migrations: Path, database: str, tmp_path: Path
) -> None:
    (tmp_path / "address").write_text(database + "\n")
    answer = await ledger("db", "status", "--database", "file:address")
    assert answer.code == ExitCode.OK
    assert "warning" not in answer.err


async def test_the_schema_of_an_address_is_the_target_as_in_a_fleet(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE SCHEMA app")
    address = f"{database}{'&' if '?' in database else '?'}schema=app"
    up = await ledger("db", "up", DATABASE_URL=address)
    assert up.code == ExitCode.OK, up.err
    made = "SELECT DISTINCT target FROM migration_ledger.journal"
    assert await connection.fetchval(made) == "app"
    await connection.close()
    same = await ledger("db", "status", "-o", "json", "--schema", "app", DATABASE_URL=address)
    assert standings(same) == {"1": "applied", "2": "applied"}


@pytest.mark.parametrize(
    ("said", "words", "says"),
    [
        ("search_path=app", (), "the address says search_path, which is not read"),
        ("currentSchema=app", (), "the address says currentSchema, which is not read"),
        ("options=-csearch_path%3Dapp", (), "the address says options, which is not read"),
        ("history=app", (), "the address says history, which is not read"),
        ("schema=app", ("--schema", "public"), "schema=app, and --schema another; say one"),
        ("schema=nowhere", (), "there is no schema nowhere in this database"),
    ],
)
async def test_what_an_address_says_of_schemas_is_read_or_refused_by_name(
    ledger: LedgerProgram,
    migrations: Path,
    database: str,
    said: str,
    words: tuple[str, ...],
    says: str,
) -> None:
    address = f"{database}{'&' if '?' in database else '?'}{said}"
    answer = await ledger("db", "up", *words, DATABASE_URL=address)
    assert answer.code != ExitCode.OK
    assert says in " ".join(answer.err.split())


async def test_outside_ledger_needs_a_reason(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    answer = await ledger("db", "up", "--outside-ledger", DATABASE_URL=database)
    assert answer.code == ExitCode.USAGE
    assert "--reason" in answer.err


@pytest.mark.parametrize("words", [("up",), ("repair", "1", "--accept-changed")])
async def test_a_fleets_database_is_not_changed_outside_its_ledger_without_a_yes(
    ledger: LedgerProgram, migrations: Path, database: str, words: tuple[str, ...]
) -> None:
    outside = ("db", *words, "--outside-ledger", "--reason", "an outage")
    answer = await ledger(*outside, DATABASE_URL=database)
    assert answer.code == ExitCode.USAGE
    assert "--yes" in answer.err
    assert "outside of the ledger that owns it, which will record: an outage" in answer.err
    status = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert standings(status) == {"1": "pending", "2": "pending"}


async def test_outside_its_ledger_a_yes_goes_ahead_and_names_the_database(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    outside = ("db", "up", "--outside-ledger", "--reason", "an outage", "--yes")
    answer = await ledger(*outside, DATABASE_URL=database)
    assert answer.code == ExitCode.OK
    assert "Database " in answer.err
    assert urlsplit(database).path.strip("/") in answer.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--database", "env:NOT_SET"), ExitCode.USAGE, "NOT_SET is not set"),
        (("--database", "file:nothing"), ExitCode.USAGE, "nothing cannot be read"),
        (("--database", "somewhere"), ExitCode.USAGE, "cannot be read; write env:NAME"),
        (("--folder", "nowhere"), ExitCode.USAGE, "nowhere"),
        (
            ("--database", "postgresql://ada@localhost:1/x"),
            ExitCode.FAILED,
            "localhost:1/x cannot be reached",
        ),
        (
            ("--database", "postgresql://ada@db.invalid/x?sslmode=disable"),
            ExitCode.FAILED,
            "does not prove who answers",
        ),
    ],
)
async def test_wrong_input_is_told_in_one_sentence(
    ledger: LedgerProgram,
    migrations: Path,
    database: str,
    words: tuple[str, ...],
    code: ExitCode,
    said: str,
) -> None:
    answer = await ledger("db", "status", *words, DATABASE_URL=database)
    assert answer.code == code
    assert said in answer.err
    assert answer.err.startswith("ledger: ")
    assert answer.err.count("\n") == 1


CODE = """\
async def up(conn):
    await conn.execute("CREATE TABLE coded (id int)")


async def down(conn):
    await conn.execute("DROP TABLE coded")
"""


async def test_code_runs_only_with_leave(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    (migrations / "3_code.py").write_text(CODE)
    refused = await ledger("db", "up", DATABASE_URL=database)
    assert refused.code == ExitCode.REFUSED
    assert "3_code runs python, which is not allowed here" in refused.err
    assert "--allow-code" in refused.err
    assert (await ledger("db", "up", "--allow-code", DATABASE_URL=database)).code == ExitCode.OK
    down = await ledger("db", "down", "--allow-code", "--yes", DATABASE_URL=database)
    assert down.code == ExitCode.OK


async def test_a_contract_waits_until_it_is_asked_for(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    for number, phase in enumerate(("expand", "contract")):
        text = f"-- +migrate Up\nCREATE TABLE phase{number} (id int);\n"
        (migrations / f"3_change.{phase}.sql").write_text(text)
    up = await ledger("db", "up", DATABASE_URL=database)
    assert up.code == ExitCode.OK
    assert "3.3_change.contract is held back; apply it with --phase contract" in up.err
    status = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert standings(status)["3.3"] == "held back"
    asked = await ledger("db", "up", "--phase", "contract", DATABASE_URL=database)
    assert (asked.code, "held back" in asked.err) == (ExitCode.OK, False)
    again = await ledger("db", "up", DATABASE_URL=database)
    assert "held back" not in again.err


async def test_a_phase_is_not_verified_any_more_when_its_contract_is_applied(
    ledger: LedgerProgram, migrations: Path, database: str
) -> None:
    asks = "-- +migrate Verify\nSELECT to_regclass('mirror') IS {} NULL;\n"
    expand = "-- +migrate Up\nCREATE TABLE mirror (id int);\n" + asks.format("NOT")
    contract = "-- +migrate Up\nDROP TABLE mirror;\n" + asks.format("")
    (migrations / "3_change.expand.sql").write_text(expand)
    (migrations / "3_change.contract.sql").write_text(contract)
    for phase, asked in (("expand", ["1", "3.1"]), ("contract", ["1", "3.3"])):
        assert (await ledger("db", "up", "--phase", phase, DATABASE_URL=database)).code == 0
        verified = await ledger("db", "verify", "-o", "json", DATABASE_URL=database)
        assert verified.code == ExitCode.OK
        assert [one["migration"] for one in verified.json["items"]] == asked


HALF = """\
-- +migrate Up notransaction
CREATE TABLE half (id int);
SELECT 1 / (count(*) - 0) FROM half;
"""


@pytest.mark.parametrize(
    ("word", "standing"), [("--applied", "applied"), ("--not-applied", "pending")]
)
async def test_a_persons_word_settles_a_migration_and_is_kept(
    ledger: LedgerProgram, migrations: Path, database: str, word: str, standing: str
) -> None:
    (migrations / "3_half.sql").write_text(HALF)
    assert (await ledger("db", "up", DATABASE_URL=database)).code == ExitCode.FAILED
    resolve = ("db", "resolve", "3")
    for missing, said in [
        (("--reason", "seen"), "--applied or --not-applied"),
        ((word,), "--reason"),
    ]:
        answer = await ledger(*resolve, *missing, DATABASE_URL=database)
        assert answer.code == ExitCode.USAGE
        assert said in answer.err
    answer = await ledger(*resolve, word, "--reason", "seen", "-o", "json", DATABASE_URL=database)
    assert (answer.code, answer.json["kind"]) == (ExitCode.OK, "db.resolve")
    after = await ledger("db", "status", "-o", "json", DATABASE_URL=database)
    assert standings(after)["3"] == standing
    again = await ledger(*resolve, word, "--reason", "seen", DATABASE_URL=database)
    assert again.code != ExitCode.OK
    assert "not in doubt" in again.err
    connection = await asyncpg.connect(database)
    kept = await connection.fetchval(
        "SELECT reason FROM migration_ledger.journal WHERE direction = 'resolve'"
    )
    await connection.close()
    assert kept == "seen"
